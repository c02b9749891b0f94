/**
 * ENTER: the stack frame of a procedure of a nested language.
 * Document: SDM volume 2, ENTER; volume 1, 6.6 (procedure calls for block-structured languages).
 * Left out: nothing; LEAVE is in isa/insn/stack.ts.
 */

import { ACCESS } from "../cpu/access.ts";
import { sumHigh } from "../cpu/address.ts";
import { BOUNDS, boundsRow } from "../cpu/bounds.ts";
import { MODE } from "../cpu/control.ts";
import { VECTOR } from "../cpu/fault.ts";
import { CPU, GPR, SEG } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import type { GuestMemoryUnit } from "../mmu/memory.ts";

/** A 64-bit number. */
interface Word {
  readonly lo: number;
  readonly hi: number;
}

const STACK_BASE = CPU.segBase + SEG.ss * 8;
const MAX_LEVEL = 31;

export class EnterUnit {
  readonly #state: VcpuState;
  readonly #memory: GuestMemoryUnit;
  /** After a fault: what to raise. */
  faultVector = 0;
  faultCode = 0;

  constructor(state: VcpuState, memory: GuestMemoryUnit) {
    this.#state = state;
    this.#memory = memory;
  }

  /** False on a fault: no register has changed. `size`: bytes of an operand; `bytes`: of local variables. */
  enter(size: number, bytes: number, nesting: number): boolean {
    const state = this.#state;
    const level = nesting & MAX_LEVEL;
    let bp: Word = { lo: state.gpr(GPR.rbp), hi: state.high(CPU.gpr + GPR.rbp * 8) };
    let sp = this.#below({ lo: state.gpr(GPR.rsp), hi: state.high(CPU.gpr + GPR.rsp * 8) }, size);
    if (!this.#put(sp, bp, size)) return false;
    // Of a 16-bit stack too the frame pointer of 32-bit code is the whole of ESP.
    const top = this.#stackBytes() === 2 ? { lo: ((state.gpr(GPR.rsp) & 0xffff_0000) | sp.lo) >>> 0, hi: 0 } : sp;
    for (let i = 1; i < level; i++) {
      bp = this.#below(bp, size);
      sp = this.#below(sp, size);
      const link = this.#get(bp, size);
      if (link === undefined || !this.#put(sp, link, size)) return false;
    }
    if (level > 0) {
      sp = this.#below(sp, size);
      if (!this.#put(sp, top, size)) return false;
    }
    sp = this.#below(sp, bytes);
    // A write at the new stack pointer must be possible, though none is made.
    if (this.#linear(sp, size, true) === undefined) return false;
    this.#setRegister(GPR.rbp, top, size);
    this.#setRegister(GPR.rsp, sp, this.#stackBytes());
    return true;
  }

  #stackBytes(): number {
    const mode = this.#state.get(CPU.mode);
    return (mode & MODE.codeSize) === MODE.code64 ? 8 : mode & MODE.stack32 ? 4 : 2;
  }

  #below(offset: Word, bytes: number): Word {
    const size = this.#stackBytes();
    const lo = (offset.lo - bytes) >>> 0;
    return size === 8
      ? { lo, hi: sumHigh(offset.lo, offset.hi, -bytes) }
      : { lo: size === 2 ? lo & 0xffff : lo, hi: 0 };
  }

  /** The linear address of an access that is allowed; undefined on a fault. */
  #linear(offset: Word, size: number, write: boolean): Word | undefined {
    const state = this.#state;
    const memory = this.#memory;
    const long = this.#stackBytes() === 8;
    let at = offset;
    if (long) {
      const last = { lo: (offset.lo + size - 1) >>> 0, hi: sumHigh(offset.lo, offset.hi, size - 1) };
      if (!isCanonical(offset) || !isCanonical(last)) return this.#fault(VECTOR.SS, 0);
    } else {
      const row = CPU.bounds + boundsRow(SEG.ss, write) * BOUNDS.size;
      const isOpen = state.high(row + BOUNDS.high) !== 0;
      const low = state.get(row + BOUNDS.low);
      if (!isOpen && (offset.lo < low || offset.lo + size - 1 > state.get(row + BOUNDS.high))) {
        return this.#fault(VECTOR.SS, 0);
      }
      at = { lo: (offset.lo + state.get(STACK_BASE)) >>> 0, hi: 0 };
    }
    const access = (write ? ACCESS.write : ACCESS.read) | memory.dataAccess;
    return memory.translate(at.lo, at.hi, access) ? at : this.#fault(memory.faultVector, memory.faultCode);
  }

  #put(offset: Word, value: Word, size: number): boolean {
    const at = this.#linear(offset, size, true);
    if (at === undefined) return false;
    const memory = this.#memory;
    this.#state.set64(CPU.bounce, value.lo, value.hi);
    if (memory.writeBytes(at.lo, at.hi, size, memory.dataAccess)) return true;
    this.#fault(memory.faultVector, memory.faultCode);
    return false;
  }

  #get(offset: Word, size: number): Word | undefined {
    const at = this.#linear(offset, size, false);
    if (at === undefined) return undefined;
    const memory = this.#memory;
    const state = this.#state;
    state.set64(CPU.bounce, 0, 0);
    if (!memory.readBytes(at.lo, at.hi, size, memory.dataAccess)) {
      return this.#fault(memory.faultVector, memory.faultCode);
    }
    return { lo: state.get(CPU.bounce), hi: state.high(CPU.bounce) };
  }

  #setRegister(register: number, value: Word, size: number): void {
    const state = this.#state;
    const old = state.gpr(register);
    if (size === 2) state.set(CPU.gpr + register * 8, (old & 0xffff_0000) | (value.lo & 0xffff));
    else state.set64(CPU.gpr + register * 8, value.lo, size === 8 ? value.hi : 0);
  }

  #fault(vector: number, code: number): undefined {
    this.faultVector = vector;
    this.faultCode = code;
  }
}

function isCanonical({ hi }: Word): boolean {
  return hi === ((hi << 16) >> 16) >>> 0;
}
