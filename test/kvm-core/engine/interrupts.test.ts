/**
 * External interrupts, the interrupt shadow and the interrupt window.
 * Document: SDM volume 3, 6.8.1 and 6.8.3.
 * Left out: the interrupt controller, which is not the engine's.
 */

import { describe, expect, it } from "vitest";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assemble } from "../support/asm.ts";
import { ENGINES, TestMachine } from "../support/machine.ts";

const CODE = 0x10_0000;
const IDT = 0x9000;
const HANDLER = 0xa000;

function ready(engine: (typeof ENGINES)[number], mode: 32 | 64): TestMachine {
  const machine = new TestMachine(engine, mode);
  machine.setGate(IDT, 0x20, HANDLER);
  machine.write(HANDLER, assemble(mode === 64 ? "inc ebx; iretq" : "inc ebx; iret", mode));
  machine.setSregs({ idt: { base: BigInt(IDT), limit: 0xfff } });
  return machine;
}

describe.each(ENGINES)("%s", (engine) => {
  describe.each([32, 64] as const)("%s-bit", (mode) => {
    it("delivers and returns", () => {
      const machine = ready(engine, mode);
      machine.set({ rflags: 0x202n, rbx: 0n, rip: BigInt(CODE) });
      machine.write(CODE, assemble("inc ecx; hlt", mode));
      expect(machine.engine.interruptible()).toBe(true);
      machine.engine.interrupt(0x20);
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      expect(machine.regs).toMatchObject({ rbx: 1n, rcx: 1n });
    });

    it("holds interrupts off for the instruction behind STI", () => {
      const machine = ready(engine, mode);
      machine.engine.interruptWindow(true);
      expect(machine.run(assemble("cli; inc eax; sti; inc ecx; inc edx", mode), CODE)).toBe(EngineExit.INTR);
      expect(machine.engine.interruptible()).toBe(true);
      expect(machine.regs).toMatchObject({ rcx: 1n, rdx: 0n });
      machine.engine.interruptWindow(false);
      machine.engine.interrupt(0x20);
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      expect(machine.regs).toMatchObject({ rbx: 1n, rcx: 1n, rdx: 1n });
    });

    it("lets STI; HLT halt, and is interruptible there", () => {
      const machine = ready(engine, mode);
      machine.engine.interruptWindow(true);
      expect(machine.run(assemble("sti; hlt", mode), CODE)).toBe(EngineExit.HLT);
      expect(machine.engine.interruptible()).toBe(true);
    });

    it("opens the window also for a branch to itself behind STI", () => {
      const machine = ready(engine, mode);
      machine.engine.interruptWindow(true);
      expect(machine.run(assemble("sti; 1: jmp 1b", mode), CODE)).toBe(EngineExit.INTR);
      expect(machine.engine.interruptible()).toBe(true);
      expect(machine.regs.rip).toBe(BigInt(CODE + 1));
    });

    it("opens it for a branch to itself that ran before anybody wanted one", () => {
      const machine = ready(engine, mode);
      machine.write(CODE, assemble("sti; 1: jmp 1b", mode));
      machine.set({ rip: BigInt(CODE) });
      machine.pend();
      expect(machine.engine.run()).toBe(EngineExit.INTR);
      machine.unpend();
      machine.engine.interruptWindow(true);
      expect(machine.engine.run()).toBe(EngineExit.INTR);
      expect(machine.engine.interruptible()).toBe(true);
    });

    it("keeps the shadow of MOV SS and POP SS for one instruction when it leaves behind them", () => {
      for (const code of ["mov eax, ss; mov ss, eax; inc ecx; 1: jmp 1b", "push ss; pop ss; inc ecx; 1: jmp 1b"]) {
        if (mode === 64 && code.startsWith("push")) continue;
        const machine = ready(engine, mode);
        machine.write(CODE, assemble(code, mode));
        machine.set({ rip: BigInt(CODE), rflags: 0x202n, rcx: 0n });
        machine.pend();
        // `interp` leaves behind each instruction, `patch` behind the one that ends a block.
        const behind = CODE + (code.startsWith("mov") ? 4 : 2);
        for (let runs = 0; runs < 2 && Number(machine.regs.rip) < behind; runs++) {
          expect(machine.engine.run()).toBe(EngineExit.INTR);
        }
        expect(machine.regs.rip).toBe(BigInt(behind));
        expect(machine.engine.interruptible()).toBe(false);
        machine.unpend();
        machine.engine.interruptWindow(true);
        expect(machine.engine.run()).toBe(EngineExit.INTR);
        expect(machine.regs.rcx).toBe(1n);
        expect(machine.engine.interruptible()).toBe(true);
      }
    });

    it("opens the window at POPF and at IRET", () => {
      const machine = ready(engine, mode);
      machine.engine.interruptWindow(true);
      expect(machine.run(assemble("push 0x202; popf; inc ecx", mode), CODE)).toBe(EngineExit.INTR);
      expect(machine.regs.rcx).toBe(0n);
      machine.set({ rflags: 2n });
      expect(machine.engine.interruptible()).toBe(false);
    });
  });

  it("does not see an interrupt with IF clear", () => {
    const machine = ready(engine, 32);
    machine.engine.interruptWindow(true);
    expect(machine.run(assemble("cli; mov ecx, 1000; 1: loop 1b", 32), CODE)).toBe(EngineExit.HLT);
  });
});
