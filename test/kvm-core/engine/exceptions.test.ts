/**
 * Exceptions through the IDT: vector, error code, CR2, pushed RIP and flags; double and triple faults.
 * Document: SDM volume 3, 6.15 (exception reference), 6.14 (64-bit mode).
 * Left out: privilege changes, task gates: not built.
 */

import { describe, expect, it } from "vitest";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assemble } from "../support/asm.ts";
import { CODE_SELECTOR, DATA_SELECTOR, ENGINES, type Mode, TestMachine } from "../support/machine.ts";

const IDT = 0x9000;
const HANDLERS = 0xa000;
const CODE = 0x10_0000;
const STACK = 0x20_0000;

/** A machine whose 32 handlers each are one HLT: RIP tells the vector, the stack the frame. */
function machineWithIdt(engine: (typeof ENGINES)[number], mode: Mode): TestMachine {
  const machine = new TestMachine(engine, mode);
  for (let vector = 0; vector < 32; vector++) machine.setGate(IDT, vector, HANDLERS + vector);
  machine.write(HANDLERS, new Array(32).fill(0xf4));
  machine.setSregs({ idt: { base: BigInt(IDT), limit: 0xfff } });
  return machine;
}

/** The frame on the stack: error code if any, RIP, CS, flags. */
function frame(machine: TestMachine, hasCode: boolean): { code: number; rip: number; cs: number; flags: number } {
  const size = machine.mode / 8;
  const sp = Number(machine.regs.rsp);
  const word = (i: number): number => machine.u32(sp + i * size);
  const first = hasCode ? 1 : 0;
  return { code: hasCode ? word(0) : 0, rip: word(first), cs: word(first + 1), flags: word(first + 2) };
}

/** code, vector, error code (-1: none), pushed RIP as offset in the code. */
type Row = readonly [code: string, vector: number, errorCode: number, at: number];
const ROWS: readonly Row[] = [
  ["xor ecx, ecx; div ecx", 0, -1, 2],
  ["mov eax, 0x80000000; cdq; or ecx, -1; idiv ecx", 0, -1, 9],
  ["nop; ud2", 6, -1, 1],
  ["nop; .byte 0xf0; inc eax", 6, -1, 1],
  [".byte 0x0f, 0x04", 6, -1, 0],
  ["int3", 3, -1, 1],
  ["int 0x10", 16, -1, 2],
  ["nop; mov ax, 0x20; mov ds, ax", 13, 0x20, 5],
  ["mov ax, 0; mov ecx, 0x12345; rdmsr", 13, 0, 9],
  ["mov eax, 0x80000000; mov cr0, eax", 13, 0, 5],
  ["int 0xff", 13, 0xff * 8 + 2, 0],
];

describe.each(ENGINES)("%s", (engine) => {
  describe.each([32, 64] as const)("%s-bit", (mode) => {
    it.each(ROWS)("%s", (code, vector, errorCode, at) => {
      const text = mode === 64 ? code.replace("cr0, eax", "cr0, rax") : code;
      const machine = machineWithIdt(engine, mode);
      machine.set({ rflags: 0x202n });
      expect(machine.run(assemble(text, mode), CODE), machine.engine.errorDetail).toBe(EngineExit.HLT);
      expect(Number(machine.regs.rip) - 1 - HANDLERS).toBe(vector);
      const pushed = frame(machine, errorCode >= 0);
      expect(pushed).toMatchObject({ code: Math.max(errorCode, 0), rip: CODE + at, cs: CODE_SELECTOR });
      // An interrupt gate clears IF; the image has it.
      expect(pushed.flags & 0x200).toBe(0x200);
      expect(machine.regs.rflags & 0x200n).toBe(0n);
      // A fault's image has RF set, a trap's has not.
      expect(pushed.flags & 0x1_0000).toBe(code.includes("int") && vector !== 13 ? 0 : 0x1_0000);
    });

    it("leaves registers and flags as they were at a fault", () => {
      const machine = machineWithIdt(engine, mode);
      machine.mapPage(0x50_0000, 0);
      machine.mmioWrite = () => {
        throw new Error("LeaveGuest");
      };
      machine.set({ rax: 7n, rbx: 9n, rflags: 0x8d7n, rsi: 0x50_0000n });
      expect(() => machine.run(assemble("nop; mov [esi], eax", mode), CODE)).toThrow("LeaveGuest");
      expect(machine.regs).toMatchObject({ rax: 7n, rbx: 9n, rflags: 0x8d7n, rip: BigInt(CODE + 1) });
    });

    it("pushes a frame that IRET takes back", () => {
      const machine = machineWithIdt(engine, mode);
      machine.write(HANDLERS + 0x100, assemble(mode === 64 ? "inc ebx; iretq" : "inc ebx; iret", mode));
      machine.setGate(IDT, 0x21, HANDLERS + 0x100);
      machine.set({ rflags: 0x2d7n, rbx: 0n });
      expect(machine.run(assemble("int 0x21; inc ecx", mode), CODE), machine.engine.errorDetail).toBe(EngineExit.HLT);
      expect(machine.regs).toMatchObject({ rbx: 1n, rcx: 1n, rsp: BigInt(STACK) });
      expect(machine.regs.rflags & 0x200n).toBe(0x200n);
    });

    it("makes a double fault of a gate that is not present after #GP", () => {
      const machine = machineWithIdt(engine, mode);
      machine.setU32(IDT + 13 * (mode === 64 ? 16 : 8) + 4, 0x0e00);
      machine.run(assemble("mov ax, 0x20; mov ds, ax", mode), CODE);
      expect(Number(machine.regs.rip) - 1 - HANDLERS).toBe(8);
      expect(frame(machine, true).code).toBe(0);
    });

    it("shuts down at a triple fault", () => {
      const machine = machineWithIdt(engine, mode);
      machine.setSregs({ idt: { base: BigInt(IDT), limit: 0 } });
      expect(machine.run(assemble("ud2", mode), CODE)).toBe(EngineExit.SHUTDOWN);
      expect(machine.regs.rip).toBe(BigInt(CODE));
    });

    it("names an instruction that is not built", () => {
      const machine = machineWithIdt(engine, mode);
      expect(machine.run(assemble("nop; fninit", mode), CODE)).toBe(EngineExit.INTERNAL_ERROR);
      expect(machine.engine.errorDetail).toMatch(/^not implemented: db x87 at 0x100001$/);
      expect(machine.regs.rip).toBe(BigInt(CODE + 1));
    });
  });

  it("pushes SS:RSP on an aligned stack in 64-bit mode", () => {
    const machine = machineWithIdt(engine, 64);
    machine.set({ rsp: BigInt(STACK - 3) });
    machine.run(assemble("ud2", 64), CODE);
    const sp = Number(machine.regs.rsp);
    expect(sp & 15).toBe(8);
    expect(machine.u64(sp + 24)).toBe(BigInt(STACK - 3));
    expect(machine.u64(sp + 32)).toBe(BigInt(DATA_SELECTOR));
  });

  it("gives #GP for a non-canonical address", () => {
    const machine = machineWithIdt(engine, 64);
    machine.set({ rax: 0x8000_0000_0000_0000n });
    machine.run(assemble("mov rbx, [rax]", 64), CODE);
    expect(Number(machine.regs.rip) - 1 - HANDLERS).toBe(13);
  });
});
