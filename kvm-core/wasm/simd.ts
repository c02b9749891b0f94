/**
 * WebAssembly's operations on v128, by lane shape, as expr.ts has those of the scalar types.
 * Document: WebAssembly core specification, 5.4.9 (vector instructions).
 * Left out: the relaxed operations, whose results differ from host to host; loads that splat or widen.
 *
 * Constants are folded as far as simd-fold.ts goes. A choice by a constant becomes a shuffle, of which V8 knows the patterns
 * that one instruction of the host does.
 */

import { type Expr, i32, node, SIMD_OP, type ValType } from "./expr.ts";
import { constantBytes, foldAnd, foldLanes, foldSplat, laneBits } from "./simd-fold.ts";

type Unary = (a: Expr) => Expr;
type Binary = (a: Expr, b: Expr) => Expr;
/** The count is an i32, taken modulo the lane's bits. */
type Shift = (a: Expr, count: Expr) => Expr;

const op = (type: ValType, code: number, args: readonly Expr[], bytes: readonly number[] = []): Expr =>
  node(type, "op", SIMD_OP + code, args, 0, 0, bytes);

function expect(name: string, type: ValType, value: Expr): void {
  if (value.type !== type) throw new Error(`${name} of ${value.type}`);
}

const constOr = (value: bigint | undefined, otherwise: () => Expr): Expr =>
  value === undefined ? otherwise() : v128.const(value);

/** Tables of opcodes -> functions; `unary` rows may name the type of their result. */
function shape<B extends string, S extends string, U extends string>(
  name: string,
  lane: ValType,
  splat: number,
  lanes: { readonly replace: number },
  binary: Record<B, number>,
  shifts: Record<S, number>,
  unary: Record<U, readonly [number, ValType?]>,
): Record<B, Binary> &
  Record<S, Shift> &
  Record<U, Unary> & { splat: Unary; replace: (a: Expr, lane: number, value: Expr) => Expr } {
  const bits = laneBits(name);
  const made: Record<string, unknown> = {
    splat: (value: Expr): Expr => {
      expect(`${name}.splat`, lane, value);
      return constOr(foldSplat(bits, value), () => op("v128", splat, [value]));
    },
    replace: (a: Expr, at: number, value: Expr): Expr => {
      expect(`${name}.replace`, lane, value);
      return op("v128", lanes.replace, [a, value], [at]);
    },
  };
  for (const [key, code] of Object.entries<number>(binary)) {
    made[key] = (a: Expr, b: Expr): Expr => {
      expect(`${name}.${key}`, "v128", a);
      expect(`${name}.${key}`, "v128", b);
      return constOr(foldLanes(key, bits, a, b), () => op("v128", code, [a, b]));
    };
  }
  for (const [key, code] of Object.entries<number>(shifts)) {
    made[key] = (a: Expr, count: Expr): Expr => {
      expect(`${name}.${key} count`, "i32", count);
      return constOr(foldLanes(key, bits, a, count), () => op("v128", code, [a, count]));
    };
  }
  for (const [key, [code, result = "v128"]] of Object.entries<readonly [number, ValType?]>(unary)) {
    made[key] = (a: Expr): Expr => {
      expect(`${name}.${key}`, "v128", a);
      return op(result, code, [a]);
    };
  }
  return made as ReturnType<typeof shape<B, S, U>>;
}

/** Reads lane `at`. */
const extract =
  (type: ValType, code: number) =>
  (a: Expr, at: number): Expr =>
    op(type, code, [a], [at]);

/** Little-endian bytes of a 128-bit value. */
function bytes16(value: bigint): number[] {
  return Array.from({ length: 16 }, (_, i) => Number((BigInt.asUintN(128, value) >> BigInt(i * 8)) & 0xffn));
}

