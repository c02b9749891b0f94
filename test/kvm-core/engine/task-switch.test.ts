/**
 * Task switches: what is saved and loaded on each way into a task and out of it, and in whose context each fault is raised.
 * Document: SDM volume 3, chapter 7; volume 2, JMP, CALL, IRET and INT n.
 * Left out: IA-32e mode, which has none: far.test.ts and gates.test.ts have the faults.
 */

import { describe, expect, it } from "vitest";
import { CR0, CR4 } from "../../../kvm-core/cpu/control.ts";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { ENGINES, type TestEngine } from "../support/machine.ts";
import { CODE, descriptor, gate, HANDLER, RingMachine, SEL, TSS, TYPE, VIRTUAL } from "../support/rings.ts";

const NEW = 0x16_0000;
const POINTER = 0x13_0000;
const ENTRY = 0x14_0000;
const STACK = 0x24_0000;
const VECTOR = 0x40;
const [DB, UD, TS, NP, SS, GP, PF] = [1, 6, 10, 11, 12, 13, 14];
const [NT, RF, TF, VM] = [0x4000, 0x1_0000, 0x100, 0x2_0000];
/** IF, DF, AC and arithmetic flags. */
const FLAGS = 0x4_0ed7;
const BUSY = 2;
const REGISTERS = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"] as const;
/** Of the task that is entered: eAX and those that follow, but for ESP. */
const values = (i: number): number => (REGISTERS[i] === "rsp" ? STACK : 0x1111_1111 * (i + 1));

interface Task {
  readonly wide?: boolean;
  readonly cs?: number;
  readonly ss?: number;
  readonly data?: number;
  readonly ldt?: number;
  readonly flags?: number;
  readonly ip?: number;
  readonly cr3?: number;
  readonly trap?: number;
  readonly limit?: number;
  readonly dpl?: number;
  readonly type?: number;
  readonly present?: 0 | 1;
  readonly sp?: number;
}

/** Puts a task at NEW, whose descriptor is SEL.other. */
function task(machine: RingMachine, t: Task = {}): void {
  const { wide = true, cs = SEL.code[0]!, ss = SEL.data[0]!, data = SEL.data[0]!, ldt = 0, ip = ENTRY } = t;
  const size = wide ? 4 : 2;
  const put = (at: number, value: number): void => {
    if (wide) machine.setU32(NEW + at, value >>> 0);
    else machine.write(NEW + at, [value & 0xff, (value >>> 8) & 0xff]);
  };
  machine.write(NEW, new Array(0x68).fill(0));
  put(wide ? 0x20 : 0x0e, ip);
  put(wide ? 0x24 : 0x10, t.flags ?? 2);
  REGISTERS.forEach((name, i) => {
    put((wide ? 0x28 : 0x12) + i * size, name === "rsp" && t.sp !== undefined ? t.sp : values(i));
  });
  [data, cs, ss, data, data, data].slice(0, wide ? 6 : 4).forEach((selector, i) => {
    put((wide ? 0x48 : 0x22) + i * size, selector);
  });
  put(wide ? 0x60 : 0x2a, ldt);
  if (wide) {
    put(0x1c, t.cr3 ?? 0);
    put(0x64, t.trap ?? 0);
  }
  const { limit = wide ? 0x67 : 0x2b, dpl = 0, type = wide ? 9 : 1, present = 1 } = t;
  machine.describe(SEL.other, descriptor({ type, s: 0, base: NEW, limit, dpl, present, db: 0 }));
}

function machineAt(engine: TestEngine, cpl = 0): RingMachine {
  const machine = new RingMachine(engine, 32);
  for (let v = 0; v < 32; v++) machine.vector(v, gate(SEL.code[0]!, HANDLER + v * 16, 14));
  machine.runAt(cpl);
  machine.set({ rflags: BigInt(FLAGS), rbx: BigInt(POINTER), rax: 0x8765_4321n, rdi: 0x1234_5678n });
  machine.setU32(POINTER, 0xdead_0000);
  return machine;
}
const pointTo = (machine: RingMachine, selector: number): void =>
  machine.write(POINTER + 4, [selector & 0xff, selector >> 8]);
