/**
 * SYSCALL, SYSRET, SYSENTER and SYSEXIT: segments, flags, privilege levels, faults, and what single step sees of them.
 * Document: SDM volume 2, the instructions of the names; volume 3, 5.8.7 and 5.8.8.
 * Left out: bases of FS and GS: test/kvm-core/isa/syscall.vectors.ts, and their faults below.
 */

import { describe, expect, it } from "vitest";
import { CR4, EFER } from "../../../kvm-core/cpu/control.ts";
import { SUPPORTED_CPUID, setCpuid } from "../../../kvm-core/cpu/cpuid.ts";
import { setMsr } from "../../../kvm-core/cpu/msr.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { ENGINES, type Mode, type TestEngine } from "../support/machine.ts";
import { CODE, gate, HANDLER, RingMachine, SEL, STACKS } from "../support/rings.ts";

const CODES = {
  syscall: [0x0f, 0x05],
  sysret: [0x0f, 0x07],
  sysretq: [0x48, 0x0f, 0x07],
  sysenter: [0x0f, 0x34],
  sysexit: [0x0f, 0x35],
  sysexitq: [0x48, 0x0f, 0x35],
} as const;
type Name = keyof typeof CODES;

const [UD, GP, DB] = [6, 13, 1];
const [STAR, LSTAR, CSTAR, FMASK] = [0xc000_0081, 0xc000_0082, 0xc000_0083, 0xc000_0084];
const [SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP] = [0x174, 0x175, 0x176];
const TF = 0x100;
/** IF, DF, NT, AC and arithmetic flags. */
const FLAGS = 0x4_4ed7;
const ENTRY = 0x14_0000;
const RETURN = 0x15_0000;
/** High half: an address that only 64-bit code reaches. */
const HIGH = 0xffff_8000_0000_0000n;
const BEYOND = 0x8000_0000_0000n;

function machineAt(engine: TestEngine, mode: Mode, cpl: number, cs?: number): RingMachine {
  const machine = new RingMachine(engine, mode);
  for (let v = 0; v < 32; v++) machine.vector(v, gate(SEL.code[0], HANDLER + v * 16, 14));
  machine.runAt(cpl, cs);
  if (mode === 64) machine.setSregs({ efer: machine.sregs.efer | BigInt(EFER.SCE) });
  const set = (index: number, value: bigint): void => {
    if (!setMsr(machine.memory, machine.zone, index, value)) throw new Error("the MSR is refused");
  };
  set(STAR, (0x38n << 48n) | (0x29n << 32n));
  set(LSTAR, BigInt(ENTRY));
  set(FMASK, 0x4_0700n);
  set(SYSENTER_CS, 0x29n);
  set(SYSENTER_ESP, 0x1f_0000n);
  set(SYSENTER_EIP, BigInt(ENTRY));
  machine.set({ rflags: BigInt(FLAGS) });
  return machine;
}
function amd(machine: RingMachine): void {
  const [vendor, ...rest] = SUPPORTED_CPUID;
  const name = (at: number): number => Buffer.from("AuthcAMDenti").readUInt32LE(at);
  setCpuid(machine.memory, machine.zone, [{ ...vendor!, ebx: name(0), ecx: name(4), edx: name(8) }, ...rest]);
}
const run = (machine: RingMachine, name: Name): number => machine.step(Uint8Array.from(CODES[name]));
const flags = (machine: RingMachine): number => Number(machine.regs.rflags);
const vectorOf = (machine: RingMachine): number => (Number(machine.regs.rip) - HANDLER) / 16;

const flat = { base: 0n, limit: 0xffff_ffff, present: 1, s: 1, g: 1, unusable: 0 } as const;

