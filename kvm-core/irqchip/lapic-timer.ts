/**
 * The local APIC's timer: one-shot, periodic and TSC-deadline.
 * Document: SDM volume 3, 11.5.4 (figures 11-8, 11-10, 11-11). Its clock runs at 1 GHz, as the TSC does: a tick of the
 * undivided clock is a nanosecond. Times are clockMonotonic() nanoseconds.
 * Lost ticks: a periodic timer that is served late gives one interrupt and goes on at the next multiple of its period,
 * as in KVM; ticks that went by are not made up for.
 */
import { MSR_TSC, msrField } from "../cpu/msr.ts";
import { LAPIC, type LapicPage, REG, TSC_DEADLINE_FIELD } from "./lapic-page.ts";

const MODE = { oneShot: 0, periodic: 1, tscDeadline: 2 } as const;
const MASKED = 1 << 16;
const TSC_FIELD = msrField(MSR_TSC)!;
const NONE = Number.POSITIVE_INFINITY;

export class LapicTimer {
  readonly #page: LapicPage;
  readonly #expiry: Float64Array;

  constructor(memory: WebAssembly.Memory, page: LapicPage) {
    this.#page = page;
    this.#expiry = new Float64Array(memory.buffer, page.at + LAPIC.expiry, 1);
  }

  get #mode(): number {
    return (this.#page.get(REG.lvtTimer) >>> 17) & 3;
  }

  /** Nanoseconds of a tick. */
  get #tick(): number {
    const divide = this.#page.get(REG.divide);
    return 1 << ((((divide & 3) | ((divide >> 1) & 4)) + 1) & 7);
  }

  /** True when the timer has just run out: the LVT's interrupt is due, once. */
  expired(now: number): boolean {
    if (this.#mode === MODE.tscDeadline) {
      if (now < this.#deadline()) return false;
      this.disarm();
      return true;
    }
    const expiry = this.#expiry[0]!;
    if (expiry === 0 || now < expiry) return false;
    if (this.#mode === MODE.periodic) {
      const period = (this.#page.get(REG.initialCount) >>> 0) * this.#tick;
      this.#expiry[0] = period === 0 ? 0 : expiry + (Math.floor((now - expiry) / period) + 1) * period;
    } else {
      this.#expiry[0] = 0;
    }
    return true;
  }

  /** When somebody has to look: Infinity while no interrupt can come of it. */
  nextDeadline(): number {
    if (this.#page.get(REG.lvtTimer) & MASKED) return NONE;
    if (this.#mode === MODE.tscDeadline) return this.#deadline();
    const expiry = this.#expiry[0]!;
    return expiry === 0 ? NONE : expiry;
  }

  /** A write to the initial-count register. In TSC-deadline mode it is ignored. */
  start(count: number, now: number): void {
    if (this.#mode === MODE.tscDeadline) return;
    this.#page.set(REG.initialCount, count);
    this.#expiry[0] = count === 0 ? 0 : now + (count >>> 0) * this.#tick;
  }

  /** The current-count register. */
  count(now: number): number {
    const expiry = this.#expiry[0]!;
    if (this.#mode === MODE.tscDeadline || expiry === 0) return 0;
    let left = Math.ceil((expiry - now) / this.#tick);
    if (left <= 0) {
      // Not served yet.
      if (this.#mode !== MODE.periodic) return 0;
      const initial = this.#page.get(REG.initialCount) >>> 0;
      left = initial === 0 ? 0 : initial - (-left % initial);
    }
    return left;
  }

  /** A write to the divide-configuration register: the count goes on from where it is. */
  setDivide(value: number, now: number): void {
    const left = this.count(now);
    this.#page.set(REG.divide, value);
    if (this.#expiry[0] !== 0) this.#expiry[0] = now + left * this.#tick;
  }

  /** A write to the LVT entry. To and from TSC-deadline mode the timer is disarmed. Mode 3 is reserved. */
  setLvt(value: number): void {
    const before = this.#mode;
    this.#page.set(REG.lvtTimer, value);
    if ((before === MODE.tscDeadline) !== (this.#mode === MODE.tscDeadline)) this.disarm();
  }

  /** WRMSR of IA32_TSC_DEADLINE. In the other modes it is ignored. */
  setTscDeadline(low: number, high: number): void {
    if (this.#mode !== MODE.tscDeadline) return;
    this.#setField(low, high);
  }

  disarm(): void {
    this.#expiry[0] = 0;
    this.#setField(0, 0);
  }

  /** After KVM_SET_LAPIC: the count goes on from the current-count register. */
  resume(now: number): void {
    const left = this.#page.get(REG.currentCount) >>> 0;
    const periodic = this.#mode === MODE.periodic ? this.#page.get(REG.initialCount) >>> 0 : 0;
    const ticks = left === 0 ? periodic : left;
    this.#expiry[0] = this.#mode === MODE.tscDeadline || ticks === 0 ? 0 : now + ticks * this.#tick;
  }

  #setField(low: number, high: number): void {
    const { words, zone } = this.#page;
    words[(zone + TSC_DEADLINE_FIELD) >> 2] = low;
    words[(zone + TSC_DEADLINE_FIELD + 4) >> 2] = high;
  }

  /** IA32_TSC_DEADLINE less the TSC's offset. A deadline that lies before the clock's beginning is over. */
  #deadline(): number {
    const { words, zone } = this.#page;
    const low = words[(zone + TSC_DEADLINE_FIELD) >> 2]! >>> 0;
    const high = words[(zone + TSC_DEADLINE_FIELD + 4) >> 2]!;
    if (low === 0 && high === 0) return NONE;
    const difference = low - (words[(zone + TSC_FIELD) >> 2]! >>> 0);
    const upper = (high - words[(zone + TSC_FIELD + 4) >> 2]! - (difference < 0 ? 1 : 0)) | 0;
    return upper < 0 ? 0 : upper * 2 ** 32 + (difference >>> 0);
  }
}
