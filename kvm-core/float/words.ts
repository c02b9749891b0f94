/**
 * Integers wider than 64 bits, in generated code: what the significands of intermediate results need.
 * Document: Knuth, The Art of Computer Programming, volume 2, 4.3.1 (multiplication and division by pieces).
 * Left out: anything general; each function is what a caller here needs.
 *
 * "Jam" means: bits that are shifted out leave a mark in the lowest bit, so that rounding still sees them.
 */

import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";

/** 128 bits; both halves are locals. */
export interface Wide {
  readonly hi: Expr;
  readonly lo: Expr;
}

const LOW = i64.const(0xffff_ffffn);
const ZERO = i64.const(0);
const ONE = i64.const(1);

/** 1 or 0, as an i64. */
export const isNonzero = (x: Expr): Expr => i32.toI64u(i64.ne(x, ZERO));

/** value >> count with a jam; count is an i64 from 0 to 63. */
export function shiftJam(value: Expr, count: Expr): Expr {
  // Shifts count modulo 64: two steps, so that nothing is lost for a count of 0.
  const lost = i64.shl(i64.shl(value, ONE), i64.sub(i64.const(63), count));
  return i64.or(i64.shru(value, count), isNonzero(lost));
}

/** value >> count with a jam; count is an i32 that is not negative. */
export function shiftJamFar(code: Code, value: Expr, count: Expr): Expr {
  const shift = code.let(i32.toI64u(count));
  return code.let(select(i64.gtu(shift, i64.const(63)), isNonzero(value), shiftJam(value, shift)));
}

/** hi:lo >>= count with a jam, in place; count is an i32 that is not negative. */
export function shiftWideJam(code: Code, { hi, lo }: Wide, count: Expr): void {
  const shift = code.let(i32.toI64u(count));
  code.if(
    i64.leu(shift, i64.const(63)),
    () => {
      const fromHigh = i64.shl(i64.shl(hi, ONE), i64.sub(i64.const(63), shift));
      code.set(lo, i64.or(fromHigh, shiftJam(lo, shift)));
      code.set(hi, i64.shru(hi, shift));
    },
    () => {
      const rest = i64.sub(shift, i64.const(64));
      const low = select(i64.gtu(shift, i64.const(127)), isNonzero(hi), shiftJam(hi, rest));
      code.set(lo, i64.or(low, isNonzero(lo)));
      code.set(hi, ZERO);
    },
  );
}

/** a * b, 64 bits each. */
export function multiply(code: Code, a: Expr, b: Expr): Wide {
  const half = (x: Expr): Expr => i64.shru(x, i64.const(32));
  const [al, ah] = [code.let(i64.and(a, LOW)), code.let(half(a))];
  const [bl, bh] = [code.let(i64.and(b, LOW)), code.let(half(b))];
  const low = code.let(i64.mul(al, bl));
  const cross = code.let(i64.add(i64.mul(ah, bl), half(low)));
  const other = code.let(i64.add(i64.mul(al, bh), i64.and(cross, LOW)));
  const hi = code.let(i64.add(i64.add(i64.mul(ah, bh), half(cross)), half(other)));
  const lo = code.let(i64.or(i64.shl(other, i64.const(32)), i64.and(low, LOW)));
  return { hi, lo };
}

/** hi:lo / divisor; hi < divisor, whose bit 63 is set. Two digits of 32 bits, each estimated and corrected. */
export function divide(code: Code, { hi, lo }: Wide, divisor: Expr): { quotient: Expr; remainder: Expr } {
  const d1 = code.let(i64.shru(divisor, i64.const(32)));
  const d0 = code.let(i64.and(divisor, LOW));
  const digit = (top: Expr, next: Expr): { q: Expr; rest: Expr } => {
    const q = code.let(i64.divu(top, d1));
    const r = code.let(i64.sub(top, i64.mul(q, d1)));
    // At most two corrections.
    code.block((end) => {
      code.loop((again) => {
        const tooLarge = i64.gtu(i64.mul(q, d0), i64.or(i64.shl(r, i64.const(32)), next));
        code.brIf(end, i32.eqz(i32.or(i64.gtu(q, LOW), tooLarge)));
        code.set(q, i64.sub(q, ONE));
        code.set(r, i64.add(r, d1));
        code.brIf(again, i64.leu(r, LOW));
      });
    });
    const rest = i64.sub(i64.or(i64.shl(top, i64.const(32)), next), i64.mul(q, divisor));
    return { q, rest: code.let(rest) };
  };
  const first = digit(hi, code.let(i64.shru(lo, i64.const(32))));
  const second = digit(first.rest, code.let(i64.and(lo, LOW)));
  return { quotient: code.let(i64.or(i64.shl(first.q, i64.const(32)), second.q)), remainder: second.rest };
}