export const v128 = {
  const: (value: bigint): Expr => node("v128", "const", SIMD_OP + 0x0c, [], value, 0, bytes16(value)),
  load: (address: Expr, offset = 0): Expr => node("v128", "load", SIMD_OP, [address], offset),
  /** 32 or 64 bits, the rest zero. */
  load32Zero: (address: Expr, offset = 0): Expr => node("v128", "load", SIMD_OP + 0x5c, [address], offset),
  load64Zero: (address: Expr, offset = 0): Expr => node("v128", "load", SIMD_OP + 0x5d, [address], offset),
  not: (a: Expr): Expr => op("v128", 0x4d, [a]),
  and: (a: Expr, b: Expr): Expr => constOr(foldAnd(a, b), () => op("v128", 0x4e, [a, b])),
  /** a & ~b */
  andnot: (a: Expr, b: Expr): Expr => op("v128", 0x4f, [a, b]),
  or: (a: Expr, b: Expr): Expr => op("v128", 0x50, [a, b]),
  xor: (a: Expr, b: Expr): Expr => op("v128", 0x51, [a, b]),
  /** Bits of a where `mask` is 1, else of b. */
  bitselect: (a: Expr, b: Expr, mask: Expr): Expr => {
    const bytes = constantBytes(mask);
    if (!bytes?.every((byte) => byte === 0 || byte === 0xff)) return op("v128", 0x52, [a, b, mask]);
    return v128.shuffle(
      a,
      b,
      bytes.map((byte, i) => (byte ? i : i + 16)),
    );
  },
  anyTrue: (a: Expr): Expr => op("i32", 0x53, [a]),
  /** Byte i of the result is byte lanes[i] of a (0..15) or b (16..31). */
  shuffle: (a: Expr, b: Expr, lanes: readonly number[]): Expr => op("v128", 0x0d, [a, b], lanes),
  /** Byte i is byte s[i] of a, or 0 if s[i] is above 15. */
  swizzle: (a: Expr, s: Expr): Expr => {
    const bytes = constantBytes(s);
    return bytes?.every((byte) => byte < 16) ? v128.shuffle(a, a, bytes) : op("v128", 0x0e, [a, s]);
  },
  /** Byte i is byte s[i] of a (0..15) or b (16..31), or 0 if s[i] is above 31. */
  swizzleTwo: (a: Expr, b: Expr, s: Expr): Expr => {
    const bytes = constantBytes(s);
    if (bytes?.every((byte) => byte < 32)) return v128.shuffle(a, b, bytes);
    return v128.or(v128.swizzle(a, s), v128.swizzle(b, i8x16.sub(s, i8x16.splat(i32.const(16)))));
  },
  /** An i64 in the low half, the rest zero. */
  from64: (low: Expr): Expr => op("v128", 0x1e, [v128.const(0n), low], [0]),
} as const;

export const i8x16 = {
  ...shape(
    "i8x16",
    "i32",
    0x0f,
    { replace: 0x17 },
    {
      eq: 0x23,
      ne: 0x24,
      lts: 0x25,
      ltu: 0x26,
      gts: 0x27,
      gtu: 0x28,
      narrows: 0x65,
      narrowu: 0x66,
      add: 0x6e,
      addSats: 0x6f,
      addSatu: 0x70,
      sub: 0x71,
      subSats: 0x72,
      subSatu: 0x73,
      mins: 0x76,
      minu: 0x77,
      maxs: 0x78,
      maxu: 0x79,
      avgru: 0x7b,
    },
    { shl: 0x6b, shrs: 0x6c, shru: 0x6d },
    { abs: [0x60], neg: [0x61], popcnt: [0x62], allTrue: [0x63, "i32"], bitmask: [0x64, "i32"] },
  ),
  extracts: extract("i32", 0x15),
  extractu: extract("i32", 0x16),
} as const;

export const i16x8 = {
  ...shape(
    "i16x8",
    "i32",
    0x10,
    { replace: 0x1a },
    {
      eq: 0x2d,
      ne: 0x2e,
      lts: 0x2f,
      ltu: 0x30,
      gts: 0x31,
      gtu: 0x32,
      q15mulrSats: 0x82,
      narrows: 0x85,
      narrowu: 0x86,
      add: 0x8e,
      addSats: 0x8f,
      addSatu: 0x90,
      sub: 0x91,
      subSats: 0x92,
      subSatu: 0x93,
      mul: 0x95,
      mins: 0x96,
      minu: 0x97,
      maxs: 0x98,
      maxu: 0x99,
      avgru: 0x9b,
      extmulLows: 0x9c,
      extmulHighs: 0x9d,
      extmulLowu: 0x9e,
      extmulHighu: 0x9f,
    },
    { shl: 0x8b, shrs: 0x8c, shru: 0x8d },
    {
      abs: [0x80],
      neg: [0x81],
      allTrue: [0x83, "i32"],
      bitmask: [0x84, "i32"],
      extendLows: [0x87],
      extendHighs: [0x88],
      extendLowu: [0x89],
      extendHighu: [0x8a],
      extaddPairwises: [0x7c],
      extaddPairwiseu: [0x7d],
    },
  ),
  extracts: extract("i32", 0x18),
  extractu: extract("i32", 0x19),
} as const;

