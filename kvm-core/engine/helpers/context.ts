/**
 * What the families of helpers share: how a helper ends, and whose instruction it is.
 * Document: architecture.md section 5 (law 3: long or rare work is one helper call).
 * Left out: the helpers: the files beside it, put together in engine/helpers.ts.
 *
 * A helper gets (record, a, b) and returns NEXT to go on behind the instruction's call, or RESUME: CPU.rip says where to go
 * on, or CPU.exit that run() is over.
 */

import { CR4 } from "../../cpu/control.ts";
import { RFLAGS } from "../../cpu/flags.ts";
import { CPU } from "../../cpu/state.ts";
import type { Machine } from "../machine.ts";

export const NEXT = 0;
export const RESUME = 1;
export type Helper = (ip: number, a: number, b: number) => number;

export class HelperContext {
  readonly machine: Machine;

  constructor(machine: Machine) {
    this.machine = machine;
  }

  /** Raises an exception: nothing of the instruction has happened. */
  fault(ip: number, vector: number, code = 0): number {
    this.machine.raise(ip, vector, code);
    return RESUME;
  }

  /** An access to the instruction's operand failed in the MMU. */
  operandFault(ip: number): number {
    this.machine.raiseMemory(ip);
    return RESUME;
  }

  /** What the machine's Fault says. */
  failed(ip: number): number {
    const { fault } = this.machine;
    if (fault.committed) {
      this.machine.deliver(fault.vector, fault.code, "fault");
      return RESUME;
    }
    return this.fault(ip, fault.vector, fault.code);
  }

  /** Ends run(), with RIP behind the instruction. */
  leave(ip: number, exit: number): number {
    this.machine.syncNext(ip);
    this.machine.state.set(CPU.exit, exit);
    return RESUME;
  }

  get cpl(): number {
    return this.machine.state.get(CPU.cpl);
  }
  /** CR4.UMIP keeps what the descriptor-table registers and CR0 hold from privilege levels above 0. */
  get umip(): boolean {
    return (this.machine.state.get(CPU.cr4) & CR4.UMIP) !== 0 && this.cpl !== 0;
  }
  get iopl(): number {
    return (this.machine.state.get(CPU.eflags) & RFLAGS.IOPL) >>> 12;
  }
  get isVirtual(): boolean {
    return (this.machine.state.get(CPU.eflags) & RFLAGS.VM) !== 0;
  }

  /** Runs what may change CS, SS or the privilege level; false is a fault. */
  transfer(ip: number, act: () => boolean): number {
    this.machine.current = ip;
    return act() ? RESUME : this.failed(ip);
  }
}
