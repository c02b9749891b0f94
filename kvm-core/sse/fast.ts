/**
 * When WebAssembly's own operations give what the guest's processor would: the conditions of the fast paths.
 * Document: SDM volume 1, 10.2.3 (MXCSR), 11.5.2 (exceptions); WebAssembly core specification, 4.3.3 (rounding, NaNs).
 * Left out: directed rounding, results that are denormal: the exact functions see to those.
 *
 * The flag of inexact results stays in MXCSR once it is set, and then needs no look at what the result was. Among ordinary
 * operands and results there is no other exception, and DAZ and FTZ mean nothing. The smallest normal number is not ordinary: a
 * result that was tiny may have been rounded to it.
 */

import { MXCSR, RAISED } from "../float/format.ts";
import { type Expr, i32 } from "../wasm/expr.ts";
import type { Shape } from "./shape.ts";

const INEXACT = RAISED.PE | (RAISED.PE << MXCSR.masks);
const ROUNDING = 3 << MXCSR.rounding;

/** i32: an inexact result changes nothing and is masked. */
export function inexactIsQuiet(mxcsr: Expr): Expr {
  return i32.eq(i32.and(mxcsr, i32.const(INEXACT)), i32.const(INEXACT));
}

/** And results are rounded to nearest. */
export function roundsAsHost(mxcsr: Expr): Expr {
  return i32.eq(i32.and(mxcsr, i32.const(INEXACT | ROUNDING)), i32.const(INEXACT));
}

/** i32: results are rounded to nearest, and one that is inexact raises a flag and no exception. */
export function roundsQuietly(mxcsr: Expr): Expr {
  const masked = RAISED.PE << MXCSR.masks;
  return i32.eq(i32.and(mxcsr, i32.const(masked | ROUNDING)), i32.const(masked));
}

/** i32: operands and result are ordinary numbers. */
export function allOrdinary(shape: Shape, result: Expr, operands: readonly Expr[]): Expr {
  return shape.all(shape.ordinaryResult(result, operands));
}

/** i32: no NaN and no denormal is among the values. */
export function allUsable(shape: Shape, values: readonly Expr[]): Expr {
  return shape.all(values.map(shape.usable).reduce(shape.and));
}

export function roundingMode(mxcsr: Expr): Expr {
  return i32.and(i32.shru(mxcsr, i32.const(MXCSR.rounding)), i32.const(3));
}
