/**
 * A vCPU's part in keeping code coherent: what its own writes mean to others, what others' mean to it, and being seen
 * outside and inside the guest.
 * Document: SDM volume 3, 8.1.3 and 8.3; mmu/code-pages.ts and cpu/requests.ts say who orders what.
 * Left out: making records and forgetting them (patch.ts, blocks.ts).
 */

import {
  answered,
  GUEST_MODE,
  PENDING_CODE,
  PENDING_PROTECT,
  PENDING_STOP,
  PENDING_TLB,
  request,
} from "../cpu/requests.ts";
import { CPU } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import { GPA_CODE, GPA_LOGGED, PAGE_SIZE, vcpuZone, ZONE } from "../cpu/zones.ts";
import { CodePages, type Written } from "../mmu/code-pages.ts";
import { DirtyLog } from "../mmu/dirty-log.ts";
import type { GuestMemoryUnit } from "../mmu/memory.ts";
import { rest } from "../mmu/spin-lock.ts";

export class Coherence {
  readonly #state: VcpuState;
  readonly #memory: GuestMemoryUnit;
  readonly #pages: CodePages;
  readonly #log: DirtyLog;
  readonly #written: Written;
  readonly #pending: number;
  readonly #kick: number;
  readonly #mode: number;
  readonly #decoding: number;

  /** `written` is called with bytes of code that changed, whoever changed them, wherever that may be done at once. */
  constructor(state: VcpuState, object: WebAssembly.Memory, memory: GuestMemoryUnit, written: Written) {
    this.#state = state;
    this.#memory = memory;
    this.#pages = new CodePages(object);
    this.#log = new DirtyLog(object);
    this.#written = written;
    this.#pending = (state.zone + CPU.pending) >>> 2;
    this.#kick = (state.zone + ZONE.kick) >>> 2;
    this.#mode = (state.zone + CPU.guestMode) >>> 2;
    this.#decoding = (state.zone + CPU.decoding) >>> 2;
    this.#pages.join(state.zone);
  }

  // --- outside and inside

  /**
   * The guest goes on, perhaps in mid-instruction: from here on requests wait for this thread. The TLBs are right then;
   * what else depends on the mapping waits for takeFlush() at the next boundary.
   */
  enter(): void {
    const { i32 } = this.#state;
    Atomics.store(i32, this.#mode, GUEST_MODE.serving);
    if (Atomics.load(i32, this.#pending) & PENDING_TLB) this.#memory.tlb.flush();
    this.#protect();
    Atomics.store(i32, this.#mode, GUEST_MODE.inside);
  }

  /** Nothing of the guest is done until enter(): nobody has to wait for this thread. */
  leave(): void {
    Atomics.store(this.#state.i32, this.#mode, GUEST_MODE.outside);
  }

  /** Does something of the guest's. */
  inside<T>(work: () => T): T {
    this.enter();
    try {
      return work();
    } finally {
      this.leave();
    }
  }

  /** At a boundary: flushes, by `flush`, if that was asked for. */
  takeFlush(flush: () => void): void {
    const { i32 } = this.#state;
    if (!(Atomics.load(i32, this.#pending) & PENDING_TLB)) return;
    const mode = Atomics.exchange(i32, this.#mode, GUEST_MODE.serving);
    Atomics.and(i32, this.#pending, ~PENDING_TLB);
    flush();
    Atomics.store(i32, this.#mode, mode);
  }

  /** Does what other threads asked for, between any two instructions. */
  serve(): void {
    const { i32, zone } = this.#state;
    // First what devices noted: once that is told, by whichever vCPU, this one's share is in its queue.
    if (this.#pages.noted) this.#pages.takeNoted(zone, this.#written);
    const pending = Atomics.load(i32, this.#pending);
    if (pending & PENDING_PROTECT) this.#serveProtect();
    if (!(pending & PENDING_CODE)) return;
    Atomics.and(i32, this.#pending, ~PENDING_CODE);
    this.#pages.take(zone, this.#written);
  }

  /** Does anybody ask this vCPU for more than serve() does? */
  wantsOut(): boolean {
    if (!this.#asked()) return false;
    this.serve();
    return this.#asked();
  }

  #asked(): boolean {
    const { i32 } = this.#state;
    return (Atomics.load(i32, this.#pending) | Atomics.load(i32, this.#kick)) !== 0;
  }

  #serveProtect(): void {
    const { i32 } = this.#state;
    const mode = Atomics.exchange(i32, this.#mode, GUEST_MODE.serving);
    this.#protect();
    Atomics.store(i32, this.#mode, mode); // a halted vCPU's thread serves outside
  }

  /** The mode is serving. */
  #protect(): void {
    if (Atomics.and(this.#state.i32, this.#pending, ~PENDING_PROTECT) & PENDING_PROTECT) this.#memory.protect();
  }

  // --- writing

  /** The vCPU wrote to a page that has GPA_CODE or GPA_LOGGED. */
  pageWritten(gpa: number, size: number, flags: number): void {
    if (flags & GPA_LOGGED) this.#log.note(gpa);
    if (!(flags & GPA_CODE)) return;
    this.#written(gpa, size);
    this.#pages.tell(gpa, size, this.#state.zone);
  }

  // --- making records

  /** Bytes are about to be read for records: until decoded(), every write to a marked page is told. */
  decoding(): void {
    Atomics.store(this.#state.i32, this.#decoding, 1);
  }

  decoded(): void {
    Atomics.store(this.#state.i32, this.#decoding, 0);
  }

  /**
   * Watches the page at `gpa`: when this returns true, this vCPU is told of every write to it. False: the vCPU is to
   * stop, and must not read the page.
   */
  watch(gpa: number): boolean {
    const { i32, zone } = this.#state;
    const pages = this.#pages;
    if (pages.isMarked(zone, gpa)) return true;
    for (let turn = 1; !pages.tryInstall(); turn++) {
      if (!this.#waits()) return false;
      rest(i32, pages.installLock, 1, turn);
    }
    let done = true;
    if (pages.mark(zone, gpa)) {
      this.#memory.protectPage((gpa & -PAGE_SIZE) >>> 0);
      done = this.#protectOthers();
    }
    pages.installed();
    return done;
  }

  /** No other vCPU keeps a translation for writing from before; false if this one is to stop first. */
  #protectOthers(): boolean {
    const { i32, zone } = this.#state;
    const others = this.#pages.vcpus;
    for (let id = 0; others >>> id !== 0; id++) {
      if ((others >>> id) & 1 && vcpuZone(id) !== zone) request(i32, vcpuZone(id), PENDING_PROTECT);
    }
    for (let id = 0; others >>> id !== 0; id++) {
      const other = vcpuZone(id);
      if (!((others >>> id) & 1) || other === zone) continue;
      const mode = (other + CPU.guestMode) >>> 2;
      for (let turn = 1; !answered(i32, other, PENDING_PROTECT); turn++) {
        if (!this.#waits()) return false;
        rest(i32, mode, GUEST_MODE.inside, turn);
      }
    }
    return true;
  }

  /** While this thread waits for another: that one may be waiting for this. False: the vCPU is to stop. */
  #waits(): boolean {
    const pending = Atomics.load(this.#state.i32, this.#pending);
    if (pending & PENDING_PROTECT) this.#serveProtect();
    return (pending & PENDING_STOP) === 0;
  }
}
