/**
 * Delivery of exceptions and interrupts through the IDT, double and triple faults.
 * Document: SDM volume 3, 6.10 to 6.15 (gates, error codes, priorities), 6.14 (64-bit mode, IST).
 * Left out: task gates, 16-bit gates, real mode, changes of privilege: each ends the run by name. Debug exceptions.
 */

import { CR0, EFER, updateMode } from "./control.ts";
import { ARITHMETIC, RFLAGS, readFlags, writeFlags } from "./flags.ts";
import { ATTRIBUTE, descriptorAttributes, descriptorBase, descriptorLimit } from "./segment.ts";
import { CPU, GPR, SEG } from "./state.ts";
import type { VcpuState } from "./vcpu-state.ts";

export const VECTOR = {
  DE: 0,
  DB: 1,
  BP: 3,
  OF: 4,
  UD: 6,
  NM: 7,
  DF: 8,
  TS: 10,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  MF: 16,
  AC: 17,
} as const;

/** Exceptions that push an error code. */
const WITH_CODE = new Set<number>([VECTOR.DF, VECTOR.TS, VECTOR.NP, VECTOR.SS, VECTOR.GP, VECTOR.PF, VECTOR.AC]);
/** SDM volume 3, table 6-4. */
const CONTRIBUTORY = new Set<number>([VECTOR.DE, VECTOR.TS, VECTOR.NP, VECTOR.SS, VECTOR.GP]);

/** What delivery needs of guest memory: accesses by the processor itself, at supervisor level. */
export interface SystemMemory {
  /** u32 at a linear address into `value`; false on a fault. */
  read32(lo: number, hi: number): boolean;
  readonly value: number;
  write32(lo: number, hi: number, value: number): boolean;
  readonly faultVector: number;
  readonly faultCode: number;
}

/** Outcome of a step: delivered, another fault came up, or something that is not built. */
type Outcome = "done" | "fault" | "unbuilt";
/** Why the delivery happens: it decides what gate checks and flag images apply. */
export type Source = "fault" | "trap" | "interrupt" | "software";

const GATE = { interrupt32: 0xe, trap32: 0xf, task: 5 } as const;
const EXTERNAL = 1;
const IN_IDT = 2;

export class ExceptionUnit {
  readonly #state: VcpuState;
  readonly #memory: SystemMemory;
  /** After "unbuilt": what is missing. */
  unbuilt = "";
  #vector = 0;
  #code = 0;

  constructor(state: VcpuState, memory: SystemMemory) {
    this.#state = state;
    this.#memory = memory;
  }

  /**
   * Delivers; CPU.rip is the RIP to push. Faults on the way become a double fault, and then "shutdown".
   * "unbuilt": see `unbuilt`; the state is as before. `length`: of a software interrupt; a fault is reported at its start.
   */
  deliver(vector: number, code: number, source: Source, length = 0): "done" | "shutdown" | "unbuilt" {
    let current = vector;
    let currentCode = code;
    let from = source;
    for (;;) {
      const outcome = this.#through(current, currentCode, from);
      if (outcome !== "fault") return outcome;
      if (current === VECTOR.DF) return "shutdown";
      if (from === "software") {
        const start = add64(this.#state.get(CPU.rip), this.#state.high(CPU.rip), -length, true);
        this.#state.set64(CPU.rip, start.lo, start.hi);
      }
      const isException = from === "fault" || from === "trap";
      const second = this.#vector;
      const double =
        isException &&
        (current === VECTOR.PF
          ? second === VECTOR.PF || CONTRIBUTORY.has(second)
          : CONTRIBUTORY.has(current) && CONTRIBUTORY.has(second));
      current = double ? VECTOR.DF : second;
      currentCode = double ? 0 : this.#code;
      from = "fault";
    }
  }

  #raise(vector: number, code: number): Outcome {
    this.#vector = vector;
    this.#code = code;
    return "fault";
  }

