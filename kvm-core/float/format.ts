/**
 * The formats and the bits of the two control words.
 * Document: SDM volume 1, 4.2.2 (formats), 8.1.3 and 8.1.5 (x87 status and control), 10.2.3 (MXCSR).
 * Left out: half precision, which is F16C's.
 */

/** Exception flags, alike in MXCSR, the x87 status word and FPU.raised; roundedUp is the status word's C1. */
export const RAISED = { IE: 1, DE: 2, ZE: 4, OE: 8, UE: 16, PE: 32, roundedUp: 0x200 } as const;

export const MXCSR = { DAZ: 1 << 6, masks: 7, rounding: 13, FTZ: 1 << 15 } as const;
/** masks, rounding, precision: where the field begins. */
export const FCW = { masks: 0, precision: 8, rounding: 10 } as const;

/** Values of the rounding fields. */
export const ROUNDING = { nearest: 0, down: 1, up: 2, zero: 3 } as const;

/** Condition codes in the x87 status word. */
export const CONDITION = { C0: 1 << 8, C1: 1 << 9, C2: 1 << 10, C3: 1 << 14 } as const;

/** An interchange format of SSE. */
export interface Format {
  readonly name: "f32" | "f64";
  /** Bits of the fraction and of the whole. */
  readonly fraction: number;
  readonly bits: number;
  readonly bias: number;
  /** Exponent field of infinities and NaNs. */
  readonly top: number;
}

export const F32: Format = { name: "f32", fraction: 23, bits: 32, bias: 127, top: 0xff };
export const F64: Format = { name: "f64", fraction: 52, bits: 64, bias: 1023, top: 0x7ff };

/** Of the x87 format: bias, exponent field of infinities and NaNs, and what an unmasked overflow or underflow adds. */
export const EXTENDED = { bias: 16383, top: 0x7fff, wrap: 24576 } as const;
/** The significand's explicit integer bit, and the bit that makes a NaN quiet. */
export const INTEGER_BIT = -(1n << 63n);
export const QUIET_BIT = 1n << 62n;
