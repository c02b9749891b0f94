/**
 * INT n of virtual-8086 code that stays there: through the 8086 program's own vector table (CR4.VME).
 * Document: SDM volume 3, 20.3.3.4 and 20.3.3.5 (methods 5 and 6), table 20-2.
 * Left out: interrupts that leave virtual-8086 mode: interrupt-gate.ts; the bitmap that decides: task-state.ts.
 */

import { type Fault, VECTOR } from "./fault.ts";
import { ARITHMETIC, RFLAGS, readFlags } from "./flags.ts";
import { setVirtualSegment } from "./segment-register.ts";
import { PushFrame } from "./stack-frame.ts";
import { CPU, SEG } from "./state.ts";
import type { SystemMemory } from "./system-memory.ts";
import type { TaskState } from "./task-state.ts";
import type { VcpuState } from "./vcpu-state.ts";

/** Flags as virtual-8086 code with IOPL below 3 sees them: IOPL 3, and VIF in the place of IF. */
export function virtualImage(flags: number): number {
  const image = (flags | RFLAGS.IOPL) & ~RFLAGS.IF;
  return flags & RFLAGS.VIF ? image | RFLAGS.IF : image;
}

export class VirtualInterrupt {
  readonly #state: VcpuState;
  readonly #memory: SystemMemory;
  readonly #fault: Fault;
  readonly #task: TaskState;
  readonly #frame: PushFrame;

  constructor(state: VcpuState, memory: SystemMemory, fault: Fault, task: TaskState) {
    this.#state = state;
    this.#memory = memory;
    this.#fault = fault;
    this.#task = task;
    this.#frame = new PushFrame(state, memory, fault);
  }

  /** "entered": CPU.rip is the handler; it was the RIP to push. "other": not redirected. "fault": see the Fault. */
  enter(vector: number): "entered" | "other" | "fault" {
    const state = this.#state;
    const memory = this.#memory;
    const redirected = this.#task.redirects(vector);
    if (redirected !== 1) return redirected === 0 ? "other" : "fault";
    if (!memory.read(vector * 4, 0, 4, memory.accessAt(3))) {
      this.#fault.from(memory);
      return "fault";
    }
    const entry = memory.value;
    const flags = readFlags(state.u32, state.zone);
    const isOwn = (flags & RFLAGS.IOPL) === RFLAGS.IOPL;
    const frame = this.#frame;
    frame.current();
    frame.push(2, (isOwn ? flags : virtualImage(flags)) & 0xffff);
    frame.push(2, state.get(CPU.selector + SEG.cs * 4));
    frame.push(2, state.get(CPU.rip) & 0xffff);
    if (!frame.check(0)) return "fault";
    frame.commit();
    setVirtualSegment(state, SEG.cs, entry >>> 16);
    const cleared = RFLAGS.TF | RFLAGS.RF | (isOwn ? RFLAGS.IF : RFLAGS.VIF);
    state.set(CPU.eflags, flags & ~cleared & ~ARITHMETIC);
    state.set64(CPU.rip, entry & 0xffff, 0);
    state.set(CPU.shadow, 0);
    return "entered";
  }
}

/** May virtual-8086 code with IOPL below 3 load these flags? Else #GP(0). */
export function allowsVirtualFlags(state: VcpuState, flags: number, fault: Fault): boolean {
  const pending = flags & RFLAGS.IF && state.get(CPU.eflags) & RFLAGS.VIP;
  return !(pending || flags & RFLAGS.TF) || fault.raise(VECTOR.GP, 0);
}
