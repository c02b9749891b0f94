/**
 * Segment registers for tests: real mode, and protected mode with segments of any kind.
 * Document: SDM volume 3, 3.4.5 (descriptors), 20.1 (real-address mode).
 * Left out: descriptor tables: tests set the hidden parts.
 */

import { CR0 } from "../../../kvm-core/cpu/control.ts";
import type { EngineName } from "../../../kvm-core/engine/engine.ts";
import type { KvmSegment, KvmSregs } from "../../../shared/ioctls.ts";
import { assemble } from "./asm.ts";
import { TestMachine } from "./machine.ts";

/** A present data segment, read and written, expand-up, 16-bit. */
const DATA: KvmSegment = {
  base: 0n,
  limit: 0xffff,
  selector: 0x10,
  type: 3,
  present: 1,
  dpl: 0,
  db: 0,
  s: 1,
  l: 0,
  g: 0,
  avl: 0,
  unusable: 0,
};

export function data(values: Partial<KvmSegment>): KvmSegment {
  return { ...DATA, ...values };
}
export function code(values: Partial<KvmSegment>): KvmSegment {
  return { ...DATA, selector: 8, type: 11, ...values };
}
/** A segment as real mode loads it: base = selector * 16. */
export function real(selector: number): KvmSegment {
  return { ...DATA, base: BigInt(selector * 16), selector };
}

type Segments = Partial<Pick<KvmSregs, "cs" | "ds" | "es" | "fs" | "gs" | "ss">>;

/** Where the code of a real-mode test begins: 1000:0000. */
export const REAL_CODE = 0x1_0000;
/** DS, ES and SS of a real-mode test: 2000, 3000 and 4000. */
export const REAL_DATA = 0x2_0000;
export const REAL_EXTRA = 0x3_0000;
export const REAL_STACK = 0x4_0000;

/** A machine in real mode, SP 0x1000. */
export function realMachine(engine: EngineName, segments: Segments = {}): TestMachine {
  const machine = new TestMachine(engine, 32);
  const ok = machine.setSregs({
    cs: { ...real(0x1000), type: 11 },
    ds: real(0x2000),
    es: real(0x3000),
    fs: real(0x5000),
    gs: real(0x6000),
    ss: real(0x4000),
    cr0: BigInt(CR0.ET),
    idt: { base: 0n, limit: 0x3ff },
    ...segments,
  });
  if (!ok) throw new Error("the real-mode state is refused");
  machine.set({ rsp: 0x1000n });
  return machine;
}

/** 16-bit code in Intel syntax. */
export function assemble16(text: string): Uint8Array {
  return assemble(`.code16\n${text}`, 32);
}

/** Runs 16-bit code at an IP of CS until HLT; returns the exit. */
export function run16(machine: TestMachine, text: string, ip = 0): number {
  machine.write(Number(machine.sregs.cs.base) + ip, [...assemble16(text), 0xf4]);
  machine.set({ rip: BigInt(ip) });
  return machine.engine.run();
}
