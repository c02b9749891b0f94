/**
 * One round of AES, forwards and backwards, and the two steps of its key schedule.
 * Document: FIPS 197; SDM volume 2, AESENC AESENCLAST AESDEC AESDECLAST AESIMC AESKEYGENASSIST.
 * Left out: nothing.
 *
 * A state is a v128 as the processor has it: byte i of the vector is row i % 4, column i / 4. Byte substitution looks a table of
 * 256 bytes up in sixteen parts that are constants, so that its time tells nothing of its input.
 */

import type { Code } from "../wasm/code.ts";
import { type Expr, i32 } from "../wasm/expr.ts";
import { i8x16, i32x4, v128 } from "../wasm/simd.ts";
import type { VectorFunction } from "./functions.ts";

const LANES = Array.from({ length: 16 }, (_, i) => i);

/** Doubling in GF(2^8) with the polynomial of FIPS 197, 4.2. */
const twice = (a: number): number => ((a << 1) ^ (a & 0x80 ? 0x11b : 0)) & 0xff;

/** FIPS 197, 5.1.1: the inverse in the field, then an affine map. */
const S_BOX: Uint8Array = (() => {
  // Powers of 3, which come by every element but 0.
  const powers = [1];
  for (let i = 1; i < 255; i++) powers.push(powers[i - 1]! ^ twice(powers[i - 1]!));
  const box = new Uint8Array(256);
  powers.forEach((element, i) => {
    const b = powers[(255 - i) % 255]!;
    const rotated = (n: number): number => ((b << n) | (b >> (8 - n))) & 0xff;
    box[element] = b ^ rotated(1) ^ rotated(2) ^ rotated(3) ^ rotated(4) ^ 0x63;
  });
  box[0] = 0x63;
  return box;
})();
const INVERSE_S_BOX: Uint8Array = (() => {
  const inverse = new Uint8Array(256);
  S_BOX.forEach((value, i) => {
    inverse[value] = i;
  });
  return inverse;
})();

const row16 = (table: Uint8Array, row: number): Expr =>
  v128.const(LANES.reduce((all, i) => all | (BigInt(table[row * 16 + i]!) << BigInt(i * 8)), 0n));

/** Each byte by the table. A byte that is not in a part makes the index there 16 or more, and the lookup 0. */
function substitute(code: Code, state: Expr, table: Uint8Array): Expr {
  const a = code.let(state);
  const result = code.local("v128");
  LANES.forEach((row) => {
    const index = row === 0 ? a : v128.xor(a, i8x16.splat(i32.const(row * 16)));
    const part = v128.swizzle(row16(table, row), index);
    code.set(result, row === 0 ? part : v128.or(result, part));
  });
  return result;
}

/** Row r moves r columns: byte i comes from column (i / 4 + sign * r). */
const shiftRows = (state: Expr, sign: 1 | -1): Expr =>
  v128.shuffle(
    state,
    state,
    LANES.map((i) => (i + sign * 4 * (i & 3)) & 15),
  );

/** Bytes of each column moved up by n. */
const rotateColumns = (state: Expr, n: number): Expr =>
  v128.shuffle(
    state,
    state,
    LANES.map((i) => (i & ~3) | ((i + n) & 3)),
  );

const double = (a: Expr): Expr =>
  v128.xor(i8x16.shl(a, i32.const(1)), v128.and(i8x16.shrs(a, i32.const(7)), i8x16.splat(i32.const(0x1b))));

/** 2a + 3b + c + d of each column's bytes and their followers: 2(a + b) + b + c + d. */
function mixColumns(code: Code, state: Expr): Expr {
  const a = code.let(state);
  const b = code.let(rotateColumns(a, 1));
  const sum = code.let(v128.xor(a, b));
  return v128.xor(double(sum), v128.xor(b, rotateColumns(sum, 2)));
}

/** The inverse: mixColumns() after adding 4(a + c) to each byte a with c two below. */
function unmixColumns(code: Code, state: Expr): Expr {
  const a = code.let(state);
  const twofold = code.let(double(v128.xor(a, rotateColumns(a, 2))));
  return mixColumns(code, v128.xor(a, double(twofold)));
}

const ROUND = { params: ["i32", "v128", "v128"], results: ["v128"] } as const;

/** (cpu, state, round key) */
const encrypt = (last: boolean): VectorFunction => ({
  type: ROUND,
  emit(code) {
    const state = substitute(code, shiftRows(code.param(1), 1), S_BOX);
    return v128.xor(last ? state : mixColumns(code, state), code.param(2));
  },
});

const decrypt = (last: boolean): VectorFunction => ({
  type: ROUND,
  emit(code) {
    const state = substitute(code, shiftRows(code.param(1), -1), INVERSE_S_BOX);
    return v128.xor(last ? state : unmixColumns(code, state), code.param(2));
  },
});

/** Doublewords 1 and 3, substituted, each beside itself rotated by a byte. */
const KEY_BYTES = [4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12];

export const AES: Readonly<Record<string, VectorFunction>> = {
  aesenc: encrypt(false),
  aesenclast: encrypt(true),
  aesdec: decrypt(false),
  aesdeclast: decrypt(true),
  /** (cpu, round key) */
  aesimc: {
    type: { params: ["i32", "v128"], results: ["v128"] },
    emit: (code) => unmixColumns(code, code.param(1)),
  },
  /** (cpu, key, round constant) */
  aeskeygen: {
    type: { params: ["i32", "v128", "i32"], results: ["v128"] },
    emit(code) {
      const words = substitute(code, code.param(1), S_BOX);
      const constant = i32x4.splat(code.param(2));
      const odd = v128.const(0xffff_ffff_0000_0000_ffff_ffff_0000_0000n);
      return v128.xor(v128.shuffle(words, words, KEY_BYTES), v128.and(constant, odd));
    },
  },
};
