/**
 * Multiplication.
 * Document: SDM volume 1, 11.5.2.1 and 8.5.1.2 (zero times infinity).
 * Left out: nothing.
 */

import { i32, i64 } from "../wasm/expr.ts";
import { isZero, type Operation } from "./target.ts";
import { multiply } from "./words.ts";

export const MULTIPLICATION: Operation = {
  refuse: (f, a, b) => {
    const wrong = i32.or(i32.and(a!.infinite, isZero(b!)), i32.and(b!.infinite, isZero(a!)));
    f.code.if(wrong, () => f.invalid());
  },

  special: (f, a, b) => {
    const sign = i32.xor(a!.sign, b!.sign);
    f.code.if(i32.or(a!.infinite, b!.infinite), () => f.infinity(sign));
    f.code.if(i32.or(isZero(a!), isZero(b!)), () => f.zero(sign));
  },

  compute: (f, a, b) => {
    const { code } = f;
    const { hi, lo } = multiply(code, a!.significand, b!.significand);
    const exponent = code.let(i32.add(i32.add(a!.exponent, b!.exponent), i32.const(1)));
    // A product of numbers from [1, 2) is in [1, 4).
    code.if(i64.ges(hi, i64.const(0)), () => {
      code.set(hi, i64.or(i64.shl(hi, i64.const(1)), i64.shru(lo, i64.const(63))));
      code.set(lo, i64.shl(lo, i64.const(1)));
      code.set(exponent, i32.sub(exponent, i32.const(1)));
    });
    f.finish(i32.xor(a!.sign, b!.sign), exponent, { hi, lo });
  },
};
