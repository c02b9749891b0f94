/**
 * Segment loads and what LLDT, LTR, SLDT, STR, VERR, VERW, LAR, LSL and ARPL do, with the fault of every check.
 * Document: SDM volume 2, the instructions of the names; volume 3, 3.4 and 5.6.
 * Left out: accesses through segments: bounds of operands; real and virtual-8086 mode: virtual.test.ts.
 */

import { describe, expect, it } from "vitest";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { ENGINES, GDT, type Mode } from "../support/machine.ts";
import { CODE, descriptor, gate, HANDLER, RingMachine, SEL, TSS, TYPE } from "../support/rings.ts";

const [UD, NP, SS, GP] = [6, 11, 12, 13];
const ZF = 0x40;
const POINTER = 0x13_0000;
/** With the selector in AX; results in ECX; [rBX] is POINTER. */
const I = {
  movEs: [0x8e, 0xc0],
  movSs: [0x8e, 0xd0],
  movDs: [0x8e, 0xd8],
  movFs: [0x8e, 0xe0],
  movGs: [0x8e, 0xe8],
  movCs: [0x8e, 0xc8],
  lds: [0xc5, 0x0b],
  les: [0xc4, 0x0b],
  lss: [0x0f, 0xb2, 0x0b],
  lfs: [0x0f, 0xb4, 0x0b],
  lgs: [0x0f, 0xb5, 0x0b],
  lldt: [0x0f, 0x00, 0xd0],
  ltr: [0x0f, 0x00, 0xd8],
  sldt: [0x0f, 0x00, 0xc1],
  str: [0x0f, 0x00, 0xc9],
  sldtMemory: [0x0f, 0x00, 0x03],
  verr: [0x0f, 0x00, 0xe0],
  verw: [0x0f, 0x00, 0xe8],
  lar: [0x0f, 0x02, 0xc8],
  lsl: [0x0f, 0x03, 0xc8],
  lar16: [0x66, 0x0f, 0x02, 0xc8],
  arpl: [0x63, 0xc1],
} as const;

function machineAt(engine: (typeof ENGINES)[number], mode: Mode, cpl: number): RingMachine {
  const machine = new RingMachine(engine, mode);
  for (let v = 0; v < 32; v++) machine.vector(v, gate(SEL.code[0], HANDLER + v * 16, 14));
  machine.runAt(cpl);
  machine.set({ rflags: 2n, rbx: BigInt(POINTER), rcx: 0x1122_3344n });
  return machine;
}

const run = (machine: RingMachine, name: keyof typeof I, selector: number): number => {
  machine.set({ rax: BigInt(0x7777_0000 | selector) });
  machine.setU32(POINTER, 0x5566_7788);
  machine.write(POINTER + 4, [selector & 0xff, selector >> 8]);
  return machine.step(Uint8Array.from(I[name]));
};
const outcome = (machine: RingMachine): number[] => {
  const rip = Number(machine.regs.rip);
  if (rip < HANDLER) return [];
  const vector = (rip - HANDLER) / 16;
  return vector === UD ? [vector] : [vector, machine.slots(machine.mode === 64 ? 8 : 4, 1)[0]!];
};

