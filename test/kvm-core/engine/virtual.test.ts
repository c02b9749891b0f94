/**
 * 8086 code: interrupts, far transfers and privileged instructions in real mode, and in virtual-8086 mode, which level 0
 * enters by IRET and an interrupt leaves.
 * Document: SDM volume 3, 20.1 (real mode), 20.2 and 20.3 (virtual-8086 mode).
 * Left out: VME: virtual-interrupts.test.ts; 16-bit operands and stacks: real-mode.test.ts.
 */

import { describe, expect, it } from "vitest";
import { RFLAGS } from "../../../kvm-core/cpu/flags.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { ENGINES } from "../support/machine.ts";
import {
  CODE,
  descriptor,
  gate,
  HANDLER,
  IDT,
  RingMachine,
  SEL,
  STACKS,
  TSS,
  TYPE,
  VIRTUAL,
  VIRTUAL_CODE,
} from "../support/rings.ts";
import { REAL_CODE, REAL_STACK, realMachine } from "../support/segments.ts";

const GP = 13;
const IOPL3 = 0x3000;
const FLAGS = 0x4_0ad7;
const RF = 0x1_0000;
const SP = 0x1000;
/** Bytes of instructions, by name. */
const I = {
  int: [0xcd, 0x21],
  int3: [0xcc],
  into: [0xce],
  pushf: [0x9c],
  popf: [0x9d],
  cli: [0xfa],
  sti: [0xfb],
  iret: [0xcf],
  iretd: [0x66, 0xcf],
  hlt: [0xf4],
  lgdt: [0x0f, 0x01, 0x16, 0x00, 0x00],
  sldt: [0x0f, 0x00, 0xc0],
  lar: [0x0f, 0x02, 0xc0],
  arpl: [0x63, 0xc0],
  // BEXTR: VEX prefixes want protected mode.
  bextr: [0xc4, 0xe2, 0x70, 0xf7, 0xc3],
  in: [0xe4, 0x60],
  movDs: [0x8e, 0xd8],
  popSs: [0x17],
  les: [0xc4, 0x1e, 0x10, 0x00],
  callFar: [0x9a, 0x34, 0x12, 0x78, 0x56],
  jmpFar: [0xea, 0x34, 0x12, 0x78, 0x56],
  jmpFar32: [0x66, 0xea, 0x00, 0x00, 0x01, 0x00, 0x78, 0x56],
  retFar: [0xcb],
  retFar4: [0xca, 4, 0],
} as const;

function virtual(engine: (typeof ENGINES)[number], flags: number, type = 14): RingMachine {
  const machine = new RingMachine(engine, 32);
  for (let v = 0; v < 64; v++) machine.vector(v, gate(SEL.code[0], HANDLER + v * 16, type, 3));
  machine.runVirtual(flags);
  return machine;
}

const step = (machine: RingMachine, code: readonly number[]): number =>
  machine.step(Uint8Array.from(code), VIRTUAL_CODE);
const at = (machine: RingMachine): number => (Number(machine.regs.rip) - HANDLER) / 16;
const linearSp = (machine: RingMachine): number => VIRTUAL.ss * 16 + (Number(machine.regs.rsp) & 0xffff);

