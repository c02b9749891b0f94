/**
 * A machine that notes exceptions in place of delivering them: for tests of whether an instruction faults.
 * Document: kvm-core/engine/machine.ts, deliver().
 * Left out: what delivery does: exceptions.test.ts.
 */

import { CR4 } from "../../../kvm-core/cpu/control.ts";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { Machine } from "../../../kvm-core/engine/machine.ts";
import { type Mode, type TestEngine, TestMachine } from "./machine.ts";

export interface Noting {
  readonly machine: TestMachine;
  /** Vectors, in their order; each ends run() with SHUTDOWN. */
  readonly vectors: number[];
}

/** Bits of `cr0` and `cr4` are set beside the machine's own; SSE is on unless said otherwise. */
export function notingMachine(engine: TestEngine, mode: Mode, cr0 = 0, cr4: number = CR4.OSFXSR): Noting {
  const machine = new TestMachine(engine, mode);
  const vectors: number[] = [];
  if (!(machine.engine instanceof Machine)) throw new Error("no machine");
  const { state } = machine.engine;
  machine.engine.deliver = (vector) => {
    vectors.push(vector);
    state.set(CPU.exit, EngineExit.SHUTDOWN);
  };
  const { sregs } = machine;
  machine.setSregs({ cr0: sregs.cr0 | BigInt(cr0), cr4: sregs.cr4 | BigInt(cr4) });
  return { machine, vectors };
}
