/**
 * Interrupt and trap gates: what each kind pushes, from and to every privilege level, and the fault of every check.
 * Document: SDM volume 2, INT n (pseudo-code); volume 3, 6.12 to 6.14, figures 6-4 and 6-9.
 * Left out: virtual-8086 mode: virtual.test.ts; task gates: task-switch.test.ts.
 */

import { beforeAll, describe, expect, it } from "vitest";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { assembleAll } from "../support/asm.ts";
import { ENGINES, type Mode } from "../support/machine.ts";
import { CODE, descriptor, gate, HANDLER, IDT, RingMachine, SEL, STACKS, TSS, TYPE } from "../support/rings.ts";

const VECTOR = 0x40;
/** Beyond the IDT's limit: #GP with an error code, whatever the privilege level. */
const BEYOND = 0x60;
const BEYOND_CODE = BEYOND * 8 + 2;
const [GP, NP, TS, SS] = [13, 11, 10, 12];
/** IF, NT, AC, arithmetic flags. */
const FLAGS = 0x4_4ad7;
const IF = 0x200;
const RF = 0x1_0000;
/** What delivery clears beside IF: TF, NT, RF, VM. */
const CLEARED = 0x3_4100;

const codes: Record<string, Uint8Array> = {};
beforeAll(() => {
  const texts = [`int ${VECTOR}`, `int ${BEYOND}`, "ud2"];
  for (const mode of [32, 64] as const) {
    assembleAll(texts, mode).forEach((bytes, i) => {
      codes[`${texts[i]} ${mode}`] = bytes;
    });
  }
});

function machineAt(engine: (typeof ENGINES)[number], mode: Mode, cpl: number): RingMachine {
  const machine = new RingMachine(engine, mode);
  machine.setSregs({ idt: { base: BigInt(IDT), limit: BEYOND * machine.gateSize - 1 } });
  // Faults go to privilege level 0, each to a place of its own.
  for (let v = 0; v < 32; v++) machine.vector(v, gate(SEL.code[0], HANDLER + v * 16, 14));
  machine.runAt(cpl);
  machine.set({ rflags: BigInt(FLAGS) });
  return machine;
}

const run = (machine: RingMachine, text: string): number => machine.step(codes[`${text} ${machine.mode}`]);
const flags = (machine: RingMachine): number => Number(machine.regs.rflags);

/** type of gate, bytes of a slot. */
const GATES32 = [
  [6, 2],
  [7, 2],
  [14, 4],
  [15, 4],
] as const;
/** from, handler's code segment, to. */
const WAYS = [
  [0, SEL.code[0], 0],
  [1, SEL.code[0], 0],
  [2, SEL.code[1], 1],
  [3, SEL.code[0], 0],
  [3, SEL.code[2], 2],
  [3, SEL.code[3], 3],
  [3, SEL.conforming, 3],
  [1, SEL.conforming, 1],
  [0, SEL.local, 0],
] as const;

