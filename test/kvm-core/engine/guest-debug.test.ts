/**
 * Debugging from outside, the engine's side of KVM_SET_GUEST_DEBUG: steps, INT3, and execution breakpoints.
 * Document: KVM API, KVM_SET_GUEST_DEBUG and KVM_EXIT_DEBUG.
 * Left out: the request itself: server/guest-debug.test.ts.
 */

import { describe, expect, it } from "vitest";
import { setGuestDebug } from "../../../kvm-core/cpu/guest-debug.ts";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { KVM_GUESTDBG } from "../../../shared/ioctls.ts";
import { ENGINES } from "../support/machine.ts";
import { CODE, gate, HANDLER, RingMachine, SEL } from "../support/rings.ts";

const { ENABLE, SINGLESTEP, USE_SW_BP, USE_HW_BP } = KVM_GUESTDBG;
const DR6_ONES = 0xffff_0ff0n;
const BS = 0x4000n;

function machineAt(engine: (typeof ENGINES)[number], mode: 32 | 64, code: readonly number[]): RingMachine {
  const machine = new RingMachine(engine, mode);
  for (let v = 0; v < 64; v++) machine.vector(v, gate(SEL.code[0], HANDLER + v * 16, 14));
  machine.write(CODE, code);
  machine.set({ rflags: 2n });
  return machine;
}
const at = (machine: RingMachine): number => Number(machine.regs.rip) - CODE;

