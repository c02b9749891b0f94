/**
 * Alignment check: which accesses of CPL 3 are #AC, when it is in force, and that it costs nothing else.
 * Document: SDM volume 3, 6.15 (exception 17, table 6-7), 2.5 (CR0.AM); volume 1, 3.4.3.3 (RFLAGS.AC).
 * Left out: operands of SSE that have to be aligned whatever AC is: #GP.
 */

import { describe, expect, it } from "vitest";
import { CR0 } from "../../../kvm-core/cpu/control.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assembleAll } from "../support/asm.ts";
import { ENGINES, type Mode, type TestEngine } from "../support/machine.ts";
import { CODE, gate, HANDLER, RingMachine, SEL, STACKS } from "../support/rings.ts";

const [UD, PF, AC] = [6, 14, 17];
const AC_FLAG = 0x4_0000;
const DATA = 0x30_0000;

/** instruction, over DATA in rSI; the misalignment that is #AC, and one that is not. */
const ROWS: readonly (readonly [code: string, wrong: readonly number[], right: readonly number[]])[] = [
  ["mov bl, [rsi]", [], [0, 1, 3, 7]],
  ["mov bx, [rsi]", [1, 3, 0xfff], [0, 2]],
  ["mov ebx, [rsi]", [1, 2, 3, 0xffe], [0, 4, 0xffc]],
  ["mov [rsi], ebx", [1, 2, 0xffd], [0, 4]],
  ["add [rsi], ebx", [1, 2], [0, 4]],
  ["lock add [rsi], ebx", [1, 2], [0, 4]],
  ["xchg [rsi], bx", [1], [0, 2]],
  ["cmpxchg8b [rsi]", [1], [0, 8]],
  ["lodsd", [2], [0]],
  ["push dword ptr [rsi]", [1], [0]],
  ["clflush [rsi]", [], [1, 3]],
];

const codes = new Map<string, Uint8Array>();
function assembled(mode: Mode, text: string): Uint8Array {
  const key = `${mode} ${text}`;
  let code = codes.get(key);
  if (code === undefined) {
    const own = mode === 64 ? text.replace("push dword", "push qword") : text.replaceAll("rsi", "esi");
    code = assembleAll([own], mode)[0]!;
    codes.set(key, code);
  }
  return code;
}

function machineAt(engine: TestEngine, mode: Mode, cpl = 3): RingMachine {
  const machine = new RingMachine(engine, mode);
  for (let v = 0; v < 32; v++) machine.vector(v, gate(SEL.code[0]!, HANDLER + v * 16, 14));
  for (let v = 0; v < 32; v++) machine.write(HANDLER + v * 16, [0xf4]);
  machine.setSregs({ cr0: machine.sregs.cr0 | BigInt(CR0.AM) });
  machine.runAt(cpl);
  machine.set({ rflags: BigInt(AC_FLAG | 2) });
  return machine;
}
/** Runs the code up to an exception, or to the UD2 behind it, which is -1. */
function vectorOf(machine: RingMachine, code: Uint8Array): number {
  machine.write(CODE, [...code, 0x0f, 0x0b]);
  expect(machine.engine.run(), machine.engine.errorDetail).toBe(EngineExit.HLT);
  const vector = (Number(machine.regs.rip) - 1 - HANDLER) / 16;
  return vector === UD ? -1 : vector;
}

describe.each(ENGINES)("%s", (engine) => {
  describe.each([32, 64] as const)("%s-bit", (mode) => {
    it.each(ROWS)("%s", (code, wrong, right) => {
      for (const [offsets, vector] of [
        [wrong, AC],
        [right, -1],
      ] as const) {
        for (const offset of offsets) {
          const machine = machineAt(engine, mode);
          machine.set({ rsi: BigInt(DATA + offset) });
          expect([offset, vectorOf(machine, assembled(mode, code))]).toEqual([offset, vector]);
          if (vector < 0) continue;
          // An error code of 0, and the instruction's RIP.
          expect(machine.slots(mode === 64 ? 8 : 4, 2)).toEqual([0, CODE]);
        }
      }
    });

    it("checks the stack", () => {
      const machine = machineAt(engine, mode);
      machine.set({ rsp: BigInt(STACKS[3] - 1) });
      expect(vectorOf(machine, assembled(mode, mode === 64 ? "push rax" : "push eax"))).toBe(AC);
    });

    it("needs CR0.AM, AC and CPL 3", () => {
      const code = assembled(mode, "mov ebx, [rsi]");
      const without = machineAt(engine, mode);
      without.setSregs({ cr0: without.sregs.cr0 & ~BigInt(CR0.AM) });
      const flagless = machineAt(engine, mode);
      flagless.set({ rflags: 2n });
      for (const machine of [without, flagless, ...[0, 1, 2].map((cpl) => machineAt(engine, mode, cpl))]) {
        machine.set({ rsi: BigInt(DATA + 1) });
        expect(vectorOf(machine, code)).toBe(-1);
      }
    });

    it("follows POPF, and ends in the handler", () => {
      const [a, s] = mode === 64 ? ["rax", "rsi"] : ["eax", "esi"];
      const code = assembled(
        mode,
        `mov ebx, [${s}]; inc edx; push ${AC_FLAG | 2}; popf${mode === 64 ? "q" : "d"}; inc edx; push 2; popf${mode === 64 ? "q" : "d"}; mov ebx, [${s}]; inc edx; push ${AC_FLAG | 2}; popf${mode === 64 ? "q" : "d"}; mov ${a}, [${s}]`,
      );
      const machine = machineAt(engine, mode);
      machine.set({ rsi: BigInt(DATA + 1), rflags: 2n });
      // The handler reads a misaligned word at level 0, where nothing is checked.
      machine.write(HANDLER + AC * 16, [...assembled(mode, `mov ecx, [${s}]`), 0xf4]);
      machine.setU32(DATA, 0x4433_2211);
      machine.write(CODE, code);
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      expect(machine.regs.rdx).toBe(3n);
      expect(machine.regs.rcx).toBe(0x44_3322n);
      expect(machine.slots(mode === 64 ? 8 : 4, 1)).toEqual([0]);
    });

    it("reads and writes what it has to", () => {
      const [s] = mode === 64 ? ["rsi"] : ["esi"];
      const machine = machineAt(engine, mode);
      machine.set({ rsi: BigInt(DATA), rdx: 0n });
      machine.setU32(DATA, 5);
      const code = assembled(
        mode,
        `mov ecx, 30; 1: inc dword ptr [${s}]; mov [${s}+2], bl; dec ecx; jnz 1b; mov edx, [${s}]`,
      );
      expect(vectorOf(machine, code)).toBe(-1);
      expect(machine.regs.rdx).toBe(35n);
    });
  });

  it("a page fault comes first", () => {
    const machine = machineAt(engine, 64);
    machine.setU64(0x3000 + (0x60_0000 >> 21) * 8, 0n);
    machine.set({ rsi: 0x60_0001n });
    expect(vectorOf(machine, assembled(64, "mov ebx, [rsi]"))).toBe(PF);
  });
});
