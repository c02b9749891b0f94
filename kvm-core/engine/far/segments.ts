/**
 * Loads of segment registers other than CS, LLDT and LTR, and what LAR, LSL, VERR and VERW find out.
 * Document: SDM volume 3, 3.4 and 5.6; volume 2, MOV, LLDT, LTR, LAR, LSL, VERR.
 * Left out: nothing.
 */

import { CR0, EFER, updateMode } from "../../cpu/control.ts";
import { ACCESSED, BUSY, Descriptor, type DescriptorTables, SYSTEM_TYPE } from "../../cpu/descriptor.ts";
import { type Fault, SELECTOR_INDEX, VECTOR } from "../../cpu/fault.ts";
import { RFLAGS } from "../../cpu/flags.ts";
import { ATTRIBUTE } from "../../cpu/segment.ts";
import { setNullSegment, setRealSegment, setSegment, setVirtualSegment } from "../../cpu/segment-register.ts";
import { CPU, SEG } from "../../cpu/state.ts";
import type { VcpuState } from "../../cpu/vcpu-state.ts";

/** A set of descriptor types. */
const bits = (...types: readonly number[]): number => types.reduce((all, type) => all | (1 << type), 0);
const TSS16 = [SYSTEM_TYPE.tss16, SYSTEM_TYPE.busyTss16];
const TSS32 = [SYSTEM_TYPE.tss32, SYSTEM_TYPE.busyTss32];
/** System descriptors that LSL and LAR know; in IA-32e mode they are fewer. */
const LSL_LONG = bits(SYSTEM_TYPE.ldt, ...TSS32);
const LSL_LEGACY = LSL_LONG | bits(...TSS16);
const LAR_LONG = LSL_LONG | bits(SYSTEM_TYPE.callGate32);
const LAR_LEGACY = LAR_LONG | LSL_LEGACY | bits(SYSTEM_TYPE.callGate16, SYSTEM_TYPE.taskGate);

export class SegmentUnit {
  readonly #state: VcpuState;
  readonly #fault: Fault;
  readonly #tables: DescriptorTables;
  readonly #descriptor = new Descriptor();
  /** After rights() or limitOf() found something: the result. */
  result = 0;

  constructor(state: VcpuState, fault: Fault, tables: DescriptorTables) {
    this.#state = state;
    this.#fault = fault;
    this.#tables = tables;
  }