export const i32x4 = {
  ...shape(
    "i32x4",
    "i32",
    0x11,
    { replace: 0x1c },
    {
      eq: 0x37,
      ne: 0x38,
      lts: 0x39,
      ltu: 0x3a,
      gts: 0x3b,
      gtu: 0x3c,
      add: 0xae,
      sub: 0xb1,
      mul: 0xb5,
      mins: 0xb6,
      minu: 0xb7,
      maxs: 0xb8,
      maxu: 0xb9,
      dot16s: 0xba,
      extmulLows: 0xbc,
      extmulHighs: 0xbd,
      extmulLowu: 0xbe,
      extmulHighu: 0xbf,
    },
    { shl: 0xab, shrs: 0xac, shru: 0xad },
    {
      abs: [0xa0],
      neg: [0xa1],
      allTrue: [0xa3, "i32"],
      bitmask: [0xa4, "i32"],
      extendLows: [0xa7],
      extendHighs: [0xa8],
      extendLowu: [0xa9],
      extendHighu: [0xaa],
      extaddPairwises: [0x7e],
      extaddPairwiseu: [0x7f],
      /** Saturating, NaN gives 0. */
      truncSats: [0xf8],
      /** Of two f64; the upper lanes are 0. */
      truncSatF64s: [0xfc],
    },
  ),
  extract: extract("i32", 0x1b),
} as const;

export const i64x2 = {
  ...shape(
    "i64x2",
    "i64",
    0x12,
    { replace: 0x1e },
    {
      eq: 0xd6,
      ne: 0xd7,
      lts: 0xd8,
      gts: 0xd9,
      add: 0xce,
      sub: 0xd1,
      mul: 0xd5,
      extmulLows: 0xdc,
      extmulHighs: 0xdd,
      extmulLowu: 0xde,
      extmulHighu: 0xdf,
    },
    { shl: 0xcb, shrs: 0xcc, shru: 0xcd },
    {
      abs: [0xc0],
      neg: [0xc1],
      allTrue: [0xc3, "i32"],
      bitmask: [0xc4, "i32"],
      extendLows: [0xc7],
      extendHighs: [0xc8],
      extendLowu: [0xc9],
      extendHighu: [0xca],
    },
  ),
  extract: extract("i64", 0x1d),
} as const;

const COMPARISONS32 = { eq: 0x41, ne: 0x42, lt: 0x43, gt: 0x44, le: 0x45, ge: 0x46 } as const;
const COMPARISONS64 = { eq: 0x47, ne: 0x48, lt: 0x49, gt: 0x4a, le: 0x4b, ge: 0x4c } as const;

export const f32x4 = {
  ...shape(
    "f32x4",
    "f32",
    0x13,
    { replace: 0x20 },
    { ...COMPARISONS32, add: 0xe4, sub: 0xe5, mul: 0xe6, div: 0xe7, min: 0xe8, max: 0xe9, pmin: 0xea, pmax: 0xeb },
    {},
    {
      abs: [0xe0],
      neg: [0xe1],
      sqrt: [0xe3],
      ceil: [0x67],
      floor: [0x68],
      trunc: [0x69],
      nearest: [0x6a],
      /** Two f64 to the low lanes, the upper ones 0. */
      demote: [0x5e],
      convert32s: [0xfa],
    },
  ),
  extract: extract("f32", 0x1f),
} as const;

export const f64x2 = {
  ...shape(
    "f64x2",
    "f64",
    0x14,
    { replace: 0x22 },
    { ...COMPARISONS64, add: 0xf0, sub: 0xf1, mul: 0xf2, div: 0xf3, min: 0xf4, max: 0xf5, pmin: 0xf6, pmax: 0xf7 },
    {},
    {
      abs: [0xec],
      neg: [0xed],
      sqrt: [0xef],
      ceil: [0x74],
      floor: [0x75],
      trunc: [0x7a],
      nearest: [0x94],
      /** The two low f32. */
      promote: [0x5f],
      /** The two low i32. */
      convert32s: [0xfe],
    },
  ),
  extract: extract("f64", 0x21),
} as const;
