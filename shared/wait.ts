/**
 * The waiting rule of page mode, in one place (protocol.md, "Waiting"): spin only while the peer is awake on another
 * CPU, within a budget in nanoseconds; otherwise sleep at once. Spinning beside a peer on one's own CPU would cost it
 * a scheduler slice, sleeping while it answers within a microsecond would cost a wake-up of tens of them.
 * A placement word says where a side runs: CPU number + 1, with ASLEEP set while it sleeps; 0 is unknown.
 * Leaves out: the sleep itself and what ends it (the callers: they own the word slept on and the stop rule).
 */
import { clockMonotonic, getCpu } from "./native.ts";

export const ASLEEP = 0x4000_0000;

const START_NS = 20_000;
const MIN_NS = 1_000;
const MAX_NS = 50_000;
/** After this many waits that did not spin for lack of budget, one tries again. */
const PROBE_EVERY = 64;
/** The scheduler moves threads: one's own CPU is read again after a sleep and every so many waits. */
const CPU_EVERY = 64;

/** Nanoseconds that one turn of the spin loop takes; measured once per thread, before it serves anything. */
function calibrate(words: Int32Array, index: number): number {
  const turns = 20_000;
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 4; round++) {
    const start = clockMonotonic();
    for (let i = 0; i < turns; i++) {
      if (Atomics.load(words, index) === -1) break;
      Atomics.pause();
    }
    best = Math.min(best, (clockMonotonic() - start) / turns);
  }
  return Math.max(best, 0.5);
}

/** One side's waiting state: where it runs, where its peer runs, how long it may spin. */
export class Waiter {
  readonly #own: Int32Array;
  readonly #ownIndex: number;
  readonly #turnNs: number;
  #budgetNs = START_NS;
  #cpu = 0;
  #age = 0;
  #skipped = 0;

  /** `own[ownIndex]` is this side's placement word, in memory that the peer reads. */
  constructor(own: Int32Array, ownIndex: number) {
    this.#own = own;
    this.#ownIndex = ownIndex;
    this.#turnNs = calibrate(new Int32Array(new SharedArrayBuffer(4)), 0);
    this.awake();
  }

  /** Publishes that this side is awake, and on which CPU. */
  awake(): void {
    this.#cpu = getCpu() + 1;
    this.#age = 0;
    Atomics.store(this.#own, this.#ownIndex, this.#cpu);
  }

  /** Publishes that this side is about to sleep; awake() must follow. */
  asleep(): void {
    Atomics.store(this.#own, this.#ownIndex, this.#cpu | ASLEEP);
  }

  /**
   * Spins until `words[index]` differs from `value`. True when it does; false when the caller should sleep: the peer
   * shares this CPU, sleeps itself, or the budget is used up. Allocates nothing; one load of the peer's word a turn
   * would cost a cache line, so the placement is looked at once.
   */
  spin(words: Int32Array, index: number, value: number, peer: Int32Array, peerIndex: number): boolean {
    if (Atomics.load(words, index) !== value) return true;
    if (++this.#age >= CPU_EVERY) this.awake();
    const peerCpu = Atomics.load(peer, peerIndex);
    if (peerCpu === 0 || peerCpu === this.#cpu || (peerCpu & ASLEEP) !== 0) return false;
    if (this.#budgetNs <= MIN_NS && ++this.#skipped < PROBE_EVERY) return false;
    this.#skipped = 0;
    const turns = (this.#budgetNs / this.#turnNs) | 0;
    for (let i = 0; i < turns; i++) {
      if (Atomics.load(words, index) !== value) {
        this.#budgetNs = Math.min(MAX_NS, this.#budgetNs * 2);
        return true;
      }
      Atomics.pause();
    }
    this.#budgetNs = Math.max(MIN_NS, this.#budgetNs / 2);
    return false;
  }
}
