/**
 * A chain of buffers that a device has taken: put together from descriptors, with every check that both rings share.
 * Follows: VIRTIO 1.2 sections 2.7.4.2, 2.7.5 (descriptors) and 2.8.6; what a driver must not do is a reason to stop.
 * Left out: how descriptors lie in memory, which is the ring's (split-queue.ts, packed-queue.ts).
 */
import type { GuestMemory } from "../../shared/guest-memory.ts";
import type { StateValue } from "../bus/interfaces.ts";
import { expectList, expectUnsigned } from "../bus/state.ts";
import type { Chain } from "./virtio.ts";

/** Descriptors of a chain with an indirect table, which the queue's size does not bound: QEMU's VIRTQUEUE_MAX_SIZE. */
export const MAX_INDIRECT = 1024;
/** A chain's bytes together (section 2.7.5.2). */
const MAX_BYTES = 2 ** 32;

/** Views, and where they lie: pairs of address and length. */
interface Side {
  readonly views: Uint8Array[];
  readonly ranges: number[];
}

export class TakenChain implements Chain {
  /** Split: the first descriptor's index. Packed: the buffer's id. */
  head: number;
  /** Entries of the ring that it takes, for a packed one. */
  entries = 1;
  readonly #readable: Side = { views: [], ranges: [] };
  readonly #writable: Side = { views: [], ranges: [] };
  #bytes = 0;

  constructor(head: number) {
    this.head = head;
  }

  get readable(): readonly Uint8Array[] {
    return this.#readable.views;
  }

  get writable(): readonly Uint8Array[] {
    return this.#writable.views;
  }

  /** Appends a buffer. What is wrong with it, or undefined. One of no bytes is allowed, and left out. */
  add(memory: GuestMemory, gpa: number, length: number, writable: boolean): string | undefined {
    if (!writable && this.#writable.ranges.length > 0) return "a readable descriptor behind a writable one";
    this.#bytes += length;
    if (this.#bytes > MAX_BYTES) return "a chain of more than 4 GiB";
    if (!memory.contains(gpa, length)) return "a descriptor's range outside RAM";
    const side = writable ? this.#writable : this.#readable;
    for (let done = 0; done < length; ) {
      const piece = pieceLength(memory, gpa + done, length - done);
      const view = memory.slice(gpa + done, piece);
      if (view === undefined) return "a descriptor's range outside RAM";
      side.views.push(view);
      side.ranges.push(gpa + done, piece);
      done += piece;
    }
    return undefined;
  }

  /** Tells the memory that all of the writable part was written: devices do not say which bytes. */
  tellWritten(memory: GuestMemory): void {
    const ranges = this.#writable.ranges;
    for (let i = 0; i < ranges.length; i += 2) memory.written(ranges[i]!, ranges[i + 1]!);
  }

  save(): StateValue {
    const [readable, writable] = [this.#readable.ranges, this.#writable.ranges];
    return { head: this.head, entries: this.entries, readable: [...readable], writable: [...writable] };
  }

  /** Makes a saved chain again. Throws an Error on what no queue of this size can have given. */
  static load(name: string, state: StateValue, queueSize: number, memory: GuestMemory): TakenChain {
    const saved = (state ?? {}) as Readonly<Record<string, StateValue>>;
    const chain = new TakenChain(expectUnsigned(name, "head", saved["head"], 0xffff));
    chain.entries = expectUnsigned(name, "entries", saved["entries"], queueSize);
    for (const side of ["readable", "writable"] as const) {
      const ranges = expectList(name, side, saved[side], 2 ** 17, Number.MAX_SAFE_INTEGER);
      for (let i = 0; i + 1 < ranges.length; i += 2) {
        const wrong = chain.add(memory, ranges[i]!, ranges[i + 1]!, side === "writable");
        if (wrong !== undefined) throw new Error(`${name}: the saved state has ${wrong}`);
      }
    }
    return chain;
  }
}

/** A buffer that goes from one memory slot to the next has a view of each. */
function pieceLength(memory: GuestMemory, gpa: number, length: number): number {
  const slots = memory.slots;
  for (let i = 0; i < slots.length; i++) {
    const { gpa: base, size } = slots[i]!;
    if (gpa >= base && gpa < base + size) return Math.min(length, base + size - gpa);
  }
  return length;
}