describe.each(ENGINES)("%s", (engine) => {
  describe("virtual-8086 mode", () => {
    it.each([
      [6, 2],
      [7, 2],
      [14, 4],
      [15, 4],
    ])("is left through a gate of type %i with all segments on the stack", (type, size) => {
      for (const [code, vector, rip] of [
        [I.int, 0x21, 0x102],
        [I.hlt, GP, 0x100],
      ] as const) {
        const machine = virtual(engine, FLAGS | IOPL3, type);
        if (size === 2) for (const v of [0x21, GP]) machine.vector(v, gate(SEL.code[0], v * 16, type, 3));
        expect(step(machine, code), machine.engine.errorDetail).toBe(EngineExit.DEBUG);
        const image = FLAGS | IOPL3 | RFLAGS.VM | (vector === GP ? RF : 0);
        const { ss, es, ds, fs, gs, cs } = VIRTUAL;
        const words = [rip, cs, image, 0x8_1000, ss, es, ds, fs, gs];
        if (vector === GP) words.unshift(0);
        const mask = size === 2 ? 0xffff : -1;
        expect(machine.slots(size as 2 | 4, words.length)).toEqual(words.map((word) => (word & mask) >>> 0));
        expect(Number(machine.regs.rsp)).toBe(STACKS[0] - words.length * size);
        const { sregs, regs } = machine;
        expect([sregs.cs.selector, sregs.ss.selector, sregs.ss.dpl]).toEqual([SEL.code[0], SEL.data[0], 0]);
        for (const name of ["ds", "es", "fs", "gs"] as const) {
          expect(sregs[name]).toMatchObject({ selector: 0, unusable: 1 });
        }
        const masked = type & 1 ? 0 : RFLAGS.IF;
        expect(Number(regs.rflags)).toBe((FLAGS | IOPL3) & ~(RFLAGS.VM | RFLAGS.NT | RFLAGS.TF | masked));
      }
    });

    it("is entered by IRETD of level 0", () => {
      const machine = new RingMachine(engine, 32);
      machine.runAt(0);
      const { cs, ss, es, ds, fs, gs } = VIRTUAL;
      const frame = [0x100, cs, 0x2_3202, 0x9_8765, ss, es, ds, fs, gs];
      const sp = STACKS[0] - frame.length * 4;
      frame.forEach((word, i) => {
        machine.setU32(sp + i * 4, word);
      });
      machine.set({ rsp: BigInt(sp) });
      machine.step(Uint8Array.from(I.iret));
      const { sregs, regs } = machine;
      expect(regs).toMatchObject({ rip: 0x100n, rsp: 0x9_8765n, rflags: 0x2_3202n });
      for (const [name, selector] of Object.entries(VIRTUAL)) {
        const expected = { selector, base: BigInt(selector * 16), limit: 0xffff, dpl: 3, db: 0, present: 1, type: 3 };
        expect(sregs[name as "cs"]).toMatchObject(expected);
      }
      // And it runs 16-bit code there.
      machine.set({ rax: 0n });
      machine.step(Uint8Array.from([0xb8, 0x34, 0x12]), VIRTUAL_CODE);
      expect(machine.regs).toMatchObject({ rax: 0x1234n, rip: 0x103n });
    });

    it("is not entered at an IP beyond 64 KiB", () => {
      const machine = virtual(engine, 0);
      machine.set({ rflags: 2n });
      machine.runAt(0);
      [0x1_0000, VIRTUAL.cs, 0x2_0002, 0, 0, 0, 0, 0, 0].forEach((word, i) => {
        machine.setU32(STACKS[0] - 36 + i * 4, word);
      });
      machine.set({ rsp: BigInt(STACKS[0] - 36) });
      machine.step(Uint8Array.from(I.iret));
      expect([at(machine), ...machine.slots(4, 2)]).toEqual([GP, 0, CODE]);
    });

    it.each([
      ["a handler at level 1", SEL.code[1] & ~3],
      ["a conforming handler", SEL.conforming],
      ["a handler at level 3", SEL.code[3] & ~3],
    ])("%s is #GP", (_what, selector) => {
      const machine = virtual(engine, IOPL3);
      machine.vector(0x21, gate(selector, HANDLER, 14, 3));
      step(machine, I.int);
      expect([at(machine), machine.slots(4, 1)[0]]).toEqual([GP, selector]);
    });

    it.each(["int", "pushf", "popf", "cli", "sti", "iret"] as const)("needs IOPL 3 for %s", (name) => {
      for (const iopl of [0, 1, 2]) {
        const machine = virtual(engine, (iopl << 12) | RFLAGS.IF);
        step(machine, I[name]);
        expect([at(machine), ...machine.slots(4, 3)]).toEqual([GP, 0, 0x100, VIRTUAL.cs]);
        // Nothing has happened: the stack pointer that was pushed is the old one.
        expect(machine.slots(4, 5)[4]).toBe(0x8_1000);
      }
    });

    it("does not need it for INT3 and INTO", () => {
      for (const [code, vector, rip] of [
        [I.int3, 3, 0x101],
        [I.into, 4, 0x101],
      ] as const) {
        const machine = virtual(engine, RFLAGS.OF);
        step(machine, code);
        expect([at(machine), machine.slots(4, 1)[0]]).toEqual([vector, rip]);
      }
      const quiet = virtual(engine, 0);
      step(quiet, I.into);
      expect(quiet.regs.rip).toBe(0x101n);
    });

    it("with IOPL 3 changes IF, but never IOPL and VM", () => {
      const machine = virtual(engine, IOPL3 | RFLAGS.IF);
      step(machine, I.cli);
      expect(Number(machine.regs.rflags) & RFLAGS.IF).toBe(0);
      machine.set({ rip: 0x100n });
      step(machine, I.sti);
      expect(Number(machine.regs.rflags) & RFLAGS.IF).toBe(RFLAGS.IF);
      machine.set({ rip: 0x100n });
      step(machine, I.pushf);
      expect(machine.slots(2, 1, linearSp(machine))[0]).toBe(0x3202);
      machine.setU32(linearSp(machine), 0x0cd7);
      machine.set({ rip: 0x100n });
      step(machine, I.popf);
      expect(Number(machine.regs.rflags)).toBe(0x2_3cd7);
      // IRETD: RF and AC too.
      const sp = linearSp(machine) - 12;
      [0x180, VIRTUAL.cs, 0x7d_0202].forEach((word, i) => {
        machine.setU32(sp + i * 4, word);
      });
      machine.set({ rip: 0x100n, rsp: BigInt(sp - VIRTUAL.ss * 16) });
      step(machine, I.iretd);
      expect(machine.regs).toMatchObject({ rip: 0x180n, rflags: BigInt(0x25_0202 | 0x2_3000) });
    });

    it.each(["hlt", "lgdt"] as const)("refuses %s with #GP(0)", (name) => {
      const machine = virtual(engine, IOPL3);
      step(machine, I[name]);
      expect([at(machine), ...machine.slots(4, 2)]).toEqual([GP, 0, 0x100]);
    });

    it.each(["sldt", "lar", "arpl", "bextr"] as const)("does not know %s", (name) => {
      const machine = virtual(engine, IOPL3);
      step(machine, I[name]);
      expect([at(machine), machine.slots(4, 1)[0]]).toEqual([6, 0x100]);
    });

    it("asks the I/O permission bitmap whatever IOPL is", () => {
      for (const denied of [false, true]) {
        const machine = virtual(engine, IOPL3);
        machine.write(TSS + 102, [0x68, 0]);
        machine.write(TSS + 0x68 + 0x60 / 8, [denied ? 1 : 0]);
        machine.portIn = () => 0x5a;
        step(machine, I.in);
        if (denied) expect([at(machine), machine.slots(4, 1)[0]]).toEqual([GP, 0]);
        else expect(machine.regs).toMatchObject({ rip: 0x102n, rax: 0x5an });
      }
    });

    it("loads segments by paragraphs, and transfers far", () => {
      const machine = virtual(engine, 0);
      machine.set({ rax: 0xf123n });
      step(machine, I.movDs);
      expect(machine.sregs.ds).toMatchObject({ selector: 0xf123, base: 0xf_1230n, limit: 0xffff, dpl: 3 });
      machine.set({ rip: 0x100n });
      step(machine, I.callFar);
      expect(machine.sregs.cs).toMatchObject({ selector: 0x5678, base: 0x5_6780n, dpl: 3 });
      expect(machine.regs.rip).toBe(0x1234n);
      expect(machine.slots(2, 2, linearSp(machine))).toEqual([0x105, VIRTUAL.cs]);
      machine.step(Uint8Array.from(I.retFar), 0x5_6780 + 0x1234);
      expect(machine.regs).toMatchObject({ rip: 0x105n, rsp: 0x8_1000n });
      expect(machine.sregs.cs.selector).toBe(VIRTUAL.cs);
    });
  });

  describe("real mode", () => {
    const real = (flags = 2): ReturnType<typeof realMachine> => {
      const machine = realMachine(engine);
      machine.setSregs({ idt: { base: BigInt(IDT), limit: 0x3ff } });
      for (let v = 0; v < 256; v++) machine.setU32(IDT + v * 4, ((0x1100 << 16) | (v * 16)) >>> 0);
      machine.set({ rsp: BigInt(SP), rflags: BigInt(flags), rip: 0n });
      return machine;
    };
    const words = (machine: ReturnType<typeof realMachine>, count: number): number[] => {
      const sp = REAL_STACK + (Number(machine.regs.rsp) & 0xffff);
      return Array.from({ length: count }, (_, i) => machine.u32(sp + i * 2) & 0xffff);
    };
    /** HLT at every handler: the exit tells the vector. */
    const run = (machine: ReturnType<typeof realMachine>, code: readonly number[]): number => {
      machine.write(0x1_1000, new Array(0x1000).fill(0xf4));
      machine.write(REAL_CODE, [...code, 0xf4]);
      expect(machine.engine.run(), machine.engine.errorDetail).toBe(EngineExit.HLT);
      return machine.sregs.cs.selector === 0x1100 ? (Number(machine.regs.rip) - 1) / 16 : -1;
    };

    it("has no instructions on selectors, wherever their operand lies", () => {
      for (const code of [
        [0x67, 0x0f, 0x02, 0x03], // lar ax, [ebx]
        [0x67, 0x0f, 0x00, 0x13], // lldt [ebx]
        [0x67, 0x0f, 0x00, 0x23], // verr [ebx]
        [0x67, 0x63, 0x03], // arpl [ebx], ax
      ]) {
        const machine = real();
        machine.set({ rbx: 0x1_0000n });
        expect(run(machine, code)).toBe(6);
      }
    });

    it("interrupts go through the vector table, without error codes", () => {
      for (const [code, vector, ip] of [
        [I.int, 0x21, 2],
        [I.int3, 3, 1],
        [[0x0f, 0x0b], 6, 0],
        // SLDT.
        [I.sldt, 6, 0],
        [I.bextr, 6, 0],
        // MOV AX,[FFFF] crosses the limit.
        [[0xa1, 0xff, 0xff], GP, 0],
      ] as const) {
        const flags = 0x4_4ad7;
        const machine = real(flags);
        expect(run(machine, code)).toBe(vector);
        expect(words(machine, 3)).toEqual([ip, 0x1000, flags & 0xffff]);
        expect(Number(machine.regs.rsp)).toBe(SP - 6);
        expect(Number(machine.regs.rflags)).toBe(0x4ad7 & ~0x200);
      }
    });

    it("an external interrupt, and IRET", () => {
      const machine = real(0x202);
      machine.engine.interrupt(8);
      expect(machine.regs.rip).toBe(8n * 16n);
      expect(machine.sregs.cs).toMatchObject({ selector: 0x1100, base: 0x1_1000n });
      machine.write(0x1_1000 + 8 * 16, [...I.iret]);
      machine.write(REAL_CODE, [0x40, 0xf4]);
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      expect(machine.regs).toMatchObject({ rip: 2n, rsp: BigInt(SP), rflags: 0x202n });
      expect(machine.sregs.cs).toMatchObject({ selector: 0x1000, base: 0x1_0000n });
    });

    it("a vector beyond the limit of IDTR is #GP, and beyond that a shutdown", () => {
      const machine = real();
      machine.setSregs({ idt: { base: BigInt(IDT), limit: 0x20 * 4 - 1 } });
      expect(run(machine, I.int)).toBe(GP);
      expect(words(machine, 1)).toEqual([0]);
      const dead = real();
      dead.setSregs({ idt: { base: BigInt(IDT), limit: 8 * 4 - 1 } });
      dead.write(REAL_CODE, [...I.int]);
      expect(dead.engine.run()).toBe(EngineExit.SHUTDOWN);
      expect(dead.regs).toMatchObject({ rip: 0n, rsp: BigInt(SP) });
    });

    it("far transfers change selector and base, and keep the limit", () => {
      const machine = real();
      machine.write(0x5_6780 + 0x1234, [0xf4]);
      machine.write(REAL_CODE, [...I.jmpFar]);
      expect(machine.engine.run()).toBe(EngineExit.HLT);
      expect(machine.regs.rip).toBe(0x1235n);
      expect(machine.sregs.cs).toMatchObject({ selector: 0x5678, base: 0x5_6780n, limit: 0xffff });

      const called = real();
      called.write(0x5_6780 + 0x1234, [...I.retFar4]);
      run(called, I.callFar);
      expect(called.regs).toMatchObject({ rip: 6n, rsp: BigInt(SP + 4) });
      expect(called.sregs.cs.selector).toBe(0x1000);
    });

    it("an offset beyond the limit is #GP", () => {
      expect(run(real(), I.jmpFar32)).toBe(GP);
    });

    it("LES, POP SS and MOV DS load paragraphs", () => {
      const machine = real();
      machine.write(0x2_0010, [0x22, 0x11, 0x44, 0x33]);
      machine.setU32(REAL_STACK + SP, 0x4321);
      machine.set({ rax: 0xabcdn });
      run(machine, [...I.les, ...I.movDs, ...I.popSs]);
      expect(Number(machine.regs.rbx) & 0xffff).toBe(0x1122);
      const { es, ds, ss } = machine.sregs;
      expect([es.selector, es.base, ds.selector, ds.base, ss.selector, ss.base]).toEqual([
        0x3344,
        0x3_3440n,
        0xabcd,
        0xa_bcd0n,
        0x4321,
        0x4_3210n,
      ]);
    });

    it("goes to protected mode and back, keeping limits: unreal mode", () => {
      const machine = real();
      machine.setU64(0x8008, descriptor({ type: TYPE.data }));
      machine.setSregs({ gdt: { base: 0x8000n, limit: 0xff } });
      machine.write(0x30_0000, [0x5a]);
      // mov eax,cr0; or al,1; mov cr0,eax; mov bx,8; mov ds,bx; and al,fe; mov cr0,eax; mov bx,0; mov ds,bx
      const there = [0x0f, 0x20, 0xc0, 0x0c, 1, 0x0f, 0x22, 0xc0, 0xbb, 8, 0, 0x8e, 0xdb];
      const back = [0x24, 0xfe, 0x0f, 0x22, 0xc0, 0xbb, 0, 0, 0x8e, 0xdb];
      // mov esi,300000; mov cl,[esi]
      const read = [0x66, 0xbe, 0, 0, 0x30, 0, 0x67, 0x8a, 0x0e];
      run(machine, [...there, ...back, ...read]);
      expect(machine.sregs.ds).toMatchObject({ selector: 0, base: 0n, limit: 0xffff_ffff });
      expect(Number(machine.regs.rcx) & 0xff).toBe(0x5a);
    });

    it("SMSW and LMSW: PE can be set, and not cleared", () => {
      const machine = real();
      // smsw bx; mov ax,1; lmsw ax; mov ax,0; lmsw ax; smsw cx
      run(machine, [0x0f, 1, 0xe3, 0xb8, 1, 0, 0x0f, 1, 0xf0, 0xb8, 0, 0, 0x0f, 1, 0xf0, 0x0f, 1, 0xe1]);
      expect(Number(machine.regs.rbx) & 1).toBe(0);
      expect(Number(machine.regs.rcx) & 1).toBe(1);
      expect(Number(machine.sregs.cr0) & 1).toBe(1);
    });
  });
});
