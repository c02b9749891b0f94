/**
 * How the guest reaches its local APIC: the page at IA32_APIC_BASE (xAPIC), MSRs 800h to 8ffh (x2APIC), and the MSRs
 * IA32_APIC_BASE and IA32_TSC_DEADLINE.
 * Document: SDM volume 3, 11.4.1, 11.4.4, 11.12 (table 11-6; figure 11-27 for the changes of mode).
 * Accesses to the page that are not 4 bytes at a multiple of 16: reads give the register's bytes, writes do nothing.
 */
import { PHYSICAL_BITS } from "../cpu/control.ts";
import { gateOf } from "../cpu/features.ts";
import { CPU } from "../cpu/state.ts";
import { PAGE_SIZE } from "../cpu/zones.ts";
import type { Lapic } from "./lapic.ts";
import { APIC_BASE_FIELD, BASE, MSR_APIC_BASE, MSR_TSC_DEADLINE, REG, TSC_DEADLINE_FIELD } from "./lapic-page.ts";

const X2APIC_FIRST = 0x800;
const X2APIC_LAST = 0x8ff;
const BASE_RESERVED = 0x2ff;
const HIGH_RESERVED = ~(2 ** (PHYSICAL_BITS - 32) - 1);
const X2APIC_GATE = gateOf("x2apic");

/** Delivery Status and Remote IRR of the LVT entries are read-only, not reserved: Linux writes ones to them. */
const LVT_READ_ONLY = 0x5000;
/** Bits that WRMSR may set in a register of x2APIC mode; who is not here is not writable. The SVR: svrWritable(). */
const X2APIC_WRITABLE: Readonly<Record<number, number>> = {
  [REG.tpr]: 0xff,
  [REG.eoi]: 0,
  [REG.esr]: 0,
  [REG.icrLow]: 0xc_cfff,
  [REG.lvtTimer]: 0x7_00ff | LVT_READ_ONLY,
  [REG.lvtThermal]: 0x1_07ff | LVT_READ_ONLY,
  [REG.lvtPerformance]: 0x1_07ff | LVT_READ_ONLY,
  [REG.lvtLint0]: 0x1_a7ff | LVT_READ_ONLY,
  [REG.lvtLint1]: 0x1_a7ff | LVT_READ_ONLY,
  [REG.lvtError]: 0x1_00ff | LVT_READ_ONLY,
  [REG.initialCount]: -1,
  [REG.divide]: 0xb,
  [REG.selfIpi]: 0xff,
};
/** Registers that RDMSR gives in x2APIC mode, besides ISR, TMR and IRR. */
const X2APIC_READABLE: ReadonlySet<number> = new Set([
  REG.id,
  REG.version,
  REG.tpr,
  REG.ppr,
  REG.ldr,
  REG.svr,
  REG.esr,
  REG.icrLow,
  REG.lvtTimer,
  REG.lvtThermal,
  REG.lvtPerformance,
  REG.lvtLint0,
  REG.lvtLint1,
  REG.lvtError,
  REG.initialCount,
  REG.currentCount,
  REG.divide,
]);

export class LapicAccess {
  readonly #lapic: Lapic;
  readonly #words: Int32Array;
  readonly #base: number;

  constructor(lapic: Lapic) {
    this.#lapic = lapic;
    this.#words = lapic.page.words;
    this.#base = (lapic.page.zone + APIC_BASE_FIELD) >> 2;
  }