describe.each(ENGINES)("%s", (engine) => {
  describe.each(GATES32)("32-bit, gate type %i", (type, size) => {
    it.each(WAYS)("from level %i through %i to level %i", (from, cs, to) => {
      for (const [text, vector, code] of [
        [`int ${VECTOR}`, VECTOR, -1],
        [`int ${BEYOND}`, GP, BEYOND_CODE],
        ["ud2", 6, -1],
      ] as const) {
        const machine = machineAt(engine, 32, from);
        const offset = 0x4567;
        machine.vector(vector, gate(cs, offset, type, 3));
        expect(run(machine, text), machine.engine.errorDetail).toBe(EngineExit.DEBUG);
        const isFault = vector !== VECTOR;
        const image = size === 2 ? FLAGS & 0xffff : isFault ? FLAGS | RF : FLAGS;
        const pushed = [isFault ? CODE : CODE + 2, SEL.code[from], image];
        if (to !== from) pushed.push(STACKS[from]!, SEL.data[from]!);
        if (code >= 0) pushed.unshift(code);
        const mask = size === 2 ? 0xffff : -1;
        expect(machine.slots(size, pushed.length)).toEqual(pushed.map((word) => (word & mask) >>> 0));
        const { sregs, regs } = machine;
        expect(Number(regs.rsp)).toBe(STACKS[to]! - pushed.length * size);
        expect(Number(regs.rip)).toBe(offset);
        expect(sregs.cs).toMatchObject({ selector: (cs & ~3) | to, limit: 0xffff_ffff, present: 1 });
        expect(sregs.ss).toMatchObject({ selector: to === from ? SEL.data[from] : SEL.data[to], dpl: to });
        expect(flags(machine)).toBe(FLAGS & ~CLEARED & (type & 1 ? -1 : ~IF));
      }
    });
  });

  it("takes SS and SP from a 16-bit TSS", () => {
    const machine = machineAt(engine, 32, 3);
    machine.setSregs({ tr: { ...machine.sregs.tr, type: 3, limit: 43 } });
    machine.write(TSS + 6, [0x00, 0x80, SEL.data[1], 0]);
    machine.vector(VECTOR, gate(SEL.code[1], HANDLER, 14, 3));
    run(machine, `int ${VECTOR}`);
    expect(machine.regs.rsp).toBe(BigInt(0x8000 - 20));
    expect(machine.sregs.ss.selector).toBe(SEL.data[1]);
  });

  it("pushes on a 16-bit stack, keeping the upper half of ESP", () => {
    const machine = machineAt(engine, 32, 3);
    machine.describe(SEL.gate, descriptor({ type: TYPE.data, dpl: 1, db: 0, limit: 0xffff, base: 0x5_0000 }));
    machine.setStack(1, SEL.gate | 1, 0x1234_0000);
    machine.vector(VECTOR, gate(SEL.code[1], HANDLER, 14, 3));
    run(machine, `int ${VECTOR}`);
    expect(machine.regs.rsp).toBe(BigInt(0x1234_0000 + 0x1_0000 - 20));
    expect(machine.slots(4, 5, 0x6_0000 - 20)).toEqual([CODE + 2, SEL.code[3], FLAGS, STACKS[3], SEL.data[3]]);
  });

  it("marks code and stack segments accessed", () => {
    const machine = machineAt(engine, 32, 3);
    machine.describe(SEL.gate, descriptor({ type: TYPE.data - 1, dpl: 1 }));
    machine.describe(SEL.other, descriptor({ type: TYPE.code - 1, dpl: 1 }));
    machine.setStack(1, SEL.gate | 1, STACKS[1]);
    machine.vector(VECTOR, gate(SEL.other, HANDLER, 14, 3));
    run(machine, `int ${VECTOR}`);
    expect(machine.segmentOf(SEL.gate).type).toBe(TYPE.data);
    expect(machine.segmentOf(SEL.other).type).toBe(TYPE.code);
    expect(machine.sregs.ss.type).toBe(TYPE.data);
  });

  /** what is wrong; how; vector; error code without EXT; from level. The gate leads to level 1 where it can. */
  type Wrong = readonly [what: string, how: (m: RingMachine) => void, vector: number, code: number, from?: number];
  const fromThree = (rows: readonly Wrong[]) =>
    rows.map(([what, how, vector, code, from = 3]) => [what, how, vector, code, from] as const);
  const good = (m: RingMachine, cs: number = SEL.code[1], offset = HANDLER): void =>
    m.vector(VECTOR, gate(cs, offset, 14, 3));
  const stack = (m: RingMachine, ss: number, sp: number = STACKS[1]): void => {
    good(m);
    m.setStack(1, ss, sp);
  };
  const IN_IDT = VECTOR * 8 + 2;
  const WRONG32: readonly Wrong[] = [
    ["a call gate", (m) => m.vector(VECTOR, gate(SEL.code[1], HANDLER, 12, 3)), GP, IN_IDT],
    ["a gate that is absent", (m) => m.vector(VECTOR, gate(SEL.code[1], HANDLER, 14, 3, 0, 0)), NP, IN_IDT],
    ["a null selector", (m) => good(m, 3), GP, 0],
    ["a selector beyond the GDT", (m) => good(m, 0x1000), GP, 0x1000],
    ["a selector beyond the LDT", (m) => good(m, 0x104), GP, 0x104],
    ["a data segment", (m) => good(m, SEL.data[1]), GP, SEL.data[1] & ~3],
    ["a system segment", (m) => good(m, SEL.ldt), GP, SEL.ldt],
    ["an outer code segment", (m) => good(m, SEL.code[2]), GP, SEL.code[2] & ~3, 1],
    ["an absent code segment", (m) => good(m, SEL.absent), NP, SEL.absent],
    [
      "a short TSS",
      (m) => {
        good(m);
        m.setSregs({ tr: { ...m.sregs.tr, limit: 16 } });
      },
      TS,
      SEL.tss,
    ],
    ["a null SS", (m) => stack(m, 1), TS, 0],
    ["an SS beyond the GDT", (m) => stack(m, 0x1001), TS, 0x1000],
    ["an SS whose RPL is not the level", (m) => stack(m, SEL.data[1] & ~3), TS, SEL.data[1] & ~3],
    ["an SS whose DPL is not the level", (m) => stack(m, (SEL.data[2] & ~3) | 1), TS, SEL.data[2] & ~3],
    [
      "an SS that is read-only",
      (m) => {
        m.describe(SEL.gate, descriptor({ type: TYPE.readOnly, dpl: 1 }));
        stack(m, SEL.gate | 1);
      },
      TS,
      SEL.gate,
    ],
    [
      "an SS that is absent",
      (m) => {
        m.describe(SEL.gate, descriptor({ type: TYPE.data, dpl: 1, present: 0 }));
        stack(m, SEL.gate | 1);
      },
      SS,
      SEL.gate,
    ],
    [
      "a stack without room",
      (m) => {
        m.describe(SEL.gate, descriptor({ type: TYPE.data, dpl: 1, limit: 0xfff }));
        stack(m, SEL.gate | 1, 19);
      },
      SS,
      SEL.gate,
    ],
    [
      "an expand-down stack without room",
      (m) => {
        m.describe(SEL.gate, descriptor({ type: TYPE.expandDown, dpl: 1, limit: 0xfff }));
        stack(m, SEL.gate | 1, 0x1013);
      },
      SS,
      SEL.gate,
    ],
    [
      "an offset beyond CS",
      (m) => {
        m.describe(SEL.gate, descriptor({ type: TYPE.code, dpl: 1, limit: 0xffff }));
        good(m, SEL.gate, 0x1_0000);
      },
      GP,
      0,
    ],
  ];

  describe("32-bit, faults of the way there", () => {
    it.each(fromThree(WRONG32))("%s", (_what, how, vector, code, from) => {
      for (const external of [false, true]) {
        const machine = machineAt(engine, 32, from);
        how(machine);
        if (external) machine.engine.interrupt(VECTOR);
        else run(machine, `int ${VECTOR}`);
        const { regs, sregs } = machine;
        expect(Number(regs.rip) - HANDLER).toBe(vector * 16);
        const size = 4;
        expect(machine.slots(size, 6)).toEqual([
          code + (external ? 1 : 0),
          CODE,
          SEL.code[from],
          FLAGS | RF,
          STACKS[from],
          SEL.data[from],
        ]);
        expect(sregs.cs.selector).toBe(SEL.code[0]);
      }
    });

    it("a gate that software may not use", () => {
      for (const [text, vector, code] of [
        [`int ${VECTOR}`, GP, VECTOR * 8 + 2],
        ["int 3", GP, 3 * 8 + 2],
      ] as const) {
        const machine = machineAt(engine, 32, 3);
        machine.vector(VECTOR, gate(SEL.code[0], HANDLER, 14, 2));
        machine.step(text === "int 3" ? Uint8Array.of(0xcc) : codes[`${text} 32`]);
        expect([Number(machine.regs.rip) - HANDLER, ...machine.slots(4, 2)]).toEqual([vector * 16, code, CODE]);
      }
    });

    it("a same-level stack without room is #SS(EXT), and the stack for #SS then is the problem: shutdown", () => {
      const machine = machineAt(engine, 32, 0);
      machine.vector(VECTOR, gate(SEL.code[0], HANDLER, 14, 3));
      machine.set({ rsp: 8n });
      const limited = { ...machine.sregs.ss, limit: 0xfff };
      machine.setSregs({ ss: { ...limited, type: 7 } });
      expect(run(machine, `int ${VECTOR}`)).toBe(EngineExit.SHUTDOWN);
    });
  });

  describe("64-bit", () => {
    const WAYS64 = [
      [0, SEL.code[0], 0],
      [1, SEL.code[1], 1],
      [3, SEL.code[0], 0],
      [3, SEL.code[1], 1],
      [3, SEL.code[3], 3],
      [3, SEL.conforming, 3],
    ] as const;

    describe.each([14, 15])("gate type %i", (type) => {
      it.each(WAYS64)("from level %i through %i to level %i, with and without IST", (from, cs, to) => {
        for (const ist of [0, 1, 7]) {
          for (const [text, vector, code] of [
            [`int ${VECTOR}`, VECTOR, -1],
            [`int ${BEYOND}`, GP, BEYOND_CODE],
            ["ud2", 6, -1],
          ] as const) {
            const machine = machineAt(engine, 64, from);
            const sp = BigInt(STACKS[from]! - 3);
            machine.set({ rsp: sp });
            const stackIst = 0x30_0008;
            machine.setU64(TSS + 28 + ist * 8, BigInt(ist === 0 ? 0 : stackIst));
            machine.vector(vector, gate(cs, HANDLER, type, 3, ist));
            run(machine, text);
            const isFault = vector !== VECTOR;
            const top = (ist !== 0 ? stackIst : to !== from ? STACKS[to]! : Number(sp)) & ~15;
            const pushed = [isFault ? CODE : CODE + 2, SEL.code[from], isFault ? FLAGS | RF : FLAGS, Number(sp)];
            pushed.push(SEL.data[from]!);
            if (code >= 0) pushed.unshift(code);
            expect(Number(machine.regs.rsp)).toBe(top - pushed.length * 8);
            expect(machine.slots(8, pushed.length)).toEqual(pushed);
            expect(Number(machine.regs.rip)).toBe(HANDLER);
            const { sregs } = machine;
            expect(sregs.cs).toMatchObject({ selector: (cs & ~3) | to, l: 1 });
            if (to === from) expect(sregs.ss).toMatchObject({ selector: SEL.data[from], unusable: 0 });
            else expect(sregs.ss).toMatchObject({ selector: to, dpl: to, unusable: 1 });
            expect(flags(machine)).toBe(FLAGS & ~CLEARED & (type & 1 ? -1 : ~IF));
          }
        }
      });
    });

    it("leaves compatibility mode", () => {
      const machine = machineAt(engine, 64, 3);
      machine.runAt(3, SEL.compat);
      machine.set({ rflags: BigInt(FLAGS) });
      machine.vector(VECTOR, gate(SEL.code[0], HANDLER, 14, 3));
      run(machine, `int ${VECTOR}`);
      expect(machine.slots(8, 5)).toEqual([CODE + 2, SEL.compat, FLAGS, STACKS[3], SEL.data[3]]);
      expect(machine.sregs.cs).toMatchObject({ selector: SEL.code[0], l: 1, db: 0 });
    });

    const NONCANONICAL = 0x8000n;
    const WRONG64: readonly Wrong[] = [
      ["a 16-bit gate", (m) => m.vector(VECTOR, gate(SEL.code[1], HANDLER, 6, 3)), GP, IN_IDT],
      ["a task gate", (m) => m.vector(VECTOR, gate(SEL.tss, 0, 5, 3)), GP, IN_IDT],
      ["a gate that is absent", (m) => m.vector(VECTOR, gate(SEL.code[1], HANDLER, 14, 3, 0, 0)), NP, IN_IDT],
      ["a null selector", (m) => good(m, 3), GP, 0],
      ["a selector beyond the GDT", (m) => good(m, 0x1000), GP, 0x1000],
      ["a 32-bit code segment", (m) => good(m, SEL.compat), GP, SEL.compat & ~3],
      ["an absent code segment", (m) => good(m, SEL.absent), NP, SEL.absent],
      [
        "a short TSS",
        (m) => {
          good(m);
          m.setSregs({ tr: { ...m.sregs.tr, limit: 18 } });
        },
        TS,
        SEL.tss,
      ],
      [
        "an RSP that is not canonical",
        (m) => {
          good(m);
          m.setU64(TSS + 12, NONCANONICAL << 44n);
        },
        SS,
        0,
      ],
      ["an RIP that is not canonical", (m) => m.vector(VECTOR, gate(SEL.code[1], 0, 14, 3), NONCANONICAL), GP, 0],
    ];
    it.each(fromThree(WRONG64))("%s", (_what, how, vector, code, from) => {
      for (const external of [false, true]) {
        const machine = machineAt(engine, 64, from);
        how(machine);
        if (external) machine.engine.interrupt(VECTOR);
        else run(machine, `int ${VECTOR}`);
        expect(Number(machine.regs.rip) - HANDLER).toBe(vector * 16);
        const ext = external ? 1 : 0;
        expect(machine.slots(8, 4)).toEqual([code + ext, CODE, SEL.code[from], FLAGS | RF]);
      }
    });
  });

  describe("double faults", () => {
    const breakGate = (m: RingMachine, vector: number): void =>
      m.vector(vector, gate(SEL.code[0], HANDLER + vector * 16, 14, 3, 0, 0));

    /** the first event's code, the vectors whose gates are absent, what is delivered at last, its error code. */
    it.each([
      ["#DE then #NP", "xor ecx, ecx; div ecx", [0], 8, 0],
      ["#UD then #NP is not double", "ud2", [6], 11, 6 * 8 + 3],
      ["#GP then #NP", "int 0x60", [13], 8, 0],
      ["a software interrupt then #NP is not double", "int 0x0d", [13], 11, 13 * 8 + 2],
      ["a trap then #NP then #NP", "int3", [3, 11], 8, 0],
    ] as const)("%s", (_name, text, broken, vector, code) => {
      for (const mode of [32, 64] as const) {
        const machine = machineAt(engine, mode, 0);
        for (const v of broken) breakGate(machine, v);
        if (text === "int3") machine.vector(11, gate(SEL.code[0], HANDLER, 14, 3, 0, 0));
        const parts = assembleAll(text.split("; "), mode);
        machine.write(CODE, Buffer.concat(parts));
        for (const _ of parts) machine.step();
        expect(Number(machine.regs.rip) - HANDLER).toBe(vector * 16);
        expect(machine.slots(mode === 64 ? 8 : 4, 1)).toEqual([code]);
      }
    });

    it("a double fault's image has RF clear, and its own failure is a shutdown", () => {
      const machine = machineAt(engine, 32, 0);
      breakGate(machine, 13);
      run(machine, `int ${BEYOND}`);
      expect(machine.slots(4, 4)).toEqual([0, CODE, SEL.code[0], FLAGS]);
      const second = machineAt(engine, 32, 0);
      breakGate(second, 13);
      breakGate(second, 8);
      expect(run(second, `int ${BEYOND}`)).toBe(EngineExit.SHUTDOWN);
      expect(second.regs.rsp).toBe(BigInt(STACKS[0]));
    });

    it("vector 8 of an interrupt controller is no double fault", () => {
      const machine = machineAt(engine, 32, 0);
      breakGate(machine, 8);
      machine.engine.interrupt(8);
      expect(Number(machine.regs.rip) - HANDLER).toBe(NP * 16);
      expect(machine.slots(4, 1)).toEqual([8 * 8 + 3]);
    });
  });

  it("leaves everything as it was when the new stack is not mapped", () => {
    const machine = machineAt(engine, 64, 3);
    machine.vector(VECTOR, gate(SEL.code[1], HANDLER, 14, 3));
    const edge = 0x40_0000;
    machine.setStack(1, 0, edge + 16);
    machine.setU64(0x3000 + (edge >> 21) * 8 - 8, 0n);
    const below = machine.slots(8, 2, edge);
    run(machine, `int ${VECTOR}`);
    expect(Number(machine.regs.rip) - HANDLER).toBe(14 * 16);
    expect(machine.slots(8, 2, edge)).toEqual(below);
    expect(machine.slots(8, 4)).toEqual([2, CODE, SEL.code[3], FLAGS | RF]);
    expect(machine.sregs.cr2).toBe(BigInt(edge - 8));
  });
});
