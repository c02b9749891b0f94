/**
 * FSCALE and FXTRACT.
 * Document: SDM volume 2, FSCALE (its table of special operands) and FXTRACT.
 * Left out: nothing.
 */

import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import { EXTENDED, INTEGER_BIT, QUIET_BIT, RAISED } from "./format.ts";
import { signed } from "./integral.ts";
import { isZero, type Operand, type Operation, type Target } from "./target.ts";
import type { X87Target } from "./x87-target.ts";

const ZERO = i64.const(0);

/** More than any two exponents are apart, wrapped or not: the scale of all numbers from 2^16 on. */
const FAR = 1 << 16;

export const SCALE: Operation = {
  refuse: (f, a, b) => {
    const up = i32.and(b!.infinite, i32.eqz(b!.sign));
    const down = i32.and(b!.infinite, b!.sign);
    f.code.if(i32.or(i32.and(up, isZero(a!)), i32.and(down, a!.infinite)), () => f.invalid());
  },

  special: (f, a, b) => {
    const { code } = f;
    code.if(isZero(a!), () => f.zero(a!.sign));
    code.if(a!.infinite, () => f.infinity(a!.sign));
    code.if(b!.infinite, () => {
      code.if(b!.sign, () => f.zero(a!.sign));
      f.infinity(a!.sign);
    });
  },

  compute: (f, a, b) => {
    const exponent = f.code.let(i32.add(a!.exponent, truncated(f, b!)));
    f.finish(a!.sign, exponent, { hi: a!.significand, lo: ZERO });
  },
};

/** The integer part, or FAR. */
function truncated(f: Target, { sign, exponent, significand }: Operand): Expr {
  const shift = i64.sub(i64.const(63), i32.toI64u(exponent));
  const magnitude = select(i32.gts(exponent, i32.const(15)), i64.const(FAR), i64.shru(significand, shift));
  const whole = f.code.let(select(i32.lts(exponent, i32.const(0)), ZERO, magnitude));
  return i64.toI32(signed(sign, whole));
}

/** x87Extract: ($cpu, significand, exponent, a) -> done. */
export function emitExtract(f: X87Target): void {
  const { code } = f;
  const exponent = code.param(2);
  const a = f.load(code.param(3));
  const both = (digits: Expr, word: Expr): void => {
    f.fill(exponent, digits, word);
    f.write(digits, word);
  };
  code.if(f.isSpecial(a), () => {
    code.if(f.isUnsupported(a), () => {
      f.raiseBefore(RAISED.IE);
      both(i64.const(INTEGER_BIT | QUIET_BIT), i32.const(0x8000 | EXTENDED.top));
    });
    code.if(f.isNan(a), () => {
      code.if(f.isSignalling(a), () => f.raiseBefore(RAISED.IE));
      both(i64.or(a.significand, i64.const(QUIET_BIT)), i32.and(a.word, i32.const(0xffff)));
    });
    code.if(a.infinite, () => {
      f.fill(exponent, i64.const(INTEGER_BIT), i32.const(EXTENDED.top));
      f.infinity(a.sign);
    });
    code.if(isZero(a), () => {
      f.raiseBefore(RAISED.ZE);
      f.fill(exponent, i64.const(INTEGER_BIT), i32.const(0x8000 | EXTENDED.top));
      f.zero(a.sign);
    });
    const denormal = f.smallOperands([a]);
    code.if(denormal, () => f.raiseBefore(RAISED.DE));
  });
  f.fillInteger(exponent, i64.extend32s(i32.toI64u(a.exponent)));
  f.write(a.significand, i32.or(i32.const(EXTENDED.bias), i32.shl(a.sign, i32.const(15))));
}
