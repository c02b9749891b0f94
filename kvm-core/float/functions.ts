/**
 * The generated floating-point functions: names, types, and what who calls them has to know.
 * Document: SDM volume 1, 4.8 (formats, NaNs), 4.9 (exceptions), 8.5 (x87 exceptions), 11.5 (SSE exceptions); IEEE 754.
 * Left out: fused multiply-add, half precision; the x87 transcendentals, which are TypeScript (transcendental.ts).
 *
 * $cpu is the first parameter of all. Exceptions are OR'ed into FPU.raised (bits 0 to 5); nothing else of the state changes.
 *
 * SSE (f32..., f64...): bit patterns in i64, an f32 in the low 32 bits with zeros above (what an operand has there is ignored).
 * Control is MXCSR: RC, DAZ, FTZ, masks. The result is the masked one, whatever the masks are. For one element:
 *   - raised & ~masks != 0: the instruction faults (#XM), nothing is written; MXCSR gets the flags all the same.
 *   - after an unmasked IE, DE or ZE the function itself sets none of OE, UE, PE. For a packed instruction that holds
 *     across elements: if (raised & ~masks & (IE|DE|ZE)) of all elements, drop OE, UE, PE.
 *
 * x87 (x87...): operands and results are slots in linear memory, by address: u64 significand, u16 sign and exponent, u48 0.
 * A function writes all 16 bytes of a result; it may be the slot of an operand. Control is FPU.fcw: RC, PC, masks.
 *   - Bit 9 (C1) of FPU.raised is set if the result was rounded up in magnitude; C1 of the status word is cleared otherwise.
 *   - Functions that return `done`: 0 after an unmasked IE, DE or ZE: no slot was written, and the instruction pops and pushes
 *     nothing. 1 otherwise: also after an unmasked OE or UE, when the result's exponent is off by 24576 as SDM volume 1,
 *     8.5.4 and 8.5.5 want it, and after an unmasked PE: the instruction completes, and the exception is pending.
 *   - Functions that return a value for memory (x87To...): nothing may be stored or popped if raised & ~masks & (IE|OE|UE); an
 *     unmasked PE lets the instruction complete. An unmasked OE or UE comes without PE and C1 there.
 *   - Memory operands of arithmetic and comparisons (FADD m32fp, FCOM m64fp...) go through x87WidenF32/F64 into a scratch slot:
 *     it raises nothing and keeps SNaNs and denormals recognisable to the function that follows. FLD uses x87FromF32/F64.
 */

import type { FuncType } from "../wasm/module.ts";

/** What comparisons return. */
export const RELATION = { less: 0, equal: 1, greater: 2, unordered: 3 } as const;

const F1: FuncType = { params: ["i32", "i64"], results: ["i64"] };
const F2: FuncType = { params: ["i32", "i64", "i64"], results: ["i64"] };
const RELATE: FuncType = { params: ["i32", "i64", "i64"], results: ["i32"] };
const ROUND: FuncType = { params: ["i32", "i64", "i32"], results: ["i64"] };
/** ($cpu, dst, a) -> done; ($cpu, dst, a, b) -> done. */
const X1: FuncType = { params: ["i32", "i32", "i32"], results: ["i32"] };
const X2: FuncType = { params: ["i32", "i32", "i32", "i32"], results: ["i32"] };
/** ($cpu, dst, value) -> done. */
const X_LOAD: FuncType = { params: ["i32", "i32", "i64"], results: ["i32"] };
const X_FILL: FuncType = { params: ["i32", "i32", "i64"], results: [] };
/** ($cpu, a) -> bits. */
const X_STORE: FuncType = { params: ["i32", "i32"], results: ["i64"] };
const X_RELATE: FuncType = { params: ["i32", "i32", "i32"], results: ["i32"] };

