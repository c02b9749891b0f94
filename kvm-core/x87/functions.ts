/**
 * The generated functions of x87 instructions: names and types.
 * Document: SDM volume 1, chapter 8; volume 2, the instructions that start with F.
 * Left out: arithmetic, which is kvm-core/float's; transcendentals, environments and saved states, which are helpers.
 *
 * $cpu is the first parameter of all. What they do to the status word is complete: exceptions, condition codes, C1, ES and what
 * follows from it in FPU.traps. `modrm` is the instruction's ModRM byte, `pops` 1 or 0.
 */

import type { FuncType } from "../wasm/module.ts";

/** Formats of operands in memory; the last three are FISTTP's. */
export const FORMAT = {
  f32: 0,
  f64: 1,
  i16: 2,
  i32: 3,
  i64: 4,
  i16Truncate: 5,
  i32Truncate: 6,
  i64Truncate: 7,
} as const;
export type Format = (typeof FORMAT)[keyof typeof FORMAT];

/** Unmasked, these keep a store to memory from happening, and from popping: all but PE (SDM volume 1, 8.5). */
export const NOT_STORED = 0x1f;

export const X87_FUNCTIONS = {
  /** Sets the instruction and operand pointers: (fop, fip, number of the operand's segment, linear address). */
  x87Operand: { params: ["i32", "i32", "i64", "i32", "i64"], results: [] },
  /** FADD to FDIVR between registers: (modrm, 1 if the destination is ST(i), pops). */
  x87Arith: { params: ["i32", "i32", "i32", "i32"], results: [] },
  /** FADD to FDIVR, FCOM and FCOMP with memory: (modrm, FORMAT, bits, which of an integer are sign-extended). */
  x87ArithMemory: { params: ["i32", "i32", "i32", "i64"], results: [] },
  /** FCOM and FUCOM of ST(modrm & 7): (modrm, 1 if quiet, how many pops). */
  x87CompareRegister: { params: ["i32", "i32", "i32", "i32"], results: [] },
  /** FCOMI: (modrm, 1 if quiet, pops) -> ZF, PF and CF in their places. */
  x87CompareFlags: { params: ["i32", "i32", "i32", "i32"], results: ["i32"] },
  /** FLD m32fp and m64fp, FILD: (FORMAT, bits). */
  x87Load: { params: ["i32", "i32", "i64"], results: [] },
  /** FLD m80fp: (significand, sign and exponent). FBLD: the bytes in the same order. */
  x87LoadExtended: { params: ["i32", "i64", "i64"], results: [] },
  x87LoadBcd: { params: ["i32", "i64", "i64"], results: [] },
  /** FLD ST(i): (modrm). */
  x87LoadRegister: { params: ["i32", "i32"], results: [] },
  /**
   * FST, FIST: the bits to store. FPU.raised then says whether they may be stored; x87Stored ends the instruction. The other
   * two leave ten bytes in scratch slot 0.
   */
  x87Store: { params: ["i32", "i32"], results: ["i64"] },
  x87StoreExtended: { params: ["i32"], results: [] },
  x87StoreBcd: { params: ["i32"], results: [] },
  x87Stored: { params: ["i32", "i32"], results: [] },
  /** FST ST(i): (modrm, pops). */
  x87StoreRegister: { params: ["i32", "i32", "i32"], results: [] },
  /** D9 D8, which raises no stack fault: (modrm). */
  x87StoreUnchecked: { params: ["i32", "i32"], results: [] },
  x87Exchange: { params: ["i32", "i32"], results: [] },
  /** FCMOVcc: (modrm, condition). */
  x87Move: { params: ["i32", "i32", "i32"], results: [] },
  /** FFREE: (modrm, pops). */
  x87Free: { params: ["i32", "i32", "i32"], results: [] },
  /** D9 E0 to D9 FF, but for transcendentals: (modrm). */
  x87Single: { params: ["i32", "i32"], results: [] },
  /** FNINIT, FNCLEX, FLDCW. */
  x87Init: { params: ["i32"], results: [] },
  x87Clear: { params: ["i32"], results: [] },
  x87LoadControl: { params: ["i32", "i32"], results: [] },
  /** The status word with TOP. */
  x87Status: { params: ["i32"], results: ["i32"] },
} as const satisfies Readonly<Record<string, FuncType>>;

export type X87Function = keyof typeof X87_FUNCTIONS;
