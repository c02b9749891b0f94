/**
 * A machine with all of x87 and SSE state enabled, and images of that state in its memory.
 * Document: SDM volume 1, 10.5.1 and 13.4.
 * Left out: the tests: engine/xsave.test.ts and engine/fpu-switch.test.ts.
 */

import { CR4, updateFpuTraps } from "../../../kvm-core/cpu/control.ts";
import { FPU } from "../../../kvm-core/cpu/fpu-state.ts";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { Machine } from "../../../kvm-core/engine/machine.ts";
import type { KvmSregs } from "../../../shared/ioctls.ts";
import { random } from "../../fuzz/generator.ts";
import { assemble } from "./asm.ts";
import { type Mode, type TestEngine, TestMachine } from "./machine.ts";

export const AREA = 0x30_0000;
export const FILLED = 0xa5;
export const MASK = 0x1f80;
export const PAGE = 4096;
export const X87 = 1;
export const SSE = 2;

/** A machine takes longer to make than a test takes: they are used again, for what sregs and registers they had at first. */
const MACHINES = new Map<string, { readonly machine: TestMachine; readonly sregs: KvmSregs }>();

/** Each snippet is assembled once for all engines. */
const CODES = new Map<string, Uint8Array>();

function codeOf(text: string, mode: Mode): Uint8Array {
  const key = `${mode} ${text}`;
  const code = CODES.get(key) ?? assemble(text, mode);
  CODES.set(key, code);
  return code;
}

function machineOf(engine: TestEngine, mode: Mode, which: number): TestMachine {
  const key = `${engine} ${mode} ${which}`;
  const made = MACHINES.get(key);
  if (made) {
    made.machine.setSregs(made.sregs);
    made.machine.set({ rax: 0n, rcx: 0n, rdx: 0n, rsp: 0x20_0000n, rflags: 2n });
    return made.machine;
  }
  const machine = new TestMachine(engine, mode);
  MACHINES.set(key, { machine, sregs: machine.sregs });
  return machine;
}

/** A machine with everything enabled that notes exceptions in place of delivering them. */
export function make(
  engine: TestEngine,
  mode: Mode,
  {
    cr0 = 0,
    cr4 = CR4.OSFXSR | CR4.OSXSAVE,
    notes = true,
    which = 0,
  }: { cr0?: number; cr4?: number; notes?: boolean; which?: number } = {},
) {
  const machine = machineOf(engine, mode, which);
  const raised: [vector: number, code: number][] = [];
  if (!(machine.engine instanceof Machine)) throw new Error("no machine");
  const { state } = machine.engine;
  const note: Machine["deliver"] = (vector, code) => {
    raised.push([vector, code]);
    state.set(CPU.exit, EngineExit.SHUTDOWN);
  };
  machine.engine.deliver = notes ? note : Machine.prototype.deliver;
  const { sregs } = machine;
  machine.setSregs({ cr0: sregs.cr0 | BigInt(cr0), cr4: sregs.cr4 | BigInt(cr4) });
  new Uint8Array(machine.memory.buffer, machine.zone + FPU.mxcsr, FPU.scratch - FPU.mxcsr).fill(0);
  state.set(FPU.mxcsr, MASK);
  state.set(FPU.fcw, 0x37f);
  state.set(FPU.xcr0, X87 | SSE);
  updateFpuTraps(state.u32, state.zone);
  machine.write(AREA - PAGE, new Uint8Array(3 * PAGE).fill(FILLED));
  const run = (code: string): number => machine.run(codeOf(code, mode));
  const get = (field: number): number => state.get(field);
  return { machine, state, raised, run, get };
}
export type Made = ReturnType<typeof make>;

/** Noise in all that an image has. */
export function fill({ state }: Made, seed: number): void {
  const next = random(seed);
  for (let i = 0; i < 8; i++) {
    state.set64(FPU.st + i * 16, next(2 ** 32), next(2 ** 32));
    state.set64(FPU.st + i * 16 + 8, next(0x1_0000), 0);
  }
  for (let i = 0; i < 64; i++) state.set(FPU.xmm + i * 4, next(2 ** 32));
  state.set(FPU.fcw, 0x37f);
  state.set(FPU.fsw, 0x4700 | next(0x40));
  state.set(FPU.top, next(8));
  state.set(FPU.tags, next(256));
  state.set(FPU.fop, next(0x800));
  state.set64(FPU.fip, next(2 ** 32), 0);
  state.set64(FPU.fdp, next(2 ** 32), 0);
  state.set(FPU.fcs, 0x1b);
  state.set(FPU.fds, 0x2b);
  state.set(FPU.mxcsr, MASK | next(0x40));
}

/** All of the state, without what is not architectural. */
export function dump({ state }: Made): string {
  const skip = new Set([FPU.traps, FPU.raised]);
  const fields: string[] = [];
  for (let field: number = FPU.traps; field < FPU.ymmHigh; field += 4) {
    if (!skip.has(field)) fields.push(state.get(field).toString(16));
  }
  return fields.join(" ");
}

export const word = ({ machine }: Made, offset: number): number => machine.u32(AREA + offset);
export const header = (made: Made, words: readonly number[]): void => {
  const all = Array.from({ length: 16 }, (_, i) => words[i] ?? 0);
  all.forEach((value, i) => {
    made.machine.setU32(AREA + 512 + i * 4, value >>> 0);
  });
};
export const untouched = ({ machine }: Made, from: number, to: number): boolean =>
  machine.read(AREA + from, to - from).every((byte) => byte === FILLED);
