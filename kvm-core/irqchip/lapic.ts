/**
 * The local APIC of a vCPU, as the vCPU's thread drives it: registers, priorities, local vector table, IPIs.
 * Document: SDM volume 3, chapter 11. Version 14h, six LVT entries; suppression of EOI broadcasts (11.8.5) where the IOAPIC is the
 * user's, as in KVM, whose own IOAPIC has no EOI register.
 * CR8 is the task priority's class and lives in the vCPU state; TPR's low half follows when somebody looks.
 * After reset LINT0 of the BSP is ExtINT and unmasked, as KVM and QEMU have it without firmware (virtual wire).
 * Left out: arbitration (APR reads 0), remote-read, LINT pins other than the 8259s' (nothing is wired to them).
 * The accesses themselves, x2APIC and the MSRs: lapic-access.ts.
 */
import { clockMonotonic } from "../../shared/native.ts";
import { CPU } from "../cpu/state.ts";
import { IRQCHIP_MODE, VM_STATE } from "../vm/vm-state.ts";
import { DELIVERY } from "./delivery.ts";
import type { LapicDelivery } from "./lapic-delivery.ts";
import { APIC_BASE_FIELD, BASE, LAPIC, LAPIC_REGS, LapicPage, REG } from "./lapic-page.ts";
import { LapicTimer } from "./lapic-timer.ts";

export const LVT_MASKED = 1 << 16;
const LVT_COUNT = 6;
const MODE_SHIFT = 8;
const SVR_ENABLE = 1 << 8;
const VERSION = 0x14 | ((LVT_COUNT - 1) << 16);
/** Of the version and the spurious-interrupt vector register: suppression of EOI broadcasts, supported and in force. */
const VERSION_DIRECTED_EOI = 1 << 24;
const SVR_DIRECTED_EOI = 1 << 12;
const SVR_WRITABLE = 0x3ff;
/** Bits of each LVT entry that can be written: vector, mask; delivery mode; pins have polarity and trigger, too. */
const LVT_WRITABLE = [0x7_00ff, 0x1_07ff, 0x1_07ff, 0x1_a7ff, 0x1_a7ff, 0x1_00ff] as const;
const ICR_WRITABLE = 0xc_cfff;
const ESR_SEND_ILLEGAL = 1 << 5;
const ESR_RECEIVE_ILLEGAL = 1 << 6;
const NONE = -1;

export class Lapic {
  readonly page: LapicPage;
  readonly timer: LapicTimer;
  readonly #memory: WebAssembly.Memory;
  readonly #delivery: LapicDelivery;
  readonly #clock: () => number;
  /** The end of an interrupt: of a level-triggered one, the IOAPICs are told. */
  onEoi: (vector: number, level: boolean) => void = () => {};

  /** `clock`: nanoseconds, clockMonotonic(). */
  constructor(memory: WebAssembly.Memory, vcpu: number, delivery: LapicDelivery, clock = clockMonotonic) {
    this.#memory = memory;
    this.page = new LapicPage(memory, vcpu);
    this.timer = new LapicTimer(memory, this.page);
    this.#delivery = delivery;
    this.#clock = clock;
  }

  /** As KVM_CREATE_VCPU leaves it, with IA32_APIC_BASE. */
  reset(): void {
    const { page } = this;
    page.words[(page.zone + APIC_BASE_FIELD) >> 2] = 0xfee0_0000 | BASE.EN | (page.vcpu === 0 ? BASE.BSP : 0) | 0;
    page.words[(page.zone + APIC_BASE_FIELD + 4) >> 2] = 0;
    this.resetRegisters();
    page.set(LAPIC.events, 0);
    page.set(LAPIC.present, 1);
  }

