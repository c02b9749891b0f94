/**
 * Who may use ports, and CLI and STI: IOPL, and the I/O permission bitmap of the TSS.
 * Document: SDM volume 1, 19.5; volume 2, IN, INS, OUT, OUTS, CLI, STI.
 * Left out: virtual-8086 mode: virtual.test.ts.
 */

import { describe, expect, it } from "vitest";
import { ENGINES, type Mode } from "../support/machine.ts";
import { CODE, gate, HANDLER, RingMachine, SEL, TSS } from "../support/rings.ts";

const MAP = 0x68;
const GP = 13;

function machineAt(engine: (typeof ENGINES)[number], mode: Mode, cpl: number, iopl = 0): RingMachine {
  const machine = new RingMachine(engine, mode);
  for (let v = 0; v < 32; v++) machine.vector(v, gate(SEL.code[0], HANDLER + v * 16, 14));
  machine.write(TSS + 102, [MAP, 0]);
  machine.write(TSS + MAP, new Array(0x2000).fill(0xff));
  machine.portIn = () => 0x1122_3344;
  machine.runAt(cpl);
  machine.set({ rflags: BigInt(2 | (iopl << 12)), rdx: 0x3f7n, rdi: 0x19_0000n, rsi: 0x19_0000n, rcx: 1n });
  return machine;
}
/** Lets ports through. */
function allow(machine: RingMachine, ...ports: readonly number[]): void {
  for (const port of ports) {
    const at = TSS + MAP + (port >>> 3);
    machine.write(at, [machine.read(at, 1)[0]! & ~(1 << (port & 7))]);
  }
}
/** Whether the instruction was done; else it was #GP(0), and the host was not asked. */
function allowed(machine: RingMachine, code: readonly number[]): boolean {
  let accesses = 0;
  const count = machine.portIn;
  machine.portIn = (port, size) => {
    accesses++;
    return count(port, size);
  };
  machine.portOut = () => {
    accesses++;
  };
  machine.step(Uint8Array.from(code));
  const done = Number(machine.regs.rip) === CODE + code.length;
  if (done) return true;
  expect(Number(machine.regs.rip)).toBe(HANDLER + GP * 16);
  expect(machine.slots(machine.mode === 64 ? 8 : 4, 2)).toEqual([0, CODE]);
  expect(accesses).toBe(0);
  return false;
}

/** Of port 3F7 and those behind it: code, ports. */
const ACCESSES: readonly (readonly [string, readonly number[], number])[] = [
  ["in al, dx", [0xec], 1],
  ["in ax, dx", [0x66, 0xed], 2],
  ["in eax, dx", [0xed], 4],
  ["out dx, al", [0xee], 1],
  ["out dx, eax", [0xef], 4],
  ["insb", [0x6c], 1],
  ["insd", [0x6d], 4],
  ["outsw", [0x66, 0x6f], 2],
  ["rep outsb", [0xf3, 0x6e], 1],
];

describe.each(ENGINES)("%s", (engine) => {
  describe.each([32, 64] as const)("%i-bit", (mode) => {
    it.each(ACCESSES)("%s", (_name, code, size) => {
      for (const [cpl, iopl] of [
        [0, 0],
        [1, 1],
        [2, 3],
        [3, 3],
      ] as const) {
        expect(allowed(machineAt(engine, mode, cpl, iopl), code)).toBe(true);
      }
      // Every port of the access has to be allowed; these lie in two bytes of the bitmap.
      for (let missing = -1; missing < size; missing++) {
        const machine = machineAt(engine, mode, 3, 2);
        for (let i = 0; i < size; i++) if (i !== missing) allow(machine, 0x3f7 + i);
        expect(allowed(machine, code)).toBe(missing < 0);
      }
    });

    it("#GP comes before the page fault of the string's memory, and before a count of zero", () => {
      const machine = machineAt(engine, mode, 3);
      machine.set({ rdi: 0xf000_0000n });
      expect(allowed(machine, [0x6c])).toBe(false);
      for (const ports of [[], [0x3f7, 0x3f8, 0x3f9, 0x3fa]]) {
        for (const opcode of [0x6c, 0x6f]) {
          const none = machineAt(engine, mode, 3);
          none.set({ rcx: 0n });
          allow(none, ...ports);
          expect(allowed(none, [0xf3, opcode])).toBe(ports.length > 0);
        }
      }
    });

    it("two bytes of the bitmap must lie within the TSS", () => {
      for (const [limit, expected] of [
        [MAP + 0x7e + 1, true],
        [MAP + 0x7e, false],
        [102, false],
      ] as const) {
        const machine = machineAt(engine, mode, 3);
        machine.set({ rdx: 0x3f0n });
        allow(machine, 0x3f0);
        machine.setSregs({ tr: { ...machine.sregs.tr, limit } });
        expect(allowed(machine, [0xec])).toBe(expected);
      }
    });

    it("the last port", () => {
      const machine = machineAt(engine, mode, 3);
      machine.set({ rdx: 0xffffn });
      allow(machine, 0xffff);
      expect(allowed(machine, [0xec])).toBe(true);
    });

    it.each([
      ["cli", [0xfa]],
      ["sti", [0xfb]],
    ])("%s needs IOPL", (_name, code) => {
      expect(allowed(machineAt(engine, mode, 3, 3), code)).toBe(true);
      expect(allowed(machineAt(engine, mode, 3, 2), code)).toBe(false);
      expect(allowed(machineAt(engine, mode, 0, 0), code)).toBe(true);
    });
  });

  it("a 16-bit TSS has no bitmap", () => {
    const machine = machineAt(engine, 32, 3);
    allow(machine, 0x3f7);
    // Its stack pairs are elsewhere, and those of the 32-bit TSS, read as such, name no segment: give it a level-0 stack.
    machine.write(TSS + 2, [0x00, 0x80, SEL.data[0], 0]);
    machine.setSregs({ tr: { ...machine.sregs.tr, type: 3 } });
    expect(allowed(machine, [0xec])).toBe(false);
  });
});
