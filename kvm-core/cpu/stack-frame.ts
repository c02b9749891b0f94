/**
 * Stack frames of delivery and transfers: pushed as a whole, or popped slot by slot and then released.
 * Document: SDM volume 3, 5.3 and 5.8.5 (limits), 6.14.2 (64-bit mode); volume 1, 6.2 (stack address size).
 * Left out: PUSH, POP and near calls, which are generated code.
 *
 * All slots of a frame are checked before the first is written, so that a fault leaves the old stack and state.
 */

import { canonicalHigh, sumHigh } from "./address.ts";
import { CR0, EFER } from "./control.ts";
import type { Descriptor } from "./descriptor.ts";
import { type Fault, VECTOR } from "./fault.ts";
import { RFLAGS } from "./flags.ts";
import { ATTRIBUTE } from "./segment.ts";
import { inLimit } from "./segment-register.ts";
import { CPU, GPR, SEG } from "./state.ts";
import type { SystemMemory } from "./system-memory.ts";
import type { VcpuState } from "./vcpu-state.ts";

/** 31 parameters and the four slots of a call gate. */
const MAX_SLOTS = 40;
/** Words of a slot: size, value, linear address. */
const SLOT = 5;
const RSP = CPU.gpr + GPR.rsp * 8;

/** The stack that a frame lies on: a segment, the stack pointer, and whose access it is. */
class Stack {
  protected readonly state: VcpuState;
  protected readonly memory: SystemMemory;
  protected readonly fault: Fault;
  protected spLo = 0;
  protected spHi = 0;
  protected access = 0;
  /** Stack address size. */
  protected width: 16 | 32 | 64 = 32;
  #base = 0;
  #limit = 0;
  #attributes = 0;
  /** Linear address of the slot that locate() found. */
  protected linearLo = 0;
  protected linearHi = 0;

  constructor(state: VcpuState, memory: SystemMemory, fault: Fault) {
    this.state = state;
    this.memory = memory;
    this.fault = fault;
  }

  /** The stack in use, accessed at the current privilege level. */
  current(): void {
    const { state } = this;
    const cs = state.get(CPU.attributes + SEG.cs * 4);
    this.#attributes = state.get(CPU.attributes + SEG.ss * 4);
    const isProtected = (state.get(CPU.cr0) & CR0.PE) !== 0 && !(state.get(CPU.eflags) & RFLAGS.VM);
    // In real and virtual-8086 mode there are limits, but no types.
    if (!isProtected) this.#attributes &= ATTRIBUTE.db;
    const code64 = (cs & ATTRIBUTE.l) !== 0 && (state.get(CPU.efer) & EFER.LMA) !== 0;
    this.width = code64 ? 64 : this.#attributes & ATTRIBUTE.db ? 32 : 16;
    this.#base = state.get(CPU.segBase + SEG.ss * 8);
    this.#limit = state.get(CPU.limit + SEG.ss * 4);
    this.access = this.memory.accessAt(state.get(CPU.cpl));
    this.spLo = state.get(RSP);
    this.spHi = state.high(RSP);
  }

  /** A stack of 64-bit mode, which has no segment. */
  wide(lo: number, hi: number, cpl: number): void {
    this.width = 64;
    this.spLo = lo;
    this.spHi = hi;
    this.access = this.memory.accessAt(cpl);
  }

  /** A stack in a segment that is not loaded yet. */
  within(segment: Descriptor, sp: number, cpl: number): void {
    this.#attributes = segment.attributes;
    this.#base = segment.base;
    this.#limit = segment.limit;
    this.width = this.#attributes & ATTRIBUTE.db ? 32 : 16;
    this.spLo = sp;
    this.spHi = 0;
    this.access = this.memory.accessAt(cpl);
  }

