/**
 * Far JMP and CALL in protected and IA-32e mode: frames, call gates, privilege levels, and the fault of every check.
 * Document: SDM volume 2, JMP and CALL (pseudo-code); volume 3, 5.8.
 * Left out: real and virtual-8086 mode: virtual.test.ts; task switches: task-switch.test.ts.
 */

import { describe, expect, it } from "vitest";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { CODES, expectFault, FLAGS, machineAt, POINTER, pointTo, push, RF, run, TARGET } from "../support/far.ts";
import { ENGINES } from "../support/machine.ts";
import { CODE, descriptor, gate, HANDLER, type RingMachine, SEL, STACKS, TSS, TYPE } from "../support/rings.ts";

const [GP, NP, TS, SS] = [13, 11, 10, 12];

describe.each(ENGINES)("%s", (engine) => {
  describe("far JMP, 32-bit", () => {
    it.each([
      [0, SEL.code[0], SEL.code[0]],
      [1, SEL.code[1] & ~3, SEL.code[1]],
      [3, SEL.code[3], SEL.code[3]],
      [3, SEL.conforming, SEL.conforming | 3],
      [3, SEL.conforming | 3, SEL.conforming | 3],
      [0, SEL.local, SEL.local],
    ] as const)("level %i to %i", (cpl, selector, loaded) => {
      for (const [name, size] of [
        ["jmp", 4],
        ["jmp16", 2],
      ] as const) {
        const machine = machineAt(engine, 32, cpl);
        pointTo(machine, selector, TARGET | 0x123, size);
        expect(run(machine, name), machine.engine.errorDetail).toBe(EngineExit.DEBUG);
        const offset = size === 2 ? 0x123 : TARGET | 0x123;
        expect(machine.regs).toMatchObject({ rip: BigInt(offset), rsp: BigInt(STACKS[cpl]) });
        expect(machine.sregs.cs.selector).toBe(loaded);
      }
    });

    it("into a 16-bit segment", () => {
      const machine = machineAt(engine, 32, 0);
      pointTo(machine, SEL.code16, 0x1234);
      run(machine, "jmp");
      expect(machine.sregs.cs).toMatchObject({ selector: SEL.code16, db: 0, limit: 0xffff });
    });
  });

  /** what; selector; vector; error code; level; preparation. */
  type Wrong = readonly [
    what: string,
    selector: number,
    vector: number,
    code: number,
    cpl?: number,
    how?: (m: RingMachine) => void,
  ];
  const nothing = (): void => {};
  const rows = (all: readonly Wrong[]) =>
    all.map(([what, selector, vector, error, cpl = 3, how = nothing]) => {
      return [what, selector, vector, error, cpl, how] as const;
    });
  const withGate =
    (low: bigint, high?: bigint) =>
    (m: RingMachine): void =>
      m.describe(SEL.gate, low, high);
  const DIRECT: readonly Wrong[] = [
    ["a null selector", 3, GP, 0],
    ["beyond the GDT", 0x1003, GP, 0x1000],
    ["beyond the LDT", 0x107, GP, 0x104],
    ["data", SEL.data[3], GP, SEL.data[3] & ~3],
    ["an LDT", SEL.ldt, GP, SEL.ldt],
    ["a busy TSS", SEL.tss, GP, SEL.tss, 0],
    ["an inner level", SEL.code[0], GP, SEL.code[0]],
    ["an outer level", SEL.code[3], GP, SEL.code[3] & ~3, 0],
    ["RPL above the level", SEL.code[0] | 1, GP, SEL.code[0], 0],
    ["absent", SEL.absent, NP, SEL.absent, 0],
    ["offset beyond the limit", SEL.code16, GP, 0, 0],
    [
      "conforming code of an outer level",
      SEL.gate,
      GP,
      SEL.gate,
      0,
      withGate(descriptor({ type: TYPE.conforming, dpl: 1 })),
    ],
  ];

  describe.each(["jmp", "call"] as const)("far %s, faults, 32-bit", (name) => {
    it.each(rows(DIRECT))("%s", (_what, selector, vector, error, cpl, how) => {
      const machine = machineAt(engine, 32, cpl);
      how(machine);
      pointTo(machine, selector, TARGET);
      run(machine, name);
      expectFault(machine, vector, error, cpl);
    });
  });

  describe("far CALL, 32-bit", () => {
    it.each([
      ["call", 4],
      ["call16", 2],
    ] as const)("%s pushes CS and the return address, and RET takes them back", (name, size) => {
      for (const cpl of [0, 3]) {
        const machine = machineAt(engine, 32, cpl);
        pointTo(machine, SEL.code[cpl]!, size === 2 ? 0x123 : TARGET, size);
        run(machine, name);
        const length = CODES[name].length;
        const mask = size === 2 ? 0xffff : -1;
        expect(machine.slots(size, 2)).toEqual([(CODE + length) & mask, SEL.code[cpl]]);
        expect(machine.regs.rsp).toBe(BigInt(STACKS[cpl]! - 2 * size));
        machine.step(Uint8Array.from(CODES[size === 2 ? "ret16" : "ret"]), Number(machine.regs.rip));
        expect(machine.regs).toMatchObject({ rip: BigInt((CODE + length) & mask), rsp: BigInt(STACKS[cpl]!) });
      }
    });

    it("is #SS(0) without room, with nothing written", () => {
      const machine = machineAt(engine, 32, 3);
      machine.setSregs({ ss: { ...machine.sregs.ss, limit: 0xfff, g: 0 } });
      machine.set({ rsp: 4n });
      pointTo(machine, SEL.code[3], TARGET);
      run(machine, "call");
      expect([Number(machine.regs.rip) - HANDLER, machine.slots(4, 1)[0]]).toEqual([SS * 16, 0]);
      expect(machine.slots(4, 4)[3]).toBe(FLAGS | RF);
      expect(machine.slots(4, 6)[4]).toBe(4);
    });
  });

  describe("call gates, 32-bit", () => {
    const PARAMETERS = [0x1111_1111, 0x2222_2222, 0x3333_3333];

    it.each([
      ["32-bit", 12, 4],
      ["16-bit", 4, 2],
    ] as const)("%s: switches the stack, copies parameters, and RET undoes it", (_name, type, size) => {
      for (const [from, to] of [
        [3, 0],
        [3, 1],
        [1, 0],
      ] as const) {
        const machine = machineAt(engine, 32, from);
        push(machine, size, PARAMETERS);
        const sp = Number(machine.regs.rsp);
        const offset = size === 2 ? 0x4560 : TARGET;
        machine.describe(SEL.gate, gate(SEL.code[to], offset, type, 3, 3));
        pointTo(machine, SEL.gate | 3, 0xdead_beef);
        expect(run(machine, "call"), machine.engine.errorDetail).toBe(EngineExit.DEBUG);
        const length = CODES.call.length;
        const words = [CODE + length, SEL.code[from], ...PARAMETERS, sp, SEL.data[from]];
        const mask = size === 2 ? 0xffff : -1;
        expect(machine.slots(size, 7)).toEqual(words.map((word) => (word & mask) >>> 0));
        expect(machine.regs).toMatchObject({ rip: BigInt(offset), rsp: BigInt(STACKS[to] - 7 * size) });
        const { sregs } = machine;
        expect([sregs.cs.selector, sregs.ss.selector]).toEqual([(SEL.code[to] & ~3) | to, SEL.data[to]]);
        // The return releases the parameters on both stacks, and takes away what the outer level may not use.
        machine.setSregs({ ds: machine.segmentOf(SEL.data[to]), fs: machine.segmentOf(SEL.conforming) });
        machine.setSregs({ es: machine.segmentOf(SEL.data[3]), gs: machine.segmentOf(SEL.code[to]) });
        const extra = 3 * size;
        const back = size === 2 ? [0x66, 0xca, extra, 0] : [0xca, extra, 0];
        machine.step(Uint8Array.from(back), offset);
        expect(Number(machine.regs.rip)).toBe((CODE + length) & mask);
        expect(Number(machine.regs.rsp)).toBe((sp & mask) + extra);
        const after = machine.sregs;
        expect([after.cs.selector, after.ss.selector, after.ss.dpl]).toEqual([SEL.code[from], SEL.data[from], from]);
        expect(after.ds).toMatchObject({ selector: 0, unusable: 1 });
        expect(after.gs).toMatchObject({ selector: 0, unusable: 1 });
        expect([after.es.selector, after.fs.selector]).toEqual([SEL.data[3], SEL.conforming]);
      }
    });

    it("within a level there is no new stack, and a conforming target keeps the level", () => {
      for (const [cs, cpl, loaded] of [
        [SEL.code[3], 3, SEL.code[3]],
        [SEL.conforming, 3, SEL.conforming | 3],
        [SEL.code[0], 0, SEL.code[0]],
      ] as const) {
        for (const name of ["call", "jmp"] as const) {
          const machine = machineAt(engine, 32, cpl);
          machine.describe(SEL.gate, gate(cs, TARGET, 12, 3, 5));
          pointTo(machine, SEL.gate | cpl, 0);
          run(machine, name);
          expect(machine.regs.rip).toBe(BigInt(TARGET));
          expect(Number(machine.regs.rsp)).toBe(STACKS[cpl] - (name === "call" ? 8 : 0));
          expect(machine.sregs.cs.selector).toBe(loaded);
          expect(machine.sregs.ss.selector).toBe(SEL.data[cpl]);
        }
      }
    });

    const to = (selector: number, dpl = 3, offset = TARGET, present = 1) =>
      withGate(gate(selector, offset, 12, dpl, 0, present));
    const stack =
      (ss: number, sp: number = STACKS[1], segment?: bigint) =>
      (m: RingMachine): void => {
        m.describe(SEL.gate, gate(SEL.code[1], TARGET, 12, 3));
        if (segment !== undefined) m.describe(SEL.other, segment);
        m.setStack(1, ss, sp);
      };
    const other = SEL.other | 1;
    const THROUGH: readonly Wrong[] = [
      ["gate of an inner level", SEL.gate, GP, SEL.gate, 3, to(SEL.code[0], 2)],
      ["RPL above the gate's level", SEL.gate | 3, GP, SEL.gate, 0, to(SEL.code[0], 1)],
      ["absent gate", SEL.gate, NP, SEL.gate, 3, to(SEL.code[0], 3, TARGET, 0)],
      ["null selector in it", SEL.gate, GP, 0, 3, to(2)],
      ["selector beyond the GDT", SEL.gate, GP, 0x1000, 3, to(0x1003)],
      ["data", SEL.gate, GP, SEL.data[0], 3, to(SEL.data[0])],
      ["outer code", SEL.gate, GP, SEL.code[3] & ~3, 0, to(SEL.code[3])],
      ["absent code", SEL.gate, NP, SEL.absent, 3, to(SEL.absent)],
      ["null SS", SEL.gate, TS, 0, 3, stack(1)],
      ["SS beyond the GDT", SEL.gate, TS, 0x1000, 3, stack(0x1001)],
      ["SS with a wrong RPL", SEL.gate, TS, SEL.data[1] & ~3, 3, stack(SEL.data[1] & ~3)],
      ["SS of a wrong level", SEL.gate, TS, SEL.data[2] & ~3, 3, stack((SEL.data[2] & ~3) | 1)],
      ["SS read-only", SEL.gate, TS, SEL.other, 3, stack(other, 0, descriptor({ type: 1, dpl: 1 }))],
      ["SS absent", SEL.gate, SS, SEL.other, 3, stack(other, 0, descriptor({ type: 3, dpl: 1, present: 0 }))],
      ["SS too small", SEL.gate, SS, SEL.other, 3, stack(other, 15, descriptor({ type: 3, dpl: 1, limit: 0xff }))],
      [
        "short TSS",
        SEL.gate,
        TS,
        SEL.tss,
        3,
        (m) => {
          stack(SEL.data[1])(m);
          m.setSregs({ tr: { ...m.sregs.tr, limit: 16 } });
        },
      ],
    ];
    it.each(rows(THROUGH))("fault: %s", (_what, selector, vector, error, cpl, how) => {
      const machine = machineAt(engine, 32, cpl);
      how(machine);
      pointTo(machine, selector, 0);
      run(machine, "call");
      expectFault(machine, vector, error, cpl);
    });

    it("a jump never changes the level", () => {
      const machine = machineAt(engine, 32, 3);
      machine.describe(SEL.gate, gate(SEL.code[0], TARGET, 12, 3));
      pointTo(machine, SEL.gate, 0);
      run(machine, "jmp");
      expectFault(machine, GP, SEL.code[0], 3);
    });
  });

  describe("IA-32e mode", () => {
    it("jumps between 64-bit and compatibility mode", () => {
      const machine = machineAt(engine, 64, 0);
      machine.describe(SEL.gate, descriptor({ type: TYPE.code }));
      pointTo(machine, SEL.gate, TARGET);
      run(machine, "jmp");
      expect(machine.sregs.cs).toMatchObject({ selector: SEL.gate, l: 0, db: 1 });
      // ljmp ptr16:32
      const back = [0xea, 0, 0, 0x12, 0, SEL.code[0], 0];
      machine.step(Uint8Array.from(back), TARGET);
      expect(machine.sregs.cs).toMatchObject({ selector: SEL.code[0], l: 1 });
      expect(machine.regs.rip).toBe(BigInt(TARGET));
    });

    it("takes an operand of 64 bits, and pushes that size", () => {
      const machine = machineAt(engine, 64, 0);
      machine.setU64(POINTER, 0xffff_8000_0012_3450n);
      machine.write(POINTER + 8, [SEL.code[0], 0]);
      run(machine, "call64");
      expect(machine.slots(8, 2)).toEqual([CODE + CODES.call64.length, SEL.code[0]]);
      // Nothing is mapped there: the fetch faults once the transfer is complete.
      expect(machine.regs.rip).toBe(0xffff_8000_0012_3450n);
    });

    it.each([
      [3, 0],
      [3, 1],
      [0, 0],
      [3, 3],
    ] as const)("goes through a 64-bit call gate from level %i to %i", (from, to) => {
      const machine = machineAt(engine, 64, from);
      machine.describe(SEL.gate, gate(SEL.code[to], TARGET, 12, 3), 0n);
      pointTo(machine, SEL.gate | 3, 0);
      run(machine, "call");
      const back = CODE + CODES.call.length;
      const words = [back, SEL.code[from]];
      if (to !== from) words.push(STACKS[from], SEL.data[from]);
      expect(machine.slots(8, words.length)).toEqual(words);
      expect(machine.regs).toMatchObject({ rip: BigInt(TARGET), rsp: BigInt(STACKS[to] - words.length * 8) });
      expect(machine.sregs.ss).toMatchObject(
        to === from ? { selector: SEL.data[from] } : { selector: to, dpl: to, unusable: 1 },
      );
      machine.step(Uint8Array.from(CODES.ret64), TARGET);
      expect(machine.regs).toMatchObject({ rip: BigInt(back), rsp: BigInt(STACKS[from]) });
      expect(machine.sregs.ss).toMatchObject({ selector: SEL.data[from], dpl: from, unusable: 0 });
    });

    const to64 = (selector: number, high = 0n, type = 12) => withGate(gate(selector, TARGET, type, 3), high);
    const LONG: readonly Wrong[] = [
      ["a TSS", SEL.tss, GP, SEL.tss],
      ["a 16-bit call gate", SEL.gate, GP, SEL.gate, 3, to64(SEL.code[0], 0n, 4)],
      ["a task gate", SEL.gate, GP, SEL.gate, 3, to64(SEL.tss, 0n, 5)],
      ["a gate whose second half has a type", SEL.gate, GP, SEL.gate, 3, to64(SEL.code[0], 0x0c00_0000_0000n)],
      ["compatibility code", SEL.gate, GP, SEL.compat & ~3, 3, to64(SEL.compat)],
      ["L and D", SEL.gate, GP, SEL.gate, 0, withGate(descriptor({ type: TYPE.code, l: 1, db: 1 }))],
      [
        "RSP not canonical",
        SEL.gate,
        SS,
        0,
        3,
        (m) => {
          to64(SEL.code[1])(m);
          m.setU64(TSS + 12, 1n << 63n);
        },
      ],
    ];
    it.each(rows(LONG))("fault of CALL: %s", (_what, selector, vector, error, cpl, how) => {
      const machine = machineAt(engine, 64, cpl);
      how(machine);
      pointTo(machine, selector, 0);
      run(machine, "call");
      expectFault(machine, vector, error, cpl);
    });
  });
});
