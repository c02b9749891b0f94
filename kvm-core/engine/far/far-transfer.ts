/**
 * Far JMP and far CALL: to a code segment, or through a call gate.
 * Document: SDM volume 3, 5.8 (privilege, call gates, stack switches); volume 2, JMP and CALL (pseudo-code, error codes).
 * Left out: task switches, by TSS selector or task gate, end the run by name until they are built.
 */

import { ACCESSED, Descriptor, type DescriptorTables, SYSTEM_TYPE } from "../../cpu/descriptor.ts";
import { type Fault, SELECTOR_INDEX, VECTOR } from "../../cpu/fault.ts";
import { setNullSegment, setSegment } from "../../cpu/segment-register.ts";
import { PopFrame, PushFrame } from "../../cpu/stack-frame.ts";
import { CPU, GPR, SEG } from "../../cpu/state.ts";
import type { SystemMemory } from "../../cpu/system-memory.ts";
import { NO_CODE, type TaskState, type TaskSwitcher } from "../../cpu/task-state.ts";
import type { VcpuState } from "../../cpu/vcpu-state.ts";
import { CodeSegment } from "./code-segment.ts";
import type { SegmentUnit } from "./segments.ts";

const RSP = CPU.gpr + GPR.rsp * 8;
const MAX_PARAMETERS = 31;

export class FarTransfer {
  readonly #state: VcpuState;
  readonly #fault: Fault;
  readonly #tables: DescriptorTables;
  readonly #segments: SegmentUnit;
  readonly #tasks: TaskSwitcher;
  readonly #task: TaskState;
  readonly #code: CodeSegment;
  readonly #gate = new Descriptor();
  readonly #stack = new Descriptor();
  readonly #frame: PushFrame;
  readonly #old: PopFrame;
  readonly #parameters = new Uint32Array(MAX_PARAMETERS);

  constructor(
    state: VcpuState,
    memory: SystemMemory,
    fault: Fault,
    tables: DescriptorTables,
    task: TaskState,
    segments: SegmentUnit,
    tasks: TaskSwitcher,
  ) {
    this.#state = state;
    this.#fault = fault;
    this.#tables = tables;
    this.#task = task;
    this.#segments = segments;
    this.#tasks = tasks;
    this.#code = new CodeSegment(state, fault);
    this.#frame = new PushFrame(state, memory, fault);
    this.#old = new PopFrame(state, memory, fault);
  }

  /** `size`: bytes of a pushed slot, 0 for JMP. CPU.rip is the return address. False: see the Fault. */
  transfer(selector: number, lo: number, hi: number, size: number): boolean {
    const fault = this.#fault;
    const { descriptor } = this.#code;
    if (!this.#segments.protectedMode) return this.#to8086(selector, lo, size);
    if ((selector & SELECTOR_INDEX) === 0) return fault.raise(VECTOR.GP, 0);
    if (!this.#tables.read(descriptor, selector)) return false;
    if (descriptor.isCode) return this.#direct(lo, hi, size);
    if (descriptor.isSegment) return fault.raise(VECTOR.GP, descriptor.index);
    return this.#system(size !== 0);
  }

  #to8086(selector: number, offset: number, size: number): boolean {
    const frame = this.#frame;
    if (size !== 0) {
      frame.current();
      this.#pushReturn(size);
      if (!frame.check(0)) return false;
    }
    if (!this.#code.holds8086(offset)) return false;
    if (size !== 0) frame.commit();
    this.#code.go8086(selector, offset);
    return true;
  }

  #direct(lo: number, hi: number, size: number): boolean {
    const fault = this.#fault;
    const cpl = this.#state.get(CPU.cpl);
    const { descriptor: d, long } = this.#code;
    const reachable = d.conforming ? d.dpl <= cpl : d.dpl === cpl && d.rpl <= cpl;
    if (!reachable || (long && d.reservedSize)) return fault.raise(VECTOR.GP, d.index);
    return d.present ? this.#same(lo, hi, size) : fault.raise(VECTOR.NP, d.index);
  }

  /** To a code segment that has been checked, at the same privilege level. */
  #same(lo: number, hi: number, size: number, wideStack = false): boolean {
    const frame = this.#frame;
    const state = this.#state;
    if (size !== 0) {
      if (wideStack) frame.wide(state.get(RSP), state.high(RSP), state.get(CPU.cpl));
      else frame.current();
      this.#pushReturn(size);
      if (!frame.check(0)) return false;
    }
    if (!this.#code.holds(lo, hi) || !this.#tables.mark(this.#code.descriptor, ACCESSED)) return false;
    if (size !== 0) frame.commit();
    this.#code.go(lo, hi, state.get(CPU.cpl));
    return true;
  }

  #pushReturn(size: number): void {
    const state = this.#state;
    this.#frame.push(size, state.get(CPU.selector + SEG.cs * 4));
    this.#frame.push(size, state.get(CPU.rip), state.high(CPU.rip));
  }

