/**
 * Far RET and IRET in protected and IA-32e mode: every privilege level, flags, and the fault of every check.
 * Document: SDM volume 2, RET and IRET (pseudo-code); volume 3, 5.8.6.
 * Left out: real and virtual-8086 mode: virtual.test.ts; returns from nested tasks: task-switch.test.ts.
 */

import { describe, expect, it } from "vitest";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { expectFault, FLAGS, machineAt, type Name, push, run, TARGET } from "../support/far.ts";
import { ENGINES, type Mode } from "../support/machine.ts";
import { descriptor, HANDLER, SEL, STACKS, TYPE } from "../support/rings.ts";

const [GP, NP] = [13, 11];

describe.each(ENGINES)("%s", (engine) => {
  /** What a return may not do: frame of RIP, CS and, for an outer level, RSP, SS. */
  const RETURNS: readonly (readonly [
    what: string,
    cs: number,
    ss: number,
    vector: number,
    error: number,
    cpl: number,
  ])[] = [
    ["null CS", 3, 0, GP, 0, 0],
    ["CS beyond the GDT", 0x1003, 0, GP, 0x1000, 0],
    ["data as CS", SEL.data[0], 0, GP, SEL.data[0], 0],
    ["an inner level", SEL.code[0], 0, GP, SEL.code[0], 3],
    ["RPL below DPL", SEL.code[3] & ~3, 0, GP, SEL.code[3] & ~3, 0],
    ["absent CS", SEL.absent, 0, NP, SEL.absent, 0],
    ["null SS", SEL.code[3], 3, GP, 0, 0],
    ["SS beyond the GDT", SEL.code[3], 0x1003, GP, 0x1000, 0],
    ["SS of another RPL", SEL.code[3], SEL.data[3] & ~3, GP, SEL.data[3] & ~3, 0],
    ["SS of another level", SEL.code[3], SEL.data[2] | 3, GP, SEL.data[2] & ~3, 0],
    ["code as SS", SEL.code[3], SEL.code[3], GP, SEL.code[3] & ~3, 0],
  ];

  describe.each([
    [32, "ret", 4],
    [32, "ret16", 2],
    [32, "iret", 4],
    [32, "iret16", 2],
    [64, "ret64", 8],
    [64, "iret64", 8],
  ] as const)("%i-bit %s", (mode, name, size) => {
    const isIret = name.startsWith("iret");
    const offset = size === 2 ? 0x1230 : TARGET;

    it("to every level that is not inner", () => {
      for (const [from, to] of [
        [0, 0],
        [0, 1],
        [0, 3],
        [1, 2],
        [3, 3],
      ] as const) {
        const machine = machineAt(engine, mode, from);
        const frame = [offset, SEL.code[to]];
        if (isIret) frame.push(0x0ed7);
        const sp = size === 2 ? 0x4320 : 0x24_0000;
        if (to !== from || (mode === 64 && isIret)) frame.push(sp, SEL.data[to]);
        push(machine, size, frame);
        const before = Number(machine.regs.rsp);
        expect(run(machine, name), machine.engine.errorDetail).toBe(EngineExit.DEBUG);
        const { regs, sregs } = machine;
        expect(Number(regs.rip)).toBe(offset);
        expect(Number(regs.rsp)).toBe(frame.length > 3 || (!isIret && to !== from) ? sp : before + frame.length * size);
        expect([sregs.cs.selector, sregs.ss.selector, sregs.ss.dpl]).toEqual([SEL.code[to], SEL.data[to], to]);
        expect(sregs.ds).toMatchObject(to > from ? { selector: 0, unusable: 1 } : { selector: SEL.data[from] });
        // TF, IF, DF, OF and the arithmetic flags; IF only at a level that IOPL allows.
        if (isIret) expect(Number(regs.rflags)).toBe(from === 0 ? 0xed7 : (0xed7 & ~0x200) | (FLAGS & 0x200));
        else expect(Number(regs.rflags)).toBe(FLAGS);
      }
    });

    it.each(RETURNS)("fault: %s", (_what, cs, ss, vector, error, cpl) => {
      const machine = machineAt(engine, mode, cpl);
      const frame = [offset, cs];
      if (isIret) frame.push(2);
      push(machine, size, [...frame, 0x24_0000 & (size === 2 ? 0xffff : -1), ss]);
      run(machine, name);
      expectFault(machine, vector, error, cpl);
      expect(machine.sregs.ds.selector).toBe(SEL.data[cpl]);
    });
  });

  describe("IRET", () => {
    const flagsAfter = (mode: Mode, cpl: number, before: number, image: number, name: Name): number => {
      const machine = machineAt(engine, mode, cpl);
      machine.set({ rflags: BigInt(before) });
      const size = name === "iret16" ? 2 : name === "iret64" ? 8 : 4;
      const frame = [name === "iret16" ? 0x100 : TARGET, SEL.code[cpl]!, image];
      if (mode === 64) frame.push(STACKS[cpl]!, SEL.data[cpl]!);
      push(machine, size, frame);
      run(machine, name);
      expect(Number(machine.regs.rip)).toBe(frame[0]);
      return Number(machine.regs.rflags);
    };

    it("takes the flags that its level and size allow", () => {
      // All but NT, which would have meant a task on the next IRET: CF..OF, IOPL, NT, RF, AC, VIF, VIP, ID.
      const ALL = 0x3d_7fd7;
      expect(flagsAfter(32, 0, 2, ALL, "iret")).toBe(ALL);
      expect(flagsAfter(64, 0, 2, ALL, "iret64")).toBe(ALL);
      expect(flagsAfter(32, 0, 2, ALL, "iret16")).toBe(ALL & 0xffff);
      // Level 3 with IOPL 0: no IF, no IOPL, no VIF and VIP.
      expect(flagsAfter(32, 3, 2, ALL, "iret")).toBe(ALL & ~0x3200 & ~0x18_0000);
      // Level 3 with IOPL 3: IF.
      expect(flagsAfter(32, 3, 0x3002, ALL, "iret")).toBe(ALL & ~0x18_0000);
      // VM is not taken at level 3, nor in IA-32e mode.
      expect(flagsAfter(32, 3, 2, 0x2_0002, "iret")).toBe(2);
      expect(flagsAfter(64, 0, 2, 0x2_0002, "iret64")).toBe(2);
    });

    it("with NT set is #GP(0) in IA-32e mode", () => {
      const long = machineAt(engine, 64, 0);
      long.set({ rflags: 0x4002n });
      run(long, "iret64");
      expect([Number(long.regs.rip) - HANDLER, long.slots(8, 1)[0]]).toEqual([GP * 16, 0]);
    });

    it("to a 16-bit stack changes SP alone", () => {
      const machine = machineAt(engine, 32, 0);
      machine.describe(SEL.gate, descriptor({ type: TYPE.data, dpl: 3, db: 0, limit: 0xffff }));
      push(machine, 4, [TARGET, SEL.code[3], 2, 0x1234_5678, SEL.gate | 3]);
      run(machine, "iret");
      expect(machine.regs.rsp).toBe(BigInt(((STACKS[0] - 1) & 0xffff_0000) | 0x5678));
    });

    it("from 64-bit mode to compatibility mode, and a null SS only for 64-bit code", () => {
      const machine = machineAt(engine, 64, 0);
      push(machine, 8, [TARGET, SEL.compat, 2, 0x24_0000, SEL.data[3]]);
      run(machine, "iret64");
      expect(machine.sregs.cs).toMatchObject({ selector: SEL.compat, l: 0, db: 1 });
      expect(machine.regs).toMatchObject({ rip: BigInt(TARGET), rsp: 0x24_0000n });

      const kernel = machineAt(engine, 64, 0);
      push(kernel, 8, [TARGET, SEL.code[0], 2, 0x24_0000, 0]);
      run(kernel, "iret64");
      expect(kernel.sregs.ss).toMatchObject({ selector: 0, unusable: 1, dpl: 0 });
      expect(kernel.regs).toMatchObject({ rip: BigInt(TARGET), rsp: 0x24_0000n });
    });

    it("to an address that is not canonical is #GP(0) at the IRET", () => {
      const machine = machineAt(engine, 64, 0);
      push(machine, 8, [0x8000_0000_0000n, SEL.code[3], 2, 0x24_0000, SEL.data[3]]);
      run(machine, "iret64");
      expectFault(machine, GP, 0, 0);
      expect(machine.sregs.ds.selector).toBe(SEL.data[0]);
    });
  });
});
