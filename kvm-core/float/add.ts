/**
 * Addition and subtraction.
 * Document: IEEE 754, 6.3 (sign of a zero sum); SDM volume 1, 11.5.2.1 and 8.5.1.2 (invalid operations).
 * Left out: nothing.
 */

import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import { isZero, type Operand, type Operation, type Target } from "./target.ts";
import { shiftWideJam, type Wide } from "./words.ts";

const ZERO = i64.const(0);

/** a + b, or a - b. */
export function addition(subtract: boolean): Operation {
  // NaNs have been seen to before: they keep their sign.
  const signed = (b: Operand): Operand => (subtract ? { ...b, sign: i32.xor(b.sign, i32.const(1)) } : b);
  return {
    refuse: (f, a, b) => {
      const opposite = i32.ne(a!.sign, signed(b!).sign);
      f.code.if(i32.and(i32.and(a!.infinite, b!.infinite), opposite), () => f.invalid());
    },
    special: (f, a, b) => special(f, a!, signed(b!)),
    compute: (f, a, b) => compute(f, a!, signed(b!)),
  };
}

function special(f: Target, a: Operand, b: Operand): void {
  const { code } = f;
  code.if(a.infinite, () => f.infinity(a.sign));
  code.if(b.infinite, () => f.infinity(b.sign));
  code.if(isZero(a), () => {
    code.if(isZero(b), () => {
      code.if(i32.eq(a.sign, b.sign), () => f.zero(a.sign));
      f.exactZero();
    });
    f.finish(b.sign, b.exponent, { hi: b.significand, lo: ZERO });
  });
  code.if(isZero(b), () => f.finish(a.sign, a.exponent, { hi: a.significand, lo: ZERO }));
}

function compute(f: Target, a: Operand, b: Operand): void {
  const { code } = f;
  // x is the larger in magnitude, or both have one exponent.
  const distance = code.let(i32.sub(a.exponent, b.exponent));
  const less = i64.ltu(a.significand, b.significand);
  const swapped = code.let(i32.or(i32.lts(distance, i32.const(0)), i32.and(i32.eqz(distance), less)));
  const sign = code.let(select(swapped, b.sign, a.sign));
  const exponent = code.let(select(swapped, b.exponent, a.exponent));
  const x = code.let(select(swapped, b.significand, a.significand));
  const y: Wide = { hi: code.let(select(swapped, a.significand, b.significand)), lo: code.local("i64") };
  code.set(y.lo, ZERO);
  shiftWideJam(code, y, select(swapped, i32.sub(i32.const(0), distance), distance));
  code.if(
    i32.eq(a.sign, b.sign),
    () => {
      const sum = code.let(i64.add(x, y.hi));
      code.if(i64.ltu(sum, x), () => {
        const low = i64.or(i64.shru(y.lo, i64.const(1)), i64.and(y.lo, i64.const(1)));
        code.set(y.lo, i64.or(i64.shl(sum, i64.const(63)), low));
        code.set(sum, i64.or(i64.shru(sum, i64.const(1)), i64.const(-(1n << 63n))));
        code.set(exponent, i32.add(exponent, i32.const(1)));
      });
      f.finish(sign, exponent, { hi: sum, lo: y.lo });
    },
    () => subtractMagnitudes(f, sign, exponent, x, y),
  );
}

function subtractMagnitudes(f: Target, sign: Expr, exponent: Expr, x: Expr, y: Wide): void {
  const { code } = f;
  const hi = code.let(i64.sub(i64.sub(x, y.hi), i32.toI64u(i64.ne(y.lo, ZERO))));
  const lo = code.let(i64.sub(ZERO, y.lo));
  code.if(i64.eqz(hi), () => {
    code.if(i64.eqz(lo), () => f.exactZero());
    code.set(hi, lo);
    code.set(lo, ZERO);
    code.set(exponent, i32.sub(exponent, i32.const(64)));
  });
  normalise(f, exponent, { hi, lo });
  f.finish(sign, exponent, { hi, lo });
}

/** Shifts hi:lo up until bit 63 of hi is set; hi is not zero. */
export function normalise(f: Target, exponent: Expr, { hi, lo }: Wide): void {
  const { code } = f;
  const up = code.let(i64.clz(hi));
  // Two steps, as a shift by 64 is one by 0.
  const fromLow = i64.shru(i64.shru(lo, i64.const(1)), i64.sub(i64.const(63), up));
  code.set(hi, i64.or(i64.shl(hi, up), fromLow));
  code.set(lo, i64.shl(lo, up));
  code.set(exponent, i32.sub(exponent, i64.toI32(up)));
}