const JMP = [0xff, 0x2b];
const CALL = [0xff, 0x1b];
const INT = [0xcd, VECTOR];
const IRET = [0xcf];
const step = (machine: RingMachine, code: readonly number[]): number => machine.step(Uint8Array.from(code));
const jump = (machine: RingMachine, selector: number = SEL.other): number => {
  pointTo(machine, selector);
  return step(machine, JMP);
};
const typeOf = (machine: RingMachine, selector: number): number => machine.segmentOf(selector).type;
const flags = (machine: RingMachine): number => Number(machine.regs.rflags);
const word = (machine: RingMachine, at: number): number => machine.u32(at) & 0xffff;

/** The fault that level 0 got, its error code, and where. */
function fault(machine: RingMachine): { vector: number; code: number; rip: number; cs: number } {
  const [code, rip, cs] = machine.slots(4, 3) as [number, number, number];
  return { vector: (Number(machine.regs.rip) - HANDLER) / 16, code, rip, cs };
}

/** Nothing has been switched. */
function expectOld(machine: RingMachine): void {
  expect(machine.sregs.tr).toMatchObject({ selector: SEL.tss, type: 11 });
  expect(Number(machine.sregs.cr0) & CR0.TS).toBe(0);
  expect(machine.regs).toMatchObject({ rax: 0x8765_4321n, rdi: 0x1234_5678n });
}

