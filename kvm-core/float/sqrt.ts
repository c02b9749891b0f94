/**
 * Square root.
 * Document: SDM volume 1, 11.5.2.1 and 8.5.1.2 (roots of negative numbers); IEEE 754, 5.4.1 (the root of -0 is -0).
 * Left out: nothing.
 */

import { type Expr, f64, i32, i64, select } from "../wasm/expr.ts";
import { isZero, type Operation, type Target } from "./target.ts";
import { isNonzero, multiply, type Wide } from "./words.ts";

const ONE = i64.const(1);

export const SQUARE_ROOT: Operation = {
  refuse: (f, a) => f.code.if(i32.and(a!.sign, i32.eqz(isZero(a!))), () => f.invalid()),

  special: (f, a) => {
    f.code.if(a!.infinite, () => f.infinity(a!.sign));
    f.code.if(isZero(a!), () => f.zero(a!.sign));
  },

  compute: (f, a) => {
    const { code } = f;
    // Negative normal numbers do not come by refuse().
    code.if(a!.sign, () => f.invalid());
    const odd = code.let(i32.and(a!.exponent, i32.const(1)));
    const { root, rest } = squareRoot(f, a!.significand, odd);
    f.finish(i32.const(0), i32.shrs(a!.exponent, i32.const(1)), { hi: root, lo: rest });
  },
};

/**
 * The root of m = significand / 2^63 * 2^odd, from [1, 4), with 64 bits, and what is left: bit 63 says half of a unit or more.
 * The f64 root has 52 bits right; one step of Newton's gives the rest but for a unit.
 */
function squareRoot(f: Target, significand: Expr, odd: Expr): { root: Expr; rest: Expr } {
  const { code } = f;
  const fraction = i64.shru(i64.shl(significand, ONE), i64.const(12));
  const exponent = i64.shl(i32.toI64u(i32.add(odd, i32.const(1023))), i64.const(52));
  const estimate = f64.bits(f64.sqrt(i64.asF64(i64.or(fraction, exponent))));
  const root = code.let(i64.or(i64.shl(estimate, i64.const(11)), i64.const(-(1n << 63n))));
  // root = floor(sqrt(square)).
  const square: Wide = {
    hi: code.let(select(odd, significand, i64.shru(significand, ONE))),
    lo: code.let(select(odd, i64.const(0), i64.shl(significand, i64.const(63)))),
  };
  const left: Wide = { hi: code.local("i64"), lo: code.local("i64") };
  const subtractRoot = (): void => {
    const product = multiply(code, root, root);
    subtract(f, left, square, product);
  };
  code.scope(subtractRoot);
  const step = i64.or(i64.shl(left.hi, i64.const(50)), i64.shru(left.lo, i64.const(14)));
  code.set(root, i64.add(root, i64.divs(step, i64.shru(root, i64.const(13)))));
  code.scope(subtractRoot);
  /** root^2 and (root + 1)^2 differ by this. */
  const gap = (): Wide => ({ hi: i64.shru(root, i64.const(63)), lo: i64.or(i64.shl(root, ONE), ONE) });
  code.block((end) => {
    code.loop((again) => {
      code.brIf(end, i64.ges(left.hi, i64.const(0)));
      code.set(root, i64.sub(root, ONE));
      add(f, left, gap());
      code.br(again);
    });
  });
  code.block((end) => {
    code.loop((again) => {
      const next: Wide = { hi: code.local("i64"), lo: code.local("i64") };
      subtract(f, next, left, gap());
      code.brIf(end, i64.lts(next.hi, i64.const(0)));
      code.set(left.hi, next.hi);
      code.set(left.lo, next.lo);
      code.set(root, i64.add(root, ONE));
      code.br(again);
    });
  });
  // (root + 1/2)^2 = root^2 + root + 1/4
  const half = i32.or(i64.ne(left.hi, i64.const(0)), i64.gtu(left.lo, root));
  const inexact = isNonzero(i64.or(left.hi, left.lo));
  return { root, rest: code.let(i64.or(i64.shl(i32.toI64u(half), i64.const(63)), inexact)) };
}

function subtract(f: Target, to: Wide, a: Wide, b: Wide): void {
  f.code.set(to.hi, i64.sub(i64.sub(a.hi, b.hi), i32.toI64u(i64.ltu(a.lo, b.lo))));
  f.code.set(to.lo, i64.sub(a.lo, b.lo));
}

function add(f: Target, to: Wide, b: Wide): void {
  f.code.set(to.lo, i64.add(to.lo, b.lo));
  f.code.set(to.hi, i64.add(i64.add(to.hi, b.hi), i32.toI64u(i64.ltu(to.lo, b.lo))));
}
