/**
 * Far RET and IRET: within a privilege level, to an outer one, in real mode, in and to virtual-8086 mode.
 * Document: SDM volume 3, 5.8.6 and 20.2.5; volume 2, RET and IRET (pseudo-code, error codes).
 * Left out: IRET with NT set, a task switch: task-switch.ts.
 */

import { CR4, updateMode } from "../../cpu/control.ts";
import { ACCESSED, Descriptor, type DescriptorTables } from "../../cpu/descriptor.ts";
import { type Fault, SELECTOR_INDEX, VECTOR } from "../../cpu/fault.ts";
import { RFLAGS, writeFlags } from "../../cpu/flags.ts";
import { popFlags, popVirtualFlags } from "../../cpu/pop-flags.ts";
import { ATTRIBUTE } from "../../cpu/segment.ts";
import { setVirtualSegment } from "../../cpu/segment-register.ts";
import { PopFrame } from "../../cpu/stack-frame.ts";
import { CPU, GPR, SEG } from "../../cpu/state.ts";
import type { SystemMemory } from "../../cpu/system-memory.ts";
import type { VcpuState } from "../../cpu/vcpu-state.ts";
import { allowsVirtualFlags } from "../../cpu/virtual-interrupt.ts";
import { CodeSegment } from "./code-segment.ts";
import type { SegmentUnit } from "./segments.ts";
import type { TaskSwitch } from "./task-switch.ts";

const RSP = CPU.gpr + GPR.rsp * 8;
/** Order of the segments in a frame of virtual-8086 mode, behind SS. */
const VIRTUAL_SEGMENTS = [SEG.es, SEG.ds, SEG.fs, SEG.gs] as const;
const NO_FLAGS = -1;

export class FarReturn {
  readonly #state: VcpuState;
  readonly #fault: Fault;
  readonly #tables: DescriptorTables;
  readonly #segments: SegmentUnit;
  readonly #tasks: TaskSwitch;
  readonly #code: CodeSegment;
  readonly #stack = new Descriptor();
  readonly #frame: PopFrame;
  // What the frame says: RIP, CS, flags.
  #lo = 0;
  #hi = 0;
  #selector = 0;
  #flags = 0;

  constructor(
    state: VcpuState,
    memory: SystemMemory,
    fault: Fault,
    tables: DescriptorTables,
    segments: SegmentUnit,
    tasks: TaskSwitch,
  ) {
    this.#state = state;
    this.#fault = fault;
    this.#tables = tables;
    this.#segments = segments;
    this.#tasks = tasks;
    this.#code = new CodeSegment(state, fault);
    this.#frame = new PopFrame(state, memory, fault);
  }

