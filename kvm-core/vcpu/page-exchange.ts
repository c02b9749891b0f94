/**
 * One exit in page mode, the vCPU's side: publishes the request in the ring page of the server that owns the address,
 * rings its doorbell, waits by the waiting rule and copies the answer.
 * Document: protocol.md, "One exit in page mode". The server's side is qemu-user/device/ring-server.ts.
 * Leaves out: which server (vm/regions.ts).
 */
import { AREA, ringOffset } from "../../shared/server-area.ts";
import { futexWait, futexWake } from "../../shared/native.ts";
import {
  PHASE_ABORT,
  PHASE_DONE,
  PHASE_EXIT,
  PHASE_MASK,
  PHASE_RUNNING,
  RING,
  SEQ_SHIFT,
  WAITER,
} from "../../shared/ring-page.ts";
import { Waiter } from "../../shared/wait.ts";
import { controlAt, serverAreaAt } from "../vm/vm-state.ts";
import { LeaveGuest } from "./leave-guest.ts";
import type { ExitStats } from "./stats.ts";

const SEQ_MASK = 0x1fff_ffff;
/** A sleeping vCPU looks at its stop word at least this often, whatever became of its wake-up. */
const RECHECK_NS = 200_000_000;

export class PageExchange {
  readonly #words: Int32Array;
  readonly #f64: Float64Array;
  readonly #vcpu: number;
  readonly #stop: number;
  readonly #waitsFor: number;
  readonly #stats: ExitStats;
  /** Per server: this side's waiting state, made when the server is first used. */
  readonly #waiters: (Waiter | undefined)[] = [];
  readonly #seqs: number[] = [];
  /** The answer's eight bytes, or the data to write. */
  low = 0;
  high = 0;

  constructor(memory: WebAssembly.Memory, vcpu: number, stats: ExitStats) {
    this.#words = new Int32Array(memory.buffer);
    this.#f64 = new Float64Array(memory.buffer);
    this.#vcpu = vcpu;
    this.#stop = controlAt(vcpu, "stop") >> 2;
    this.#waitsFor = controlAt(vcpu, "waitsFor") >> 2;
    this.#stats = stats;
  }

  /** Performs one access; `low`/`high` carry the data both ways. Throws LeaveGuest when the vCPU has to stop. */
  access(server: number, reason: number, direction: number, address: number, size: number, sampled: boolean): void {
    const words = this.#words;
    const area = serverAreaAt(server);
    const ring = area + ringOffset(this.#vcpu);
    const state = ring >> 2;
    const waiter = this.#waiters[server] ?? this.#begin(server, ring);
    const seq = (this.#seqs[server]! + 1) & SEQ_MASK;
    this.#seqs[server] = seq;

    words[(ring + RING.reason) >> 2] = reason;
    words[(ring + RING.direction) >> 2] = direction;
    words[(ring + RING.size) >> 2] = size;
    words[(ring + RING.count) >> 2] = 1;
    this.#f64[(ring + RING.address) >> 3] = address;
    words[(ring + RING.data) >> 2] = this.low;
    words[(ring + RING.data + 4) >> 2] = this.high;
    const published = (seq << SEQ_SHIFT) | PHASE_EXIT;
    Atomics.store(words, state, published); // orders the fields before it
    const doorbell = (area + AREA.doorbell) >> 2;
    if (Atomics.add(words, doorbell, 2) & 1) futexWake(words, doorbell, 1);
    if (sampled) this.#stats.published();

    if (!waiter.spin(words, state, published, words, (area + AREA.serverCpu) >> 2))
      this.#sleep(server, state, published, waiter);
    const done = (seq << SEQ_SHIFT) | PHASE_DONE;
    while ((Atomics.load(words, state) & ~WAITER) !== done) this.#refused(server, state, published, waiter);
    if (sampled) this.#stats.answered();
    this.low = words[(ring + RING.data) >> 2]!;
    this.high = words[(ring + RING.data + 4) >> 2]!;
  }

  #begin(server: number, ring: number): Waiter {
    const waiter = new Waiter(this.#words, (ring + RING.vcpuCpu) >> 2);
    this.#waiters[server] = waiter;
    this.#seqs[server] = Atomics.load(this.#words, ring >> 2) >>> SEQ_SHIFT; // goes on after an earlier server's
    return waiter;
  }

  /** Sleeps until the server changed the phase. The WAITER bit goes in before the stop word is read (protocol.md). */
  #sleep(server: number, state: number, published: number, waiter: Waiter): void {
    const words = this.#words;
    waiter.asleep();
    this.#stats.state(2, server + 1);
    Atomics.store(words, this.#waitsFor, server + 1);
    for (;;) {
      const seen = Atomics.compareExchange(words, state, published, published | WAITER);
      if (seen !== published && seen !== (published | WAITER)) break;
      if (Atomics.load(words, this.#stop) !== 0) break;
      futexWait(words, state, published | WAITER, RECHECK_NS);
    }
    Atomics.store(words, this.#waitsFor, 0);
    this.#stats.state(1, 0);
    waiter.awake();
  }

  /**
   * The phase is not this exit's DONE. Either the main thread aborted it, to stop the vCPU; or the server wrote
   * nonsense: then the request is published again, so that only a right answer ever completes it.
   */
  #refused(server: number, state: number, published: number, waiter: Waiter): void {
    const words = this.#words;
    if (Atomics.load(words, this.#stop) !== 0) {
      Atomics.store(words, state, (published & ~PHASE_MASK) | PHASE_RUNNING);
      throw new LeaveGuest();
    }
    Atomics.store(words, state, published);
    this.#sleep(server, state, published, waiter);
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
