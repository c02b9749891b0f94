/**
 * Delivery of exceptions and interrupts: one event, and what its own faults make of it: double and triple faults.
 * Document: SDM volume 3, 6.15 (exception 8) and table 6-5.
 * Left out: how one event enters its handler: interrupt-gate.ts. Debug registers: engine/debug.ts.
 */

import { sumHigh } from "./address.ts";
import { MODE } from "./control.ts";
import type { DescriptorTables } from "./descriptor.ts";
import { type Fault, VECTOR } from "./fault.ts";
import { InterruptGate, type Source } from "./interrupt-gate.ts";
import { CPU } from "./state.ts";
import type { SystemMemory } from "./system-memory.ts";
import type { TaskState, TaskSwitcher } from "./task-state.ts";
import type { VcpuState } from "./vcpu-state.ts";

/** SDM volume 3, table 6-4. */
const CONTRIBUTORY = new Set<number>([VECTOR.DE, VECTOR.TS, VECTOR.NP, VECTOR.SS, VECTOR.GP]);

export class ExceptionUnit {
  readonly #state: VcpuState;
  readonly #fault: Fault;
  readonly #gate: InterruptGate;

  constructor(
    state: VcpuState,
    memory: SystemMemory,
    fault: Fault,
    tables: DescriptorTables,
    task: TaskState,
    tasks: TaskSwitcher,
  ) {
    this.#state = state;
    this.#fault = fault;
    this.#gate = new InterruptGate(state, memory, fault, tables, task, tasks);
  }

  /**
   * Delivers; CPU.rip is the RIP to push. Faults on the way become a double fault, and then a shutdown: false.
   * `length`: of the instruction that is a software interrupt; a fault is reported at its start.
   */
  deliver(vector: number, code: number, source: Source, length = 0): boolean {
    const state = this.#state;
    const fault = this.#fault;
    let current = vector;
    let currentCode = code;
    let from = source;
    while (!this.#gate.enter(current, currentCode, from)) {
      if (current === VECTOR.DF && from === "abort") return false;
      if (from === source && length !== 0 && !fault.committed) {
        const lo = state.get(CPU.rip);
        const code64 = (state.get(CPU.mode) & MODE.codeSize) === MODE.code64;
        state.set64(CPU.rip, lo - length, code64 ? sumHigh(lo, state.high(CPU.rip), -length) : 0);
      }
      const double = from !== "software" && from !== "interrupt" && isDouble(current, fault.vector);
      current = double ? VECTOR.DF : fault.vector;
      currentCode = double ? 0 : fault.code;
      from = double ? "abort" : "fault";
    }
    return true;
  }
}

function isDouble(first: number, second: number): boolean {
  if (first === VECTOR.PF) return second === VECTOR.PF || CONTRIBUTORY.has(second);
  return CONTRIBUTORY.has(first) && CONTRIBUTORY.has(second);
}
