/**
 * One event through its gate: real mode's vector table, or interrupt and trap gates of the IDT.
 * Document: SDM volume 3, 6.11 to 6.14 and 20.1.4, 20.3 (real and virtual-8086 mode); volume 2, INT n (pseudo-code, error codes).
 * Left out: what a task gate leads to: engine/far/task-switch.ts; what stays in virtual-8086 mode:
 * virtual-interrupt.ts.
 *
 * Everything is checked before anything is written: after a fault the state is as it was.
 */

import { canonicalHigh, sumHigh } from "./address.ts";
import { CR0, EFER, updateMode } from "./control.ts";
import { ACCESSED, Descriptor, type DescriptorTables } from "./descriptor.ts";
import { type Fault, SELECTOR_INDEX, VECTOR } from "./fault.ts";
import { ARITHMETIC, RFLAGS, readFlags } from "./flags.ts";
import { setNullSegment, setRealSegment, setSegment } from "./segment-register.ts";
import { PushFrame } from "./stack-frame.ts";
import { CPU, GPR, SEG } from "./state.ts";
import type { SystemMemory } from "./system-memory.ts";
import { NO_CODE, type TaskState, type TaskSwitcher } from "./task-state.ts";
import type { VcpuState } from "./vcpu-state.ts";

/**
 * Why an event is delivered: it decides about EXT, the gate's DPL and the RF that is pushed. `software` is INT n, INT3 and
 * INTO; `abort` the double fault; INT1 is a `trap`, as is an instruction breakpoint, which must not push RF set.
 */
export type Source = "fault" | "trap" | "abort" | "interrupt" | "software";

/** Exceptions that push an error code. */
const WITH_CODE = new Set<number>([VECTOR.DF, VECTOR.TS, VECTOR.NP, VECTOR.SS, VECTOR.GP, VECTOR.PF, VECTOR.AC]);

/** Gate types; bit 3 is the size, and a 64-bit gate has the number of a 32-bit one. */
const GATE = { task: 5, interrupt16: 6, trap16: 7, interrupt32: 14, trap32: 15 } as const;
const WIDE_GATE = 8;
const EXTERNAL = 1;
const IN_IDT = 2;
const RSP = CPU.gpr + GPR.rsp * 8;

export class InterruptGate {
  readonly #state: VcpuState;
  readonly #memory: SystemMemory;
  readonly #fault: Fault;
  readonly #tables: DescriptorTables;
  readonly #task: TaskState;
  readonly #tasks: TaskSwitcher;
  readonly #frame: PushFrame;
  readonly #code = new Descriptor();
  readonly #stack = new Descriptor();
  // Of the event under way.
  #source: Source = "fault";
  #ext = 0;
  #errorCode = NO_CODE;
  #long = false;
  // Of its gate.
  #offset = 0;
  #offsetHigh = 0;
  #type = 0;
  #ist = 0;

  constructor(
    state: VcpuState,
    memory: SystemMemory,
    fault: Fault,
    tables: DescriptorTables,
    task: TaskState,
    tasks: TaskSwitcher,
  ) {
    this.#state = state;
    this.#memory = memory;
    this.#fault = fault;
    this.#tables = tables;
    this.#task = task;
    this.#tasks = tasks;
    this.#frame = new PushFrame(state, memory, fault);
  }

