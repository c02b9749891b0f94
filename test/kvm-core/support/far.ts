/**
 * Far transfers for tests: instructions, their operands and frames, and what a fault must look like.
 * Document: SDM volume 2, JMP, CALL, RET, IRET.
 * Left out: expectations of what they do: engine/far.test.ts and engine/far-return.test.ts.
 */

import { expect } from "vitest";
import type { ENGINES, Mode } from "./machine.ts";
import { CODE, gate, HANDLER, RingMachine, SEL } from "./rings.ts";

export const TARGET = 0x12_0000;
/** Where the far pointer of an indirect transfer lies. */
export const POINTER = 0x13_0000;
/** Of the machine before a transfer. */
export const FLAGS = 0x246;
export const RF = 0x1_0000;
/** Indirect transfers go through [rBX]; 16: operand size 16, 64: REX.W. */
export const CODES = {
  jmp: [0xff, 0x2b],
  jmp16: [0x66, 0xff, 0x2b],
  call: [0xff, 0x1b],
  call16: [0x66, 0xff, 0x1b],
  call64: [0x48, 0xff, 0x1b],
  ret: [0xcb],
  ret16: [0x66, 0xcb],
  ret64: [0x48, 0xcb],
  iret: [0xcf],
  iret16: [0x66, 0xcf],
  iret64: [0x48, 0xcf],
} as const satisfies Record<string, readonly number[]>;
export type Name = keyof typeof CODES;

export function machineAt(engine: (typeof ENGINES)[number], mode: Mode, cpl: number): RingMachine {
  const machine = new RingMachine(engine, mode);
  for (let v = 0; v < 32; v++) machine.vector(v, gate(SEL.code[0], HANDLER + v * 16, 14));
  machine.runAt(cpl);
  machine.set({ rflags: BigInt(FLAGS), rbx: BigInt(POINTER) });
  return machine;
}

/** Executes one of CODES. */
export function run(machine: RingMachine, name: Name): number {
  return machine.step(Uint8Array.from(CODES[name]));
}

/** The operand of an indirect transfer: an offset of `size` bytes and a selector. */
export function pointTo(machine: RingMachine, selector: number, offset: number, size = 4): void {
  machine.setU64(POINTER, BigInt(offset));
  machine.write(POINTER + size, [selector & 0xff, selector >> 8]);
}

/** Writes a frame at the stack pointer. */
export function push(machine: RingMachine, size: 2 | 4 | 8, words: readonly (number | bigint)[]): void {
  const at = Number(machine.regs.rsp) - words.length * size;
  words.forEach((word, i) => {
    const big = BigInt(word);
    const bytes = Array.from({ length: size }, (_, j) => Number((big >> BigInt(j * 8)) & 0xffn));
    machine.write(at + i * size, bytes);
  });
  machine.set({ rsp: BigInt(at) });
}

/** The vector and error code that were delivered to level 0, and that nothing else happened. */
export function expectFault(machine: RingMachine, vector: number, errorCode: number, from: number): void {
  const size = machine.mode === 64 ? 8 : 4;
  expect([Number(machine.regs.rip) - HANDLER, machine.slots(size, 1)[0]]).toEqual([vector * 16, errorCode]);
  expect(machine.slots(size, 4).slice(1)).toEqual([CODE, SEL.code[from], FLAGS | RF]);
}
