/**
 * A test machine with segments of every privilege level, a TSS, an LDT and an IDT, that runs one instruction at a time.
 * Document: SDM volume 3, 3.4.5 (descriptors), 6.11 (gates), 7.2.1 and 7.7 (TSS).
 * Left out: expectations: the tests write them from the manual.
 */

import { setGuestDebug } from "../../../kvm-core/cpu/guest-debug.ts";
import { KVM_GUESTDBG, type KvmSegment, type KvmSregs } from "../../../shared/ioctls.ts";
import { GDT, type Mode, TABLES, type TestEngine, TestMachine } from "./machine.ts";

export const IDT = 0x9000;
export const TSS = 0xb000;
export const LDT = 0xe000;
export const CODE = 0x10_0000;
export const HANDLER = 0x11_0000;
/** Top of each privilege level's stack. */
export const STACKS = [0x20_0000, 0x21_0000, 0x22_0000, 0x23_0000] as const;

/** Paragraphs of the virtual-8086 code that runVirtual() makes; its code begins at CS:0100. */
export const VIRTUAL = { cs: 0x2000, ss: 0x3000, ds: 0x3800, es: 0x3a00, fs: 0x3c00, gs: 0x3e00 } as const;
export const VIRTUAL_CODE = VIRTUAL.cs * 16 + 0x100;

/** Selectors, RPL included. Outside IA-32e mode code is 32-bit, in it 64-bit; CODE16 and COMPAT are what their names say. */
export const SEL = {
  code: [0x08, 0x19, 0x2a, 0x3b],
  data: [0x10, 0x21, 0x32, 0x43],
  conforming: 0x48,
  code16: 0x50,
  data16: 0x58,
  absent: 0x60,
  absentData: 0x68,
  readOnly: 0x70,
  tss: 0x80,
  ldt: 0x90,
  /** Free for what a test puts there: two slots each. */
  gate: 0xa0,
  other: 0xb0,
  compat: 0xc3,
  expandDown: 0xc8,
  executeOnly: 0xd0,
  /** Descriptor 1 of the LDT: code of privilege level 0. */
  local: 0x0c,
} as const;

export interface Segment {
  readonly base?: number;
  /** In bytes; above 1 MiB it is rounded to pages. */
  readonly limit?: number;
  /** The four type bits. */
  readonly type: number;
  readonly s?: 0 | 1;
  readonly dpl?: number;
  readonly present?: 0 | 1;
  readonly db?: 0 | 1;
  readonly l?: 0 | 1;
}

/** Type bits. */
export const TYPE = { data: 3, readOnly: 1, code: 11, executeOnly: 9, conforming: 15, expandDown: 7 } as const;

/** The eight bytes of a segment descriptor. */
export function descriptor(segment: Segment): bigint {
  const { base = 0, limit = 0xffff_ffff, type, s = 1, dpl = 0, present = 1, db = 1, l = 0 } = segment;
  const pages = limit > 0xf_ffff;
  const units = BigInt(pages ? Math.floor(limit / 4096) : limit);
  const access = BigInt(type | (s << 4) | (dpl << 5) | (present << 7));
  const flags = BigInt((l << 1) | (db << 2) | ((pages ? 1 : 0) << 3));
  const b = BigInt(base);
  return (
    (units & 0xffffn) |
    ((b & 0xff_ffffn) << 16n) |
    (access << 40n) |
    ((units >> 16n) << 48n) |
    (flags << 52n) |
    ((b >> 24n) << 56n)
  );
}

/** A gate: of the IDT, or a call gate. `extra`: parameters or IST. */
export function gate(selector: number, offset: number, type: number, dpl = 0, extra = 0, present = 1): bigint {
  const low = BigInt(offset & 0xffff) | (BigInt(selector) << 16n);
  const high = (BigInt(offset >>> 16) << 16n) | BigInt(extra | (type << 8) | (dpl << 13) | (present << 15));
  return low | (high << 32n);
}

export class RingMachine extends TestMachine {
  /** Number of the gates' bytes in the IDT. */
  readonly gateSize: number;

  constructor(engine: TestEngine, mode: Mode) {
    super(engine, mode);
    const long = mode === 64;
    this.gateSize = long ? 16 : 8;
    const code = long ? ({ l: 1, db: 0 } as const) : {};
    for (const dpl of [0, 1, 2, 3]) {
      this.describe(SEL.code[dpl]!, descriptor({ type: TYPE.code, dpl, ...code }));
      this.describe(SEL.data[dpl]!, descriptor({ type: TYPE.data, dpl }));
    }
    this.describe(SEL.conforming, descriptor({ type: TYPE.conforming, ...code }));
    this.describe(SEL.code16, descriptor({ type: TYPE.code, db: 0, limit: 0xffff }));
    this.describe(SEL.data16, descriptor({ type: TYPE.data, db: 0, limit: 0xffff }));
    this.describe(SEL.absent, descriptor({ type: TYPE.code, present: 0, ...code }));
    this.describe(SEL.absentData, descriptor({ type: TYPE.data, present: 0 }));
    this.describe(SEL.readOnly, descriptor({ type: TYPE.readOnly }));
    this.describe(SEL.compat, descriptor({ type: TYPE.code, dpl: 3 }));
    this.describe(SEL.expandDown, descriptor({ type: TYPE.expandDown, limit: 0xffff }));
    this.describe(SEL.executeOnly, descriptor({ type: TYPE.executeOnly, ...code }));
    this.describe(SEL.tss, descriptor({ type: 11, s: 0, base: TSS, limit: 0x2fff, db: 0 }));
    this.describe(SEL.ldt, descriptor({ type: 2, s: 0, base: LDT, limit: 0xff, db: 0 }));
    this.setU64(LDT + 8, descriptor({ type: TYPE.code, ...code }));
    if (long) this.#userPages();
    const system = { ...this.sregs.tr, present: 1, s: 0, g: 0, unusable: 0 };
    this.setSregs({
      gdt: { base: BigInt(GDT), limit: 0xfff },
      idt: { base: BigInt(IDT), limit: 0x7ff },
      tr: { ...system, selector: SEL.tss, base: BigInt(TSS), limit: 0x2fff, type: 11 },
      ldt: { ...system, selector: SEL.ldt, base: BigInt(LDT), limit: 0xff, type: 2 },
    });
    for (const level of [0, 1, 2]) this.setStack(level, SEL.data[level]!, STACKS[level]!);
    this.runAt(0);
  }

