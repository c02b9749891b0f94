/**
 * The device server's side of page mode: serves ring pages and the posted ring, and sleeps on the doorbell.
 * Document: protocol.md, "One exit in page mode". The vCPU's side is kvm-core/vcpu/page-exchange.ts.
 * Leaves out: what an access does (dispatch.ts), what the back ends bring (`poll`).
 */
import { EXIT, IO_IN, IO_OUT } from "../../shared/exits.ts";
import { SPACE_MMIO, SPACE_PIO } from "../../shared/ioctls.ts";
import type { Journal } from "../../shared/journal.ts";
import { bindWord, clockMonotonic, type FutexWord, futexWake } from "../../shared/native.ts";
import { PostedRing } from "../../shared/posted-ring.ts";
import {
  kindDirection,
  kindReason,
  kindSize,
  PHASE_DONE,
  PHASE_EXIT,
  PHASE_MASK,
  RING,
  SEQ_SHIFT,
  WAITER,
} from "../../shared/ring-page.ts";
import { AREA, ringOffset } from "../../shared/server-area.ts";
import { FIRST_TURNS, Waiter } from "../../shared/wait.ts";
import { ASLEEP, REFUSED, sharedWords, type Words } from "../../shared/words.ts";
import type { Journalled } from "../bus/interfaces.ts";
import type { Dispatcher } from "./dispatch.ts";

const RECHECK_NS = 200_000_000;
/** Exits in a row after which the back ends get their turn: a guest that polls a device must see its input come. */
const POLL_EVERY = 64;

/** Where a server may die, in the order in which it passes them: what take-over has to survive. */
export type Checkpoint = "claimed" | "effect" | "journalled";

/** Devices whose state must change exactly once, and what survives this process. */
export type Keeper = { readonly journal: Journal; readonly devices: readonly Journalled[] };

export type RingServerOptions = {
  readonly memory: WebAssembly.Memory;
  /** Byte offset of the server area. */
  readonly area: number;
  /** vCPUs 0 to this less 1 have ring pages in use. */
  readonly vcpus: number;
  readonly dispatcher: Dispatcher;
  /** A word of the process's own that ends run(): its index in an Int32Array of the buffer. */
  readonly stopIndex: number;
  /** Back ends and timers: true when something was done. Must not wait. */
  readonly poll: () => boolean;
  /** When `poll` has to be called at the latest, in clockMonotonic() nanoseconds; absent: whenever the doorbell rings. */
  readonly nextDeadline?: () => number;
  /** True when the guest asked for the end: what it does after that is not served. */
  readonly finished: () => boolean;
  readonly journal?: Keeper;
  /** For tests of take-over. */
  readonly checkpoint?: (at: Checkpoint) => void;
};

export class RingServer {
  readonly #o: RingServerOptions;
  // What each exit needs of them.
  readonly #dispatcher: Dispatcher;
  readonly #finished: () => boolean;
  readonly #keeper: Keeper | undefined;
  readonly #checkpoint: RingServerOptions["checkpoint"];
  readonly #shared: Words;
  readonly #words: Int32Array;
  readonly #f64: Float64Array;
  /** Byte offsets of the doorbell, and of vCPU 0's state and placement. */
  readonly #doorbell: number;
  readonly #state: number;
  readonly #vcpuCpu: number;
  readonly #doorbellWord: FutexWord;
  readonly #posted: PostedRing;
  readonly #waiter: Waiter;
  /** The answer of the exit that is served; i32. */
  #low = 0;
  #high = 0;

  constructor(options: RingServerOptions) {
    const { buffer } = options.memory;
    this.#o = options;
    this.#dispatcher = options.dispatcher;
    this.#finished = options.finished;
    this.#keeper = options.journal;
    this.#checkpoint = options.checkpoint;
    this.#shared = sharedWords(options.memory);
    this.#words = new Int32Array(buffer);
    this.#f64 = new Float64Array(buffer);
    this.#doorbell = options.area + AREA.doorbell;
    this.#state = options.area + ringOffset(0) + RING.state;
    this.#vcpuCpu = options.area + ringOffset(0) + RING.vcpuCpu;
    this.#doorbellWord = bindWord(this.#words, this.#doorbell >>> 2);
    this.#posted = new PostedRing(buffer, options.area);
    this.#waiter = new Waiter(this.#shared, options.area + AREA.serverCpu, true);
  }

