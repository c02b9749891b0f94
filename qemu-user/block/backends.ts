/**
 * The device thread's half of a disk: served at once on this thread (aio=sync), or by another through a ring.
 * Follows: QEMU's aio back ends, of which `threads` is the one that needs nothing of the host.
 * Left out: the other thread's half (io-loop.ts, async-server.ts).
 */
import {
  type BlockBackend,
  type BlockImage,
  type BlockInfo,
  type BlockRequest,
  type BlockResult,
  OP,
} from "./block.ts";
import { bytesOf } from "./host-file.ts";
import { RequestSender, SEGMENTS } from "./request-ring.ts";

type Done = (result: BlockResult) => void;

/** The guest stands still while the host works. What comes when the thread is to end is dropped: nobody waits for it. */
export class SyncBackend implements BlockBackend {
  readonly info: BlockInfo;
  onBatch = () => {};
  readonly #image: BlockImage;
  readonly #stopping: () => boolean;

  constructor(info: BlockInfo, image: BlockImage, stopping: () => boolean = () => false) {
    this.info = info;
    this.#image = image;
    this.#stopping = stopping;
  }

  submit(request: BlockRequest, done: Done): void {
    if (!this.#stopping()) done(this.#image.run(request));
  }

  poll(): boolean {
    return false;
  }

  drain(): void {}
}

export interface RingBackendOptions {
  readonly ring: SharedArrayBuffer;
  /** The buffer that guest RAM is in. */
  readonly memory: ArrayBufferLike;
  /** Tells the server of new requests. */
  readonly notify: () => void;
  /** True when this thread is to end: drain() then gives up. */
  readonly stopping: () => boolean;
}

/** A request of the device's, which may need several slots. */
interface Pending {
  readonly done: Done;
  parts: number;
  result: BlockResult;
}

/** Longest sleep of drain(); every wait has a timeout and looks again. */
const DRAIN_WAIT_MS = 50;

export class RingBackend implements BlockBackend {
  readonly info: BlockInfo;
  onBatch = () => {};
  readonly #o: RingBackendOptions;
  readonly #sender: RequestSender;
  /** By slot. */
  readonly #pending: (Pending | undefined)[] = [];
  /** What no slot was free for, oldest first. */
  readonly #backlog: (readonly [BlockRequest, Pending])[] = [];

  constructor(info: BlockInfo, options: RingBackendOptions) {
    this.info = info;
    this.#o = options;
    this.#sender = new RequestSender(options.ring, options.memory);
  }

  submit(request: BlockRequest, done: Done): void {
    const parts = partsOf(request);
    const pending: Pending = { done, parts: parts.length, result: 0 };
    for (const part of parts) this.#backlog.push([part, pending]);
    if (this.#send()) this.#o.notify();
  }

  poll(): boolean {
    let delivered = false;
    for (let slot = this.#sender.take(); slot >= 0; slot = this.#sender.take()) {
      const pending = this.#pending[slot]!;
      this.#pending[slot] = undefined;
      pending.result ||= this.#sender.resultOf(slot);
      if (--pending.parts > 0) continue;
      delivered = true;
      pending.done(pending.result);
    }
    if (this.#send()) this.#o.notify();
    if (delivered) this.onBatch();
    return delivered;
  }

  drain(): void {
    while (!this.#o.stopping()) {
      this.poll();
      if (this.#sender.idle && this.#backlog.length === 0) return;
      this.#sender.wait(DRAIN_WAIT_MS);
    }
  }

  /** From the backlog to the ring, in order; true if anything went. */
  #send(): boolean {
    let sent = 0;
    for (; sent < this.#backlog.length; sent++) {
      const [request, pending] = this.#backlog[sent]!;
      const slot = this.#sender.send(request);
      if (slot < 0) break;
      this.#pending[slot] = pending;
    }
    this.#backlog.splice(0, sent);
    return sent > 0;
  }
}

/** A request as several that fit a slot each. */
function partsOf(request: BlockRequest): readonly BlockRequest[] {
  const { op, offset, buffers } = request;
  if (buffers.length <= SEGMENTS || (op !== OP.read && op !== OP.write)) return [request];
  const parts: BlockRequest[] = [];
  for (let at = 0, done = 0; at < buffers.length; at += SEGMENTS) {
    const some = buffers.slice(at, at + SEGMENTS);
    const length = bytesOf(some);
    parts.push({ ...request, offset: offset + done, length, buffers: some });
    done += length;
  }
  return parts;
}