describe.each(ENGINES)("%s", (engine) => {
  describe.each([32, 64] as const)("%i-bit", (mode) => {
    it("steps over one instruction a run, and into handlers", () => {
      // nop; mov ecx,2; rep stosb; jmp +1; (nop;) ud2
      const code = [0x90, 0xb9, 2, 0, 0, 0, 0xf3, 0xaa, 0xeb, 1, 0x90, 0x0f, 0x0b];
      const machine = machineAt(engine, mode, code);
      machine.set({ rdi: 0x19_0000n });
      const places: number[] = [];
      for (let i = 0; i < 6; i++) {
        expect(machine.step()).toBe(EngineExit.DEBUG);
        const rip = machine.regs.rip;
        expect(machine.engine.debugDetail).toEqual({ exception: 1, pc: rip, dr6: DR6_ONES | BS, dr7: 0x400n });
        places.push(at(machine));
      }
      expect(places).toEqual([1, 6, 6, 8, 11, HANDLER + 6 * 16 - CODE]);
      // The guest sees nothing of it.
      expect(machine.regs.rflags & 0x100n).toBe(0n);
      expect(machine.view.getUint32(machine.zone + CPU.dr + 6 * 8, true)).toBe(Number(DR6_ONES));
    });

    it("gives pc as a linear address", () => {
      const machine = machineAt(engine, mode, [0x90]);
      if (mode === 32) {
        machine.setSregs({ cs: { ...machine.sregs.cs, base: 0x1_0000n } });
        machine.set({ rip: BigInt(CODE - 0x1_0000) });
      }
      machine.step();
      expect(machine.engine.debugDetail.pc).toBe(BigInt(CODE + 1));
    });

    it("takes INT3 before it is executed, and no other interrupt", () => {
      const machine = machineAt(engine, mode, [0x90, 0xcc, 0xcd, 0x03]);
      machine.debugFromOutside(ENABLE | USE_SW_BP);
      expect(machine.engine.run()).toBe(EngineExit.DEBUG);
      expect(machine.engine.debugDetail).toMatchObject({ exception: 3, pc: BigInt(CODE + 1) });
      expect(at(machine)).toBe(1);
      machine.set({ rip: BigInt(CODE + 2) });
      machine.write(HANDLER + 3 * 16, [0xf4]);
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      // Without USE_SW_BP it is the guest's.
      machine.debugFromOutside(ENABLE);
      machine.set({ rip: BigInt(CODE + 1) });
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      expect(at(machine)).toBe(HANDLER + 3 * 16 + 1 - CODE);
    });

    it("stops at breakpoints each time, also in code that has run before", () => {
      // inc ecx; cmp ecx,3; jne -7; hlt
      const loop =
        mode === 64 ? [0xff, 0xc1, 0x83, 0xf9, 3, 0x75, 0xf9, 0xf4] : [0x41, 0x83, 0xf9, 3, 0x75, 0xfa, 0xf4];
      const compare = mode === 64 ? 2 : 1;
      const machine = machineAt(engine, mode, loop);
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      machine.set({ rip: BigInt(CODE), rcx: 0n });
      const registers = [0n, 0n, BigInt(CODE + compare), 0n, 0n, 0n, 0n, 0x410n];
      machine.debugFromOutside(ENABLE | USE_HW_BP, registers);
      for (let i = 1; i <= 3; i++) {
        expect(machine.engine.run()).toBe(EngineExit.DEBUG);
        const detail = { exception: 1, pc: BigInt(CODE + compare), dr6: DR6_ONES | 4n, dr7: 0x410n };
        expect(machine.engine.debugDetail).toEqual(detail);
        expect(machine.regs.rcx).toBe(BigInt(i));
        // It would stop there again: step over it first, as debuggers do.
        expect(machine.step()).toBe(EngineExit.DEBUG);
        expect(at(machine)).toBe(compare + 3);
        machine.debugFromOutside(ENABLE | USE_HW_BP, registers);
      }
      expect(machine.engine.run()).toBe(EngineExit.HLT);
    });

    it("puts its registers in the place of the guest's", () => {
      const machine = machineAt(engine, mode, [0x90, 0x90, 0xf4]);
      machine.view.setUint32(machine.zone + CPU.dr, CODE + 1, true);
      machine.view.setUint32(machine.zone + CPU.dr + 7 * 8, 0x401, true);
      machine.debugFromOutside(ENABLE | USE_HW_BP, [0n]);
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      // And back.
      machine.debugFromOutside(0);
      machine.set({ rip: BigInt(CODE) });
      machine.write(HANDLER + 16, [0xf4]);
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      expect(at(machine)).toBe(HANDLER + 16 + 1 - CODE);
    });

    it("takes the guest's own single step while it debugs", () => {
      const machine = machineAt(engine, mode, [0x90, 0x90]);
      machine.set({ rflags: 0x102n });
      machine.debugFromOutside(ENABLE | USE_HW_BP);
      expect(machine.engine.run()).toBe(EngineExit.DEBUG);
      expect(machine.engine.debugDetail).toMatchObject({ exception: 1, dr6: DR6_ONES | BS, pc: BigInt(CODE + 1) });
    });

    it("goes on with an instruction that the host has broken off", () => {
      const machine = machineAt(engine, mode, [0xe4, 0x60, 0x90]);
      machine.portIn = () => {
        throw new Error("LeaveGuest");
      };
      expect(() => machine.step()).toThrow("LeaveGuest");
      expect(at(machine)).toBe(0);
      machine.portIn = () => 0x5a;
      expect(machine.step()).toBe(EngineExit.DEBUG);
      expect([at(machine), machine.regs.rax]).toEqual([2, 0x5an]);
    });
  });

  it("leaves when it is asked to, though a guest only faults", () => {
    const machine = machineAt(engine, 64, [0x0f, 0x0b]);
    // A page fault whose handler is not mapped, on a stack of its own: each delivery faults at once.
    const nowhere = 0x1234_0000;
    machine.setU64(0x3000 + ((nowhere >> 21) & 511) * 8, 0n);
    machine.vector(14, gate(SEL.code[0], nowhere, 14, 0, 1));
    machine.setU64(0xb000 + 36, 0x30_0000n);
    machine.set({ rip: BigInt(nowhere) });
    machine.pend();
    expect(machine.engine.run()).toBe(EngineExit.INTR);
    // So do an instruction and a handler that returns to it.
    machine.unpend();
    machine.write(HANDLER + 6 * 16, [0x48, 0xcf]);
    machine.set({ rip: BigInt(CODE) });
    machine.pend();
    expect(machine.engine.run()).toBe(EngineExit.INTR);
  });

  it("refuses what is not built", () => {
    const machine = machineAt(engine, 32, []);
    const none = new Array<bigint>(8).fill(0n);
    const refused = (control: number, registers: readonly bigint[]): boolean =>
      !setGuestDebug(machine.memory, machine.zone, control, registers);
    expect(refused(ENABLE | 4, none)).toBe(true);
    expect(refused(ENABLE | USE_HW_BP, none.slice(1))).toBe(true);
    expect(refused(ENABLE | SINGLESTEP | USE_SW_BP, none)).toBe(false);
  });
});
