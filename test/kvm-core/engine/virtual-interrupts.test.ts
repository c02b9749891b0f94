/**
 * The virtual interrupt flag: CR4.VME for virtual-8086 code with IOPL below 3, CR4.PVI for code of level 3; redirected INT n.
 * Document: SDM volume 3, 20.3 and 20.4; volume 2, CLI STI PUSHF POPF IRET INT n.
 * Left out: virtual-8086 mode without it: virtual.test.ts.
 */

import { describe, expect, it } from "vitest";
import { CR4 } from "../../../kvm-core/cpu/control.ts";
import { RFLAGS } from "../../../kvm-core/cpu/flags.ts";
import { ENGINES, type TestEngine } from "../support/machine.ts";
import { CODE, gate, HANDLER, RingMachine, SEL, TSS, VIRTUAL, VIRTUAL_CODE } from "../support/rings.ts";

const GP = 13;
const { VIF, VIP, IF, TF, VM, NT, DF } = RFLAGS;
const IOPL3 = 0x3000;
const STACK = VIRTUAL.ss * 16;
const I = {
  cli: [0xfa],
  sti: [0xfb],
  pushf: [0x9c],
  pushfd: [0x66, 0x9c],
  popf: [0x9d],
  popfd: [0x66, 0x9d],
  iret: [0xcf],
  iretd: [0x66, 0xcf],
  int: [0xcd, 0x21],
  int3: [0xcc],
} as const;

function virtual(engine: TestEngine, flags: number, cr4: number = CR4.VME): RingMachine {
  const machine = new RingMachine(engine, 32);
  for (let v = 0; v < 64; v++) machine.vector(v, gate(SEL.code[0]!, HANDLER + v * 16, 14, 3));
  machine.setSregs({ cr4: BigInt(cr4) });
  // The I/O permission bitmap, and in front of it the redirection bitmap: all interrupts stay.
  machine.write(TSS + 102, [0x00, 0x01]);
  machine.runVirtual(flags);
  machine.set({ rsp: 0x1000n });
  return machine;
}
const step = (machine: RingMachine, code: readonly number[]): number =>
  machine.step(Uint8Array.from(code), VIRTUAL_CODE);
const flags = (machine: RingMachine): number => Number(machine.regs.rflags) & ~VM & ~2;
const faulted = (machine: RingMachine): boolean => Number(machine.regs.rip) === HANDLER + GP * 16;
const word = (machine: RingMachine, at: number): number => machine.u32(STACK + at) & 0xffff;
const put = (machine: RingMachine, ...words: readonly number[]): void =>
  words.forEach((value, i) => {
    machine.write(STACK + 0x1000 + i * 2, [value & 0xff, value >>> 8]);
  });

