/**
 * The page of a vCPU's local APIC: its registers at their offsets, and behind them what other threads post.
 * Document: SDM volume 3, 11.4 (table 11-1). The registers are what KVM_GET_LAPIC copies.
 * Whoever interrupts sets bits here with Atomics and kicks the vCPU; only the vCPU's thread moves them into IRR, so
 * registers need no lock.
 * Leaves out: what the registers do (lapic.ts), whom a message reaches (lapic-delivery.ts).
 */
import { layout } from "../../shared/layout.ts";
import { kick } from "../../shared/mailbox.ts";
import { msrField } from "../cpu/msr.ts";
import { vcpuZone, ZONE } from "../cpu/zones.ts";

/** Bytes of struct kvm_lapic_state. */
export const LAPIC_REGS = 0x400;

export const LAPIC = layout({
  registers: { at: 0, of: ["u32", LAPIC_REGS / 4] },
  /** Vectors that were posted and are not in IRR yet; of those, which are level-triggered. */
  posted: { at: 0x400, of: ["u32", 8] },
  postedLevel: ["u32", 8],
  /** EVENT bits; bits 8..15 the vector of a start-up IPI. */
  events: { at: 0x440, of: "u32" },
  /** The vCPU exists. */
  present: "u32",
  /** Errors that the next write to ESR shows. */
  errors: "u32",
  /** When the count reaches 0, in nanoseconds of clockMonotonic(); 0 while it does not run. */
  expiry: { at: 0x480, of: "f64" },
});

export const EVENT = { nmi: 1, init: 2, startup: 4 } as const;
const STARTUP_VECTOR_SHIFT = 8;
/** Vector of the last start-up IPI in `events`. */
export const startupVector = (events: number): number => (events >>> STARTUP_VECTOR_SHIFT) & 0xff;

/** Registers. Of ISR, TMR and IRR the first of eight. */
export const REG = {
  id: 0x20,
  version: 0x30,
  tpr: 0x80,
  apr: 0x90,
  ppr: 0xa0,
  eoi: 0xb0,
  ldr: 0xd0,
  dfr: 0xe0,
  svr: 0xf0,
  isr: 0x100,
  tmr: 0x180,
  irr: 0x200,
  esr: 0x280,
  icrLow: 0x300,
  icrHigh: 0x310,
  lvtTimer: 0x320,
  lvtThermal: 0x330,
  lvtPerformance: 0x340,
  lvtLint0: 0x350,
  lvtLint1: 0x360,
  lvtError: 0x370,
  initialCount: 0x380,
  currentCount: 0x390,
  divide: 0x3e0,
  selfIpi: 0x3f0,
} as const;

/** IA32_APIC_BASE. */
export const BASE = { BSP: 1 << 8, EXTD: 1 << 10, EN: 1 << 11 } as const;
export const MSR_APIC_BASE = 0x1b;
export const MSR_TSC_DEADLINE = 0x6e0;
export const APIC_BASE_FIELD = msrField(MSR_APIC_BASE)!;
export const TSC_DEADLINE_FIELD = msrField(MSR_TSC_DEADLINE)!;
const SVR_ENABLE = 1 << 8;

/** A local APIC as any thread may see it. */
export class LapicPage {
  readonly words: Int32Array;
  /** Byte address of the page, and of the vCPU's zone. */
  readonly at: number;
  readonly zone: number;
  readonly vcpu: number;
  readonly #kick: number;

  constructor(memory: WebAssembly.Memory, vcpu: number) {
    this.words = new Int32Array(memory.buffer);
    this.vcpu = vcpu;
    this.zone = vcpuZone(vcpu);
    this.at = this.zone + ZONE.lapic;
    this.#kick = (this.zone + ZONE.kick) >> 2;
  }

  get(register: number): number {
    return Atomics.load(this.words, (this.at + register) >> 2);
  }

  set(register: number, value: number): void {
    Atomics.store(this.words, (this.at + register) >> 2, value);
  }

  /** Low word of IA32_APIC_BASE. */
  get base(): number {
    return Atomics.load(this.words, (this.zone + APIC_BASE_FIELD) >> 2);
  }

  get present(): boolean {
    return this.get(LAPIC.present) !== 0;
  }

  /** Not switched off in IA32_APIC_BASE. */
  get enabled(): boolean {
    return (this.base & BASE.EN) !== 0;
  }

  get x2apic(): boolean {
    return (this.base & BASE.EXTD) !== 0;
  }

  /** Enabled in IA32_APIC_BASE and in the spurious-interrupt vector register: takes fixed interrupts. */
  get accepts(): boolean {
    return this.enabled && (this.get(REG.svr) & SVR_ENABLE) !== 0;
  }

  /** An interrupt for the vCPU. Any thread. */
  post(vector: number, level: boolean): void {
    const word = vector >> 5;
    const bit = 1 << (vector & 31);
    const levels = ((this.at + LAPIC.postedLevel) >> 2) + word;
    if (level) Atomics.or(this.words, levels, bit);
    else Atomics.and(this.words, levels, ~bit);
    Atomics.or(this.words, ((this.at + LAPIC.posted) >> 2) + word, bit);
    this.kick();
  }

  /** NMI, INIT or a start-up IPI. Any thread. */
  postEvent(event: number, vector = 0): void {
    const events = (this.at + LAPIC.events) >> 2;
    for (;;) {
      const before = Atomics.load(this.words, events);
      let after = before | event;
      if (event === EVENT.startup) after = (after & ~(0xff << STARTUP_VECTOR_SHIFT)) | (vector << STARTUP_VECTOR_SHIFT);
      if (Atomics.compareExchange(this.words, events, before, after) === before) break;
    }
    this.kick();
  }

  /** KVM_SET_VCPU_EVENTS; for KVM_MP_STATE_SIPI_RECEIVED, which comes behind it. */
  setStartupVector(vector: number): void {
    const events = (this.at + LAPIC.events) >> 2;
    Atomics.and(this.words, events, ~(0xff << STARTUP_VECTOR_SHIFT));
    Atomics.or(this.words, events, vector << STARTUP_VECTOR_SHIFT);
  }

  /** KVM_MP_STATE_SIPI_RECEIVED: the vector is that of the last start-up IPI, as in Linux. */
  repeatStartup(): void {
    this.postEvent(EVENT.startup, startupVector(this.get(LAPIC.events)));
  }

  /** Takes these events: those of them that were posted. The start-up vector stays in the value. */
  takeEvents(which: number): number {
    const events = (this.at + LAPIC.events) >> 2;
    if ((Atomics.load(this.words, events) & which) === 0) return 0;
    const before = Atomics.and(this.words, events, ~which);
    return (before & which) | (before & (0xff << STARTUP_VECTOR_SHIFT));
  }

  /** Makes a running vCPU look, and a halted one wake. */
  kick(): void {
    kick(this.words, this.#kick);
  }
}