  /** Puts a descriptor, and the upper half of one of 16 bytes, at a selector. */
  describe(selector: number, low: bigint, high?: bigint): void {
    this.setU64(GDT + (selector & 0xfff8), low);
    if (high !== undefined) this.setU64(GDT + (selector & 0xfff8) + 8, high);
  }

  /** A gate of the IDT. */
  vector(number: number, value: bigint, high = 0n): void {
    this.setU64(IDT + number * this.gateSize, value);
    if (this.gateSize === 16) this.setU64(IDT + number * 16 + 8, high);
  }

  /** The TSS's stack of a privilege level. */
  setStack(level: number, ss: number, sp: number): void {
    if (this.mode === 64) this.setU64(TSS + 4 + level * 8, BigInt(sp));
    else {
      this.setU32(TSS + 4 + level * 8, sp);
      this.setU32(TSS + 8 + level * 8, ss);
    }
  }

  /** CS, SS and the data segments of a privilege level, its stack, and RIP at CODE. */
  runAt(cpl: number, cs: number = SEL.code[cpl]!): void {
    const data = this.segmentOf(SEL.data[cpl]!);
    const change: Partial<KvmSregs> = { cs: this.segmentOf(cs), ss: data, ds: data, es: data, fs: data, gs: data };
    if (!this.setSregs(change)) throw new Error("the state is refused");
    this.set({ rip: BigInt(CODE), rsp: BigInt(STACKS[cpl]!) });
  }

  /** What a segment register holds after a load of this selector. */
  segmentOf(selector: number): KvmSegment {
    const d = this.u64((selector & 4 ? LDT : GDT) + (selector & 0xfff8));
    const bits = (at: number, count: number): number => Number((d >> BigInt(at)) & ((1n << BigInt(count)) - 1n));
    const units = bits(0, 16) | (bits(48, 4) << 16);
    const g = bits(55, 1);
    return {
      base: BigInt(bits(16, 24) + bits(56, 8) * 0x100_0000),
      limit: g ? units * 4096 + 4095 : units,
      selector,
      type: bits(40, 4),
      s: bits(44, 1),
      dpl: bits(45, 2),
      present: bits(47, 1),
      avl: bits(52, 1),
      l: bits(53, 1),
      db: bits(54, 1),
      g,
      unusable: 0,
    };
  }

  /** Executes one instruction at CODE, or wherever RIP is, or delivers what it gives instead; returns the exit. */
  step(code?: Uint8Array, at = CODE): number {
    if (code) this.write(at, code);
    this.debugFromOutside(KVM_GUESTDBG.ENABLE | KVM_GUESTDBG.SINGLESTEP);
    const exit = this.engine.run();
    this.debugFromOutside(0);
    return exit;
  }

  debugFromOutside(control: number, registers: readonly bigint[] = []): void {
    const all = Array.from({ length: 8 }, (_, i) => registers[i] ?? 0n);
    if (!setGuestDebug(this.memory, this.zone, control, all)) throw new Error("KVM_SET_GUEST_DEBUG is refused");
  }

  /** Makes the segments of virtual-8086 mode, with these selectors' paragraphs; flags get VM and what `rflags` has. */
  runVirtual(rflags: number): void {
    const virtual = (selector: number): KvmSegment => {
      const segment = this.segmentOf(SEL.data[3]);
      return { ...segment, selector, base: BigInt(selector * 16), limit: 0xffff, g: 0, db: 0 };
    };
    const [cs, ss, ds] = [VIRTUAL.cs, VIRTUAL.ss, VIRTUAL.ds].map(virtual);
    const [es, fs, gs] = [VIRTUAL.es, VIRTUAL.fs, VIRTUAL.gs].map(virtual);
    if (!this.setSregs({ cs: cs!, ss: ss!, ds: ds!, es: es!, fs: fs!, gs: gs! })) throw new Error("refused");
    this.set({ rip: 0x100n, rsp: 0x8_1000n, rflags: BigInt(rflags | 0x2_0002) });
  }

  /** `count` stack slots of `size` bytes, the last pushed first. */
  slots(size: 2 | 4 | 8, count: number, at = Number(this.regs.rsp)): number[] {
    return Array.from({ length: count }, (_, i) => {
      const address = at + i * size;
      return size === 2 ? this.u32(address) & 0xffff : size === 4 ? this.u32(address) : Number(this.u64(address));
    });
  }

  /** Lets code of privilege level 3 use every page. */
  #userPages(): void {
    for (let at = TABLES; at < TABLES + 0x6000; at += 8) {
      const entry = this.u64(at);
      if (entry & 1n) this.setU64(at, entry | 4n);
    }
  }
}
