/**
 * How many changes of regions are on their way from the device thread to kvm-core: a guest moves BARs faster than the main
 * thread tells of it, and what waits must not fill the host's memory. Past the bound the device thread waits, and with it
 * the guest whose access it serves.
 * Leaves out: the changes themselves, which are messages (messages.ts).
 *
 * The count is one word that both threads share: the device thread adds, the main thread subtracts and wakes.
 */

/** A board has fewer regions, so that a reset never waits. */
const MOST = 512;
/** Each wait has a timeout, looks at the stop word, and there is an end to them: the main thread may wait for the guest. */
const WAIT_MS = 20;
const WAITS = 50;

export class RegionFlow {
  readonly #words: Int32Array;
  readonly #count: number;
  readonly #stop: number;

  /** `count` and `stop` are indices of words; a stop word that is not zero ends every wait. */
  constructor(words: Int32Array, count: number, stop: number) {
    this.#words = words;
    this.#count = count;
    this.#stop = stop;
  }

  get underWay(): number {
    return Atomics.load(this.#words, this.#count);
  }

  /** Device thread: a change was posted. Waits while there are too many. */
  posted(): void {
    Atomics.add(this.#words, this.#count, 1);
    for (let waits = 0; waits < WAITS; waits++) {
      const count = this.underWay;
      if (count <= MOST || Atomics.load(this.#words, this.#stop) !== 0) return;
      Atomics.wait(this.#words, this.#count, count, WAIT_MS);
    }
  }

  /** Main thread: kvm-core has heard of one, or has refused it. */
  told(): void {
    Atomics.sub(this.#words, this.#count, 1);
    Atomics.notify(this.#words, this.#count);
  }
}
