/**
 * FRNDINT, and stores of integers.
 * Document: SDM volume 2, FRNDINT, FIST, FISTTP; volume 1, table 4-1 (integer indefinite), 8.5.1.2.
 * Left out: packed decimal: x87-bcd.ts.
 */

import { type Expr, i32, i64 } from "../wasm/expr.ts";
import { RAISED, ROUNDING } from "./format.ts";
import { boundedIntegral, type Integral, integral, largestOf, signed } from "./integral.ts";
import { isZero, type Operation, type Target } from "./target.ts";
import type { X87Operand, X87Target } from "./x87-target.ts";

const ZERO = i64.const(0);

export const ROUND: Operation = {
  refuse: () => {},

  special: (f, a) => {
    f.code.if(a!.infinite, () => f.infinity(a!.sign));
    f.code.if(isZero(a!), () => f.zero(a!.sign));
  },

  compute: (f, a) => {
    const { code } = f;
    const { sign, exponent, significand } = a!;
    code.if(i32.ges(exponent, i32.const(63)), () => f.finish(sign, exponent, { hi: significand, lo: ZERO }));
    const { magnitude, rest, up } = integral(f, a!, code.let(f.roundingMode()));
    raiseInexact(f, rest, up);
    code.if(i64.eqz(magnitude), () => f.zero(sign));
    const shift = code.let(i64.clz(magnitude));
    f.finish(sign, i32.sub(i32.const(63), i64.toI32(shift)), { hi: i64.shl(magnitude, shift), lo: ZERO });
  },
};

/** PE, and C1 if the magnitude grew. */
export function raiseInexact(f: Target, rest: Expr, up: Expr): void {
  const roundedUp = i32.shl(up, i32.const(Math.log2(RAISED.roundedUp)));
  f.code.if(i64.ne(rest, ZERO), () => f.raiseBits(i32.or(i32.const(RAISED.PE), roundedUp)));
}

/** Conversion to an integer; ends the function with `out` if its magnitude is above `largest`. Denormals raise nothing but PE. */
export function toInteger(f: X87Target, a: X87Operand, mode: Expr, largest: Expr, out: () => void): Integral {
  f.code.if(f.isUnsupported(a), out);
  const result = boundedIntegral(f, a, mode, largest, out);
  raiseInexact(f, result.rest, result.up);
  return result;
}

/** x87ToI16 and the like. */
export function emitStoreInteger(f: X87Target, bits: 16 | 32 | 64, truncate: boolean): void {
  const { code } = f;
  const a = f.load(code.param(1));
  const mode = truncate ? i32.const(ROUNDING.zero) : code.let(f.roundingMode());
  const { magnitude } = toInteger(f, a, mode, largestOf(bits, a.sign), () => {
    f.raise(RAISED.IE);
    code.return(i64.const(BigInt.asIntN(64, 1n << BigInt(bits - 1))));
  });
  const mask = BigInt.asIntN(64, (1n << BigInt(bits)) - 1n);
  code.return(i64.and(signed(a.sign, magnitude), i64.const(mask)));
}
