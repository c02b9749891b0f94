/**
 * The state of x87, MMX and SSE: a page of its own behind the vCPU state struct.
 * Document: SDM volume 1, 8.1 (x87 execution environment), 9.2 (MMX), 10.2 (XMM, MXCSR); volume 1, 13.1 (XCR0).
 * Left out: AVX-512, whose registers would follow ymmHigh.
 *
 * Offsets are from the start of the vCPU's zone, as those of CPU are, so generated code reaches both from $cpu.
 */

import { layout } from "../../shared/layout.ts";
import { PAGE_SIZE, ZONE } from "./zones.ts";

export const FPU = layout({
  /** TRAPS bits, kept by updateFpuTraps() in control.ts and by x87 instructions. */
  traps: { at: ZONE.fpu, of: "u32" },
  mxcsr: "u32",
  /**
   * Exceptions that a generated floating-point function met: MXCSR's and the x87 status word's bits 0 to 5, and bit 9 (C1) if
   * the result was rounded up in magnitude. Functions set bits here and never clear one; who calls them looks and clears.
   */
  raised: "u32",
  /** x87 control word; status word without TOP; TOP, 0 to 7. */
  fcw: "u32",
  fsw: "u32",
  top: "u32",
  /** Bit i: physical register i is NOT empty (the abridged tag word of FXSAVE). */
  tags: "u32",
  /** Last x87 opcode, 11 bits; instruction and operand pointers. */
  fop: "u32",
  fip: "u64",
  fdp: "u64",
  fcs: "u32",
  fds: "u32",
  /**
   * Physical registers R0 to R7, 16 bytes each: significand u64, sign and exponent u16, the rest 0. MMi is the significand of Ri.
   */
  st: { at: ZONE.fpu + 64, of: ["u64", 16] },
  /** Registers 0 to 15, 16 bytes each; records carry number * 16. */
  xmm: ["u64", 32],
  /** Bits 255..128 of YMM0 to YMM15, likewise; for AVX. */
  ymmHigh: ["u64", 32],
  /** Operands and results of generated functions that want them in memory: four slots of 16 bytes. */
  scratch: ["u64", 8],
  xcr0: "u64",
  xss: "u64",
});
if (FPU.size > ZONE.fpu + PAGE_SIZE) throw new Error("the state of x87 and SSE has a page");

/** "x87control": x87 instructions that do not wait for a pending exception to be handled (SDM volume 1, 8.3.11). */
export type UnitName = "x87" | "x87control" | "mmx" | "sse" | "wait";

/** Bits of FPU.traps: using the unit traps now. `pending`: an unmasked x87 exception waits, which x87, MMX and WAIT report. */
export const TRAPS = { x87: 1, mmx: 2, sse: 4, wait: 8, pending: 0x100 } as const;

/** The bits of FPU.traps that concern a unit, and its number for the helper that raises what is due. */
export const UNITS: Readonly<Record<UnitName, { readonly traps: number; readonly number: number }>> = {
  x87: { traps: TRAPS.x87 | TRAPS.pending, number: 0 },
  mmx: { traps: TRAPS.mmx | TRAPS.pending, number: 1 },
  sse: { traps: TRAPS.sse, number: 2 },
  wait: { traps: TRAPS.wait | TRAPS.pending, number: 3 },
  x87control: { traps: TRAPS.x87, number: 4 },
};

/** FSW.ES, which says that an unmasked exception waits; and B, which is the same bit again. */
export const FSW_ES = 0x80;

/**
 * Bits of the status word. `exceptions` are IE DE ZE OE UE PE, whose masks have the same places in the control word; of them
 * `before` are those that are met before the operation: unmasked, they leave the operands.
 */
export const FSW = {
  IE: 1 << 0,
  SF: 1 << 6,
  ES: FSW_ES,
  C0: 1 << 8,
  C1: 1 << 9,
  C2: 1 << 10,
  topShift: 11,
  C3: 1 << 14,
  B: 1 << 15,
  exceptions: 0x3f,
  before: 0x07,
  codes: 0x4700,
} as const;

/** The control word: bits that can be written, one that is always set, what FNINIT makes of it, where RC is. */
export const FCW = { writable: 0x1f3f, set: 0x40, initial: 0x37f, roundShift: 10 } as const;

/** Bytes of a register's slot in st, xmm, ymmHigh and scratch. */
export const FPU_SLOT = 16;
