/**
 * The requests of one disk between its device's thread and the thread that serves it, in a SharedArrayBuffer.
 * Follows: two Lamport queues of slot numbers (byte-ring.ts has the same idea), one each way; guest RAM is shared, so
 * a request carries offsets and no data.
 * Left out: waking; each side is given a way to tell the other.
 *
 * Layout, in 32-bit words: SUBMITTED and COMPLETED (counts, modulo 2^32; each has one writer), the slot numbers of both
 * queues, then the slots. A slot belongs to the server from its submission to its completion, else to the device.
 */
import type { BlockOp, BlockRequest, BlockResult } from "./block.ts";

export const SLOTS = 64;
/** Buffers of one slot; a request with more takes several. */
export const SEGMENTS = 64;

const SUBMITTED = 0;
/** A cache line of its own: the other side writes it. */
const COMPLETED = 16;
const QUEUES = 32;
const RECORDS = QUEUES + 2 * SLOTS;

/** Words of a slot. */
const SLOT = { op: 0, flags: 1, result: 2, count: 3, offset: 4, length: 6, segments: 8 } as const;
const SLOT_WORDS = SLOT.segments + 2 * SEGMENTS;

export function createRequestRing(): SharedArrayBuffer {
  return new SharedArrayBuffer((RECORDS + SLOTS * SLOT_WORDS) * 4);
}

/** Both sides' view of the slots. */
class Slots {
  protected readonly words: Int32Array;
  readonly #u32: Uint32Array;
  readonly #f64: Float64Array;
  readonly #memory: ArrayBufferLike;

  /** `memory` holds guest RAM: the buffer that the requests' views are of. */
  constructor(ring: SharedArrayBuffer, memory: ArrayBufferLike) {
    this.words = new Int32Array(ring);
    this.#u32 = new Uint32Array(ring);
    this.#f64 = new Float64Array(ring);
    this.#memory = memory;
  }

  protected store(slot: number, { op, flags, offset, length, buffers }: BlockRequest): void {
    const at = RECORDS + slot * SLOT_WORDS;
    this.words[at + SLOT.op] = op;
    this.words[at + SLOT.flags] = flags;
    this.words[at + SLOT.count] = buffers.length;
    this.#f64[(at + SLOT.offset) >> 1] = offset;
    this.#f64[(at + SLOT.length) >> 1] = length;
    for (let i = 0, to = at + SLOT.segments; i < buffers.length; i++, to += 2) {
      const buffer = buffers[i]!;
      if (buffer.buffer !== this.#memory) throw new Error("a block request's buffer is not in guest memory");
      this.#u32[to] = buffer.byteOffset;
      this.#u32[to + 1] = buffer.length;
    }
  }

  protected request(slot: number): BlockRequest {
    const at = RECORDS + slot * SLOT_WORDS;
    const count = this.words[at + SLOT.count]!;
    const buffers = new Array<Uint8Array>(count);
    for (let i = 0, from = at + SLOT.segments; i < count; i++, from += 2) {
      buffers[i] = new Uint8Array(this.#memory, this.#u32[from]!, this.#u32[from + 1]!);
    }
    return {
      op: this.words[at + SLOT.op] as BlockOp,
      flags: this.words[at + SLOT.flags]!,
      offset: this.#f64[(at + SLOT.offset) >> 1]!,
      length: this.#f64[(at + SLOT.length) >> 1]!,
      buffers,
    };
  }

  protected result(slot: number): BlockResult {
    return this.words[RECORDS + slot * SLOT_WORDS + SLOT.result]!;
  }

  protected setResult(slot: number, result: BlockResult): void {
    this.words[RECORDS + slot * SLOT_WORDS + SLOT.result] = result;
  }
}

/** The device's side. At most SLOTS requests are under way, so neither queue can overflow. */
export class RequestSender extends Slots {
  readonly #free = Array.from({ length: SLOTS }, (_, slot) => slot);
  #taken = 0;

  /** Its slot, or -1: all are in use. */
  send(request: BlockRequest): number {
    const slot = this.#free.pop();
    if (slot === undefined) return -1;
    this.store(slot, request);
    const head = this.words[SUBMITTED]!;
    this.words[QUEUES + (head & (SLOTS - 1))] = slot;
    Atomics.store(this.words, SUBMITTED, (head + 1) | 0); // publishes the slot and its number
    return slot;
  }

  /** The slot of a request that has completed, or -1. Its result is read with `resultOf` before the next send(). */
  take(): number {
    if (Atomics.load(this.words, COMPLETED) === this.#taken) return -1;
    const slot = this.words[QUEUES + SLOTS + (this.#taken & (SLOTS - 1))]!;
    this.#taken = (this.#taken + 1) | 0;
    this.#free.push(slot);
    return slot;
  }

  resultOf(slot: number): BlockResult {
    return this.result(slot);
  }

  /** Nothing is under way. */
  get idle(): boolean {
    return this.#free.length === SLOTS;
  }

  /** Sleeps until something completes, at most this long. For drain() only: nothing else may wait on a device's thread. */
  wait(timeoutMs: number): void {
    Atomics.wait(this.words, COMPLETED, this.#taken, timeoutMs);
  }
}

/** The server's side. */
export class RequestReceiver extends Slots {
  #taken: number;

  constructor(ring: SharedArrayBuffer, memory: ArrayBufferLike) {
    super(ring, memory);
    this.#taken = this.words[COMPLETED]!;
  }

  /** The slot of the next request, or -1. */
  take(): number {
    if (Atomics.load(this.words, SUBMITTED) === this.#taken) return -1;
    const slot = this.words[QUEUES + (this.#taken & (SLOTS - 1))]!;
    this.#taken = (this.#taken + 1) | 0;
    return slot;
  }

  requestOf(slot: number): BlockRequest {
    return this.request(slot);
  }

  /** In any order. The caller then tells the device. */
  complete(slot: number, result: BlockResult): void {
    this.setResult(slot, result);
    const head = this.words[COMPLETED]!;
    this.words[QUEUES + SLOTS + (head & (SLOTS - 1))] = slot;
    Atomics.store(this.words, COMPLETED, (head + 1) | 0); // the result, and what was read, before it
    Atomics.notify(this.words, COMPLETED);
  }
}
