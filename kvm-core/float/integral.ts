/**
 * Rounding of a number to an integer: what conversions to integers, ROUNDSD and FRNDINT have in common.
 * Document: SDM volume 1, 4.8.4 (rounding modes); IEEE 754, 5.8.
 * Left out: numbers of 2^64 and above, which the caller keeps away.
 */

import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import { type Operand, roundsUp, type Target } from "./target.ts";
import { isNonzero } from "./words.ts";

/** All are locals. */
export interface Integral {
  readonly magnitude: Expr;
  /** Not zero if something was cut off. */
  readonly rest: Expr;
  /** i32: the magnitude was rounded up. */
  readonly up: Expr;
}

/** `operand` is finite, zero included, and its exponent at most 63. */
export function integral(f: Target, operand: Operand, mode: Expr): Integral {
  const { code } = f;
  const { significand, exponent } = operand;
  const [magnitude, rest] = [code.local("i64"), code.local("i64")];
  code.if(
    i32.ges(exponent, i32.const(0)),
    () => {
      const wide = code.let(i32.toI64u(exponent));
      code.set(magnitude, i64.shru(significand, i64.sub(i64.const(63), wide)));
      code.set(rest, i64.shl(i64.shl(significand, i64.const(1)), wide));
    },
    () => {
      // From 1/2 on, or less than that.
      code.set(magnitude, i64.const(0));
      code.set(rest, select(i32.eq(exponent, i32.const(-1)), significand, isNonzero(significand)));
    },
  );
  const odd = i64.and(magnitude, i64.const(1));
  const up = roundsUp(code, mode, operand.sign, odd, rest, i64.const(-(1n << 63n)));
  code.set(magnitude, i64.add(magnitude, i32.toI64u(up)));
  return { magnitude, rest, up };
}

/**
 * Ends the function with `out` if the result is above `largest`, an i64 below 2^63 + 1; `operand` may be an infinity or a NaN, whose
 * exponents are far above.
 */
export function boundedIntegral(f: Target, operand: Operand, mode: Expr, largest: Expr, out: () => void): Integral {
  const { code } = f;
  code.if(i32.gts(operand.exponent, i32.const(63)), out);
  const result = integral(f, operand, mode);
  code.if(i64.gtu(result.magnitude, largest), out);
  return result;
}

/** The largest magnitude in `bits` bits signed. */
export function largestOf(bits: number, sign: Expr): Expr {
  return i64.add(i64.const((1n << BigInt(bits - 1)) - 1n), i32.toI64u(sign));
}

/** -magnitude if the sign says so. */
export function signed(sign: Expr, magnitude: Expr): Expr {
  return select(sign, i64.sub(i64.const(0), magnitude), magnitude);
}
