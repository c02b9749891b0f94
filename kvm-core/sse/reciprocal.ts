/**
 * RCPPS and RSQRTPS, of which RCPSS and RSQRTSS take the lowest element.
 * Document: SDM volume 2B, RCPPS and RSQRTPS (special cases, the error allowed); they know no exceptions and no rounding mode.
 * Deviations: the result is the reciprocal rounded to nearest. The manual allows an error of 1.5 * 2^-12, which each maker's table
 * uses in its own way; a result that is exact as far as it can be is within the error of them all.
 * Left out: nothing.
 */

import { type Expr, f32, i32 } from "../wasm/expr.ts";
import { f32x4, i32x4, v128 } from "../wasm/simd.ts";
import type { Context, Defined } from "./map.ts";

const word = (value: number): Expr => i32x4.splat(i32.const(value | 0));
const SIGN = word(0x8000_0000);
const SMALLEST = f32x4.splat(f32.const(2 ** -126));
/** The reciprocals of these are tiny, which makes them zeros. Processors find that of 2^126 itself too small. */
const TINY_FROM = f32x4.splat(f32.const(2 ** 126));
const ONE = f32x4.splat(f32.const(1));
const QUIET = word(0x0040_0000);
const DEFAULT_NAN = word(0xffc0_0000);

/** Zeros with the sign of `a` where the mask says so. */
const zeroWhere = (mask: Expr, a: Expr, otherwise: Expr): Expr => v128.bitselect(v128.and(a, SIGN), otherwise, mask);

export function defineReciprocals({ module, types }: Context): Defined[] {
  return (["rcpps", "rsqrtps"] as const).map((name): Defined => {
    const code = module.define(name, types[name]!);
    const a = code.param(1);
    const x = code.let(zeroWhere(f32x4.lt(f32x4.abs(a), SMALLEST), a, a));
    const result = code.local("v128");
    if (name === "rsqrtps") {
      code.set(result, f32x4.div(ONE, f32x4.sqrt(x)));
      code.set(result, v128.bitselect(DEFAULT_NAN, result, f32x4.lt(x, v128.const(0n))));
    } else {
      code.set(result, f32x4.div(ONE, x));
      code.set(result, zeroWhere(f32x4.ge(f32x4.abs(x), TINY_FROM), x, result));
    }
    code.return(v128.bitselect(v128.or(a, QUIET), result, f32x4.ne(a, a)));
    code.unreachable();
    return [name, code];
  });
}