describe.each(ENGINES)("%s", (engine) => {
  describe("MOV Sreg", () => {
    it.each([
      [0, SEL.data[0]],
      [0, SEL.data[3] & ~3],
      [0, SEL.data[3]],
      [3, SEL.data[3]],
      [3, SEL.data[3] & ~3],
      [3, SEL.conforming],
      [0, SEL.code[0]],
      [0, SEL.readOnly],
      [0, SEL.expandDown],
      [0, SEL.local],
      [3, 3],
      [3, 0],
    ])("level %i, selector %i", (cpl, selector) => {
      for (const mode of [32, 64] as const) {
        for (const [name, register] of [
          ["movDs", "ds"],
          ["movEs", "es"],
          ["movFs", "fs"],
          ["movGs", "gs"],
        ] as const) {
          const machine = machineAt(engine, mode, cpl);
          run(machine, name, selector);
          expect(outcome(machine)).toEqual([]);
          const loaded = machine.sregs[register];
          if (selector < 4) expect(loaded).toMatchObject({ selector, unusable: 1 });
          else expect(loaded).toEqual(machine.segmentOf(selector));
        }
      }
    });

    it.each([
      ["beyond the GDT", 0, 0x1000, GP, 0x1000],
      ["beyond the LDT", 0, 0x107, GP, 0x104],
      ["an inner level", 3, SEL.data[0], GP, SEL.data[0]],
      ["RPL above DPL", 0, SEL.data[0] | 3, GP, SEL.data[0]],
      ["code that cannot be read", 0, SEL.executeOnly, GP, SEL.executeOnly],
      ["a system segment", 0, SEL.ldt, GP, SEL.ldt],
      ["absent", 0, SEL.absentData, NP, SEL.absentData],
    ])("fault: %s", (_what, cpl, selector, vector, error) => {
      for (const mode of [32, 64] as const) {
        const machine = machineAt(engine, mode, cpl);
        run(machine, "movDs", selector);
        expect(outcome(machine)).toEqual([vector, error]);
        expect(machine.sregs.ds.selector).toBe(SEL.data[cpl]);
      }
    });

    it("marks the segment accessed", () => {
      const machine = machineAt(engine, 32, 0);
      machine.describe(SEL.gate, descriptor({ type: TYPE.data - 1, base: 0x1_0000, limit: 0x12345 }));
      run(machine, "movDs", SEL.gate);
      expect(machine.u64(GDT + SEL.gate)).toBe(descriptor({ type: TYPE.data, base: 0x1_0000, limit: 0x12345 }));
      expect(machine.sregs.ds).toMatchObject({ base: 0x1_0000n, limit: 0x12345, type: TYPE.data });
    });

    it("CS is #UD", () => {
      const machine = machineAt(engine, 32, 0);
      run(machine, "movCs", SEL.code[0]);
      expect(outcome(machine)).toEqual([UD]);
    });

    it.each([
      ["null", 0, 0, GP, 0],
      ["null, at level 3", 3, 3, GP, 0],
      ["RPL", 0, SEL.data[0] | 1, GP, SEL.data[0]],
      ["DPL", 0, SEL.data[3] & ~3, GP, SEL.data[3] & ~3],
      ["read-only", 0, SEL.readOnly, GP, SEL.readOnly],
      ["code", 0, SEL.code[0], GP, SEL.code[0]],
      ["absent", 0, SEL.absentData, SS, SEL.absentData],
    ])("fault of SS: %s", (_what, cpl, selector, vector, error) => {
      const machine = machineAt(engine, 32, cpl);
      run(machine, "movSs", selector);
      expect(outcome(machine)).toEqual([vector, error]);
      expect(machine.sregs.ss.selector).toBe(SEL.data[0]);
    });

    it("a null SS, in 64-bit mode below level 3 and with RPL = CPL", () => {
      const machine = machineAt(engine, 64, 0);
      run(machine, "movSs", 0);
      expect(machine.sregs.ss).toMatchObject({ selector: 0, unusable: 1, dpl: 0 });
      for (const [cpl, selector] of [
        [0, 1],
        [3, 3],
      ] as const) {
        const other = machineAt(engine, 64, cpl);
        run(other, "movSs", selector);
        expect(outcome(other)).toEqual([GP, 0]);
      }
    });
  });

  it.each(["lds", "les", "lss", "lfs", "lgs"] as const)("%s loads offset and selector", (name) => {
    const machine = machineAt(engine, 32, 0);
    run(machine, name, SEL.data[0]);
    expect(machine.regs.rcx).toBe(0x5566_7788n);
    expect(machine.sregs[name.slice(1) as "ds"]).toEqual(machine.segmentOf(SEL.data[0]));
    // A selector that cannot be loaded leaves the register.
    const faulty = machineAt(engine, 32, 0);
    run(faulty, name, 0x1000);
    expect([...outcome(faulty), Number(faulty.regs.rcx)]).toEqual([GP, 0x1000, 0x1122_3344]);
  });

  describe("LLDT and LTR", () => {
    const SPACE = 0xffff_8000_0000_0000n;

    it("load from 8 bytes, in IA-32e mode from 16", () => {
      for (const mode of [32, 64] as const) {
        const machine = machineAt(engine, mode, 0);
        const upper = mode === 64 ? SPACE >> 32n : 0n;
        machine.describe(SEL.gate, descriptor({ type: 2, s: 0, base: 0x12_3450, limit: 0x77, db: 0 }), upper);
        run(machine, "lldt", SEL.gate);
        const base = (mode === 64 ? SPACE : 0n) | 0x12_3450n;
        expect(machine.sregs.ldt).toMatchObject({ selector: SEL.gate, base, limit: 0x77, type: 2, unusable: 0 });
        machine.describe(SEL.other, descriptor({ type: 9, s: 0, base: 0x12_3450, limit: 0x67, db: 0 }), upper);
        machine.set({ rip: BigInt(CODE) });
        run(machine, "ltr", SEL.other);
        expect(machine.sregs.tr).toMatchObject({ selector: SEL.other, base, limit: 0x67, type: 11 });
        expect(machine.segmentOf(SEL.other).type).toBe(11);
        machine.set({ rip: BigInt(CODE) });
        run(machine, "sldt", 0);
        expect(machine.regs.rcx).toBe(BigInt(SEL.gate));
        machine.set({ rip: BigInt(CODE) });
        run(machine, "str", 0);
        expect(machine.regs.rcx).toBe(BigInt(SEL.other));
        machine.set({ rip: BigInt(CODE) });
        run(machine, "sldtMemory", 0);
        expect(machine.u32(POINTER)).toBe(0x5566_0000 | SEL.gate);
      }
    });

    it("a null LDT makes selectors of it fault", () => {
      const machine = machineAt(engine, 32, 0);
      run(machine, "lldt", 0);
      expect(machine.sregs.ldt).toMatchObject({ selector: 0, unusable: 1 });
      machine.set({ rip: BigInt(CODE) });
      run(machine, "movDs", SEL.local);
      expect(outcome(machine)).toEqual([GP, SEL.local & ~3]);
    });

    type Row = readonly ["lldt" | "ltr", string, number, number, number, bigint?];
    const ROWS: readonly Row[] = [
      ["lldt", "of the LDT", SEL.local, GP, SEL.local],
      ["lldt", "a TSS", SEL.tss, GP, SEL.tss],
      ["lldt", "data", SEL.data[0], GP, SEL.data[0]],
      ["lldt", "beyond", 0x1000, GP, 0x1000],
      ["lldt", "absent", SEL.gate, NP, SEL.gate, descriptor({ type: 2, s: 0, present: 0 })],
      ["ltr", "null", 0, GP, 0],
      ["ltr", "of the LDT", SEL.local, GP, SEL.local],
      ["ltr", "busy", SEL.tss, GP, SEL.tss],
      ["ltr", "an LDT", SEL.ldt, GP, SEL.ldt],
      ["ltr", "absent", SEL.gate, NP, SEL.gate, descriptor({ type: 9, s: 0, present: 0 })],
    ];
    it.each(ROWS.map(([a, b, c, d, e, f]) => [a, b, c, d, e, f] as const))(
      "%s, fault: %s",
      (name, _what, selector, vector, error, low) => {
        for (const mode of [32, 64] as const) {
          const machine = machineAt(engine, mode, 0);
          if (low !== undefined) machine.describe(SEL.gate, low, 0n);
          run(machine, name, selector);
          expect(outcome(machine)).toEqual([vector, error]);
        }
      },
    );

    it("are of level 0, and a 16-bit TSS is of legacy mode", () => {
      for (const name of ["lldt", "ltr"] as const) {
        const machine = machineAt(engine, 32, 3);
        run(machine, name, 0);
        expect(outcome(machine)).toEqual([GP, 0]);
      }
      for (const [mode, expected] of [
        [32, []],
        [64, [GP, SEL.gate]],
      ] as const) {
        const machine = machineAt(engine, mode, 0);
        machine.describe(SEL.gate, descriptor({ type: 1, s: 0, base: TSS, limit: 43, db: 0 }), 0n);
        run(machine, "ltr", SEL.gate);
        expect(outcome(machine)).toEqual(expected);
      }
    });

    it("a stack of the loaded TSS is used", () => {
      const machine = machineAt(engine, 32, 0);
      machine.describe(SEL.gate, descriptor({ type: 9, s: 0, base: 0x14_0000, limit: 0x67, db: 0 }));
      run(machine, "ltr", SEL.gate);
      machine.runAt(3);
      machine.setU32(0x14_0004, 0x15_0000);
      machine.setU32(0x14_0008, SEL.data[0]);
      machine.step(Uint8Array.of(0x0f, 0x0b));
      expect(outcome(machine)).toEqual([UD]);
      expect(machine.regs.rsp).toBe(BigInt(0x15_0000 - 20));
    });
  });

  describe("what a selector allows", () => {
    /** selector, level, VERR, VERW, LAR (-1: not), LSL. */
    const ROWS: readonly (readonly [string, number, number, boolean, boolean, number, number])[] = [
      ["data", SEL.data[0], 0, true, true, 0xc0_9300, 0xffff_ffff],
      ["data of level 3", SEL.data[3], 3, true, true, 0xc0_f300, 0xffff_ffff],
      ["an inner level", SEL.data[0], 3, false, false, -1, -1],
      ["RPL above DPL", SEL.data[0] | 1, 0, false, false, -1, -1],
      ["read-only", SEL.readOnly, 0, true, false, 0xc0_9100, 0xffff_ffff],
      ["16-bit", SEL.data16, 0, true, true, 0x00_9300, 0xffff],
      ["execute-only", SEL.executeOnly, 0, false, false, 0xc0_9900, 0xffff_ffff],
      ["conforming, at any level", SEL.conforming | 3, 3, true, false, 0xc0_9f00, 0xffff_ffff],
      ["absent", SEL.absentData, 0, true, true, 0xc0_1300, 0xffff_ffff],
      ["null", 0, 0, false, false, -1, -1],
      ["beyond the GDT", 0x1000, 0, false, false, -1, -1],
      ["an LDT", SEL.ldt, 0, false, false, 0x00_8200, 0xff],
      ["a TSS", SEL.tss, 0, false, false, 0x00_8b00, 0x2fff],
    ];
    it.each(ROWS)("%s", (_name, selector, cpl, read, write, rights, limit) => {
      const check = (name: "verr" | "verw" | "lar" | "lsl", allowed: boolean, result: number): void => {
        const machine = machineAt(engine, 32, cpl);
        machine.set({ rflags: allowed ? 2n : 0x42n });
        run(machine, name, selector);
        expect(outcome(machine)).toEqual([]);
        expect(Number(machine.regs.rflags) & ZF, name).toBe(allowed ? ZF : 0);
        expect(Number(machine.regs.rcx), name).toBe(result);
      };
      check("verr", read, 0x1122_3344);
      check("verw", write, 0x1122_3344);
      check("lar", rights >= 0, rights < 0 ? 0x1122_3344 : rights);
      check("lsl", limit >= 0, limit < 0 ? 0x1122_3344 : limit);
    });

    it.each([
      [4, true, false, false],
      [5, true, false, false],
      [12, true, false, true],
      [1, true, true, false],
      [14, false, false, false],
    ])("system type %i", (type, lar, lsl, larLong) => {
      for (const [mode, name, allowed] of [
        [32, "lar", lar],
        [32, "lsl", lsl],
        [64, "lar", larLong],
        [64, "lsl", false],
      ] as const) {
        const machine = machineAt(engine, mode, 0);
        machine.describe(SEL.gate, descriptor({ type, s: 0 }), 0n);
        run(machine, name, SEL.gate);
        expect(Number(machine.regs.rflags) & ZF, `${name} ${mode}`).toBe(allowed ? ZF : 0);
      }
    });

    it("LAR of 16 bits leaves the upper half", () => {
      const machine = machineAt(engine, 32, 0);
      run(machine, "lar16", SEL.data[0]);
      expect(machine.regs.rcx).toBe(0x1122_9300n);
    });

    it("ARPL raises RPL", () => {
      for (const [dst, src, result, zero] of [
        [0x10, 3, 0x13, ZF],
        [0x13, 1, 0x13, 0],
        [0x11, 1, 0x11, 0],
      ] as const) {
        const machine = machineAt(engine, 32, 3);
        machine.set({ rcx: BigInt(0x5555_0000 | dst) });
        run(machine, "arpl", src);
        expect(Number(machine.regs.rcx)).toBe(0x5555_0000 | result);
        expect(Number(machine.regs.rflags) & ZF).toBe(zero);
      }
    });
  });

  it("LGDT in 64-bit mode refuses a base that is not canonical", () => {
    const machine = machineAt(engine, 64, 0);
    machine.write(POINTER, [0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]);
    expect(machine.step(Uint8Array.of(0x0f, 0x01, 0x13))).toBe(EngineExit.DEBUG);
    expect(outcome(machine)).toEqual([GP, 0]);
    expect(machine.sregs.gdt.base).toBe(BigInt(GDT));
  });
});