  #memoryFault(): Outcome {
    return this.#raise(this.#memory.faultVector, this.#memory.faultCode);
  }

  #notBuilt(what: string): Outcome {
    this.unbuilt = what;
    return "unbuilt";
  }

  #through(vector: number, code: number, source: Source): Outcome {
    const state = this.#state;
    const memory = this.#memory;
    if (!(state.get(CPU.cr0) & CR0.PE)) return this.#notBuilt("interrupts in real mode");
    const long = (state.get(CPU.efer) & EFER.LMA) !== 0;
    const size = long ? 16 : 8;
    const external = source === "software" ? 0 : EXTERNAL;
    const idtCode = vector * 8 + IN_IDT + external;
    if (vector * size + size - 1 > state.get(CPU.idtLimit)) return this.#raise(VECTOR.GP, idtCode);
    const at = add64(state.get(CPU.idtBase), state.high(CPU.idtBase), vector * size, long);
    const words: number[] = [];
    for (let i = 0; i < size; i += 4) {
      const word = add64(at.lo, at.hi, i, long);
      if (!memory.read32(word.lo, word.hi)) return this.#memoryFault();
      words.push(memory.value);
    }
    const [low, high, offsetHigh = 0] = words as [number, number, number?];
    const type = (high >>> 8) & 0x1f;
    if (type !== GATE.interrupt32 && type !== GATE.trap32) {
      if (!long && type === GATE.task) return this.#notBuilt("task gate");
      if (!long && (type === 6 || type === 7)) return this.#notBuilt("16-bit gate");
      return this.#raise(VECTOR.GP, idtCode);
    }
    const cpl = state.get(CPU.cpl);
    if (source === "software" && ((high >>> 13) & 3) < cpl) return this.#raise(VECTOR.GP, idtCode);
    if (!(high & 0x8000)) return this.#raise(VECTOR.NP, idtCode);
    const offset = ((high & 0xffff_0000) | (low & 0xffff)) >>> 0;
    return this.#enter(vector, code, source, low >>> 16, offset, offsetHigh, type === GATE.interrupt32, high & 7, long);
  }

  #enter(
    vector: number,
    code: number,
    source: Source,
    selector: number,
    offset: number,
    offsetHigh: number,
    masks: boolean,
    ist: number,
    long: boolean,
  ): Outcome {
    const state = this.#state;
    const memory = this.#memory;
    const external = source === "software" ? 0 : EXTERNAL;
    if ((selector & 0xfffc) === 0) return this.#raise(VECTOR.GP, external);
    if (selector & 4) return this.#notBuilt("gate to a segment of the LDT");
    if ((selector | 7) > state.get(CPU.gdtLimit)) return this.#raise(VECTOR.GP, (selector & 0xfffc) + external);
    const at = add64(state.get(CPU.gdtBase), state.high(CPU.gdtBase), selector & 0xfff8, long);
    if (!memory.read32(at.lo, at.hi)) return this.#memoryFault();
    const low = memory.value;
    const next = add64(at.lo, at.hi, 4, long);
    if (!memory.read32(next.lo, next.hi)) return this.#memoryFault();
    const high = memory.value;
    const attributes = descriptorAttributes(high);
    const cpl = state.get(CPU.cpl);
    const dpl = (attributes & ATTRIBUTE.dpl) >>> 5;
    if ((attributes & (ATTRIBUTE.s | ATTRIBUTE.code)) !== (ATTRIBUTE.s | ATTRIBUTE.code) || dpl > cpl) {
      return this.#raise(VECTOR.GP, (selector & 0xfffc) + external);
    }
    if (long && (attributes & (ATTRIBUTE.l | ATTRIBUTE.db)) !== ATTRIBUTE.l) {
      return this.#raise(VECTOR.GP, (selector & 0xfffc) + external);
    }
    if (!(attributes & ATTRIBUTE.present)) return this.#raise(VECTOR.NP, (selector & 0xfffc) + external);
    if (dpl < cpl && !(attributes & ATTRIBUTE.expandDown))
      return this.#notBuilt("interrupt to a more privileged level");
    const hasCode = (source === "fault" || source === "trap") && WITH_CODE.has(vector);
    const pushed = long ? this.#push64(ist, hasCode ? code : -1, source) : this.#push32(hasCode ? code : -1, source);
    if (pushed !== "done") return pushed;
    const flags = readFlags(state.u32, state.zone);
    const cleared = RFLAGS.TF | RFLAGS.NT | RFLAGS.RF | RFLAGS.VM | (masks ? RFLAGS.IF : 0);
    state.set(CPU.eflags, flags & ~cleared & ~ARITHMETIC);
    state.set64(CPU.rip, offset, long ? offsetHigh : 0);
    state.set(CPU.selector + SEG.cs * 4, (selector & 0xfffc) | cpl);
    state.set64(CPU.segBase + SEG.cs * 8, descriptorBase(low, high), 0);
    state.set(CPU.limit + SEG.cs * 4, descriptorLimit(low, high));
    state.set(CPU.attributes + SEG.cs * 4, attributes);
    state.set(CPU.shadow, 0);
    updateMode(state.u32, state.zone);
    return "done";
  }

  /** RFLAGS as pushed: a fault pushes RF set, so that the instruction restarts without a debug fault. */
  #image(source: Source): number {
    const flags = readFlags(this.#state.u32, this.#state.zone);
    return source === "fault" ? flags | RFLAGS.RF : flags;
  }

  #push32(code: number, source: Source): Outcome {
    const state = this.#state;
    if (!(state.get(CPU.attributes + SEG.ss * 4) & ATTRIBUTE.db)) return this.#notBuilt("interrupt on a 16-bit stack");
    const base = state.get(CPU.segBase + SEG.ss * 8);
    const frame = [this.#image(source), state.get(CPU.selector + SEG.cs * 4), state.get(CPU.rip)];
    if (code >= 0) frame.push(code);
    let sp = state.gpr(GPR.rsp);
    for (const word of frame) {
      sp = (sp - 4) >>> 0;
      if (!this.#memory.write32((base + sp) >>> 0, 0, word)) return this.#memoryFault();
    }
    state.setGpr(GPR.rsp, sp);
    return "done";
  }

  #push64(ist: number, code: number, source: Source): Outcome {
    const state = this.#state;
    const memory = this.#memory;
    let top = { lo: state.gpr(GPR.rsp), hi: state.high(CPU.gpr + GPR.rsp * 8) };
    if (ist !== 0) {
      // SDM volume 3, figure 8-11: IST1 at offset 36 of the 64-bit TSS.
      const offset = 36 + (ist - 1) * 8;
      if (offset + 7 > state.get(CPU.limit + SEG.tr * 4))
        return this.#raise(VECTOR.TS, state.get(CPU.selector + SEG.tr * 4) & 0xfffc);
      const slot = add64(state.get(CPU.trBase), state.high(CPU.trBase), offset, true);
      if (!memory.read32(slot.lo, slot.hi)) return this.#memoryFault();
      const lo = memory.value;
      const upper = add64(slot.lo, slot.hi, 4, true);
      if (!memory.read32(upper.lo, upper.hi)) return this.#memoryFault();
      top = { lo, hi: memory.value };
    }
    const frame: (readonly [lo: number, hi: number])[] = [
      [state.get(CPU.selector + SEG.ss * 4), 0],
      [state.gpr(GPR.rsp), state.high(CPU.gpr + GPR.rsp * 8)],
      [this.#image(source), 0],
      [state.get(CPU.selector + SEG.cs * 4), 0],
      [state.get(CPU.rip), state.high(CPU.rip)],
    ];
    if (code >= 0) frame.push([code, 0]);
    let sp = { lo: (top.lo & ~15) >>> 0, hi: top.hi };
    for (const [lo, hi] of frame) {
      sp = add64(sp.lo, sp.hi, -8, true);
      const upper = add64(sp.lo, sp.hi, 4, true);
      if (!memory.write32(sp.lo, sp.hi, lo) || !memory.write32(upper.lo, upper.hi, hi)) return this.#memoryFault();
    }
    state.set64(CPU.gpr + GPR.rsp * 8, sp.lo, sp.hi);
    return "done";
  }
}