export const FLOAT_FUNCTIONS = {
  // --- SSE
  f32Add: F2,
  f64Add: F2,
  f32Sub: F2,
  f64Sub: F2,
  f32Mul: F2,
  f64Mul: F2,
  f32Div: F2,
  f64Div: F2,
  f32Sqrt: F1,
  f64Sqrt: F1,
  /** MINSS, MAXSS...: the second operand if either is a NaN or both are zero. */
  f32Min: F2,
  f64Min: F2,
  f32Max: F2,
  f64Max: F2,
  /** RELATION of the first operand to the second. Compare: IE on any NaN (COMISD, CMPLTSD); CompareQuiet: on SNaN alone. */
  f32Compare: RELATE,
  f64Compare: RELATE,
  f32CompareQuiet: RELATE,
  f64CompareQuiet: RELATE,
  /** ROUNDSS, ROUNDSD: ($cpu, value, imm8). */
  f32Round: ROUND,
  f64Round: ROUND,
  f32ToF64: F1,
  f64ToF32: F1,
  /** To signed integers by MXCSR.RC (CVTSD2SI) or truncated (CVTTSD2SI). ToI32: 32 bits, zeros above. */
  f32ToI32: F1,
  f64ToI32: F1,
  f32ToI64: F1,
  f64ToI64: F1,
  f32ToI32Truncate: F1,
  f64ToI32Truncate: F1,
  f32ToI64Truncate: F1,
  f64ToI64Truncate: F1,
  /** From signed integers; FromI32 looks at the low 32 bits. */
  f32FromI32: F1,
  f64FromI32: F1,
  f32FromI64: F1,
  f64FromI64: F1,

  // --- x87 arithmetic: dst = a op b; PC counts for these five alone
  x87Add: X2,
  x87Sub: X2,
  x87Mul: X2,
  x87Div: X2,
  x87Sqrt: X1,
  /** FRNDINT. */
  x87Round: X1,
  /** FSCALE: a * 2^trunc(b). */
  x87Scale: X2,
  /** FXTRACT: ($cpu, significand, exponent, a) -> done; both are written. */
  x87Extract: X2,
  /**
   * FPREM (quotient truncated), FPREM1 (to nearest): dst = a rem b. Returns 0 in the place of `done`, or 1 with condition codes
   * where the status word has them: C0, C3, C1 = quotient bits 2, 1, 0, or C2 for a partial remainder. raised has no C1.
   */
  x87Remainder: X2,
  x87RemainderNearest: X2,
  /**
   * RELATION of slot a to slot b; FCOM (IE on any NaN) and FUCOM (on SNaN alone). After an unmasked IE or DE (see raised) nothing is
   * popped. Condition codes, or EFLAGS, are written all the same on AMD's Zen 5; the SDM's tables say "not set" after an unmasked IE.
   */
  x87Compare: X_RELATE,
  x87CompareQuiet: X_RELATE,
  /** FXAM of a register that is not empty: C0, C2, C3 in the status word's places (not C1, the sign). */
  x87Examine: { params: ["i32", "i32"], results: ["i32"] },

  // --- x87 loads: ($cpu, dst, bits); an unmasked IE keeps FLD from pushing, an unmasked DE does not
  x87FromF32: X_LOAD,
  x87FromF64: X_LOAD,
  /** For memory operands of arithmetic: see above. A widened slot is for the next function alone. */
  x87WidenF32: X_FILL,
  x87WidenF64: X_FILL,
  /** A signed integer; narrower ones sign-extended by the caller. */
  x87FromI64: X_FILL,
  /** FBLD: ($cpu, dst, source), both addresses; 10 bytes of packed BCD are read. */
  x87FromBcd: { params: ["i32", "i32", "i32"], results: [] },

  // --- x87 stores: ($cpu, a) -> bits, zeros above
  x87ToF32: X_STORE,
  x87ToF64: X_STORE,
  x87ToI16: X_STORE,
  x87ToI32: X_STORE,
  x87ToI64: X_STORE,
  /** FISTTP. */
  x87ToI16Truncate: X_STORE,
  x87ToI32Truncate: X_STORE,
  x87ToI64Truncate: X_STORE,
  /** FBSTP: ($cpu, to, a), both addresses; 10 bytes of packed BCD and 6 of zero are written, to a scratch slot. */
  x87ToBcd: { params: ["i32", "i32", "i32"], results: [] },
} as const satisfies Readonly<Record<string, FuncType>>;

export type FloatFunction = keyof typeof FLOAT_FUNCTIONS;