  /** RET: `size` bytes a slot, `extra` bytes of parameters. False: see the Fault. */
  farReturn(size: number, extra: number): boolean {
    const frame = this.#frame;
    frame.current();
    if (!this.#popTarget(size)) return false;
    if (!this.#segments.protectedMode) {
      if (!this.#code.holds8086(this.#lo)) return false;
      frame.release(extra);
      frame.store();
      this.#code.go8086(this.#selector, this.#lo);
      return true;
    }
    if (!this.#checkCode()) return false;
    const { descriptor } = this.#code;
    if (descriptor.rpl === this.#state.get(CPU.cpl)) {
      if (!this.#code.holds(this.#lo, this.#hi) || !this.#tables.mark(descriptor, ACCESSED)) return false;
      frame.release(extra);
      frame.store();
      this.#code.go(this.#lo, this.#hi, descriptor.rpl);
      return true;
    }
    frame.release(extra);
    return this.#withStack(size, extra, NO_FLAGS);
  }

  /** IRET, IRETD and IRETQ: `size` bytes a slot. */
  interruptReturn(size: number): boolean {
    const state = this.#state;
    const fault = this.#fault;
    const frame = this.#frame;
    const flags = state.get(CPU.eflags);
    const cpl = state.get(CPU.cpl);
    const { protectedMode } = this.#segments;
    const extended = flags & RFLAGS.VM && (flags & RFLAGS.IOPL) !== RFLAGS.IOPL;
    if (extended && !(size === 2 && state.get(CPU.cr4) & CR4.VME)) return fault.raise(VECTOR.GP, 0);
    if (protectedMode && flags & RFLAGS.NT) {
      return this.#code.long ? fault.raise(VECTOR.GP, 0) : this.#tasks.goBack();
    }
    frame.current();
    if (!this.#popTarget(size) || !frame.pop(size)) return false;
    this.#flags = frame.lo;
    const width = size * 8;
    if (!protectedMode) {
      if (!this.#code.holds8086(this.#lo)) return false;
      if (extended && !allowsVirtualFlags(state, this.#flags, fault)) return false;
      frame.store();
      if (extended) popVirtualFlags(state, this.#flags);
      else popFlags(state, this.#flags, width, true);
      this.#code.go8086(this.#selector, this.#lo);
      return true;
    }
    if (size === 4 && this.#flags & RFLAGS.VM && cpl === 0 && !this.#code.long) return this.#toVirtual();
    if (!this.#checkCode()) return false;
    const { descriptor } = this.#code;
    const code64 = (state.get(CPU.attributes + SEG.cs * 4) & ATTRIBUTE.l) !== 0 && this.#code.long;
    // In 64-bit mode SS:RSP is popped whatever the privilege levels are.
    if (code64 || descriptor.rpl !== cpl) return this.#withStack(size, 0, width);
    if (!this.#code.holds(this.#lo, this.#hi) || !this.#tables.mark(descriptor, ACCESSED)) return false;
    frame.store();
    popFlags(state, this.#flags, width, true);
    this.#code.go(this.#lo, this.#hi, cpl);
    return true;
  }

  #popTarget(size: number): boolean {
    const frame = this.#frame;
    if (!frame.pop(size)) return false;
    this.#lo = frame.lo;
    this.#hi = frame.hi;
    if (!frame.pop(size)) return false;
    this.#selector = frame.lo & 0xffff;
    return true;
  }

  /** A return may go to its own privilege level or an outer one, which RPL names. */
  #checkCode(): boolean {
    const fault = this.#fault;
    const { descriptor: d, long } = this.#code;
    if ((this.#selector & SELECTOR_INDEX) === 0) return fault.raise(VECTOR.GP, 0);
    if (!this.#tables.read(d, this.#selector)) return false;
    const reachable =
      d.isCode && d.rpl >= this.#state.get(CPU.cpl) && (d.conforming ? d.dpl <= d.rpl : d.dpl === d.rpl);
    if (!reachable || (long && d.reservedSize)) return fault.raise(VECTOR.GP, d.index);
    return d.present || fault.raise(VECTOR.NP, d.index);
  }

  /** With SS:RSP from the frame. `width`: of the flags that IRET takes. */
  #withStack(size: number, extra: number, width: number): boolean {
    const state = this.#state;
    const frame = this.#frame;
    const code = this.#code;
    const stack = this.#stack;
    const level = code.descriptor.rpl;
    const outer = level !== state.get(CPU.cpl);
    if (!frame.pop(size)) return false;
    const [lo, hi] = [frame.lo, frame.hi];
    if (!frame.pop(size)) return false;
    if (!this.#segments.stack(stack, frame.lo & 0xffff, level, code.is64)) return false;
    if (!code.holds(this.#lo, this.#hi) || !this.#tables.mark(code.descriptor, ACCESSED)) return false;
    if (width !== NO_FLAGS) popFlags(state, this.#flags, width, true);
    this.#segments.setStack(stack, level);
    this.#setStackPointer(lo, hi, extra);
    code.go(this.#lo, this.#hi, level);
    if (outer) this.#segments.dropInner(level);
    updateMode(state.u32, state.zone);
    return true;
  }

  /** RSP of the outer stack; where that has 16-bit addresses its upper half stays. */
  #setStackPointer(lo: number, hi: number, extra: number): void {
    const state = this.#state;
    const { is64 } = this.#code;
    const attributes = this.#stack.index === 0 ? 0 : this.#stack.attributes;
    if (!is64 && !(attributes & ATTRIBUTE.db)) {
      state.set(RSP, ((state.get(RSP) & 0xffff_0000) | ((lo + extra) & 0xffff)) >>> 0);
      return;
    }
    const sum = lo + extra;
    state.set64(RSP, sum, is64 ? hi + (sum > 0xffff_ffff ? 1 : 0) : 0);
  }

  /** ESP, SS, ES, DS, FS and GS follow; all of EFLAGS is taken. */
  #toVirtual(): boolean {
    const state = this.#state;
    const fault = this.#fault;
    const frame = this.#frame;
    if (!frame.pop(4)) return false;
    const esp = frame.lo;
    if (!frame.pop(4)) return false;
    const ss = frame.lo & 0xffff;
    const selectors = [0, 0, 0, 0];
    for (let i = 0; i < VIRTUAL_SEGMENTS.length; i++) {
      if (!frame.pop(4)) return false;
      selectors[i] = frame.lo & 0xffff;
    }
    if (this.#lo > 0xffff) return fault.raise(VECTOR.GP, 0);
    writeFlags(state.u32, state.zone, this.#flags);
    VIRTUAL_SEGMENTS.forEach((segment, i) => {
      setVirtualSegment(state, segment, selectors[i]!);
    });
    setVirtualSegment(state, SEG.ss, ss);
    state.set64(RSP, esp, 0);
    this.#code.go8086(this.#selector, this.#lo);
    return true;
  }
}
