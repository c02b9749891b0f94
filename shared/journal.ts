/**
 * The journal of a device server: the state of its journalled registers, in a memfd that kvm-core keeps.
 * Two slots. A server that has dispatched an exit to a journalled device writes the devices' state, the answer and
 * (vCPU, seq) into the slot that is not current, then makes it current by counting `commits` up, then publishes the
 * answer. It answers one exit before it takes the next, so only the newest commit can be without its answer.
 * A successor that finds that vCPU's ring page still in EXIT with that very seq knows that the effect has happened
 * and repeats the journalled answer; with any other seq it has not happened. So a journalled register changes exactly
 * once per access, whoever takes over and wherever the first one died.
 * Leaves out: effects outside the process and posted writes, which happen at least once.
 */
import { layout } from "./layout.ts";

/** State bytes of all journalled devices of a server together. */
export const JOURNAL_STATE_BYTES = 3072;

const SLOT = layout({
  vcpu: "u32",
  seq: "u32",
  low: "u32",
  high: "u32",
  state: ["u8", JOURNAL_STATE_BYTES],
});
const JOURNAL = layout({
  /** Commits so far (u32, which leaves 0 out when it wraps); the current slot is that of `commits & 1`, 0: none is. */
  commits: { at: 0, of: "u32" },
  slot0: { at: 64, of: ["u8", SLOT.size] },
  slot1: ["u8", SLOT.size],
});
/** Exact size of the memfd. */
export const JOURNAL_BYTES = 8192;
if (JOURNAL.size > JOURNAL_BYTES) throw new Error("the journal does not fit its memfd");

/** A journal at byte `at` of `buffer`. */
export class Journal {
  readonly view: DataView;
  readonly #words: Int32Array;
  readonly #at: number;

  constructor(buffer: ArrayBufferLike, at: number) {
    this.view = new DataView(buffer);
    this.#words = new Int32Array(buffer);
    this.#at = at;
  }

  /** Where the state of the next commit is to be written (`view`). */
  get nextStateAt(): number {
    return this.#slot(this.#next) + SLOT.state;
  }

  /** Makes the state at nextStateAt current, as the effect of exit `seq` of `vcpu`, with its answer. */
  commit(vcpu: number, seq: number, low: number, high: number): void {
    const commits = this.#next;
    const slot = this.#slot(commits);
    this.view.setUint32(slot + SLOT.vcpu, vcpu, true);
    this.view.setUint32(slot + SLOT.seq, seq, true);
    this.view.setUint32(slot + SLOT.low, low, true);
    this.view.setUint32(slot + SLOT.high, high, true);
    Atomics.store(this.#words, (this.#at + JOURNAL.commits) >>> 2, commits); // the slot before the count
  }

  /** The current state's place, or -1 before the first commit. */
  get stateAt(): number {
    const commits = this.#commits;
    return commits === 0 ? -1 : this.#slot(commits) + SLOT.state;
  }

  /** True when the newest commit is the effect of exit `seq` of `vcpu`; low and high then hold its answer. */
  holds(vcpu: number, seq: number): boolean {
    const commits = this.#commits;
    if (commits === 0) return false;
    const slot = this.#slot(commits);
    return this.view.getUint32(slot + SLOT.vcpu, true) === vcpu && this.view.getUint32(slot + SLOT.seq, true) === seq;
  }

  get low(): number {
    return this.view.getUint32(this.#slot(this.#commits) + SLOT.low, true);
  }

  get high(): number {
    return this.view.getUint32(this.#slot(this.#commits) + SLOT.high, true);
  }

  get #commits(): number {
    return Atomics.load(this.#words, (this.#at + JOURNAL.commits) >>> 2);
  }

  /** The next commit's number; 2 after the last, so that the slots go on taking turns. */
  get #next(): number {
    const next = (this.#commits + 1) | 0;
    return next === 0 ? 2 : next;
  }

  #slot(commits: number): number {
    return this.#at + ((commits & 1) === 0 ? JOURNAL.slot0 : JOURNAL.slot1);
  }
}