describe.each(ENGINES)("%s", (engine) => {
  describe("SYSCALL", () => {
    it.each([0, 1, 3])("from level %i", (cpl) => {
      const machine = machineAt(engine, 64, cpl);
      expect(run(machine, "syscall"), machine.engine.errorDetail).toBe(EngineExit.DEBUG);
      const { regs, sregs } = machine;
      expect(regs).toMatchObject({ rip: BigInt(ENTRY), rcx: BigInt(CODE + 2), r11: BigInt(FLAGS) });
      expect(regs.rsp).toBe(BigInt(STACKS[cpl]!));
      expect(flags(machine)).toBe(FLAGS & ~0x4_0700);
      expect(sregs.cs).toMatchObject({ ...flat, selector: 0x28, type: 11, dpl: 0, l: 1, db: 0 });
      expect(sregs.ss).toMatchObject({ ...flat, selector: 0x30, type: 3, dpl: 0, db: 1 });
      // Data segments stay.
      expect(sregs.ds.selector).toBe(SEL.data[cpl]);
    });

    it("goes to an LSTAR in the high half", () => {
      const machine = machineAt(engine, 64, 3);
      setMsr(machine.memory, machine.zone, LSTAR, HIGH + 0x1234n);
      run(machine, "syscall");
      expect(machine.regs.rip).toBe(HIGH + 0x1234n);
    });

    it("is undefined without EFER.SCE, in compatibility mode and in legacy mode", () => {
      const without = machineAt(engine, 64, 3);
      without.setSregs({ efer: without.sregs.efer & ~BigInt(EFER.SCE) });
      for (const machine of [without, machineAt(engine, 64, 3, SEL.compat), machineAt(engine, 32, 3)]) {
        for (const name of ["syscall", "sysret"] as const) {
          machine.runAt(3, machine === without ? undefined : machine.mode === 64 ? SEL.compat : undefined);
          run(machine, name);
          expect(vectorOf(machine)).toBe(UD);
        }
      }
    });

    it("of a processor of AMD's works in compatibility mode, from CSTAR, and SYSRET comes back", () => {
      const machine = machineAt(engine, 64, 3, SEL.compat);
      amd(machine);
      setMsr(machine.memory, machine.zone, CSTAR, HIGH + 0x1234n);
      machine.set({ rbx: 1n });
      expect(run(machine, "syscall"), machine.engine.errorDetail).toBe(EngineExit.DEBUG);
      expect(machine.regs).toMatchObject({ rip: HIGH + 0x1234n, rcx: BigInt(CODE + 2), r11: BigInt(FLAGS) });
      expect(flags(machine)).toBe(FLAGS & ~0x4_0700);
      expect(machine.sregs.cs).toMatchObject({ ...flat, selector: 0x28, dpl: 0, l: 1, db: 0 });
      machine.runAt(0);
      machine.set({ rcx: BigInt(RETURN), r11: BigInt(FLAGS) });
      run(machine, "sysret");
      expect(machine.regs.rip).toBe(BigInt(RETURN));
      expect(machine.sregs.cs).toMatchObject({ ...flat, selector: 0x3b, dpl: 3, l: 0, db: 1 });
    });

    it("of a processor of AMD's works in legacy mode, from STAR, and neither in real nor in virtual-8086 mode", () => {
      const machine = machineAt(engine, 32, 3);
      amd(machine);
      machine.setSregs({ efer: BigInt(EFER.SCE) });
      setMsr(machine.memory, machine.zone, STAR, (0x3bn << 48n) | (0x28n << 32n) | BigInt(ENTRY));
      expect(run(machine, "syscall"), machine.engine.errorDetail).toBe(EngineExit.DEBUG);
      expect(machine.regs).toMatchObject({ rip: BigInt(ENTRY), rcx: BigInt(CODE + 2) });
      expect(flags(machine)).toBe(FLAGS & ~0x200);
      expect(machine.sregs.cs).toMatchObject({ ...flat, selector: 0x28, dpl: 0, l: 0, db: 1 });
      expect(machine.sregs.ss).toMatchObject({ ...flat, selector: 0x30, dpl: 0 });
      machine.write(ENTRY, CODES.sysret);
      machine.set({ rcx: BigInt(RETURN) });
      machine.step();
      expect(machine.regs.rip).toBe(BigInt(RETURN));
      expect(flags(machine)).toBe(FLAGS);
      expect(machine.sregs.cs).toMatchObject({ ...flat, selector: 0x3b, dpl: 3, l: 0, db: 1 });
      machine.set({ rip: BigInt(CODE), rflags: 0x2_0002n });
      run(machine, "syscall");
      expect(vectorOf(machine)).toBe(UD);
    });

    it("is what AMD's processors have in IA-32e mode instead of SYSENTER", () => {
      for (const name of ["sysenter", "sysexit"] as const) {
        const machine = machineAt(engine, 64, 0);
        amd(machine);
        run(machine, name);
        expect(vectorOf(machine)).toBe(UD);
      }
    });

    it("traps behind itself while FMASK leaves TF set, and not when it masks it", () => {
      for (const masked of [true, false]) {
        const machine = machineAt(engine, 64, 3);
        machine.write(CODE, CODES.syscall);
        machine.write(ENTRY, [0xf4]);
        for (let v = 0; v < 32; v++) machine.write(HANDLER + v * 16, [0xf4]);
        setMsr(machine.memory, machine.zone, FMASK, masked ? 0x100n : 0n);
        machine.set({ rflags: BigInt(FLAGS | TF) });
        expect(machine.engine.run()).toBe(EngineExit.HLT);
        expect(machine.regs.rip).toBe(BigInt(masked ? ENTRY + 1 : HANDLER + DB * 16 + 1));
        expect(machine.regs.r11).toBe(BigInt(FLAGS | TF));
        if (!masked) expect(machine.slots(8, 1)).toEqual([ENTRY]);
      }
    });

    it("and SYSRET make a round trip that a program runs many times", () => {
      const machine = machineAt(engine, 64, 3);
      // mov rdi, rcx; inc rbx; mov rcx, rdi; sysretq
      machine.write(ENTRY, [0x48, 0x89, 0xcf, 0x48, 0xff, 0xc3, 0x48, 0x89, 0xf9, ...CODES.sysretq]);
      // again: syscall; inc rdx; dec esi; jnz again; hlt, which faults
      machine.write(CODE, [...CODES.syscall, 0x48, 0xff, 0xc2, 0xff, 0xce, 0x75, 0xf7, 0xf4]);
      machine.write(HANDLER + GP * 16, [0xf4]);
      setMsr(machine.memory, machine.zone, STAR, (0x2bn << 48n) | (0x08n << 32n));
      machine.set({ rbx: 0n, rdx: 0n, rsi: 50n, rflags: 2n });
      expect(machine.engine.run(), machine.engine.errorDetail).toBe(EngineExit.HLT);
      expect(machine.regs).toMatchObject({ rbx: 50n, rdx: 50n, rsi: 0n });
      expect(machine.slots(8, 2)).toEqual([0, CODE + 9]);
    });
  });

  describe("SYSRET", () => {
    const ROWS = [
      ["sysretq", 64, 0x4b],
      ["sysret", 32, 0x3b],
    ] as const;
    it.each(ROWS)("%s, to %i-bit code", (name, bits, selector) => {
      const machine = machineAt(engine, 64, 0);
      const target = bits === 64 ? 0x7fff_ffff_f000n : BigInt(RETURN) + 0x5_0000_0000n;
      machine.set({ rcx: target, r11: 0xffff_ffff_ffff_ffffn });
      expect(run(machine, name), machine.engine.errorDetail).toBe(EngineExit.DEBUG);
      // TF was in R11: the trap is there at once, and goes to whoever debugs from outside.
      const { regs, sregs } = machine;
      expect(regs.rip).toBe(bits === 64 ? target : BigInt(RETURN));
      expect(flags(machine)).toBe(0x3c_7fd7);
      const wide = bits === 64 ? 1 : 0;
      expect(sregs.cs).toMatchObject({ ...flat, selector, type: 11, dpl: 3, l: wide, db: 1 - wide });
      expect(sregs.ss).toMatchObject({ ...flat, selector: 0x43, type: 3, dpl: 3, db: 1 });
    });

    it("traps at its target with TF in R11, though TF was clear before", () => {
      const machine = machineAt(engine, 64, 0);
      machine.write(CODE, [0x90, ...CODES.sysretq]);
      machine.write(HANDLER + DB * 16, [0xf4]);
      setMsr(machine.memory, machine.zone, STAR, 0x2bn << 48n);
      machine.set({ rflags: 2n, rcx: BigInt(RETURN), r11: BigInt(TF | 2) });
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      expect(machine.regs.rip).toBe(BigInt(HANDLER + DB * 16 + 1));
      expect(machine.slots(8, 3)).toEqual([RETURN, 0x3b, TF | 2]);
    });

    it("faults above level 0, and where RCX is not canonical, in the kernel's context", () => {
      for (const [cpl, name, rcx] of [
        [1, "sysretq", BigInt(RETURN)],
        [3, "sysret", BigInt(RETURN)],
        [0, "sysretq", BEYOND],
      ] as const) {
        const machine = machineAt(engine, 64, cpl);
        machine.set({ rcx });
        run(machine, name);
        expect(vectorOf(machine)).toBe(GP);
        expect(machine.slots(8, 3)).toEqual([0, CODE, SEL.code[cpl]]);
      }
      const narrow = machineAt(engine, 64, 0);
      narrow.set({ rcx: BEYOND + BigInt(RETURN), r11: 2n });
      run(narrow, "sysret");
      expect(narrow.regs.rip).toBe(BigInt(RETURN));
    });
  });

  describe("SYSENTER and SYSEXIT", () => {
    it.each([32, 64] as const)("enter level 0, %i-bit", (mode) => {
      for (const cpl of [0, 3]) {
        const machine = machineAt(engine, mode, cpl);
        const wide = mode === 64 ? 1 : 0;
        expect(run(machine, "sysenter")).toBe(EngineExit.DEBUG);
        const { regs, sregs } = machine;
        expect(regs).toMatchObject({ rip: BigInt(ENTRY), rsp: 0x1f_0000n });
        expect(flags(machine)).toBe(FLAGS & ~0x200);
        expect(sregs.cs).toMatchObject({ ...flat, selector: 0x28, type: 11, dpl: 0, l: wide, db: 1 - wide });
        expect(sregs.ss).toMatchObject({ ...flat, selector: 0x30, type: 3, dpl: 0 });
      }
    });

    it("enter 64-bit mode from compatibility mode, and leave virtual-8086 mode", () => {
      const compat = machineAt(engine, 64, 3, SEL.compat);
      setMsr(compat.memory, compat.zone, SYSENTER_EIP, HIGH + 0x10n);
      setMsr(compat.memory, compat.zone, SYSENTER_ESP, HIGH + 0x20n);
      run(compat, "sysenter");
      expect(compat.regs).toMatchObject({ rip: HIGH + 0x10n, rsp: HIGH + 0x20n });
      const virtual = machineAt(engine, 32, 3);
      virtual.runVirtual(0x202);
      virtual.step(Uint8Array.from(CODES.sysenter), 0x2_0100);
      expect(virtual.regs).toMatchObject({ rip: BigInt(ENTRY), rflags: 2n });
      expect(virtual.sregs.cs).toMatchObject({ selector: 0x28, db: 1, dpl: 0 });
    });

    const EXITS = [
      [32, "sysexit", 0x38 | 3, 0],
      [64, "sysexit", 0x38 | 3, 0],
      [64, "sysexitq", 0x48 | 3, 1],
    ] as const;
    it.each(EXITS)("leave level 0, %i-bit: %s", (mode, name, selector, wide) => {
      const machine = machineAt(engine, mode, 0);
      const high = mode === 64 ? 0x1234_0000_0000n : 0n;
      machine.set({ rdx: BigInt(RETURN) + high, rcx: 0x23_8000n + high });
      run(machine, name);
      const { regs, sregs } = machine;
      const kept = wide ? high : 0n;
      expect(regs).toMatchObject({ rip: BigInt(RETURN) + kept, rsp: 0x23_8000n + kept, rflags: BigInt(FLAGS) });
      expect(sregs.cs).toMatchObject({ ...flat, selector, type: 11, dpl: 3, l: wide, db: 1 - wide });
      expect(sregs.ss).toMatchObject({ ...flat, selector: selector + 8, type: 3, dpl: 3 });
    });

    it("fault with a null selector, SYSEXIT above level 0 and to what is not canonical", () => {
      const expectGp = (machine: RingMachine, name: Name): void => {
        run(machine, name);
        expect(vectorOf(machine)).toBe(GP);
      };
      for (const [cpl, name] of [
        [3, "sysenter"],
        [0, "sysexit"],
      ] as const) {
        const machine = machineAt(engine, 64, cpl);
        setMsr(machine.memory, machine.zone, SYSENTER_CS, 3n);
        expectGp(machine, name);
      }
      expectGp(machineAt(engine, 32, 1), "sysexit");
      for (const registers of [{ rcx: BEYOND }, { rdx: BEYOND }]) {
        const machine = machineAt(engine, 64, 0);
        machine.set(registers);
        expectGp(machine, "sysexitq");
      }
    });
  });

  describe("bases of FS and GS", () => {
    const WRFSBASE = [0xf3, 0x48, 0x0f, 0xae, 0xd0];
    const RDGSBASE = [0xf3, 0x48, 0x0f, 0xae, 0xc8];
    it.each([0, 3])("need CR4.FSGSBASE, and a canonical address, at level %i", (cpl) => {
      for (const [code, allowed, rax, vector] of [
        [WRFSBASE, false, 0n, UD],
        [RDGSBASE, false, 0n, UD],
        [WRFSBASE, true, BEYOND, GP],
        [WRFSBASE, true, 0x1234n, -1],
      ] as const) {
        const machine = machineAt(engine, 64, cpl);
        if (allowed) machine.setSregs({ cr4: machine.sregs.cr4 | BigInt(CR4.FSGSBASE) });
        machine.set({ rax });
        machine.step(Uint8Array.from(code));
        if (vector < 0) expect(machine.sregs.fs.base).toBe(rax);
        else expect(vectorOf(machine)).toBe(vector);
      }
    });
  });
});
