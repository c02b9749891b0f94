/**
 * FPREM and FPREM1.
 * Document: SDM volume 2, FPREM and FPREM1 (partial remainders, condition codes); IEEE 754, 5.3.1 (remainder).
 * Left out: nothing.
 */

import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import { CONDITION } from "./format.ts";
import { isZero, type Operand, type Operation, type Target } from "./target.ts";
import { divide } from "./words.ts";

const ZERO = i64.const(0);
const ONE = i64.const(1);

export function remainder(nearest: boolean): Operation {
  return {
    refuse: (f, a, b) => f.code.if(i32.or(a!.infinite, isZero(b!)), () => f.invalid()),

    special: (f, a, b) => {
      f.code.if(isZero(a!), () => f.zero(a!.sign));
      f.code.if(b!.infinite, () => finish(f, a!.sign, a!.exponent, a!.significand, i32.const(0)));
    },

    compute: (f, a, b) => compute(f, a!, b!, nearest),
  };
}

/** Ends the function with a result, whose significand may be 0 or not have bit 63 set, and condition codes. */
function finish(f: Target, sign: Expr, exponent: Expr, significand: Expr, conditions: Expr): void {
  const { code } = f;
  const result = code.let(significand);
  const codes = code.let(conditions);
  code.if(i64.eqz(result), () => f.zero(sign, codes));
  const up = code.let(i64.clz(result));
  const normal = { hi: code.let(i64.shl(result, up)), lo: ZERO };
  f.finish(sign, i32.sub(exponent, i64.toI32(up)), normal, codes);
}

function compute(f: Target, a: Operand, b: Operand, nearest: boolean): void {
  const { code } = f;
  const distance = code.let(i32.sub(a.exponent, b.exponent));
  code.if(i32.lts(distance, i32.const(0)), () => {
    if (nearest) {
      // From b/2 on the quotient is 1: b/2 itself goes to the even 0.
      const one = i32.and(i32.eq(distance, i32.const(-1)), i64.gtu(a.significand, b.significand));
      code.if(one, () => {
        const rest = code.let(i64.sub(b.significand, i64.sub(a.significand, b.significand)));
        finish(f, i32.xor(a.sign, i32.const(1)), a.exponent, rest, i32.const(CONDITION.C1));
      });
    }
    finish(f, a.sign, a.exponent, a.significand, i32.const(0));
  });
  // A partial remainder takes as many bits of the quotient off as brings the distance down to a multiple of 32.
  const partial = code.let(i32.gts(distance, i32.const(63)));
  const some = i32.or(i32.and(distance, i32.const(31)), i32.const(32));
  const steps = code.let(i32.toI64u(select(partial, some, distance)));
  const first = code.let(i64.geu(a.significand, b.significand));
  const start = code.let(i64.sub(a.significand, select(first, b.significand, ZERO)));
  const scaled = {
    hi: i64.shru(i64.shru(start, ONE), i64.sub(i64.const(63), steps)),
    lo: code.let(i64.shl(start, steps)),
  };
  const { quotient, remainder: rest } = divide(code, { ...scaled, hi: code.let(scaled.hi) }, b.significand);
  code.if(partial, () => {
    const exponent = i32.add(b.exponent, i32.sub(distance, i64.toI32(steps)));
    finish(f, a.sign, exponent, rest, i32.const(CONDITION.C2));
  });
  const whole = code.let(i64.add(quotient, i64.shl(i32.toI64u(first), steps)));
  const sign = code.let(a.sign);
  if (nearest) {
    const other = code.let(i64.sub(b.significand, rest));
    const tie = i32.and(i64.eq(rest, other), i64.toI32(whole));
    code.if(i32.or(i64.gtu(rest, other), tie), () => {
      code.set(rest, other);
      code.set(whole, i64.add(whole, ONE));
      code.set(sign, i32.xor(sign, i32.const(1)));
    });
  }
  finish(f, sign, b.exponent, rest, conditionsOf(i64.toI32(whole)));
}

/** Bits 2, 1 and 0 of the quotient in C0, C3 and C1. */
function conditionsOf(quotient: Expr): Expr {
  const bit = (n: number, place: number): Expr =>
    i32.shl(i32.and(quotient, i32.const(1 << n)), i32.const(Math.log2(place) - n));
  return i32.or(i32.or(bit(2, CONDITION.C0), bit(1, CONDITION.C3)), bit(0, CONDITION.C1));
}
