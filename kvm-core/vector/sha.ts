/**
 * Rounds and message schedules of SHA-1 and SHA-256.
 * Document: FIPS 180-4, 4.1 and 6; SDM volume 2, the instructions of the names.
 * Left out: nothing.
 *
 * Lane 3 is bits 127..96. SHA-1 has its first word there, SHA-256 its last.
 */

import { FPU } from "../cpu/fpu-state.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, select } from "../wasm/expr.ts";
import { i32x4, v128 } from "../wasm/simd.ts";
import type { VectorFunction } from "./functions.ts";

const xor = (...all: readonly Expr[]): Expr => all.reduce((sum, value) => i32.xor(sum, value));
const add = (...all: readonly Expr[]): Expr => all.reduce((sum, value) => i32.add(sum, value));
const rotateLeft = (value: Expr, count: number): Expr => i32.rotl(value, i32.const(count));
const rotateRight = (value: Expr, count: number): Expr => i32.rotr(value, i32.const(count));
const choose = (x: Expr, y: Expr, z: Expr): Expr => xor(z, i32.and(x, i32.xor(y, z)));
const majority = (x: Expr, y: Expr, z: Expr): Expr => i32.or(i32.and(x, y), i32.and(z, i32.or(x, y)));

/** The lanes of a vector, evaluated. */
const lanes = (code: Code, vector: Expr): Expr[] => [0, 1, 2, 3].map((n) => code.let(i32x4.extract(vector, n)));
/** A vector of lanes 0 to 3. */
const vector = (values: readonly Expr[]): Expr =>
  values.slice(1).reduce((all, value, i) => i32x4.replace(all, i + 1, value), i32x4.splat(values[0]!));

const BINARY = { params: ["i32", "v128", "v128"], results: ["v128"] } as const;
const binary = (emit: (code: Code, a: Expr, b: Expr) => Expr): VectorFunction => ({
  type: BINARY,
  emit: (code) => emit(code, code.param(1), code.param(2)),
});

/** FIPS 180-4, 4.2.1 */
const SHA1_K = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6] as const;

const bigSigma0 = (x: Expr): Expr => xor(rotateRight(x, 2), rotateRight(x, 13), rotateRight(x, 22));
const bigSigma1 = (x: Expr): Expr => xor(rotateRight(x, 6), rotateRight(x, 11), rotateRight(x, 25));
const smallSigma0 = (x: Expr): Expr => xor(rotateRight(x, 7), rotateRight(x, 18), i32.shru(x, i32.const(3)));
const smallSigma1 = (x: Expr): Expr => xor(rotateRight(x, 17), rotateRight(x, 19), i32.shru(x, i32.const(10)));

export const SHA: Readonly<Record<string, VectorFunction>> = {
  /** (cpu, A B C D, words with E added to the first, which twenty rounds) */
  sha1rnds4: {
    type: { params: ["i32", "v128", "v128", "i32"], results: ["v128"] },
    emit(code) {
      let [d, c, b, a] = lanes(code, code.param(1)) as [Expr, Expr, Expr, Expr];
      const words = lanes(code, code.param(2)).reverse();
      const part = code.let(i32.and(code.param(3), i32.const(3)));
      const is = (n: number): Expr => i32.eq(part, i32.const(n));
      const [k0, k1, k2, k3] = SHA1_K.map((value) => i32.const(value | 0)) as [Expr, Expr, Expr, Expr];
      const k = code.let(select(i32.and(part, i32.const(2)), select(is(2), k2, k3), select(is(0), k0, k1)));
      let e: Expr = i32.const(0);
      for (const word of words) {
        const f = select(is(0), choose(b, c, d), select(is(2), majority(b, c, d), xor(b, c, d)));
        const next = code.let(add(f, rotateLeft(a, 5), word, e, k));
        [a, b, c, d, e] = [next, a, code.let(rotateLeft(b, 30)), c, d];
      }
      return vector([d, c, b, a]);
    },
  },
  sha1nexte: binary((_code, a, b) => {
    const e = rotateLeft(i32x4.extract(a, 3), 30);
    return i32x4.replace(b, 3, i32.add(i32x4.extract(b, 3), e));
  }),
  /** Words two apart: lanes 1 and 0 of `a` follow its upper two, lanes 3 and 2 of `b` its lower two. */
  sha1msg1: binary((_code, a, b) =>
    v128.xor(a, v128.shuffle(a, b, [24, 25, 26, 27, 28, 29, 30, 31, 0, 1, 2, 3, 4, 5, 6, 7])),
  ),
  sha1msg2: binary((code, a, b) => {
    const [a0, a1, a2, a3] = lanes(code, a) as [Expr, Expr, Expr, Expr];
    const [b0, b1, b2] = lanes(code, b) as [Expr, Expr, Expr, Expr];
    const w16 = code.let(rotateLeft(xor(a3, b2), 1));
    return vector([rotateLeft(xor(a0, w16), 1), rotateLeft(xor(a1, b0), 1), rotateLeft(xor(a2, b1), 1), w16]);
  }),
  /** Two rounds, with words and constants added up in XMM0. `a` is C D G H, `b` A B E F. */
  sha256rnds2: binary((code, first, second) => {
    let [h, g, d, c] = lanes(code, first) as [Expr, Expr, Expr, Expr];
    let [f, e, b, a] = lanes(code, second) as [Expr, Expr, Expr, Expr];
    for (const n of [0, 1]) {
      const word = i32.load(code.param(0), FPU.xmm + n * 4);
      const t1 = code.let(add(choose(e, f, g), bigSigma1(e), word, h));
      const t2 = add(majority(a, b, c), bigSigma0(a));
      const [nextA, nextE] = [code.let(add(t1, t2)), code.let(add(t1, d))];
      [a, b, c, d, e, f, g, h] = [nextA, a, b, c, nextE, e, f, g];
    }
    return vector([f, e, b, a]);
  }),
  sha256msg1: binary((code, a, b) => {
    const words = [...lanes(code, a), code.let(i32x4.extract(b, 0))];
    return vector([0, 1, 2, 3].map((n) => i32.add(words[n]!, smallSigma0(words[n + 1]!))));
  }),
  sha256msg2: binary((code, a, b) => {
    const words = [i32x4.extract(b, 2), i32x4.extract(b, 3)].map((word) => code.let(word));
    for (const [n, word] of lanes(code, a).entries()) words.push(code.let(i32.add(word, smallSigma1(words[n]!))));
    return vector(words.slice(2));
  }),
};