  /** Serves until the stop word is set or the guest asked for the end. Never awaits. */
  run(): void {
    const shared = this.#shared;
    const waiter = this.#waiter;
    const doorbell = this.#doorbell;
    const { stopIndex, poll, finished, nextDeadline = never } = this.#o;
    // A server that takes another's place may find it asleep for ever.
    Atomics.and(this.#words, doorbell >>> 2, ~1);
    while (shared.load(stopIndex << 2) === 0) {
      this.#serveInARow();
      if (finished()) return; // before the scan would serve the last exit again
      const seen = shared.load(doorbell); // before the scan: what comes after it shows as a change
      const state = shared.load(this.#state);
      const worked = this.#scan();
      if (finished()) return;
      if (poll() || worked) continue;
      if (waiter.spin(doorbell, seen, this.#state, state, this.#vcpuCpu)) continue;
      // All sources were looked at after `seen` was read, so the doorbell tells whether any of them has news.
      if (shared.compareExchange(doorbell, seen, seen | 1) !== seen) continue;
      waiter.asleep();
      if (shared.load(stopIndex << 2) === 0) this.#doorbellWord.wait(seen | 1, sleepUntil(nextDeadline()));
      Atomics.and(this.#words, doorbell >>> 2, ~1);
      waiter.awake();
    }
  }

  /**
   * The fast path: exits of vCPU 0 that follow each other closely. Its state changes before its doorbell rings, so each
   * is seen a cache line earlier. Other sources get their turn when it pauses, and every POLL_EVERY exits.
   */
  #serveInARow(): void {
    const shared = this.#shared;
    const posted = this.#posted;
    const waiter = this.#waiter;
    const at = this.#state;
    const { headAt } = posted;
    let state = shared.load(at);
    if ((state & PHASE_MASK) === PHASE_EXIT) this.#drainPosted(); // what the vCPU posted before this exit comes before it
    for (let exits = 0; exits < POLL_EVERY && (state & PHASE_MASK) === PHASE_EXIT; exits++) {
      if (!this.#perform(0, at, state)) return;
      const done = (state & ~PHASE_MASK) | PHASE_DONE;
      const next =
        state & WAITER
          ? REFUSED // it has to be woken
          : shared.answer(
              at,
              state,
              done,
              this.#low,
              this.#high,
              headAt,
              posted.taken,
              this.#vcpuCpu,
              waiter.here(),
              FIRST_TURNS,
            );
      if (next === REFUSED) {
        this.#answer(0, state);
        return;
      }
      state = next;
    }
  }

  /** Makes a server that sleeps or spins look at its sources; any thread of the process may call it. */
  static ring(words: Int32Array, area: number): void {
    const doorbell = (area + AREA.doorbell) >>> 2;
    if (Atomics.add(words, doorbell, 2) & 1) futexWake(words, doorbell, 1);
  }

  /** Looks at every ring page and the posted ring once; true when there was work. */
  #scan(): boolean {
    let worked = false;
    for (let vcpu = 0; vcpu < this.#o.vcpus; vcpu++) {
      if (this.#serve(vcpu)) worked = true;
    }
    return this.#drainPosted() || worked;
  }

  #drainPosted(): boolean {
    const posted = this.#posted;
    if (this.#shared.load(posted.headAt) === posted.taken) return false;
    while (posted.take()) {
      const { space, address, width, low, high } = posted;
      this.#dispatcher.access(space, IO_OUT, address, width, low, high);
    }
    return true;
  }

  #serve(vcpu: number): boolean {
    const ring = this.#o.area + ringOffset(vcpu);
    const state = this.#shared.load(ring + RING.state);
    if ((state & PHASE_MASK) !== PHASE_EXIT) return false;
    this.#drainPosted(); // what the vCPU posted before this exit comes before it
    if (!this.#perform(vcpu, ring, state)) return false;
    this.#answer(vcpu, state);
    return true;
  }

  /**
   * Carries out the access that is published in the page at `ring`; false when the guest asked for the end, and is not
   * to be answered: the vCPU stays where it is.
   */
  #perform(vcpu: number, ring: number, state: number): boolean {
    const words = this.#words;
    const kind = words[(ring + RING.kind) >>> 2]!;
    const data = (ring + RING.data) >>> 2;
    this.#low = words[data]!; // a write's data stays: a successor may have to repeat it
    this.#high = words[data + 1]!;
    this.#checkpoint?.("claimed");
    if (this.#keeper === undefined) this.#effect(ring, kind);
    else this.#journalled(this.#keeper, vcpu, state >>> SEQ_SHIFT, ring, kind);
    return !this.#finished();
  }

  /** Writes and publishes the answer of the exit that was published as `seen`, unless the vCPU gave it up: then it is stale. */
  #answer(vcpu: number, seen: number): void {
    const ring = this.#o.area + ringOffset(vcpu);
    this.#words[(ring + RING.data) >>> 2] = this.#low;
    this.#words[(ring + RING.data + 4) >>> 2] = this.#high;
    for (let expected = seen; ; ) {
      const done = (seen & ~(PHASE_MASK | WAITER)) | PHASE_DONE;
      const found = this.#shared.compareExchange(ring + RING.state, expected, done); // orders the answer before it
      if (found === expected) {
        if (found & WAITER) this.#wake(ring);
        return;
      }
      if ((found & ~WAITER) !== (seen & ~WAITER)) return;
      expected = found;
    }
  }

  #wake(ring: number): void {
    Atomics.and(this.#words, (ring + RING.vcpuCpu) >>> 2, ~ASLEEP);
    futexWake(this.#words, (ring + RING.state) >>> 2, 1);
  }

  /** Dispatches; a read's data is its answer. */
  #effect(ring: number, kind: number): void {
    const dispatcher = this.#dispatcher;
    const space = kindReason(kind) === EXIT.KVM_EXIT_IO ? SPACE_PIO : SPACE_MMIO;
    const direction = kindDirection(kind);
    const address = this.#f64[(ring + RING.address) >>> 3]!;
    dispatcher.access(space, direction, address, kindSize(kind), this.#low, this.#high);
    if (direction === IO_IN) {
      this.#low = dispatcher.low;
      this.#high = dispatcher.high;
    }
    this.#checkpoint?.("effect");
  }

  /** Dispatches and journals the effect with its answer; or repeats the answer of an effect that has happened. */
  #journalled({ journal, devices }: Keeper, vcpu: number, seq: number, ring: number, kind: number): void {
    if (journal.holds(vcpu, seq)) {
      this.#low = journal.low | 0;
      this.#high = journal.high | 0;
      return;
    }
    this.#effect(ring, kind);
    let at = journal.nextStateAt;
    for (let i = 0; i < devices.length; i++) {
      devices[i]!.writeJournal(journal.view, at);
      at += devices[i]!.journalBytes;
    }
    journal.commit(vcpu, seq, this.#low, this.#high);
    this.#checkpoint?.("journalled");
  }
}

const never = (): number => Number.POSITIVE_INFINITY;

/** Nanoseconds to sleep: to the deadline, and never long. */
function sleepUntil(deadline: number): number {
  if (deadline === Number.POSITIVE_INFINITY) return RECHECK_NS;
  return Math.min(Math.max(deadline - clockMonotonic(), 0), RECHECK_NS);
}

/** Gives devices the state that the journal holds; nothing to do for a journal without a commit. */
export function restoreJournal(journal: Journal, devices: readonly Journalled[]): void {
  let at = journal.stateAt;
  if (at < 0) return;
  for (const device of devices) {
    device.readJournal(journal.view, at);
    at += device.journalBytes;
  }
}
