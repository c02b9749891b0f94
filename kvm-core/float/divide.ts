/**
 * Division.
 * Document: SDM volume 1, 11.5.2.1 and 8.5.1.2 (0/0, infinity/infinity), 11.5.2.3 and 8.5.3 (division by zero).
 * Left out: nothing.
 */

import { i32, i64 } from "../wasm/expr.ts";
import { isZero, type Operation } from "./target.ts";
import { divide, isNonzero } from "./words.ts";

const ONE = i64.const(1);

export const DIVISION: Operation = {
  refuse: (f, a, b) => {
    const { code } = f;
    code.if(i32.and(a!.infinite, b!.infinite), () => f.invalid());
    code.if(i32.and(isZero(b!), i32.eqz(a!.infinite)), () => {
      code.if(isZero(a!), () => f.invalid());
      f.divideByZero(i32.xor(a!.sign, b!.sign));
    });
  },

  special: (f, a, b) => {
    const sign = i32.xor(a!.sign, b!.sign);
    f.code.if(a!.infinite, () => f.infinity(sign));
    f.code.if(i32.or(b!.infinite, isZero(a!)), () => f.zero(sign));
  },

  compute: (f, a, b) => {
    const { code } = f;
    const exponent = code.let(i32.sub(a!.exponent, b!.exponent));
    const [hi, lo] = [code.let(a!.significand), code.local("i64")];
    code.set(lo, i64.const(0));
    const divisor = b!.significand;
    // The quotient of the significands is in (1/2, 2): make it one of 64 bits with the highest one set.
    code.if(
      i64.geu(hi, divisor),
      () => {
        code.set(lo, i64.shl(hi, i64.const(63)));
        code.set(hi, i64.shru(hi, ONE));
      },
      () => code.set(exponent, i32.sub(exponent, ONE_32)),
    );
    const { quotient, remainder } = divide(code, { hi, lo }, divisor);
    const half = i64.geu(remainder, i64.sub(divisor, remainder));
    const rest = i64.or(i64.shl(i32.toI64u(half), i64.const(63)), isNonzero(remainder));
    f.finish(i32.xor(a!.sign, b!.sign), exponent, { hi: quotient, lo: code.let(rest) });
  },
};

const ONE_32 = i32.const(1);