  /** Enters the handler; CPU.rip is the RIP to push. False on a fault. */
  enter(vector: number, code: number, source: Source): boolean {
    const state = this.#state;
    this.#source = source;
    if (!(state.get(CPU.cr0) & CR0.PE)) return this.#real(vector);
    this.#ext = source === "software" ? 0 : EXTERNAL;
    this.#long = (state.get(CPU.efer) & EFER.LMA) !== 0;
    this.#errorCode = source !== "software" && source !== "interrupt" && WITH_CODE.has(vector) ? code : NO_CODE;
    if (!this.#readGate(vector)) return false;
    if (this.#type !== GATE.task) return this.#target();
    return this.#tasks.switchTo(this.#code.selector, "event", this.#ext, this.#errorCode, source === "fault");
  }

  #real(vector: number): boolean {
    const state = this.#state;
    const fault = this.#fault;
    if (vector * 4 + 3 > state.get(CPU.idtLimit)) return fault.raise(VECTOR.GP, 0);
    if (!this.#memory.read((state.get(CPU.idtBase) + vector * 4) >>> 0, 0, 4)) return fault.from(this.#memory);
    const entry = this.#memory.value;
    const flags = readFlags(state.u32, state.zone);
    const frame = this.#frame;
    frame.current();
    frame.push(2, flags & 0xffff);
    frame.push(2, state.get(CPU.selector + SEG.cs * 4));
    frame.push(2, state.get(CPU.rip) & 0xffff);
    if (!frame.check(0)) return false;
    frame.commit();
    setRealSegment(state, SEG.cs, entry >>> 16);
    this.#finish(entry & 0xffff, 0, RFLAGS.IF | RFLAGS.TF | RFLAGS.AC | RFLAGS.RF);
    return true;
  }

  #readGate(vector: number): boolean {
    const state = this.#state;
    const fault = this.#fault;
    const memory = this.#memory;
    const size = this.#long ? 16 : 8;
    const code = vector * 8 + IN_IDT + this.#ext;
    if (vector * size + size - 1 > state.get(CPU.idtLimit)) return fault.raise(VECTOR.GP, code);
    const lo = (state.get(CPU.idtBase) + vector * size) >>> 0;
    const hi = this.#long ? sumHigh(state.get(CPU.idtBase), state.high(CPU.idtBase), vector * size) : 0;
    if (this.#long) {
      if (!memory.read((lo + 8) >>> 0, sumHigh(lo, hi, 8), 4)) return fault.from(memory);
      this.#offsetHigh = memory.value;
    } else this.#offsetHigh = 0;
    if (!memory.read(lo, hi, 8)) return fault.from(memory);
    const [low, high] = [memory.value, memory.valueHigh];
    const type = (high >>> 8) & 0x1f;
    const known = type === GATE.interrupt32 || type === GATE.trap32;
    const legacy = type === GATE.task || type === GATE.interrupt16 || type === GATE.trap16;
    if (!known && !(legacy && !this.#long)) return fault.raise(VECTOR.GP, code);
    if (this.#source === "software" && ((high >>> 13) & 3) < state.get(CPU.cpl)) return fault.raise(VECTOR.GP, code);
    if (!(high & 0x8000)) return fault.raise(VECTOR.NP, code);
    this.#type = type;
    this.#offset = ((type & WIDE_GATE ? high & 0xffff_0000 : 0) | (low & 0xffff)) >>> 0;
    this.#ist = this.#long ? high & 7 : 0;
    this.#code.selector = low >>> 16;
    return true;
  }

  /** The gate's code segment decides about a change of privilege. */
  #target(): boolean {
    const state = this.#state;
    const fault = this.#fault;
    const code = this.#code;
    const ext = this.#ext;
    const cpl = state.get(CPU.cpl);
    const virtual = (state.get(CPU.eflags) & RFLAGS.VM) !== 0;
    if ((code.selector & SELECTOR_INDEX) === 0) return fault.raise(VECTOR.GP, ext);
    if (!this.#tables.read(code, code.selector, VECTOR.GP, ext)) return false;
    if (!code.isCode || code.dpl > cpl) return fault.raise(VECTOR.GP, code.index + ext);
    if (this.#long && !code.isCode64) return fault.raise(VECTOR.GP, code.index + ext);
    if (!code.present) return fault.raise(VECTOR.NP, code.index + ext);
    const inner = !code.conforming && code.dpl < cpl;
    // Virtual-8086 code is left for privilege level 0 only.
    if (virtual && (!inner || code.dpl !== 0)) return fault.raise(VECTOR.GP, code.index + ext);
    if (this.#long) return this.#long64(inner);
    return inner ? this.#inner(virtual) : this.#same();
  }

  /** RFLAGS as pushed: a fault pushes RF set, so that the instruction restarts without a debug fault. */
  get #image(): number {
    const flags = readFlags(this.#state.u32, this.#state.zone);
    return this.#source === "fault" ? (flags | RFLAGS.RF) >>> 0 : flags;
  }

  /** Flags, CS, RIP and the error code, of the gate's size. */
  #pushReturn(size: number): void {
    const state = this.#state;
    const frame = this.#frame;
    frame.push(size, this.#image);
    frame.push(size, state.get(CPU.selector + SEG.cs * 4));
    frame.push(size, state.get(CPU.rip), state.high(CPU.rip));
    if (this.#errorCode !== NO_CODE) frame.push(size, this.#errorCode);
  }

  get #slot(): number {
    return this.#type & WIDE_GATE ? 4 : 2;
  }

  #withinLimit(): boolean {
    return this.#offset <= this.#code.limit || this.#fault.raise(VECTOR.GP, this.#ext);
  }

  #same(): boolean {
    const frame = this.#frame;
    frame.current();
    this.#pushReturn(this.#slot);
    if (!frame.check(this.#ext) || !this.#withinLimit() || !this.#tables.mark(this.#code, ACCESSED)) return false;
    frame.commit();
    this.#enterCode(this.#state.get(CPU.cpl));
    return true;
  }

  /** To an inner level, on its stack of the TSS. */
  #inner(virtual: boolean): boolean {
    const state = this.#state;
    const frame = this.#frame;
    const stack = this.#stack;
    const tables = this.#tables;
    const level = this.#code.dpl;
    const size = this.#slot;
    if (!this.#task.innerStack(level, stack, this.#ext)) return false;
    frame.within(stack, this.#task.spLo, level);
    if (virtual) {
      for (const segment of [SEG.gs, SEG.fs, SEG.ds, SEG.es]) frame.push(size, state.get(CPU.selector + segment * 4));
    }
    frame.push(size, state.get(CPU.selector + SEG.ss * 4));
    frame.push(size, state.get(RSP));
    this.#pushReturn(size);
    if (!frame.check(stack.index + this.#ext) || !this.#withinLimit()) return false;
    if (!tables.mark(stack, ACCESSED) || !tables.mark(this.#code, ACCESSED)) return false;
    frame.commit();
    if (virtual) {
      for (const segment of [SEG.gs, SEG.fs, SEG.ds, SEG.es]) setNullSegment(state, segment, 0, 0);
    }
    setSegment(state, SEG.ss, stack.selector, stack);
    this.#enterCode(level);
    return true;
  }

  /** IA-32e mode: SS:RSP is always pushed, on a multiple of 16; with a change of level SS becomes null. */
  #long64(inner: boolean): boolean {
    const state = this.#state;
    const frame = this.#frame;
    const level = inner ? this.#code.dpl : state.get(CPU.cpl);
    if (inner || this.#ist !== 0) {
      if (!this.#task.wideStack(level, this.#ist, this.#ext)) return false;
      frame.wide(this.#task.spLo, this.#task.spHi, level);
    } else frame.wide(state.get(RSP), state.high(RSP), level);
    frame.align();
    frame.push(8, state.get(CPU.selector + SEG.ss * 4));
    frame.push(8, state.get(RSP), state.high(RSP));
    this.#pushReturn(8);
    if (!frame.check(this.#ext)) return false;
    if (!canonicalHigh(this.#offsetHigh)) return this.#fault.raise(VECTOR.GP, this.#ext);
    if (!this.#tables.mark(this.#code, ACCESSED)) return false;
    frame.commit();
    if (inner) setNullSegment(state, SEG.ss, level, level);
    this.#enterCode(level);
    return true;
  }

  #enterCode(level: number): void {
    setSegment(this.#state, SEG.cs, (this.#code.selector & ~3) | level, this.#code);
    const masks = this.#type === GATE.interrupt32 || this.#type === GATE.interrupt16;
    const cleared = RFLAGS.TF | RFLAGS.NT | RFLAGS.RF | RFLAGS.VM | (masks ? RFLAGS.IF : 0);
    this.#finish(this.#offset, this.#offsetHigh, cleared);
  }

  #finish(lo: number, hi: number, cleared: number): void {
    const state = this.#state;
    state.set(CPU.eflags, readFlags(state.u32, state.zone) & ~cleared & ~ARITHMETIC);
    state.set64(CPU.rip, lo, hi);
    state.set(CPU.shadow, 0);
    updateMode(state.u32, state.zone);
  }
}
