/**
 * Segment registers for tests: real mode, and protected mode with segments of any kind.
 * Document: SDM volume 3, 3.4.5 (descriptors), 20.1 (real-address mode).
 * Left out: descriptor tables: tests set the hidden parts of the segments that they are about.
 */

import { CR0 } from "../../../kvm-core/cpu/control.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import type { KvmSegment, KvmSregs } from "../../../shared/ioctls.ts";
import { assemble } from "./asm.ts";
import { type TestEngine, TestMachine } from "./machine.ts";

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
export function realMachine(engine: TestEngine, segments: Segments = {}): TestMachine {
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

/** Of userMachine(): where its code is, and the stack of its handlers. */
export const USER_CODE = 0x10_0000;
const IDT = 0x9000;
const HANDLERS = 0xa000;
const TSS = 0xb000;
const HANDLER_STACK = 0x1f_0000;

/** A machine in protected mode at CPL 3, whose exceptions end in a HLT at CPL 0, on a stack of their own. */
export function userMachine(engine: TestEngine, segments: Segments = {}): TestMachine {
  const machine = new TestMachine(engine, 32);
  for (let vector = 0; vector < 32; vector++) machine.setGate(IDT, vector, HANDLERS + vector);
  machine.write(HANDLERS, new Array(32).fill(0xf4));
  machine.setU32(TSS + 4, HANDLER_STACK);
  machine.setU32(TSS + 8, 0x10);
  setSegments(machine, segments);
  return machine;
}

/** Puts a user machine back to CPL 3, with flat segments but for those given. */
export function setSegments(machine: TestMachine, segments: Segments): void {
  const user = { dpl: 3, limit: 0xffff_ffff, db: 1, g: 1 } as const;
  const flat = data({ ...user, selector: 0x23 });
  const ok = machine.setSregs({
    cs: code({ ...user, selector: 0x1b }),
    ds: flat,
    es: flat,
    fs: flat,
    gs: flat,
    ss: flat,
    idt: { base: BigInt(IDT), limit: 0xff },
    tr: { ...machine.sregs.tr, base: BigInt(TSS), limit: 0x67, type: 11 },
    ...segments,
  });
  if (!ok) throw new Error("the user-mode state is refused");
}

/** What an exception of a user machine pushed; `vector` is -1 if none came up. */
export interface Caught {
  readonly vector: number;
  readonly code: number;
  readonly rip: number;
  readonly rsp: number;
}

/** Runs the machine until a handler's HLT; code that ends in UD2 says that nothing came up before. */
export function runToFault(machine: TestMachine, rip: number): Caught {
  machine.set({ rip: BigInt(rip), rflags: 2n });
  const exit = machine.engine.run();
  const vector = Number(machine.regs.rip) - 1 - HANDLERS;
  if (exit !== EngineExit.HLT || vector < 0 || vector > 31) {
    throw new Error(`exit ${exit}, RIP ${machine.regs.rip.toString(16)} ${machine.engine.errorDetail}`);
  }
  const hasCode = [8, 10, 11, 12, 13, 14].includes(vector);
  const sp = HANDLER_STACK - (hasCode ? 24 : 20);
  const word = (i: number): number => machine.u32(sp + (hasCode ? 4 : 0) + i * 4);
  if (Number(machine.regs.rsp) !== sp) throw new Error(`handler's ESP ${machine.regs.rsp.toString(16)}`);
  return { vector: vector === 6 ? -1 : vector, code: hasCode ? machine.u32(sp) : 0, rip: word(0), rsp: word(3) };
}