  /** Moves the stack pointer, within the stack address size. */
  protected move(delta: number): void {
    const { spLo } = this;
    if (this.width === 16) {
      this.spLo = ((spLo & 0xffff_0000) | ((spLo + delta) & 0xffff)) >>> 0;
      return;
    }
    this.spHi = this.width === 64 ? sumHigh(spLo, this.spHi, delta) : 0;
    this.spLo = (spLo + delta) >>> 0;
  }

  /** Linear address of `size` bytes at the stack pointer; false if the segment does not hold them. */
  protected locate(size: number): boolean {
    if (this.width === 64) {
      this.linearLo = this.spLo;
      this.linearHi = this.spHi;
      return canonicalHigh(this.spHi) && canonicalHigh(sumHigh(this.spLo, this.spHi, size - 1));
    }
    const offset = this.width === 16 ? this.spLo & 0xffff : this.spLo;
    this.linearLo = (this.#base + offset) >>> 0;
    this.linearHi = 0;
    return inLimit(this.#attributes, this.#limit, offset, size);
  }

  /** Makes RSP what the frame left. */
  store(): void {
    this.state.set64(RSP, this.spLo, this.spHi);
  }
}

export class PushFrame extends Stack {
  readonly #slots = new Uint32Array(MAX_SLOTS * SLOT);
  #count = 0;
  #located = true;

  override current(): void {
    super.current();
    this.#begin();
  }
  override wide(lo: number, hi: number, cpl: number): void {
    super.wide(lo, hi, cpl);
    this.#begin();
  }
  override within(segment: Descriptor, sp: number, cpl: number): void {
    super.within(segment, sp, cpl);
    this.#begin();
  }

  /** Delivery in 64-bit mode pushes on a multiple of 16. */
  align(): void {
    this.spLo = (this.spLo & ~15) >>> 0;
  }

  #begin(): void {
    this.#count = 0;
    this.#located = true;
  }

  /** Notes a slot; nothing is written before commit(). */
  push(size: number, lo: number, hi = 0): void {
    this.move(-size);
    this.#located &&= this.locate(size);
    const slots = this.#slots;
    const at = this.#count++ * SLOT;
    slots[at] = size;
    slots[at + 1] = lo;
    slots[at + 2] = hi;
    slots[at + 3] = this.linearLo;
    slots[at + 4] = this.linearHi;
  }

  /** Is there room for all slots: in the segment, else #SS(code), and in memory? */
  check(code: number): boolean {
    if (!this.#located) return this.fault.raise(VECTOR.SS, code);
    const slots = this.#slots;
    let page = -1;
    for (let i = 0; i < this.#count * SLOT; i += SLOT) {
      const size = slots[i]!;
      const lo = slots[i + 3]!;
      const crosses = (lo & 0xfff) + size > 0x1000;
      if (lo >>> 12 === page && !crosses) continue;
      if (!this.memory.writable(lo, slots[i + 4]!, size, this.access)) return this.fault.from(this.memory);
      page = crosses ? -1 : lo >>> 12;
    }
    return true;
  }

  /** Writes the slots that check() allowed, and RSP. */
  commit(): void {
    const slots = this.#slots;
    for (let i = 0; i < this.#count * SLOT; i += SLOT) {
      this.memory.write(slots[i + 3]!, slots[i + 4]!, slots[i]!, slots[i + 1]!, slots[i + 2]!, this.access);
    }
    this.store();
  }
}

export class PopFrame extends Stack {
  /** The slot that pop() read. */
  lo = 0;
  hi = 0;

  /** The next slot; #SS(0) where the segment does not hold it. RSP changes with store() only. */
  pop(size: number): boolean {
    if (!this.locate(size)) return this.fault.raise(VECTOR.SS, 0);
    if (!this.memory.read(this.linearLo, this.linearHi, size, this.access)) return this.fault.from(this.memory);
    this.lo = this.memory.value;
    this.hi = this.memory.valueHigh;
    this.move(size);
    return true;
  }

  /** Leaves out `bytes` of parameters. */
  release(bytes: number): void {
    this.move(bytes);
  }
}