  /** The selector is of a gate or a TSS. */
  #system(isCall: boolean): boolean {
    const fault = this.#fault;
    const gate = this.#gate;
    const { descriptor: found, long } = this.#code;
    gate.selector = found.selector;
    gate.low = found.low;
    gate.high = found.high;
    const { type, index } = gate;
    const isGate = type === SYSTEM_TYPE.callGate32 || (!long && type === SYSTEM_TYPE.callGate16);
    const isTask = type === SYSTEM_TYPE.taskGate || type === SYSTEM_TYPE.tss16 || type === SYSTEM_TYPE.tss32;
    if (!isGate && (long || !isTask)) return fault.raise(VECTOR.GP, index);
    if (gate.dpl < this.#state.get(CPU.cpl) || gate.dpl < gate.rpl) return fault.raise(VECTOR.GP, index);
    if (isGate && long && !this.#tables.readUpper(gate)) return false;
    if (!gate.present) return fault.raise(VECTOR.NP, index);
    if (!isGate) {
      const task = type === SYSTEM_TYPE.taskGate ? gate.low >>> 16 : gate.selector;
      return this.#tasks.switchTo(task, isCall ? "call" : "jump", 0, NO_CODE, false);
    }
    return this.#throughGate(isCall);
  }

  #throughGate(isCall: boolean): boolean {
    const fault = this.#fault;
    const gate = this.#gate;
    const code = this.#code;
    const { descriptor: d, long } = code;
    const cpl = this.#state.get(CPU.cpl);
    const selector = gate.low >>> 16;
    const wide = gate.type === SYSTEM_TYPE.callGate32;
    const lo = ((wide ? gate.high & 0xffff_0000 : 0) | (gate.low & 0xffff)) >>> 0;
    if ((selector & SELECTOR_INDEX) === 0) return fault.raise(VECTOR.GP, 0);
    if (!this.#tables.read(d, selector)) return false;
    const reachable = d.isCode && (d.conforming || isCall ? d.dpl <= cpl : d.dpl === cpl);
    if (!reachable || (long && !d.isCode64)) return fault.raise(VECTOR.GP, d.index);
    if (!d.present) return fault.raise(VECTOR.NP, d.index);
    const size = long ? 8 : wide ? 4 : 2;
    if (isCall && !d.conforming && d.dpl < cpl) {
      return long ? this.#inner64(lo, gate.upper) : this.#inner(lo, size);
    }
    return this.#same(lo, gate.upper, isCall ? size : 0, long);
  }

  /** To a more privileged level: its stack comes from the TSS, and parameters are copied to it. */
  #inner(lo: number, size: number): boolean {
    const state = this.#state;
    const frame = this.#frame;
    const stack = this.#stack;
    const old = this.#old;
    const level = this.#code.descriptor.dpl;
    const count = this.#gate.high & MAX_PARAMETERS;
    if (!this.#task.innerStack(level, stack, 0)) return false;
    old.current();
    for (let i = 0; i < count; i++) {
      if (!old.pop(size)) return false;
      this.#parameters[i] = old.lo;
    }
    frame.within(stack, this.#task.spLo, level);
    frame.push(size, state.get(CPU.selector + SEG.ss * 4));
    frame.push(size, state.get(RSP));
    for (let i = count - 1; i >= 0; i--) frame.push(size, this.#parameters[i]!);
    this.#pushReturn(size);
    if (!frame.check(stack.index) || !this.#code.holds(lo, 0)) return false;
    if (!this.#tables.mark(stack, ACCESSED) || !this.#tables.mark(this.#code.descriptor, ACCESSED)) return false;
    frame.commit();
    setSegment(state, SEG.ss, stack.selector, stack);
    this.#code.go(lo, 0, level);
    return true;
  }

  #inner64(lo: number, hi: number): boolean {
    const state = this.#state;
    const frame = this.#frame;
    const level = this.#code.descriptor.dpl;
    if (!this.#task.wideStack(level, 0, 0)) return false;
    frame.wide(this.#task.spLo, this.#task.spHi, level);
    frame.push(8, state.get(CPU.selector + SEG.ss * 4));
    frame.push(8, state.get(RSP), state.high(RSP));
    this.#pushReturn(8);
    if (!frame.check(0) || !this.#code.holds(lo, hi)) return false;
    if (!this.#tables.mark(this.#code.descriptor, ACCESSED)) return false;
    frame.commit();
    setNullSegment(state, SEG.ss, level, level);
    this.#code.go(lo, hi, level);
    return true;
  }
}