describe.each(ENGINES)("%s", (engine) => {
  describe("of 32 bits", () => {
    it.each([
      ["JMP", JMP, SEL.other],
      ["CALL", CALL, SEL.other],
      ["JMP through a task gate", JMP, SEL.gate],
      ["CALL through a task gate", CALL, SEL.gate],
      ["INT", INT, 0],
      ["an exception", [0x0f, 0x0b], 0],
    ] as const)("%s saves the old task and loads the new one", (what, code, selector) => {
      const machine = machineAt(engine);
      task(machine, { flags: 0x246, ldt: SEL.ldt, data: SEL.local | 4 });
      machine.setU64(0xe008, descriptor({ type: TYPE.data }));
      machine.describe(SEL.gate, gate(SEL.other, 0, 5));
      for (const vector of [VECTOR, UD]) machine.vector(vector, gate(SEL.other, 0, 5));
      pointTo(machine, selector);
      const before = machine.regs;
      expect(step(machine, code), machine.engine.errorDetail).toBe(EngineExit.DEBUG);

      const isFault = what === "an exception";
      const nests = !what.startsWith("JMP");
      expect(machine.u32(TSS + 0x20)).toBe(CODE + (isFault ? 0 : code.length));
      expect(machine.u32(TSS + 0x24)).toBe(isFault ? FLAGS | RF : FLAGS);
      REGISTERS.forEach((name, i) => {
        expect(machine.u32(TSS + 0x28 + i * 4)).toBe(Number(before[name]));
        expect(machine.regs[name]).toBe(BigInt(values(i)));
      });
      for (const [i, s] of ["es", "cs", "ss", "ds", "fs", "gs"].entries()) {
        expect(word(machine, TSS + 0x48 + i * 4)).toBe(s === "cs" ? SEL.code[0] : SEL.data[0]);
      }
      expect(machine.regs.rip).toBe(BigInt(ENTRY));
      expect(flags(machine)).toBe(nests ? 0x246 | NT : 0x246);
      const { sregs } = machine;
      expect(sregs.tr).toMatchObject({ selector: SEL.other, base: BigInt(NEW), limit: 0x67, type: 11 });
      expect(sregs.ldt).toMatchObject({ selector: SEL.ldt, base: 0xe000n, unusable: 0 });
      expect(sregs.cs).toMatchObject({ selector: SEL.code[0], type: 11, dpl: 0, unusable: 0 });
      expect(sregs.ds).toMatchObject({ selector: SEL.local, type: 3, unusable: 0 });
      expect(Number(sregs.cr0) & CR0.TS).toBe(CR0.TS);
      expect(typeOf(machine, SEL.other)).toBe(9 | BUSY);
      expect(typeOf(machine, SEL.tss)).toBe(nests ? 9 | BUSY : 9);
      expect(word(machine, NEW)).toBe(nests ? SEL.tss : 0);
    });

    it("IRET goes back to the task that called, and it can be called again", () => {
      const machine = machineAt(engine);
      task(machine);
      pointTo(machine, SEL.other);
      // Called twice; the second time it goes on behind its IRET.
      machine.write(CODE, [...CALL, ...CALL, 0xf4]);
      machine.write(ENTRY, [0x40, ...IRET, 0x40, 0x40, ...IRET]);
      machine.set({ rflags: 2n });
      expect(machine.engine.run(), machine.engine.errorDetail).toBe(EngineExit.HLT);
      expect(machine.regs).toMatchObject({ rip: BigInt(CODE + 5), rax: 0x8765_4321n, rflags: 2n });
      expect(machine.u32(NEW + 0x28)).toBe(values(0) + 3);
      expect(machine.u32(NEW + 0x20)).toBe(ENTRY + 5);
      expect(machine.u32(NEW + 0x24) & NT).toBe(0);
      expect([typeOf(machine, SEL.tss), typeOf(machine, SEL.other)]).toEqual([9 | BUSY, 9]);
      expect(machine.sregs.tr.selector).toBe(SEL.tss);
    });

    it("to another privilege level, and to virtual-8086 mode", () => {
      const outer = machineAt(engine);
      task(outer, { cs: SEL.code[3]!, ss: SEL.data[3]!, data: SEL.data[3]! });
      jump(outer);
      expect(outer.sregs.cs).toMatchObject({ selector: SEL.code[3], dpl: 3 });
      expect(outer.sregs.ss).toMatchObject({ selector: SEL.data[3], dpl: 3 });
      const virtual = machineAt(engine);
      task(virtual, { cs: VIRTUAL.cs, ss: VIRTUAL.ss, data: VIRTUAL.ds, ip: 0x100, flags: VM | 0x202, sp: 0x1000 });
      jump(virtual);
      expect(virtual.sregs.cs).toMatchObject({ selector: VIRTUAL.cs, base: BigInt(VIRTUAL.cs * 16), limit: 0xffff });
      expect(virtual.sregs.gs).toMatchObject({ selector: VIRTUAL.ds, base: BigInt(VIRTUAL.ds * 16), dpl: 3 });
      expect(flags(virtual)).toBe(VM | 0x202);
    });

    it("pushes an error code on the new task's stack", () => {
      const again = machineAt(engine);
      again.setSregs({ idt: { ...again.sregs.idt, limit: 0x1ff } });
      task(again);
      again.vector(GP, gate(SEL.other, 0, 5));
      step(again, [0xcd, 0xff]);
      expect(again.regs.rsp).toBe(BigInt(STACK - 4));
      expect(again.slots(4, 1)).toEqual([0xff * 8 + 2]);
      expect(again.u32(TSS + 0x20)).toBe(CODE);
      expect(again.u32(TSS + 0x24)).toBe(FLAGS | RF);
    });

    it("loads CR3 with paging on, PDPTEs too, and the new tables serve at once", () => {
      for (const pae of [false, true]) {
        const machine = machineAt(engine);
        const [first, second] = [0x40_0000, 0x41_0000];
        for (const tables of [first, second]) {
          const directory = pae ? tables + 0x1000 : tables;
          if (pae) for (let i = 0; i < 4; i++) machine.setU64(tables + i * 8, BigInt(directory + i * 0x1000) | 1n);
          for (let i = 0; i < (pae ? 2048 : 1024); i++) {
            if (pae) machine.setU64(directory + i * 8, (BigInt(i) << 21n) | 0x83n);
            else machine.setU32(directory + i * 4, ((i << 22) | 0x83) >>> 0);
          }
        }
        // 0x800000 is 0xa00000, or 0xc00000, in the second.
        if (pae) machine.setU64(second + 0x1000 + 4 * 8, 0xa0_0083n);
        else machine.setU32(second + 2 * 4, 0xc0_0083);
        machine.setU32(0x80_0000, 1);
        machine.setU32(pae ? 0xa0_0000 : 0xc0_0000, 2);
        task(machine, { cr3: second });
        machine.setSregs({
          cr0: machine.sregs.cr0 | BigInt(CR0.PG >>> 0),
          cr3: BigInt(first),
          cr4: BigInt(pae ? CR4.PAE | CR4.PSE : CR4.PSE),
        });
        pointTo(machine, SEL.other);
        // mov edx, [0x800000]; jmp far; mov edx, [0x800000]; hlt
        const load = [0x8b, 0x15, 0, 0, 0x80, 0];
        machine.write(CODE, [...load, ...JMP]);
        machine.write(ENTRY, [...load, 0xf4]);
        expect(machine.engine.run(), machine.engine.errorDetail).toBe(EngineExit.HLT);
        expect(machine.u32(TSS + 0x30)).toBe(1);
        expect(machine.regs.rdx).toBe(2n);
        expect(machine.sregs.cr3).toBe(BigInt(second));
      }
    });

    it("raises #DB before the first instruction of a task whose T bit is set, and clears the local enables", () => {
      const machine = machineAt(engine);
      task(machine, { trap: 1 });
      machine.view.setUint32(machine.zone + CPU.dr + 7 * 8, 0x703, true);
      machine.view.setUint32(machine.zone + CPU.dr, 0x17_0000, true);
      pointTo(machine, SEL.other);
      machine.write(CODE, JMP);
      machine.write(ENTRY, [0x40, 0xf4]);
      machine.write(HANDLER + DB * 16, [0xf4]);
      expect(machine.engine.run(), machine.engine.errorDetail).toBe(EngineExit.HLT);
      expect(machine.regs.rip).toBe(BigInt(HANDLER + DB * 16 + 1));
      expect(machine.slots(4, 1)).toEqual([ENTRY]);
      expect(machine.view.getUint32(machine.zone + CPU.dr + 6 * 8, true) & 0xe00f).toBe(0x8000);
      expect(machine.view.getUint32(machine.zone + CPU.dr + 7 * 8, true)).toBe(0x602);
    });

    it("leaves the old task's single step behind, and begins the new one's", () => {
      const machine = machineAt(engine);
      task(machine, { flags: TF | 2 });
      pointTo(machine, SEL.other);
      machine.write(CODE, JMP);
      machine.write(ENTRY, [0x40, 0x40, 0xf4]);
      machine.write(HANDLER + DB * 16, [0xf4]);
      machine.set({ rflags: BigInt(TF | 2) });
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      expect(machine.slots(4, 1)).toEqual([ENTRY + 1]);
      expect(machine.u32(TSS + 0x24)).toBe(TF | 2);
    });
  });

  it("of 16 bits: words are saved and loaded", () => {
    const machine = machineAt(engine);
    task(machine, { wide: false, flags: 0x246, ip: 0x4000 });
    jump(machine);
    expect(machine.regs).toMatchObject({ rip: 0x4000n, rax: 0x1111n, rsp: 0n, rdi: 0x8888n, rflags: 0x246n });
    expect(machine.sregs.fs).toMatchObject({ selector: 0, unusable: 1 });
    expect(machine.sregs.tr).toMatchObject({ selector: SEL.other, type: 3, limit: 0x2b });
    // And back to one of 32 bits.
    machine.describe(SEL.gate, gate(SEL.tss, 0, 5));
    machine.write(0x4000, [0x9a, 0, 0, 0, 0, SEL.gate, 0]);
    machine.setU32(TSS + 0x20, ENTRY);
    machine.step();
    expect(machine.regs.rip).toBe(BigInt(ENTRY));
    expect([word(machine, NEW + 0x0e), word(machine, NEW + 0x10), word(machine, NEW + 0x12)]).toEqual([
      0x4007, 0x246, 0x1111,
    ]);
    expect(word(machine, TSS)).toBe(SEL.other);
    expect(typeOf(machine, SEL.other)).toBe(3);
  });

  describe("faults in the old task, which is as it was", () => {
    /** what; the task; vector; error code. */
    const ROWS: readonly (readonly [string, Task, number, number])[] = [
      ["a TSS that is busy", { type: 11 }, GP, SEL.other],
      ["a TSS that is absent", { present: 0 }, NP, SEL.other],
      ["a TSS that is too short", { limit: 0x66 }, TS, SEL.other],
      ["a 16-bit TSS that is too short", { wide: false, limit: 0x2a }, TS, SEL.other],
    ];
    it.each(ROWS)("%s", (_what, t, vector, code) => {
      const machine = machineAt(engine);
      task(machine, t);
      jump(machine);
      expect(fault(machine)).toEqual({ vector, code, rip: CODE, cs: SEL.code[0] });
      expectOld(machine);
      const event = machineAt(engine);
      task(event, t);
      event.vector(VECTOR, gate(SEL.other, 0, 5));
      event.engine.interrupt(VECTOR);
      expect(fault(event)).toMatchObject({ vector, code: code + 1, rip: CODE });
      expectOld(event);
    });

    it("privilege levels of gates and TSSs", () => {
      const machine = machineAt(engine, 3);
      task(machine, { dpl: 2 });
      jump(machine, SEL.other | 3);
      expect(fault(machine)).toMatchObject({ vector: GP, code: SEL.other });
      const through = machineAt(engine, 3);
      task(through, { dpl: 0 });
      through.describe(SEL.gate, gate(SEL.other, 0, 5, 3));
      jump(through, SEL.gate | 3);
      expect(through.sregs.tr.selector).toBe(SEL.other);
      const denied = machineAt(engine, 3);
      task(denied);
      denied.vector(VECTOR, gate(SEL.other, 0, 5, 0));
      step(denied, INT);
      expect(fault(denied)).toMatchObject({ vector: GP, code: VECTOR * 8 + 2 });
    });

    it("a gate to what is no TSS of the GDT", () => {
      for (const [selector, code] of [
        [SEL.data[0]!, SEL.data[0]!],
        [0x0c, 0x0c],
        [0x1000, 0x1000],
        [3, 0],
      ] as const) {
        const machine = machineAt(engine);
        machine.describe(SEL.gate, gate(selector, 0, 5));
        jump(machine, SEL.gate);
        expect(fault(machine)).toMatchObject({ vector: GP, code, rip: CODE });
        expectOld(machine);
      }
    });

    it("IRET to a link that is no busy TSS is #TS", () => {
      for (const link of [SEL.other, SEL.data[0]!, 0x1000, 0]) {
        const machine = machineAt(engine);
        task(machine);
        machine.write(TSS, [link & 0xff, link >> 8]);
        machine.set({ rflags: BigInt(FLAGS | NT) });
        step(machine, IRET);
        expect(fault(machine)).toMatchObject({ vector: TS, code: link, rip: CODE });
        expectOld(machine);
      }
    });
  });

  describe("faults in the new task, before its first instruction", () => {
    const ROWS: readonly (readonly [string, Task, number, number])[] = [
      ["an LDT that is none", { ldt: SEL.data[0]! }, TS, SEL.data[0]!],
      ["an LDT selector of the LDT", { ldt: SEL.ldt | 4 }, TS, SEL.ldt | 4],
      ["a null CS", { cs: 0 }, TS, 0],
      ["a CS beyond the GDT", { cs: 0x1000 }, TS, 0x1000],
      ["a CS that is data", { cs: SEL.data[0]! }, TS, SEL.data[0]!],
      ["a CS whose DPL is not its RPL", { cs: SEL.code[3]! & ~3 }, TS, SEL.code[3]! & ~3],
      ["a CS that is absent", { cs: SEL.absent }, NP, SEL.absent],
      ["a null SS", { ss: 0 }, TS, 0],
      ["an SS of another level", { ss: SEL.data[1]! }, TS, SEL.data[1]! & ~3],
      ["an SS that is read-only", { ss: SEL.readOnly }, TS, SEL.readOnly],
      ["an SS that is absent", { ss: SEL.absentData }, SS, SEL.absentData],
      ["data that is no segment", { data: SEL.tss }, TS, SEL.tss],
      ["data that cannot be read", { data: SEL.executeOnly }, TS, SEL.executeOnly],
      ["data that is absent", { data: SEL.absentData }, NP, SEL.absentData],
    ];
    it.each(ROWS)("%s", (_what, t, vector, code) => {
      const machine = machineAt(engine);
      // The handler is a task of its own, since the new one has perhaps no stack.
      task(machine, t);
      const handler = NEW + 0x1000;
      machine.write(handler, machine.read(NEW, 0x68));
      [SEL.data[0]!, SEL.code[0]!, SEL.data[0]!, SEL.data[0]!, 0, 0].forEach((selector, i) => {
        machine.setU32(handler + 0x48 + i * 4, selector);
      });
      machine.setU32(handler + 0x60, 0);
      machine.setU32(handler + 0x20, ENTRY + 0x100);
      machine.describe(SEL.expandDown, descriptor({ type: 9, s: 0, base: handler, limit: 0x67, db: 0 }));
      machine.vector(vector, gate(SEL.expandDown, 0, 5));
      jump(machine);
      expect(machine.regs.rip).toBe(BigInt(ENTRY + 0x100));
      expect(machine.slots(4, 1)).toEqual([code]);
      // The interrupted task is the new one, at its beginning.
      expect(word(machine, handler)).toBe(SEL.other);
      expect(machine.u32(NEW + 0x20)).toBe(ENTRY);
      expect(word(machine, NEW + 0x4c)).toBe(t.cs ?? SEL.code[0]);
      expect(machine.u32(TSS + 0x20)).toBe(CODE + 2);
    });

    it("EIP beyond CS, with the handler on the new task's stack", () => {
      const machine = machineAt(engine);
      machine.describe(SEL.gate, descriptor({ type: TYPE.code, limit: 0xffff }));
      task(machine, { cs: SEL.gate, ip: 0x1_0000 });
      jump(machine);
      expect(fault(machine)).toEqual({ vector: GP, code: 0, rip: 0x1_0000, cs: SEL.gate });
      expect(machine.sregs.tr.selector).toBe(SEL.other);
    });
  });

  it("a TSS that cannot be read or written is a page fault of the old task", () => {
    const machine = machineAt(engine);
    const tables = 0x40_0000;
    machine.setU32(tables, (tables + 0x1000) | 3);
    for (let i = 0; i < 1024; i++) machine.setU32(tables + 0x1000 + i * 4, (i << 12) | 3);
    machine.setU32(tables + 0x1000 + (NEW >>> 12) * 4, 0);
    task(machine, { cr3: tables });
    machine.setSregs({ cr0: machine.sregs.cr0 | BigInt(CR0.PG >>> 0), cr3: BigInt(tables) });
    jump(machine);
    expect(fault(machine)).toEqual({ vector: PF, code: 0, rip: CODE, cs: SEL.code[0] });
    expect(machine.sregs.cr2).toBe(BigInt(NEW));
    expectOld(machine);
  });
});