  /** The page's register at this guest-physical address is the APIC's. */
  owns(gpa: number): boolean {
    const low = this.#words[this.#base]!;
    if ((low & (BASE.EN | BASE.EXTD)) !== BASE.EN) return false;
    const offset = gpa - (((low & 0xffff_f000) >>> 0) + this.#words[this.#base + 1]! * 2 ** 32);
    return offset >= 0 && offset < PAGE_SIZE;
  }

  mmioRead(gpa: number, size: number): number {
    const offset = gpa % PAGE_SIZE;
    const byte = offset % 16;
    if (byte + size > 4) return 0;
    return this.#lapic.read(offset - byte) >>> (8 * byte);
  }

  mmioWrite(gpa: number, size: number, value: number): void {
    const offset = gpa % PAGE_SIZE;
    if (size === 4 && offset % 16 === 0 && offset !== REG.selfIpi) this.#lapic.write(offset, value);
  }

  ownsMsr(index: number): boolean {
    return (index >= X2APIC_FIRST && index <= X2APIC_LAST) || index === MSR_APIC_BASE || index === MSR_TSC_DEADLINE;
  }

  /** RDMSR: the value goes to CPU.data. False: #GP. */
  readMsr(index: number): boolean {
    if (index === MSR_APIC_BASE) return this.#answer(this.#words[this.#base]!, this.#words[this.#base + 1]!);
    const { page } = this.#lapic;
    if (index === MSR_TSC_DEADLINE) {
      this.#lapic.service(); // an expired deadline reads as 0
      const field = (page.zone + TSC_DEADLINE_FIELD) >> 2;
      return this.#answer(this.#words[field]!, this.#words[field + 1]!);
    }
    if (!page.x2apic) return false;
    const register = (index - X2APIC_FIRST) << 4;
    if (!X2APIC_READABLE.has(register) && (register < REG.isr || register >= REG.esr)) return false;
    return this.#answer(this.#lapic.read(register), register === REG.icrLow ? page.get(REG.icrHigh) : 0);
  }

  /** WRMSR of what CPU.data has. False: #GP. */
  writeMsr(index: number): boolean {
    const { page, timer } = this.#lapic;
    const data = (page.zone + CPU.data) >> 2;
    const [low, high] = [this.#words[data]!, this.#words[data + 1]!];
    if (index === MSR_APIC_BASE) return this.#writeBase(low, high);
    if (index === MSR_TSC_DEADLINE) {
      timer.setTscDeadline(low, high);
      return true;
    }
    if (!page.x2apic) return false;
    const register = (index - X2APIC_FIRST) << 4;
    const writable = register === REG.svr ? this.#lapic.svrWritable() : X2APIC_WRITABLE[register];
    if (writable === undefined || low & ~writable || (high !== 0 && register !== REG.icrLow)) return false;
    if (register === REG.selfIpi) {
      this.#lapic.interrupt(low | (1 << 18), 0, true);
    } else if (register === REG.icrLow) {
      page.set(REG.icrHigh, high);
      this.#lapic.interrupt(low, high >>> 0, true);
    } else {
      this.#lapic.write(register, low);
    }
    return true;
  }

  /** Off, xAPIC, x2APIC: from x2APIC the only way leads off, and to it only from xAPIC. */
  #writeBase(low: number, high: number): boolean {
    const before = this.#words[this.#base]!;
    const mode = low & (BASE.EN | BASE.EXTD);
    const was = before & (BASE.EN | BASE.EXTD);
    if (low & BASE_RESERVED || high & HIGH_RESERVED) return false;
    if (mode === BASE.EXTD) return false;
    if (mode & BASE.EXTD) {
      const { zone } = this.#lapic.page;
      if (this.#words[((zone + CPU.denied) >> 2) + X2APIC_GATE.word]! & X2APIC_GATE.mask) return false;
      if (was === 0) return false;
    } else if (was & BASE.EXTD && mode !== 0) {
      return false;
    }
    this.#words[this.#base] = low;
    this.#words[this.#base + 1] = high;
    if (mode === was) return true;
    if (mode === 0) this.#lapic.resetRegisters();
    else this.#lapic.setIds();
    return true;
  }

  #answer(low: number, high: number): boolean {
    const data = (this.#lapic.page.zone + CPU.data) >> 2;
    this.#words[data] = low;
    this.#words[data + 1] = high;
    return true;
  }
}