  /** INIT, and being switched off: everything but IA32_APIC_BASE. */
  resetRegisters(): void {
    const { page } = this;
    new Uint8Array(this.#memory.buffer, page.at, LAPIC_REGS).fill(0);
    // Events stay: the start-up IPI behind an INIT may be there already.
    this.#forgetPosted();
    page.set(LAPIC.errors, 0);
    this.timer.disarm();
    page.set(REG.version, this.#version());
    page.set(REG.dfr, -1);
    page.set(REG.svr, 0xff);
    for (let i = 0; i < LVT_COUNT; i++) page.set(REG.lvtTimer + i * 16, LVT_MASKED);
    if (page.vcpu === 0) page.set(REG.lvtLint0, DELIVERY.extInt << MODE_SHIFT);
    this.setIds();
    this.setTaskPriority(0);
  }

  /** ID, and in x2APIC mode LDR, which there follows from it. */
  setIds(): void {
    const { page } = this;
    const id = page.vcpu;
    page.set(REG.id, page.x2apic ? id : id << 24);
    page.set(REG.ldr, page.x2apic ? ((id >> 4) << 16) | (1 << (id & 15)) : 0);
  }

  /** The host has written IA32_APIC_BASE, whose low word was `before`: in another mode the ID looks otherwise. */
  baseSet(before: number): void {
    const { base } = this.page;
    const mode = BASE.EN | BASE.EXTD;
    if ((base ^ before) & mode && base & BASE.EN) this.setIds();
  }

  /** Looks at the timer; `now` only where the caller knows it already. */
  service(now = this.#clock()): void {
    if (this.timer.expired(now)) this.#local(REG.lvtTimer);
  }

  nextDeadline(): number {
    return this.timer.nextDeadline();
  }

  /** An interrupt waits that has more than the processor's priority. */
  pending(): boolean {
    return this.page.enabled && this.#deliverable() !== NONE;
  }

  /** The processor takes the interrupt: its vector. Call it only while pending(). */
  acknowledge(): number {
    const vector = this.#deliverable();
    this.#setBit(REG.irr, vector, false);
    this.#setBit(REG.isr, vector, true);
    return vector;
  }

  /** The 8259s' INTR reaches the processor: through LINT0, or past an APIC that is switched off. */
  get passesExtInt(): boolean {
    if (!this.page.enabled) return true;
    const lint0 = this.page.get(REG.lvtLint0);
    return (lint0 & LVT_MASKED) === 0 && ((lint0 >> MODE_SHIFT) & 7) === DELIVERY.extInt;
  }

  get taskPriority(): number {
    const { page } = this;
    const tpr = page.get(REG.tpr);
    const cr8 = page.words[(page.zone + CPU.cr8) >> 2]! & 0xf;
    return tpr >> 4 === cr8 ? tpr : cr8 << 4;
  }

  setTaskPriority(value: number): void {
    const { page } = this;
    page.set(REG.tpr, value & 0xff);
    page.words[(page.zone + CPU.cr8) >> 2] = (value >> 4) & 0xf;
  }

  /** MOV CR8: the low half of TPR becomes 0. */
  cr8Written(): void {
    this.page.set(REG.tpr, 0);
    this.page.set(REG.tpr, this.taskPriority);
  }

  /** A register's value, by its offset; what is none reads as 0. */
  read(register: number): number {
    switch (register) {
      case REG.tpr:
        return this.taskPriority;
      case REG.ppr:
        return this.#processorPriority();
      case REG.currentCount:
        return this.timer.count(this.#clock());
      case REG.eoi:
      case REG.selfIpi:
        return 0;
      default:
        if (register >= REG.isr && register < REG.esr) this.#collect();
        return register < LAPIC_REGS ? this.page.get(register) : 0;
    }
  }

  /** Of the registers that both modes have. */
  write(register: number, value: number): void {
    const { page } = this;
    switch (register) {
      case REG.id:
        page.set(REG.id, value & 0xff00_0000);
        break;
      case REG.tpr:
        this.setTaskPriority(value);
        break;
      case REG.eoi:
        this.#endOfInterrupt();
        break;
      case REG.ldr:
        page.set(REG.ldr, value & 0xff00_0000);
        break;
      case REG.dfr:
        page.set(REG.dfr, value | 0x0fff_ffff);
        break;
      case REG.svr:
        page.set(REG.svr, value & this.svrWritable());
        if ((value & SVR_ENABLE) === 0) this.#maskAll();
        break;
      case REG.esr:
        page.set(REG.esr, page.get(LAPIC.errors));
        page.set(LAPIC.errors, 0);
        break;
      case REG.icrHigh:
        page.set(REG.icrHigh, value & 0xff00_0000);
        break;
      case REG.icrLow:
        this.interrupt(value, page.get(REG.icrHigh) >>> 24, false);
        break;
      case REG.initialCount:
        this.timer.start(value, this.#clock());
        break;
      case REG.divide:
        this.timer.setDivide(value & 0xb, this.#clock());
        break;
      default:
        if (register >= REG.lvtTimer && register <= REG.lvtError) this.#writeLvt(register, value);
    }
  }

  /** A write to the low half of ICR: sends. */
  interrupt(value: number, destination: number, wide: boolean): void {
    const { page } = this;
    const icr = value & ICR_WRITABLE;
    page.set(REG.icrLow, icr);
    const vector = icr & 0xff;
    const mode = (icr >> MODE_SHIFT) & 7;
    const level = (icr & 0x8000) !== 0;
    if (mode === DELIVERY.init && level && (icr & 0x4000) === 0) return; // INIT level de-assert does nothing
    if ((mode === DELIVERY.fixed || mode === DELIVERY.lowestPriority) && vector < 16) {
      this.#error(ESR_SEND_ILLEGAL);
      return;
    }
    switch ((icr >> 18) & 3) {
      case 0:
        this.#delivery.ipi(destination, (icr & 0x800) !== 0, wide, mode, vector, level);
        break;
      case 1:
        if (mode === DELIVERY.fixed) this.#accept(vector);
        break;
      case 2:
        this.#delivery.sendAll(NONE, mode, vector);
        break;
      default:
        this.#delivery.sendAll(page.vcpu, mode, vector);
    }
  }

  /** KVM_GET_LAPIC: 1024 bytes. */
  save(): Uint8Array {
    this.#collect();
    const regs = new Uint8Array(this.#memory.buffer, this.page.at, LAPIC_REGS).slice();
    const view = new DataView(regs.buffer);
    for (const register of [REG.tpr, REG.ppr, REG.currentCount]) view.setInt32(register, this.read(register) | 0, true);
    return regs;
  }

  /** KVM_SET_LAPIC. Bits that a register cannot have are dropped; ID and version stay what they are. IRR is this alone. */
  load(regs: Uint8Array): void {
    const { page } = this;
    this.#forgetPosted();
    const view = new DataView(regs.buffer, regs.byteOffset, LAPIC_REGS);
    const [id, ldr] = [page.get(REG.id), page.get(REG.ldr)];
    for (let register = 0; register < LAPIC_REGS; register += 16) page.set(register, view.getInt32(register, true));
    page.set(REG.id, id);
    page.set(REG.version, this.#version());
    if (page.x2apic) page.set(REG.ldr, ldr);
    page.set(REG.svr, page.get(REG.svr) & this.svrWritable());
    page.set(REG.icrLow, page.get(REG.icrLow) & ICR_WRITABLE);
    page.set(REG.divide, page.get(REG.divide) & 0xb);
    for (let i = 0; i < LVT_COUNT; i++) {
      const register = REG.lvtTimer + i * 16;
      page.set(register, page.get(register) & LVT_WRITABLE[i]!);
    }
    for (const first of [REG.isr, REG.irr]) page.set(first, page.get(first) & 0xffff_0000);
    this.setTaskPriority(page.get(REG.tpr));
    this.timer.resume(this.#clock());
  }

  /** What was posted is part of IRR, and goes with it. */
  #forgetPosted(): void {
    for (let word = 0; word < 8; word++) this.page.set(LAPIC.posted + 4 * word, 0);
  }

  #version(): number {
    const split = Atomics.load(this.page.words, VM_STATE.irqchip >> 2) === IRQCHIP_MODE.split;
    return split ? VERSION | VERSION_DIRECTED_EOI : VERSION;
  }

  /** Bits that a write to the spurious-interrupt vector register sets. */
  svrWritable(): number {
    return this.page.get(REG.version) & VERSION_DIRECTED_EOI ? SVR_WRITABLE | SVR_DIRECTED_EOI : SVR_WRITABLE;
  }

  #writeLvt(register: number, value: number): void {
    this.service(); // what ran out before belongs to the entry as it was
    let entry = value & LVT_WRITABLE[(register - REG.lvtTimer) >> 4]!;
    if ((this.page.get(REG.svr) & SVR_ENABLE) === 0) entry |= LVT_MASKED;
    if (register === REG.lvtTimer) this.timer.setLvt(entry);
    else this.page.set(register, entry);
  }

  /** The APIC is software-disabled: "the mask bits for all the LVT entries are set". */
  #maskAll(): void {
    for (let i = 0; i < LVT_COUNT; i++) {
      const register = REG.lvtTimer + i * 16;
      this.page.set(register, this.page.get(register) | LVT_MASKED);
    }
  }

  /** A local source asks for its LVT entry's interrupt. */
  #local(register: number): void {
    const entry = this.page.get(register);
    if ((entry & LVT_MASKED) === 0) this.#accept(entry & 0xff);
  }

  /** An edge from here for here. */
  #accept(vector: number): void {
    if (vector < 16) {
      this.#error(ESR_RECEIVE_ILLEGAL);
    } else if (this.page.accepts) {
      this.#setBit(REG.tmr, vector, false);
      this.#setBit(REG.irr, vector, true);
    }
  }

  #error(bit: number): void {
    const { page } = this;
    page.set(LAPIC.errors, page.get(LAPIC.errors) | bit);
    const entry = page.get(REG.lvtError);
    if ((entry & LVT_MASKED) === 0 && (entry & 0xff) >= 16) this.#accept(entry & 0xff);
  }

  #endOfInterrupt(): void {
    const vector = this.#highest(REG.isr);
    if (vector === NONE) return;
    this.#setBit(REG.isr, vector, false);
    const level = (this.page.get(REG.tmr + ((vector >> 5) << 4)) & (1 << (vector & 31))) !== 0;
    if (!level || (this.page.get(REG.svr) & SVR_DIRECTED_EOI) === 0) this.onEoi(vector, level);
  }

