/**
 * Exceptions through the IDT: vector, error code, CR2, pushed RIP and flags; double and triple faults.
 * Document: SDM volume 3, 6.15 (exception reference), 6.14 (64-bit mode).
 * Left out: gates of every kind and level: gates.test.ts.
 */

import { describe, expect, it } from "vitest";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assemble } from "../support/asm.ts";
import { CODE_SELECTOR, DATA_SELECTOR, ENGINES, type Mode, TABLES, TestMachine } from "../support/machine.ts";

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

/** Sends a vector to the stack that IST1 of a TSS at 0xb000 names. */
function useIst(machine: TestMachine, vector: number): void {
  const gate = IDT + vector * 16 + 4;
  machine.setU32(gate, machine.u32(gate) | 1);
  machine.setU64(0xb000 + 36, BigInt(STACK));
  machine.setSregs({ tr: { ...machine.sregs.tr, base: 0xb000n, limit: 103, type: 11 } });
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

  describe("page faults", () => {
    const HOLE = 0x60_0000;
    const pde = TABLES + 0x2000 + (HOLE >> 21) * 8;
    const make = (): TestMachine => {
      const machine = machineWithIdt(engine, 64);
      machine.setU64(pde, 0n);
      machine.set({ rsi: BigInt(HOLE), rax: 0x1122_3344n, rflags: 0x8d7n });
      return machine;
    };

    it.each([
      ["mov ebx, [rsi+0x10]", 0, HOLE + 0x10, CODE],
      ["nop; mov [rsi+0x10], eax", 2, HOLE + 0x10, CODE + 1],
      ["nop; add dword ptr [rsi], 1", 2, HOLE, CODE + 1],
      // The first byte that cannot be had, not the first of the access.
      ["mov [rsi-2], eax", 2, HOLE, CODE],
      ["mov rsp, rsi; add rsp, 8; push rax", 2, HOLE, CODE + 7],
      // With EFER.NXE set, a fetch says so.
      ["jmp rsi", 0x10, HOLE, HOLE],
    ])("%s: error code %i, CR2 %i", (code, errorCode, cr2, rip) => {
      const machine = make();
      const stack = code.includes("rsp");
      if (stack) machine.setGate(IDT, 14, HANDLERS + 0x80);
      machine.write(HANDLERS + 0x80, assemble("hlt", 64));
      if (stack) useIst(machine, 14);
      machine.run(assemble(code, 64), CODE);
      expect(machine.sregs.cr2).toBe(BigInt(cr2));
      expect(frame(machine, true)).toMatchObject({ code: errorCode, rip });
      expect(machine.u32(HOLE - 4)).toBe(0);
      // The ADD before the faulting PUSH changes flags of its own.
      if (!stack) expect(frame(machine, true).flags & 0x8d5).toBe(0x8d5);
    });

    it("restarts once the page is there", () => {
      const machine = make();
      machine.setGate(IDT, 14, HANDLERS + 0x80);
      machine.write(HANDLERS + 0x80, assemble(`mov qword ptr [${pde}], ${HOLE | 0x83}; add rsp, 8; iretq`, 64));
      expect(machine.run(assemble("mov [rsi-2], eax; mov ebx, [rsi-2]", 64), CODE)).toBe(EngineExit.HLT);
      expect(machine.regs.rbx).toBe(0x1122_3344n);
      expect(machine.u32(HOLE - 2)).toBe(0x1122_3344);
    });
  });

  it("gives #GP for a non-canonical address", () => {
    const machine = machineWithIdt(engine, 64);
    machine.set({ rax: 0x8000_0000_0000_0000n });
    machine.run(assemble("mov rbx, [rax]", 64), CODE);
    expect(Number(machine.regs.rip) - 1 - HANDLERS).toBe(13);
  });
});
