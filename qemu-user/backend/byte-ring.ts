/**
 * A ring of bytes between two threads: one producer, one consumer, in a SharedArrayBuffer.
 * Follows: Lamport's single-producer single-consumer queue, with a "waiting" flag on each side (Dekker) so that a side is
 * only told what it waits for.
 * Left out: more than one producer or consumer.
 *
 * Layout: eight u32 words, then the bytes.
 *   0 head: bytes ever written, modulo 2^32 (the producer's)   1 tail: bytes ever read (the consumer's)
 *   2 consumer waits for bytes    3 producer waits for room    4 closed
 */

const HEAD = 0;
const TAIL = 1;
const CONSUMER_WAITS = 2;
const PRODUCER_WAITS = 3;
const CLOSED = 4;
const HEADER_BYTES = 32;

/** Longest sleep of a producer that waits for room, in milliseconds; every wait has a timeout and rechecks. */
const WAIT_MS = 50;

/** Called when the other side waits for what was just done. Must not throw; may be called more often than needed. */
export type Notify = () => void;

export class ByteRing {
  readonly capacity: number;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #mask: number;
  readonly #notify: Notify;

  /** Bytes of shared memory that a ring of `capacity` bytes needs. */
  static bytesFor(capacity: number): number {
    return HEADER_BYTES + capacity;
  }

  /**
   * One side's view of the ring at `at` in `buffer`; fresh zero bytes are an empty ring.
   * `notify` tells the other side. Throws an Error if capacity is not a power of two or does not fit.
   */
  constructor(buffer: SharedArrayBuffer, at: number, capacity: number, notify: Notify) {
    if (capacity < 2 || capacity > 2 ** 30 || (capacity & (capacity - 1)) !== 0) {
      throw new Error(`byte ring: capacity ${capacity} is not a power of two`);
    }
    this.capacity = capacity;
    this.#words = new Int32Array(buffer, at, HEADER_BYTES / 4);
    this.#bytes = new Uint8Array(buffer, at + HEADER_BYTES, capacity);
    this.#mask = capacity - 1;
    this.#notify = notify;
  }

  /** Bytes waiting to be read. */
  get length(): number {
    return (Atomics.load(this.#words, HEAD) - Atomics.load(this.#words, TAIL)) >>> 0;
  }

  get closed(): boolean {
    return Atomics.load(this.#words, CLOSED) !== 0;
  }

  /** Producer: appends one byte. False: full; the consumer will notify when there is room. Never allocates. */
  push(byte: number): boolean {
    const words = this.#words;
    const head = words[HEAD]!; // only this side writes it
    if ((head - Atomics.load(words, TAIL)) >>> 0 === this.capacity) {
      Atomics.store(words, PRODUCER_WAITS, 1);
      // Dekker: flag first, then look again, or the consumer could have made room unseen.
      if ((head - Atomics.load(words, TAIL)) >>> 0 === this.capacity) return false;
      Atomics.store(words, PRODUCER_WAITS, 0);
    }
    this.#bytes[head & this.#mask] = byte;
    Atomics.store(words, HEAD, (head + 1) | 0); // publishes the byte
    if (Atomics.load(words, CONSUMER_WAITS) !== 0 && Atomics.exchange(words, CONSUMER_WAITS, 0) !== 0) this.#notify();
    return true;
  }

  /** Producer: appends one byte, sleeping while there is no room. False: the ring was closed, the byte is dropped. */
  pushWait(byte: number): boolean {
    while (!this.push(byte)) {
      if (this.closed) return false;
      const tail = Atomics.load(this.#words, TAIL);
      if (this.length === this.capacity) Atomics.wait(this.#words, TAIL, tail, WAIT_MS);
    }
    return true;
  }

  /** Producer: appends what fits of `from`, starting at `start`; returns how many bytes were taken. */
  pushFrom(from: Uint8Array, start: number): number {
    let taken = start;
    while (taken < from.length && this.push(from[taken]!)) taken++;
    return taken - start;
  }

  /** Consumer: the next byte, or -1. Never allocates. Does not ask to be notified; see `waitForBytes`. */
  pop(): number {
    const words = this.#words;
    const tail = words[TAIL]!; // only this side writes it
    if (Atomics.load(words, HEAD) === tail) return -1;
    const byte = this.#bytes[tail & this.#mask]!;
    this.#release((tail + 1) | 0);
    return byte;
  }

  /** Consumer: fills `into` with what is there; returns how many bytes. Never allocates. */
  popInto(into: Uint8Array): number {
    const words = this.#words;
    const tail = words[TAIL]!;
    const count = Math.min((Atomics.load(words, HEAD) - tail) >>> 0, into.length);
    for (let i = 0; i < count; i++) into[i] = this.#bytes[(tail + i) & this.#mask]!;
    if (count > 0) this.#release((tail + count) | 0);
    return count;
  }

  /** Consumer: asks to be notified of the next byte. False: there is one already, read on. */
  waitForBytes(): boolean {
    Atomics.store(this.#words, CONSUMER_WAITS, 1);
    if (this.length === 0) return true; // Dekker: flag first, then look again
    Atomics.store(this.#words, CONSUMER_WAITS, 0);
    return false;
  }

  /** Either side: no more will be read. A producer that waits in `pushWait` gives up. */
  close(): void {
    Atomics.store(this.#words, CLOSED, 1);
    Atomics.notify(this.#words, TAIL);
  }

  #release(tail: number): void {
    const words = this.#words;
    Atomics.store(words, TAIL, tail); // gives the slots back
    if (Atomics.load(words, PRODUCER_WAITS) !== 0 && Atomics.exchange(words, PRODUCER_WAITS, 0) !== 0) {
      Atomics.notify(words, TAIL);
      this.#notify();
    }
  }
}
