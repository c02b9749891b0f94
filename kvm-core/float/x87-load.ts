/**
 * x87 loads: f32, f64 and integers to slots.
 * Document: SDM volume 2, FLD, FILD; volume 1, 8.5.1.2 and 8.5.2 (what a load raises).
 * Left out: 80-bit loads, which copy and raise nothing; packed decimal: x87-bcd.ts.
 */

import { type Expr, i32, i64 } from "../wasm/expr.ts";
import { EXTENDED, type Format, INTEGER_BIT, QUIET_BIT, RAISED } from "./format.ts";
import { WAS_DENORMAL, type X87Target } from "./x87-target.ts";

const ZERO = i64.const(0);

/**
 * x87FromF32 and the like, ($cpu, dst, bits) -> done; or, `widen`, x87WidenF32 and the like, which raise nothing, leave SNaNs as they
 * are and mark what was denormal.
 */
export function emitLoad(f: X87Target, { fraction, bits, bias, top }: Format, widen: boolean): void {
  const { code, dst } = f;
  const value = code.param(2);
  const field = code.let(i32.and(i64.toI32(i64.shru(value, i64.const(fraction))), i32.const(top)));
  const sign = code.let(i32.shl(i32.and(i64.toI32(i64.shru(value, i64.const(bits - 1))), i32.const(1)), i32.const(15)));
  const digits = code.let(i64.shru(i64.shl(value, i64.const(64 - fraction)), i64.const(1)));
  const significand = i64.or(digits, i64.const(INTEGER_BIT));
  const write = (number: Expr, word: Expr): void => {
    f.fill(dst, number, i32.or(word, sign));
    code.return(widen ? undefined : i32.const(1));
  };
  code.if(i32.eq(field, i32.const(top)), () => {
    if (!widen) {
      code.if(i64.ne(digits, ZERO), () => {
        code.if(i64.eqz(i64.and(digits, i64.const(QUIET_BIT))), () => f.raiseBefore(RAISED.IE));
        code.set(digits, i64.or(digits, i64.const(QUIET_BIT)));
      });
    }
    write(significand, i32.const(EXTENDED.top));
  });
  code.if(i32.eqz(field), () => {
    code.if(i64.eqz(digits), () => write(ZERO, i32.const(0)));
    if (!widen) f.raise(RAISED.DE);
    const up = code.let(i64.clz(digits));
    const exponent = i32.sub(i32.const(EXTENDED.bias + 1 - bias), i64.toI32(up));
    write(i64.shl(digits, up), widen ? i32.or(exponent, i32.const(WAS_DENORMAL)) : exponent);
  });
  write(significand, i32.add(field, i32.const(EXTENDED.bias - bias)));
}

/** x87FromI64: ($cpu, dst, value). */
export function emitLoadInteger(f: X87Target): void {
  f.fillInteger(f.dst, f.code.param(2));
  f.code.return();
}
