/**
 * Operations on constants of type v128, worked out when the code is made: what an immediate means to a vector is computed in
 * the interpreter, and is then a constant in a translation. V8 folds scalars, not vectors.
 * Document: WebAssembly core specification, 4.3.2 (integer operations), 4.4.3 (vector instructions).
 * Left out: operations that nobody applies to constants; floating point.
 */

import type { Expr } from "./expr.ts";

const smaller = (a: bigint, b: bigint): bigint => {
  if (a < b) return a;
  return b;
};

type Lane = (a: bigint, b: bigint, bits: number) => bigint;
const LANES: Readonly<Record<string, Lane>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  eq: (a, b) => (a === b ? -1n : 0n),
  minu: smaller,
  addSatu: (a, b, bits) => smaller(a + b, (1n << BigInt(bits)) - 1n),
  shru: (a, b, bits) => a >> (b % BigInt(bits)),
};

const bitsOf = (e: Expr): bigint => BigInt.asUintN(128, BigInt(e.value));

/** Bits of an integer lane of a shape, "i8x16"; 0 of floating point, which is not folded. */
export const laneBits = (shape: string): number => (shape.startsWith("i") ? Number.parseInt(shape.slice(1), 10) : 0);

/** The operation `name` on each lane of `bits` bits, or of one lane repeated; undefined if it is not folded. */
export function foldLanes(name: string, bits: number, a: Expr, b: Expr): bigint | undefined {
  const act = LANES[name];
  if (act === undefined || bits === 0 || a.kind !== "const" || b.kind !== "const") return undefined;
  const [left, right] = [bitsOf(a), b.type === "v128" ? bitsOf(b) : foldSplat(bits, b)!];
  let all = 0n;
  for (let at = 0; at < 128; at += bits) {
    const lane = (value: bigint): bigint => BigInt.asUintN(bits, value >> BigInt(at));
    all |= BigInt.asUintN(bits, act(lane(left), lane(right), bits)) << BigInt(at);
  }
  return all;
}

/** A scalar in each lane. */
export function foldSplat(bits: number, value: Expr): bigint | undefined {
  if (bits === 0 || value.kind !== "const") return undefined;
  let all = 0n;
  for (let at = 0; at < 128; at += bits) all |= BigInt.asUintN(bits, BigInt(value.value)) << BigInt(at);
  return all;
}

export const foldAnd = (a: Expr, b: Expr): bigint | undefined =>
  a.kind === "const" && b.kind === "const" ? bitsOf(a) & bitsOf(b) : undefined;

/** The bytes of a constant, for what takes numbers of bytes from them. */
export const constantBytes = (e: Expr): readonly number[] | undefined => (e.kind === "const" ? e.bytes : undefined);