  #processorPriority(): number {
    const tpr = this.taskPriority;
    const service = this.#highest(REG.isr);
    const inService = service === NONE ? 0 : service & 0xf0;
    return (tpr & 0xf0) >= inService ? tpr : inService;
  }

  #deliverable(): number {
    this.#collect();
    const vector = this.#highest(REG.irr);
    return vector !== NONE && (vector & 0xf0) > (this.#processorPriority() & 0xf0) ? vector : NONE;
  }

  /** Moves what other threads posted into IRR. */
  #collect(): void {
    const { words, at } = this.page;
    for (let i = 0; i < 8; i++) {
      const posted = ((at + LAPIC.posted) >> 2) + i;
      if (Atomics.load(words, posted) === 0) continue;
      const bits = Atomics.exchange(words, posted, 0);
      const levels = Atomics.load(words, ((at + LAPIC.postedLevel) >> 2) + i);
      const [tmr, irr] = [((at + REG.tmr) >> 2) + i * 4, ((at + REG.irr) >> 2) + i * 4];
      words[tmr] = (words[tmr]! & ~bits) | (levels & bits);
      words[irr] = words[irr]! | bits;
    }
  }

  #highest(first: number): number {
    const { words, at } = this.page;
    for (let i = 7; i >= 0; i--) {
      const word = words[((at + first) >> 2) + i * 4]!;
      if (word !== 0) return i * 32 + 31 - Math.clz32(word);
    }
    return NONE;
  }

  #setBit(first: number, vector: number, on: boolean): void {
    const { words, at } = this.page;
    const index = ((at + first) >> 2) + (vector >> 5) * 4;
    const bit = 1 << (vector & 31);
    words[index] = on ? words[index]! | bit : words[index]! & ~bit;
  }
}