  get #long(): boolean {
    return (this.#state.get(CPU.efer) & EFER.LMA) !== 0;
  }
  get #code64(): boolean {
    return this.#long && (this.#state.get(CPU.attributes + SEG.cs * 4) & ATTRIBUTE.l) !== 0;
  }

  /** Protected mode and not virtual-8086 mode: selectors mean descriptors. */
  get protectedMode(): boolean {
    return (this.#state.get(CPU.cr0) & CR0.PE) !== 0 && !(this.#state.get(CPU.eflags) & RFLAGS.VM);
  }

  /** MOV Sreg, POP Sreg and LDS to LGS: ES, SS, DS, FS or GS. */
  load(segment: number, selector: number): boolean {
    const state = this.#state;
    if (!this.protectedMode) {
      if (state.get(CPU.cr0) & CR0.PE) setVirtualSegment(state, segment, selector);
      else setRealSegment(state, segment, selector);
    } else if (segment === SEG.ss) {
      if (!this.stack(this.#descriptor, selector, state.get(CPU.cpl), this.#code64)) return false;
      this.setStack(this.#descriptor, state.get(CPU.cpl));
    } else if (!this.#data(segment, selector)) return false;
    updateMode(state.u32, state.zone);
    return true;
  }

  #data(segment: number, selector: number): boolean {
    const state = this.#state;
    const fault = this.#fault;
    const d = this.#descriptor;
    const cpl = state.get(CPU.cpl);
    if ((selector & SELECTOR_INDEX) === 0) {
      setNullSegment(state, segment, selector, cpl);
      return true;
    }
    if (!this.#tables.read(d, selector)) return false;
    if (!d.readable || (!d.conforming && (d.rpl > d.dpl || cpl > d.dpl))) return fault.raise(VECTOR.GP, d.index);
    if (!d.present) return fault.raise(VECTOR.NP, d.index);
    if (!this.#tables.mark(d, ACCESSED)) return false;
    setSegment(state, segment, selector, d);
    return true;
  }

  /**
   * Checks SS for privilege level `cpl`: MOV SS, and returns, which load CS too. `code64`: of the code that will use it;
   * only there SS may be null, and not at level 3.
   */
  stack(into: Descriptor, selector: number, cpl: number, code64: boolean): boolean {
    const fault = this.#fault;
    into.selector = selector;
    if ((selector & SELECTOR_INDEX) === 0) {
      return (code64 && cpl < 3 && (selector & 3) === cpl) || fault.raise(VECTOR.GP, 0);
    }
    if (!this.#tables.read(into, selector)) return false;
    if (into.rpl !== cpl || into.dpl !== cpl || !into.writable) return fault.raise(VECTOR.GP, into.index);
    if (!into.present) return fault.raise(VECTOR.SS, into.index);
    return this.#tables.mark(into, ACCESSED);
  }

  /** Loads what stack() has checked. */
  setStack(from: Descriptor, cpl: number): void {
    if (from.index === 0) setNullSegment(this.#state, SEG.ss, from.selector, cpl);
    else setSegment(this.#state, SEG.ss, from.selector, from);
  }

  /** After a return to level `cpl`: data segments that it may not use become null (SDM volume 3, 5.8.6). */
  dropInner(cpl: number): void {
    const state = this.#state;
    for (const segment of [SEG.es, SEG.ds, SEG.fs, SEG.gs]) {
      const attributes = state.get(CPU.attributes + segment * 4);
      const conforming = (attributes & ATTRIBUTE.code) !== 0 && (attributes & ATTRIBUTE.expandDown) !== 0;
      if (attributes & ATTRIBUTE.unusable || conforming || (attributes & ATTRIBUTE.dpl) >>> 5 >= cpl) continue;
      setNullSegment(state, segment, 0, cpl);
    }
  }

  // --- system segments; the caller has checked mode and privilege level

  loadLdt(selector: number): boolean {
    const state = this.#state;
    if ((selector & SELECTOR_INDEX) === 0) {
      this.#setSystem(SEG.ldt, CPU.ldtBase, selector, ATTRIBUTE.unusable, 0);
      return true;
    }
    if (!this.#system(selector, bits(SYSTEM_TYPE.ldt))) return false;
    const d = this.#descriptor;
    this.#setSystem(SEG.ldt, CPU.ldtBase, selector, d.attributes, d.limit);
    state.set64(CPU.ldtBase, d.base, d.upper);
    return true;
  }

  loadTask(selector: number): boolean {
    if ((selector & SELECTOR_INDEX) === 0) return this.#fault.raise(VECTOR.GP, 0);
    const types = this.#long ? bits(SYSTEM_TYPE.tss32) : bits(SYSTEM_TYPE.tss16, SYSTEM_TYPE.tss32);
    const d = this.#descriptor;
    if (!this.#system(selector, types) || !this.#tables.mark(d, BUSY)) return false;
    this.#setSystem(SEG.tr, CPU.trBase, selector, d.attributes, d.limit);
    this.#state.set64(CPU.trBase, d.base, d.upper);
    return true;
  }

  /** The descriptor of an LDT or a TSS, which only the GDT can hold. */
  #system(selector: number, types: number): boolean {
    const fault = this.#fault;
    const d = this.#descriptor;
    if (selector & 4) return fault.raise(VECTOR.GP, selector & SELECTOR_INDEX);
    if (!this.#tables.read(d, selector)) return false;
    if (d.isSegment || !((types >>> d.type) & 1)) return fault.raise(VECTOR.GP, d.index);
    if (this.#long && !this.#tables.readUpper(d)) return false;
    return d.present || fault.raise(VECTOR.NP, d.index);
  }

  #setSystem(segment: number, base: number, selector: number, attributes: number, limit: number): void {
    const state = this.#state;
    state.set(CPU.selector + segment * 4, selector);
    state.set(CPU.attributes + segment * 4, attributes);
    state.set(CPU.limit + segment * 4, limit);
    state.set64(base, 0, 0);
  }

  // --- what a selector may be used for; ZF is the answer

  /** 1: it may; 0: it may not; -1: a page fault on the way. */
  #look(selector: number, types: number): number {
    const d = this.#descriptor;
    if ((selector & SELECTOR_INDEX) === 0 || !this.#tables.holds(selector)) return 0;
    if (!this.#tables.read(d, selector)) return -1;
    if (!d.isSegment && !((types >>> d.type) & 1)) return 0;
    return d.conforming || (d.dpl >= this.#state.get(CPU.cpl) && d.dpl >= d.rpl) ? 1 : 0;
  }

  /** LAR: the second word of the descriptor, without base and limit. */
  rights(selector: number): number {
    const found = this.#look(selector, this.#long ? LAR_LONG : LAR_LEGACY);
    this.result = this.#descriptor.high & 0x00f0_ff00;
    return found;
  }

  /** LSL: the limit in bytes. */
  limitOf(selector: number): number {
    const found = this.#look(selector, this.#long ? LSL_LONG : LSL_LEGACY);
    this.result = this.#descriptor.limit;
    return found;
  }

  /** VERR and VERW. */
  verify(selector: number, write: boolean): number {
    const found = this.#look(selector, 0);
    if (found !== 1) return found;
    return (write ? this.#descriptor.writable : this.#descriptor.readable) ? 1 : 0;
  }
}
