/**
 * The product of two polynomials over GF(2), 64 by 64 bits.
 * Document: SDM volume 2, PCLMULQDQ.
 * Left out: nothing.
 *
 * An integer product adds with carries. Of operands that have every fourth bit only, no sum of at most 15 ones reaches the next
 * such bit; 16 of them meet at the top alone, whose carry is lost. So the low half is sixteen products of parts, and the high
 * half the low one of the reversed operands, reversed.
 */

import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import { i64x2 } from "../wasm/simd.ts";
import type { VectorFunction } from "./functions.ts";

const PARTS = [0, 1, 2, 3] as const;
const EVERY_FOURTH = 0x1111_1111_1111_1111n;
const constant = (value: bigint): Expr => i64.const(BigInt.asIntN(64, value));
const part = (n: number): Expr => constant(EVERY_FOURTH << BigInt(n));

function lowProduct(code: Code, x: Expr, y: Expr): Expr {
  const [a, b] = [x, y].map((value) => PARTS.map((n) => code.let(i64.and(value, part(n)))));
  const sums = PARTS.map((n) => {
    const products = PARTS.map((i) => i64.mul(a![i]!, b![(n - i) & 3]!));
    return i64.and(
      products.reduce((sum, product) => i64.xor(sum, product)),
      part(n),
    );
  });
  return code.let(sums.reduce((all, sum) => i64.or(all, sum)));
}

/** Bit 0 becomes bit 63. */
function reversed(code: Code, value: Expr): Expr {
  let v = value;
  for (const [shift, mask] of [
    [1, 0x5555_5555_5555_5555n],
    [2, 0x3333_3333_3333_3333n],
    [4, 0x0f0f_0f0f_0f0f_0f0fn],
    [8, 0x00ff_00ff_00ff_00ffn],
    [16, 0x0000_ffff_0000_ffffn],
  ] as const) {
    const count = i64.const(shift);
    const old = code.let(v);
    v = i64.or(i64.and(i64.shru(old, count), constant(mask)), i64.shl(i64.and(old, constant(mask)), count));
  }
  return code.let(i64.rotl(v, i64.const(32)));
}

export const CARRYLESS: Readonly<Record<string, VectorFunction>> = {
  /** (cpu, a, b, choice): bit 0 of the choice takes a's high half, bit 4 b's. */
  pclmul: {
    type: { params: ["i32", "v128", "v128", "i32"], results: ["v128"] },
    emit(code) {
      const half = (vector: Expr, bit: number): Expr => {
        const high = i32.and(code.param(3), i32.const(bit));
        return code.let(select(high, i64x2.extract(vector, 1), i64x2.extract(vector, 0)));
      };
      const [x, y] = [half(code.param(1), 1), half(code.param(2), 16)];
      const low = lowProduct(code, x, y);
      const mirrored = lowProduct(code, reversed(code, x), reversed(code, y));
      const high = i64.shru(reversed(code, mirrored), i64.const(1));
      return i64x2.replace(i64x2.splat(low), 1, high);
    },
  },
};
