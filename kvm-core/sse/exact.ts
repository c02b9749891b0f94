/**
 * Is a rounded result exact? Asked as long as MXCSR's flag of inexact results is clear.
 * Document: Knuth, The Art of Computer Programming, volume 2, 4.2.2, theorem B (the error of a sum).
 * Left out: results that are not ordinary numbers or exact zeros: fast.ts.
 */

import type { Code } from "../wasm/code.ts";
import { type Expr, f32, f64, i32, i64 } from "../wasm/expr.ts";
import type { ModuleBuilder } from "../wasm/module.ts";
import { f64x2, i64x2, v128 } from "../wasm/simd.ts";
import type { Shape } from "./shape.ts";

/** What the question needs of the function that asks it. */
export interface Asker {
  readonly code: Code;
  readonly shape: Shape;
  /** isProduct(x, y, z), of defineIsProduct(). */
  readonly isProduct: number;
}

/** i32: a + b, or a - b, is exactly `sum`. All are locals. */
export function isSum({ code, shape }: Asker, a: Expr, b: Expr, sum: Expr, subtract: boolean): Expr {
  const { add, sub } = shape;
  const part = code.let(sub(sum, a));
  const first = code.let(sub(sum, part));
  const errorOfA = code.let(sub(a, first));
  const errorOfB = code.let(subtract ? add(b, part) : sub(b, part));
  return shape.all(shape.zero(code.let(subtract ? sub(errorOfA, errorOfB) : add(errorOfA, errorOfB))));
}

/** i32: x * y is exactly z, where one of them is the others' rounded product, quotient or root. */
export function isProduct({ code, shape, isProduct }: Asker, x: Expr, y: Expr, z: Expr): Expr {
  if (shape.format === "f32") return isProductOfSingles(shape, x, y, z);
  const ask = (i: number): Expr => {
    const answer = code.local("i32");
    const values = [x, y, z].map((value) => (shape.packed ? i64x2.extract(value, i) : value));
    code.call(isProduct, values, answer);
    return answer;
  };
  return shape.packed ? i32.and(ask(0), ask(1)) : ask(0);
}

/** In double precision the product of two singles is exact. */
function isProductOfSingles({ packed }: Shape, x: Expr, y: Expr, z: Expr): Expr {
  if (!packed) {
    const wide = (value: Expr): Expr => f32.toF64(i32.asF32(i64.toI32(value)));
    return f64.eq(f64.mul(wide(x), wide(y)), wide(z));
  }
  const upper = [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15];
  const half = (take: (value: Expr) => Expr): Expr => {
    const [wideX, wideY, wideZ] = [x, y, z].map((value) => f64x2.promote(take(value))) as [Expr, Expr, Expr];
    return f64x2.eq(f64x2.mul(wideX, wideY), wideZ);
  };
  const both = v128.and(
    half((value) => value),
    half((value) => v128.shuffle(value, value, upper)),
  );
  return i64x2.allTrue(both);
}

/**
 * isProduct(x, y, z) of f64 bits -> i32. Without the zeros at their ends the significands are odd numbers, and so is their product: it
 * has to be that of z. The three are so near each other that no power of two is between them. A z of 0 is exact.
 */
export function defineIsProduct(module: ModuleBuilder): number {
  const code = module.define("", { params: ["i64", "i64", "i64"], results: ["i32"] });
  const z = code.param(2);
  code.if(i64.eqz(i64.shl(z, i64.const(1))), () => code.return(i32.const(1)));
  const [x, y, product] = [0, 1, 2].map((i) => {
    const fraction = i64.and(code.param(i), i64.const((1n << 52n) - 1n));
    const significand = code.let(i64.or(fraction, i64.const(1n << 52n)));
    const zeros = code.let(i64.ctz(significand));
    return { zeros, odd: i64.shru(significand, zeros) };
  }) as [Odd, Odd, Odd];
  // A product of more than 54 bits is not one of 53, and one of 54 bits at most does not overflow.
  const isShort = i64.geu(i64.add(x.zeros, y.zeros), i64.const(2 * 53 - 54));
  code.return(i32.and(isShort, i64.eq(i64.mul(x.odd, y.odd), product.odd)));
  code.unreachable();
  return module.indexOf(code);
}
interface Odd {
  readonly zeros: Expr;
  readonly odd: Expr;
}
