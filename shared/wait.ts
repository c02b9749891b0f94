/**
 * The waiting rule of page mode, in one place (protocol.md, "Waiting"): spin only while the peer is awake on another
 * CPU, within a budget in nanoseconds; otherwise sleep at once. Spinning beside a peer on one's own CPU would cost it
 * a scheduler slice, sleeping while it answers within a microsecond would cost a wake-up of tens of them.
 * The budget adapts as KVM's halt_poll_ns does: a sleep that a longer spin would have spared doubles it, one that no
 * spin could have spared halves it. Judging failed spins instead would end with both sides asleep for ever: each wait
 * then lasts as long as the other side's wake-up, which no small budget covers.
 * The scheduler likes to wake a thread on its waker's CPU, and two sides that hand over by sleeping then stay together,
 * at ten times the cost, beside an idle CPU. So a side that may move steps aside when it has met its peer on its own CPU
 * too often: it forbids itself that CPU for a moment. Threads that were pinned to one CPU stay there.
 * A placement word says where a side runs: CPU number + 1, with ASLEEP set while it sleeps; 0 is unknown. Whoever
 * wakes a side clears its ASLEEP: a side that was just woken counts as awake.
 * Leaves out: the sleep itself and what ends it (the callers: they own the word slept on and the stop rule).
 */
import { clockMonotonic, getAffinity, getCpu, setAffinity } from "./native.ts";
import { ASLEEP, type Words } from "./words.ts";

export { ASLEEP };

const START_NS = 20_000;
/** Below this a budget is none: a spin is to be worth the two clock readings around it. */
const MIN_NS = 1_000;
/** Twice a wake-up across CPUs, so that a wait that consists of the peer's wake-up is still spun out. */
const MAX_NS = 100_000;
/**
 * The first looks (some 1.5 us: a fast answer, or a short stretch of guest code) follow each other at once: PAUSE alone
 * lasts 15 to 50 ns, and as long again until the answer would be seen.
 */
export const FIRST_TURNS = 2000;
/** Looks with a PAUSE each between two readings of the clock. */
const TURNS_A_READING = 32;
/**
 * The scheduler moves threads: one's own CPU is read again after a sleep and every so many waits. More than a hundred,
 * since that costs a good part of an exit, and where exits are timed the rare ones show.
 */
const CPU_EVERY = 128;

/** Waits beside the peer after which a side steps aside; each time twice as many, for the CPU may be the only free one. */
const FIRST_PATIENCE = 64;
const LAST_PATIENCE = 16_384;

/** One side's waiting state: where it runs and how long it may spin. */
export class Waiter {
  readonly #words: Words;
  readonly #own: number;
  #cpu = 0;
  #age = 0;
  #budgetNs = START_NS;
  /** When the spin before the sleep began; NaN: it was the placement that forbade to spin. */
  #began = Number.NaN;

  readonly #movable: boolean;
  /** Waits in which the peer was on this CPU, since this side last stepped aside. */
  #together = 0;
  #patience = FIRST_PATIENCE;

  /**
   * `own` is the byte offset of this side's placement word, in memory that the peer reads. One of two sides is
   * `movable`; it belongs to the thread that makes it.
   */
  constructor(words: Words, own: number, movable: boolean) {
    this.#words = words;
    this.#own = own;
    this.#movable = movable;
    this.awake();
  }

  /** Publishes that this side is awake, and on which CPU; after a sleep, also judges the budget. */
  awake(): void {
    this.#place();
    if (Number.isNaN(this.#began)) return;
    const spared = clockMonotonic() - this.#began < MAX_NS;
    this.#budgetNs = spared ? Math.min(MAX_NS, Math.max(MIN_NS, this.#budgetNs) * 2) : this.#budgetNs >> 1;
    this.#began = Number.NaN;
  }

  /** Publishes that this side is about to sleep; awake() must follow. */
  asleep(): void {
    this.#words.store(this.#own, this.#cpu | ASLEEP);
  }

  /** This side's placement, for those who make the first looks themselves; `waits` since they asked last. */
  here(waits = 1): number {
    this.#age += waits;
    if (this.#age >= CPU_EVERY) this.#place();
    return this.#cpu;
  }

  /**
   * Looks whether the word at `a` is still `x` and the one at `b` still `y` (byte offsets), if the placement allows it
   * and for as long as the budget lasts; true as soon as either is not. False: the caller should sleep. `peer` is the
   * peer's placement word. Allocates nothing.
   */
  spin(a: number, x: number, b: number, y: number, peer: number): boolean {
    this.here();
    this.#began = Number.NaN;
    if (!this.#apart(peer)) {
      if (this.#movable && (this.#words.load(peer) & ~ASLEEP) === this.#cpu) this.#meet();
      return false;
    }
    if (this.#words.spin(a, x, b, y, FIRST_TURNS) !== 0) return true;
    const began = clockMonotonic();
    const until = this.#budgetNs < MIN_NS ? 0 : began + this.#budgetNs;
    for (let now = began; now < until && this.#apart(peer); now = clockMonotonic()) {
      for (let turn = 0; turn < TURNS_A_READING; turn++) {
        Atomics.pause();
        if (this.#words.spin(a, x, b, y, 1) !== 0) return true;
      }
    }
    this.#began = began;
    return false;
  }

  /** The peer is on this CPU once more. */
  #meet(): void {
    if (++this.#together < this.#patience) return;
    this.#together = 0;
    this.#patience = Math.min(this.#patience * 2, LAST_PATIENCE);
    const allowed = getAffinity();
    const others = allowed.filter((cpu) => cpu + 1 !== this.#cpu);
    if (others.length === 0) return;
    setAffinity(others); // moves this thread at once
    setAffinity(allowed);
    this.#place();
  }

  #place(): void {
    this.#age = 0;
    this.#cpu = getCpu() + 1;
    this.#words.store(this.#own, this.#cpu);
  }

  #apart(peer: number): boolean {
    const cpu = this.#words.load(peer);
    return cpu !== 0 && cpu !== this.#cpu && (cpu & ASLEEP) === 0;
  }
}