/** hi:lo + delta (|delta| < 2^31), in 64 bits or, outside long mode, in 32. */
export function add64(lo: number, hi: number, delta: number, long: boolean): { lo: number; hi: number } {
  const sum = lo + delta;
  const carry = sum < 0 ? -1 : sum > 0xffff_ffff ? 1 : 0;
  return { lo: sum >>> 0, hi: long ? (hi + carry) >>> 0 : 0 };
}

/** Sets RFLAGS bits that POPF and IRET may change at this CPL (SDM volume 2, POPF). `width` 16 leaves the upper half. */
export function popFlags(state: VcpuState, value: number, width: number, fromIret: boolean): void {
  const old = readFlags(state.u32, state.zone);
  const cpl = state.get(CPU.cpl);
  let writable: number = ARITHMETIC | RFLAGS.TF | RFLAGS.DF | RFLAGS.NT | RFLAGS.AC | RFLAGS.ID;
  if (fromIret) writable |= RFLAGS.RF;
  if (cpl <= (old & RFLAGS.IOPL) >>> 12) writable |= RFLAGS.IF;
  if (cpl === 0) writable |= RFLAGS.IOPL;
  if (width === 16) writable &= 0xffff;
  const result = (old & ~writable) | (value & writable);
  writeFlags(state.u32, state.zone, fromIret ? result : result & ~RFLAGS.RF);
  // SMAP: AC decides which TLBs serve.
  if ((old ^ result) & RFLAGS.AC) updateMode(state.u32, state.zone);
}