describe.each(ENGINES)("%s", (engine) => {
  it("CLI and STI are about VIF", () => {
    const rows: readonly (readonly [readonly number[], number, number])[] = [
      [I.cli, VIF | IF, IF],
      [I.sti, 0, VIF],
      [I.cli, VIP | VIF, VIP],
      // With IOPL 3 they are about IF.
      [I.cli, IOPL3 | VIF | IF, IOPL3 | VIF],
      [I.sti, IOPL3, IOPL3 | IF],
    ];
    for (const [code, before, after] of rows) {
      const machine = virtual(engine, before);
      step(machine, code);
      expect([before, flags(machine)]).toEqual([before, after]);
    }
    // A virtual interrupt is pending.
    const pending = virtual(engine, VIP);
    step(pending, I.sti);
    expect(faulted(pending)).toBe(true);
    for (const code of [I.cli, I.sti, I.pushf, I.popf, I.iret, I.int]) {
      const without = virtual(engine, 0, 0);
      step(without, code);
      expect(faulted(without)).toBe(true);
    }
  });

  it("PUSHF pushes VIF as IF, and IOPL 3", () => {
    for (const [before, image] of [
      [VIF | 1, IOPL3 | IF | 3],
      [IF | DF, IOPL3 | DF | 2],
    ] as const) {
      const machine = virtual(engine, before);
      step(machine, I.pushf);
      expect(word(machine, 0xffe)).toBe(image);
      expect(flags(machine)).toBe(before);
    }
    const wide = virtual(engine, VIF);
    step(wide, I.pushfd);
    expect(faulted(wide)).toBe(true);
  });

  it("POPF and IRET take IF for VIF, and leave IF and IOPL", () => {
    for (const [code, words] of [
      [I.popf, (value: number) => [value]],
      [I.iret, (value: number) => [0x4321, VIRTUAL.cs, value]],
    ] as const) {
      for (const [before, value, after] of [
        [0, IF | NT | 1, VIF | NT | 1],
        [VIF | IF, IOPL3 | DF, IF | DF],
        [VIP | VIF, 0, VIP],
      ] as const) {
        const machine = virtual(engine, before);
        put(machine, ...words(value));
        step(machine, code);
        expect(flags(machine)).toBe(after);
        expect(machine.regs.rsp).toBe(BigInt(0x1000 + words(0).length * 2));
      }
      for (const [before, value] of [
        [VIP, IF],
        [0, TF],
      ] as const) {
        const machine = virtual(engine, before);
        put(machine, ...words(value));
        step(machine, code);
        expect(faulted(machine)).toBe(true);
      }
    }
    for (const code of [I.popfd, I.iretd]) {
      const machine = virtual(engine, 0);
      step(machine, code);
      expect(faulted(machine)).toBe(true);
    }
  });

  it("INT n whose bit is clear goes through the 8086 program's table", () => {
    for (const [before, image, after] of [
      [VIF | DF, IOPL3 | IF | DF | 2, DF],
      [IF | 1, IOPL3 | 3, IF | 1],
      [IOPL3 | IF | VIF | 1, IOPL3 | IF | 3, IOPL3 | VIF | 1],
    ] as const) {
      const machine = virtual(engine, before);
      machine.setU32(0x21 * 4, (0x5678 << 16) | 0x1234);
      step(machine, I.int);
      expect(machine.regs).toMatchObject({ rip: 0x1234n, rsp: 0xffan });
      expect(machine.sregs.cs).toMatchObject({ selector: 0x5678, base: 0x5_6780n });
      expect([word(machine, 0xffe), word(machine, 0xffc), word(machine, 0xffa)]).toEqual([image, VIRTUAL.cs, 0x102]);
      expect(flags(machine)).toBe(after);
    }
  });

  it("INT n whose bit is set, and INT3, go as without VME", () => {
    const set = virtual(engine, 0);
    set.write(TSS + 0x100 - 32 + 4, [2]);
    step(set, I.int);
    expect(faulted(set)).toBe(true);
    expect(set.slots(4, 2)).toEqual([0, 0x100]);
    const privileged = virtual(engine, IOPL3);
    privileged.write(TSS + 0x100 - 32 + 4, [2]);
    step(privileged, I.int);
    expect(Number(privileged.regs.rip)).toBe(HANDLER + 0x21 * 16);
    const breakpoint = virtual(engine, 0);
    step(breakpoint, I.int3);
    expect(Number(breakpoint.regs.rip)).toBe(HANDLER + 3 * 16);
    // The bitmap lies beyond the TSS.
    const short = virtual(engine, 0);
    short.setSregs({ tr: { ...short.sregs.tr, limit: 0xe0 } });
    step(short, I.int);
    expect(faulted(short)).toBe(true);
  });

  it("CR4.PVI gives level 3 of protected mode a VIF, and VME none", () => {
    for (const [cr4, code, before, after] of [
      [CR4.PVI, I.cli, VIF | IF, IF],
      [CR4.PVI, I.sti, 0, VIF],
      [CR4.PVI, I.sti, VIP, -1],
      [CR4.VME, I.sti, 0, -1],
      [CR4.PVI, I.sti, IOPL3, IOPL3 | IF],
    ] as const) {
      const machine = virtual(engine, 0, cr4);
      machine.set({ rflags: 2n });
      machine.runAt(3);
      machine.set({ rflags: BigInt(before | 2) });
      machine.step(Uint8Array.from(code), CODE);
      if (after < 0) expect(faulted(machine)).toBe(true);
      else expect(flags(machine)).toBe(after);
    }
  });
});
