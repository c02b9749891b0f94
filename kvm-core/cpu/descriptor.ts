/**
 * A segment descriptor taken apart, and the tables that descriptors lie in.
 * Document: SDM volume 3, 3.4.5, 3.5.1 and 8.2.3 (descriptors, LDT; 16-byte descriptors in IA-32e mode).
 * Left out: gates of the IDT: interrupt-gate.ts.
 */

import { canonicalHigh, sumHigh } from "./address.ts";
import { EFER } from "./control.ts";
import { type Fault, SELECTOR_INDEX, VECTOR } from "./fault.ts";
import { ATTRIBUTE, descriptorAttributes, descriptorBase, descriptorLimit } from "./segment.ts";
import { CPU, SEG } from "./state.ts";
import type { SystemMemory } from "./system-memory.ts";
import type { VcpuState } from "./vcpu-state.ts";

/** Types of system descriptors; a 64-bit TSS and call gate have the numbers of the 32-bit ones. */
export const SYSTEM_TYPE = {
  tss16: 1,
  ldt: 2,
  busyTss16: 3,
  callGate16: 4,
  taskGate: 5,
  tss32: 9,
  busyTss32: 11,
  callGate32: 12,
} as const;

/** Filled by DescriptorTables; one is made per unit that needs it, never per transfer. */
export class Descriptor {
  selector = 0;
  low = 0;
  high = 0;
  /** Bits 95..64 of a 16-byte descriptor: the upper half of a base or an offset. */
  upper = 0;

  get attributes(): number {
    return descriptorAttributes(this.high);
  }
  get base(): number {
    return descriptorBase(this.low, this.high);
  }
  get limit(): number {
    return descriptorLimit(this.low, this.high);
  }
  get type(): number {
    return (this.high >>> 8) & 15;
  }
  get dpl(): number {
    return (this.high >>> 13) & 3;
  }
  get rpl(): number {
    return this.selector & 3;
  }
  /** The selector as an error code. */
  get index(): number {
    return this.selector & SELECTOR_INDEX;
  }
  get present(): boolean {
    return (this.attributes & ATTRIBUTE.present) !== 0;
  }
  /** A code or data segment; else a system descriptor. */
  get isSegment(): boolean {
    return (this.attributes & ATTRIBUTE.s) !== 0;
  }
  get isCode(): boolean {
    return this.isSegment && (this.attributes & ATTRIBUTE.code) !== 0;
  }
  get conforming(): boolean {
    return this.isCode && (this.attributes & ATTRIBUTE.expandDown) !== 0;
  }
  get readable(): boolean {
    return this.isSegment && (!this.isCode || (this.attributes & ATTRIBUTE.writable) !== 0);
  }
  get writable(): boolean {
    return this.isSegment && !this.isCode && (this.attributes & ATTRIBUTE.writable) !== 0;
  }
  /** The L and D bits of a code segment, for IA-32e mode. */
  get isCode64(): boolean {
    return (this.attributes & (ATTRIBUTE.l | ATTRIBUTE.db)) === ATTRIBUTE.l;
  }
  /** L and D both set: no code segment of IA-32e mode. */
  get reservedSize(): boolean {
    return (this.attributes & (ATTRIBUTE.l | ATTRIBUTE.db)) === (ATTRIBUTE.l | ATTRIBUTE.db);
  }
}

export class DescriptorTables {
  readonly #state: VcpuState;
  readonly #memory: SystemMemory;
  readonly #fault: Fault;
  // Where find() found the descriptor.
  #lo = 0;
  #hi = 0;

  constructor(state: VcpuState, memory: SystemMemory, fault: Fault) {
    this.#state = state;
    this.#memory = memory;
    this.#fault = fault;
  }

  get #long(): boolean {
    return (this.#state.get(CPU.efer) & EFER.LMA) !== 0;
  }

  /** Does `size` bytes of descriptor lie at `selector`, within the table's limit? */
  #find(selector: number, size: number): boolean {
    const state = this.#state;
    const local = (selector & 4) !== 0;
    if (local && state.get(CPU.attributes + SEG.ldt * 4) & ATTRIBUTE.unusable) return false;
    const offset = selector & 0xfff8;
    if (offset + size - 1 > state.get(local ? CPU.limit + SEG.ldt * 4 : CPU.gdtLimit)) return false;
    const base = local ? CPU.ldtBase : CPU.gdtBase;
    this.#lo = (state.get(base) + offset) >>> 0;
    this.#hi = this.#long ? sumHigh(state.get(base), state.high(base), offset) : 0;
    return true;
  }

  /** Does a selector that is not null lie within its table? */
  holds(selector: number): boolean {
    return this.#find(selector, 8);
  }

  /** The descriptor of a selector that is not null. Outside the table it is `vector`, with the selector and `ext`. */
  read(into: Descriptor, selector: number, vector: number = VECTOR.GP, ext = 0): boolean {
    into.selector = selector;
    into.upper = 0;
    if (!this.#find(selector, 8)) return this.#fault.raise(vector, (selector & SELECTOR_INDEX) + ext);
    if (!this.#memory.read(this.#lo, this.#hi, 8)) return this.#fault.from(this.#memory);
    into.low = this.#memory.value;
    into.high = this.#memory.valueHigh;
    return true;
  }

  /** The upper half of the 16-byte descriptor whose first half read() gave: IA-32e mode's LDT, TSS and call gates. */
  readUpper(into: Descriptor): boolean {
    const fault = this.#fault;
    if (!this.#find(into.selector, 16)) return fault.raise(VECTOR.GP, into.index);
    const hi = sumHigh(this.#lo, this.#hi, 8);
    if (!this.#memory.read((this.#lo + 8) >>> 0, hi, 8)) return fault.from(this.#memory);
    into.upper = this.#memory.value;
    // The type bits of the second half are zero, or it is no descriptor.
    if (this.#memory.valueHigh & 0x1f00) return fault.raise(VECTOR.GP, into.index);
    return canonicalHigh(into.upper) || fault.raise(VECTOR.GP, into.index);
  }

  /** Sets the accessed bit of a segment (SDM volume 3, 3.4.5.1) or the busy bit of a TSS, in memory and in `of`. */
  mark(of: Descriptor, bit: typeof ACCESSED | typeof BUSY): boolean {
    if (of.high & (bit << 8)) return true;
    this.#find(of.selector, 8);
    const hi = sumHigh(this.#lo, this.#hi, 5);
    if (!this.#memory.setBits((this.#lo + 5) >>> 0, hi, bit)) return this.#fault.from(this.#memory);
    of.high |= bit << 8;
    return true;
  }

  /** Takes the busy bit from a TSS that is left. */
  clearBusy(of: Descriptor): boolean {
    this.#find(of.selector, 8);
    const hi = sumHigh(this.#lo, this.#hi, 5);
    if (!this.#memory.clearBits((this.#lo + 5) >>> 0, hi, BUSY)) return this.#fault.from(this.#memory);
    of.high &= ~(BUSY << 8);
    return true;
  }
}

/** Bits of a descriptor's type. */
export const ACCESSED = 1;
export const BUSY = 2;
