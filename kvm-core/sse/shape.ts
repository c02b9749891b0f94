/**
 * What an SSE floating-point instruction works on: one number or all of a vector's, f32 or f64, under one set of names.
 * Document: SDM volume 1, 4.2.2 (formats), 10.4.1 and 11.4.1 (packed and scalar operands).
 * Left out: half precision.
 *
 * Values are what registers hold: the bits of one number in an i64 (an f32 with zeros above), or a v128. They must be locals.
 * A mask is what a comparison gives: an i32, 0 or 1, or a v128 of ones and zeros.
 */

import { type Expr, f32, f64, i32, i64, select } from "../wasm/expr.ts";
import { f32x4, f64x2, i32x4, i64x2, v128 } from "../wasm/simd.ts";

type Unary = (a: Expr) => Expr;
type Binary = (a: Expr, b: Expr) => Expr;

/** WebAssembly rounds to nearest, and what NaN it gives is not defined: see fast.ts for when its results are the guest's. */
export interface Shape {
  readonly suffix: "ss" | "sd" | "ps" | "pd";
  readonly format: "f32" | "f64";
  readonly packed: boolean;
  readonly type: "i64" | "v128";
  readonly add: Binary;
  readonly sub: Binary;
  readonly mul: Binary;
  readonly div: Binary;
  /** a < b ? a : b, and a > b ? a : b. */
  readonly min: Binary;
  readonly max: Binary;
  readonly sqrt: Unary;
  readonly nearest: Unary;
  readonly floor: Unary;
  readonly ceil: Unary;
  readonly trunc: Unary;
  /** Masks. */
  readonly eq: Binary;
  readonly lt: Binary;
  readonly zero: Unary;
  /** Larger in magnitude than the smallest normal number, and finite. */
  readonly ordinary: Unary;
  /** Operands and the result of arithmetic are; an operand that is not finite shows in the result. */
  readonly ordinaryResult: (result: Expr, operands: readonly Expr[]) => Expr;
  /** Zero, a normal number or an infinity. */
  readonly usable: Unary;
  readonly and: Binary;
  readonly or: Binary;
  /** i32: the mask holds for every number. */
  readonly all: Unary;
}

interface Bounds {
  readonly bits: number;
  readonly smallest: bigint;
  readonly largest: bigint;
}
const BOUNDS: Readonly<Record<"f32" | "f64", Bounds>> = {
  f32: { bits: 32, smallest: 0x0080_0000n, largest: 0x7f7f_ffffn },
  f64: { bits: 64, smallest: 1n << 52n, largest: 0x7fef_ffff_ffff_ffffn },
};

/** What differs between the two formats of one number. */
interface Scalar {
  readonly suffix: "ss" | "sd";
  readonly float: typeof f32 | typeof f64;
  readonly int: typeof i32 | typeof i64;
  readonly toFloat: Unary;
  readonly toBits: Unary;
  /** The bits as an integer of the format's size. */
  readonly narrow: Unary;
}

function scalar(format: "f32" | "f64", { suffix, float, int, toFloat, toBits, narrow }: Scalar): Shape {
  const { bits, smallest, largest } = BOUNDS[format];
  const constant = (value: bigint): Expr =>
    bits === 32 ? i32.const(Number(BigInt.asIntN(32, value))) : i64.const(BigInt.asIntN(64, value));
  const unary =
    (operation: Unary): Unary =>
    (a) =>
      toBits(operation(toFloat(a)));
  const binary =
    (operation: Binary): Binary =>
    (a, b) =>
      toBits(operation(toFloat(a), toFloat(b)));
  // Without the sign, times two: a range is one comparison.
  const twice = (a: Expr): Expr => int.shl(narrow(a), int.const(1));
  const within = (a: Expr, from: bigint, to: bigint): Expr =>
    int.ltu(int.sub(twice(a), constant(from * 2n)), constant((to - from) * 2n + 1n));
  const zero = (a: Expr): Expr => int.eqz(twice(a));
  const ordinary: Unary = (a) => within(a, smallest + 1n, largest);
  const lt: Binary = (a, b) => float.lt(toFloat(a), toFloat(b));
  return {
    suffix,
    format,
    packed: false,
    type: "i64",
    add: binary(float.add),
    sub: binary(float.sub),
    mul: binary(float.mul),
    div: binary(float.div),
    min: (a, b) => select(lt(a, b), a, b),
    max: (a, b) => select(lt(b, a), a, b),
    sqrt: unary(float.sqrt),
    nearest: unary(float.nearest),
    floor: unary(float.floor),
    ceil: unary(float.ceil),
    trunc: unary(float.trunc),
    eq: (a, b) => float.eq(toFloat(a), toFloat(b)),
    lt,
    zero,
    ordinary,
    ordinaryResult: (result, operands) => [...operands, result].map(ordinary).reduce(i32.and),
    usable: (a) => i32.or(zero(a), within(a, smallest, largest + 1n)),
    and: i32.and,
    or: i32.or,
    all: (mask) => mask,
  };
}

/** The number whose bits these are. */
function toNumber(value: bigint, bits: number): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, bits === 32 ? value << 32n : value);
  return bits === 32 ? view.getFloat32(0) : view.getFloat64(0);
}

function packed(format: "f32" | "f64"): Shape {
  const { bits, smallest, largest } = BOUNDS[format];
  const float = format === "f32" ? f32x4 : f64x2;
  const int = format === "f32" ? i32x4 : i64x2;
  // Shorter than a constant of 128 bits, and no slower.
  const everywhere = (value: number): Expr =>
    bits === 32 ? f32x4.splat(f32.const(value)) : f64x2.splat(f64.const(value));
  const [low, high] = [everywhere(toNumber(smallest, bits)), everywhere(toNumber(largest, bits))];
  const { add, sub, mul, div, sqrt, nearest, floor, ceil, trunc, eq, lt } = float;
  const zero = (a: Expr): Expr => eq(a, v128.const(0n));
  return {
    suffix: format === "f32" ? "ps" : "pd",
    format,
    packed: true,
    type: "v128",
    add,
    sub,
    mul,
    div,
    min: (a, b) => float.pmin(b, a),
    max: (a, b) => float.pmax(b, a),
    sqrt,
    nearest,
    floor,
    ceil,
    trunc,
    eq,
    lt,
    zero,
    ordinary: (a) => v128.and(float.gt(float.abs(a), low), float.le(float.abs(a), high)),
    ordinaryResult: (result, operands) => {
      const least = [...operands, result].map(float.abs).reduce(float.pmin);
      return v128.and(float.gt(least, low), float.le(float.abs(result), high));
    },
    usable: (a) => v128.or(zero(a), float.ge(float.abs(a), low)),
    and: v128.and,
    or: v128.or,
    all: (mask) => i32.eq(int.bitmask(mask), i32.const(bits === 32 ? 15 : 3)),
  };
}

const same: Unary = (a) => a;

export const SS = scalar("f32", {
  suffix: "ss",
  float: f32,
  int: i32,
  toFloat: (a) => i32.asF32(i64.toI32(a)),
  toBits: (a) => i32.toI64u(f32.bits(a)),
  narrow: i64.toI32,
});
export const SD = scalar("f64", {
  suffix: "sd",
  float: f64,
  int: i64,
  toFloat: i64.asF64,
  toBits: f64.bits,
  narrow: same,
});
export const PS = packed("f32");
export const PD = packed("f64");
export const SHAPES: readonly Shape[] = [SS, SD, PS, PD];
