/**
 * One exit in page mode, the vCPU's side: what there is beyond publishing the request and the first looks for its answer
 * (fast-exit.ts): waiting by the waiting rule, waking the server, answers that are none.
 * Document: protocol.md, "One exit in page mode". The server's side is qemu-user/device/ring-server.ts.
 * Leaves out: which server (vm/regions.ts).
 */
import { bindWord, type FutexWord, futexWake } from "../../shared/native.ts";
import { kindOf, PHASE_ABORT, PHASE_EXIT, PHASE_MASK, PHASE_RUNNING, RING, WAITER } from "../../shared/ring-page.ts";
import { AREA, ringOffset } from "../../shared/server-area.ts";
import { ASLEEP, Waiter } from "../../shared/wait.ts";
import type { Words } from "../../shared/words.ts";
import { controlAt, serverAreaAt } from "../vm/vm-state.ts";
import type { ExitCells } from "./exit-cells.ts";
import { ANSWERED, type FastExit, WAKE } from "./fast-exit.ts";
import { LeaveGuest } from "./leave-guest.ts";
import { type ExitStats, SAMPLE_PERIOD, STATE_RUNNING, STATE_WAITS } from "./stats.ts";

/** A sleeping vCPU looks at its stop word at least this often, whatever became of its wake-up. */
const RECHECK_NS = 200_000_000;

/** The ring page that this vCPU shares with one server: byte offsets, and this side's state. */
class Ring {
  readonly server: number;
  readonly area: number;
  readonly at: number;
  readonly serverCpu: number;
  readonly waiter: Waiter;
  readonly stateWord: FutexWord;
  readonly doorbellWord: FutexWord;

  constructor(words: Words, memory: Int32Array, server: number, vcpu: number) {
    const area = serverAreaAt(server);
    this.server = server;
    this.area = area;
    this.at = area + ringOffset(vcpu);
    this.serverCpu = area + AREA.serverCpu;
    this.waiter = new Waiter(words, this.at + RING.vcpuCpu, false);
    this.stateWord = bindWord(memory, (this.at + RING.state) >> 2);
    this.doorbellWord = bindWord(memory, (area + AREA.doorbell) >> 2);
    memory[(this.at + RING.count) >> 2] = 1;
  }
}

export class PageExchange {
  readonly #words: Words;
  readonly #i32: Int32Array;
  readonly #vcpu: number;
  readonly #stop: number;
  readonly #stats: ExitStats;
  readonly #cells: ExitCells;
  readonly #fast: Pick<FastExit, "exchange">;
  /** Per server, made when the server is first used. */
  readonly #rings: (Ring | undefined)[] = [];
  /** The answer's eight bytes, or the data to write. */
  low = 0;
  high = 0;
  /** Called around a wait that lasts: no other thread has to wait for this vCPU meanwhile. */
  leave: () => void = () => {};
  enter: () => void = () => {};

  constructor(
    memory: WebAssembly.Memory,
    words: Words,
    vcpu: number,
    stats: ExitStats,
    cells: ExitCells,
    fast: Pick<FastExit, "exchange">,
  ) {
    this.#words = words;
    this.#i32 = new Int32Array(memory.buffer);
    this.#vcpu = vcpu;
    this.#stop = controlAt(vcpu, "stop");
    this.#stats = stats;
    this.#cells = cells;
    this.#fast = fast;
  }

  /**
   * Performs one access: `low`/`high` carry the data to write, and then the answer. Throws LeaveGuest when the vCPU has
   * to stop. `sampled`: it is the one that is timed.
   */
  access(server: number, reason: number, direction: number, address: number, size: number, sampled: boolean): void {
    const ring = this.#rings[server] ?? this.#begin(server);
    // The generated half uses the placement of the last look; the exits in between are counted here.
    const cpu = ring.waiter.here(sampled ? SAMPLE_PERIOD : 0);
    this.#cells.place(server, cpu);
    const published = this.#cells.publish(server);
    const kind = kindOf(reason, direction, size);
    const result = this.#fast.exchange(ring.area, published, kind, address, this.low, this.high, cpu);
    if (result !== ANSWERED) this.#wait(ring, published, result);
    this.#take(ring);
  }

  /** As access(), for an exit that the generated half has published; `result` is what became of it. */
  finish(server: number, result: number): void {
    const ring = this.#rings[server]!;
    this.#wait(ring, this.#cells.published(server), result);
    this.#take(ring);
  }

  #take(ring: Ring): void {
    this.low = this.#i32[(ring.at + RING.data) >> 2]!;
    this.high = this.#i32[(ring.at + RING.data + 4) >> 2]!;
  }

  /** An answer that does not come at once: the wait may last. */
  #wait(ring: Ring, published: number, result: number): void {
    const { at, waiter } = ring;
    this.leave();
    if (result === WAKE) this.#wake(ring);
    if (!waiter.spin(at, published, at, published, ring.serverCpu)) this.#sleep(ring, published);
    while ((this.#words.load(at) & ~WAITER) !== published + 1) this.#refused(ring, published);
    this.#cells.place(ring.server, waiter.here(0));
    this.enter();
  }

  #begin(server: number): Ring {
    const ring = new Ring(this.#words, this.#i32, server, this.#vcpu);
    this.#rings[server] = ring;
    this.#cells.begin(server, this.#words.load(ring.at));
    return ring;
  }

  #wake(ring: Ring): void {
    Atomics.and(this.#i32, ring.serverCpu >> 2, ~ASLEEP);
    ring.doorbellWord.wake(1);
  }

  /** Sleeps until the server changed the phase. The WAITER bit goes in before the stop word is read (protocol.md). */
  #sleep(ring: Ring, published: number): void {
    const words = this.#words;
    ring.waiter.asleep();
    this.#stats.state(STATE_WAITS, ring.server + 1);
    for (;;) {
      const seen = words.compareExchange(ring.at, published, published | WAITER);
      if (seen !== published && seen !== (published | WAITER)) break;
      if (words.load(this.#stop) !== 0) break;
      ring.stateWord.wait(published | WAITER, RECHECK_NS);
    }
    this.#stats.state(STATE_RUNNING, 0);
    ring.waiter.awake();
  }

  /**
   * The phase is not this exit's DONE. Either the main thread aborted it, to stop the vCPU; or the server wrote
   * nonsense: then the request is published again, so that only a right answer ever completes it.
   */
  #refused(ring: Ring, published: number): void {
    const words = this.#words;
    if (words.load(this.#stop) !== 0) {
      words.store(ring.at, (published & ~PHASE_MASK) | PHASE_RUNNING);
      throw new LeaveGuest();
    }
    words.store(ring.at, published);
    this.#sleep(ring, published);
  }

  /** Main thread: ends the wait of a vCPU that must stop. The stop word is set before. */
  static abort(words: Int32Array, vcpu: number, server: number): void {
    const state = (serverAreaAt(server) + ringOffset(vcpu)) >> 2;
    const seen = Atomics.load(words, state);
    if ((seen & PHASE_MASK) === PHASE_EXIT)
      Atomics.compareExchange(words, state, seen, (seen & ~(PHASE_MASK | WAITER)) | PHASE_ABORT);
    futexWake(words, state, 1);
  }
}
