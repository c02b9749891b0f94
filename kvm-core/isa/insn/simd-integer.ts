/**
 * Integer arithmetic and comparison of packed lanes, in MMX and XMM registers.
 * Document: SDM volume 2, PADD* PSUB* PMUL* PMADD* PAVG* PMIN* PMAX* PABS* PSIGN* PHADD* PHSUB* PSADBW MPSADBW PHMINPOSUW
 * PCMPEQ* PCMPGT*.
 * Left out: VEX forms; they come with AVX.
 */

import { type Expr, i32 } from "../../wasm/expr.ts";
import { i8x16, i16x8, i32x4, i64x2, v128 } from "../../wasm/simd.ts";
import { type Insn, insn } from "../insn.ts";
import {
  arrange,
  BYTE_NUMBERS,
  bytesOf,
  type Features,
  immediate,
  inBoth,
  type Operation,
  vector,
  ZERO,
} from "../simd.ts";

/** Mnemonic, opcode, meaning. */
type Row = readonly [mnemonic: string, code: string, act: Operation];

/** The even 32-bit lanes, each where extmulLow takes it. */
const even32 = (a: Expr): Expr => v128.shuffle(a, a, [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11]);
const ODD_WORDS = [2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31];

/** Upper halves of products of 16-bit lanes. */
const mulHigh =
  (low: Operation, high: Operation): Operation =>
  (a, b, file, e) =>
    v128.shuffle(low(a, b, file, e), high(a, b, file, e), ODD_WORDS);

/** Neighbours of a followed by b, combined. */
const pairwise =
  (bytes: 2 | 4, act: (even: Expr, odd: Expr) => Expr): Operation =>
  (a, b, file) =>
    act(
      arrange(a, b, file, bytes, (i) => 2 * i),
      arrange(a, b, file, bytes, (i) => 2 * i + 1),
    );

interface Lanes {
  readonly sub: (a: Expr, b: Expr) => Expr;
  readonly eq: (a: Expr, b: Expr) => Expr;
  readonly lts: (a: Expr, b: Expr) => Expr;
}

/** The lane of a with its sign changed where b's is negative, 0 where that is 0. */
const sign =
  (lanes: Lanes): Operation =>
  (a, b, _, e) => {
    const negative = e.let(lanes.lts(b, ZERO));
    return v128.andnot(lanes.sub(v128.xor(a, negative), negative), lanes.eq(b, ZERO));
  };

/** Unsigned bytes of a times signed ones of b; a product fits in 16 bits, the sum of two saturates. */
const maddUnsigned: Operation = (a, b) => {
  const eight = i32.const(8);
  const even = i16x8.mul(
    v128.and(
      a,
      bytesOf((i) => (i & 1 ? 0 : 0xff)),
    ),
    i16x8.shrs(i16x8.shl(b, eight), eight),
  );
  const odd = i16x8.mul(i16x8.shru(a, eight), i16x8.shrs(b, eight));
  return i16x8.addSats(even, odd);
};

/** WebAssembly's saturates -1 * -1 to 0x7fff, this one wraps to 0x8000. */
const mulRounded: Operation = (a, b) => {
  const wraps = i16x8.eq(
    v128.and(a, i16x8.eq(a, b)),
    bytesOf((i) => (i & 1 ? 0x80 : 0)),
  );
  return v128.xor(i16x8.q15mulrSats(a, b), wraps);
};

const absoluteDifference = (a: Expr, b: Expr): Expr => i8x16.sub(i8x16.maxu(a, b), i8x16.minu(a, b));
/** Sums of four bytes each, in 32 bits. */
const sumsOfFour = (a: Expr): Expr => i32x4.extaddPairwiseu(i16x8.extaddPairwiseu(a));

const sumOfDifferences: Operation = (a, b, _, e) => {
  const sums = e.let(sumsOfFour(absoluteDifference(a, b)));
  const LOW32 = v128.const(0x0000_0000_ffff_ffff_0000_0000_ffff_ffffn);
  return v128.and(i64x2.add(sums, i64x2.shru(sums, i32.const(32))), LOW32);
};

/** The smallest 16-bit lane and its number. Keys of lane and number are smallest where the lane is, and comes first. */
const minimumPosition: Operation = (_, b, __, e) => {
  const sixteen = i32.const(16);
  const numbers = (from: number): Expr => bytesOf((i) => (i % 4 === 0 ? from + i / 4 : 0));
  const low = v128.or(i32x4.shl(i32x4.extendLowu(b), sixteen), numbers(0));
  const high = v128.or(i32x4.shl(i32x4.extendHighu(b), sixteen), numbers(4));
  const four = e.let(i32x4.minu(low, high));
  const two = e.let(i32x4.minu(four, v128.shuffle(four, four, [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7])));
  const one = i32x4.minu(two, v128.shuffle(two, two, [4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11]));
  return v128.shuffle(one, ZERO, [2, 3, 0, 1, ...new Array<number>(12).fill(16)]);
};

const MMX: Features = ["mmx", "sse2"];
const SSE: Features = ["sse", "sse2"];
const SSE2: Features = ["sse2", "sse2"];
const SSSE3: Features = ["ssse3", "ssse3"];

const IN_BOTH: readonly (readonly [Features, readonly Row[]])[] = [
  [
    MMX,
    [
      ["paddb", "0F FC", i8x16.add],
      ["paddw", "0F FD", i16x8.add],
      ["paddd", "0F FE", i32x4.add],
      ["paddsb", "0F EC", i8x16.addSats],
      ["paddsw", "0F ED", i16x8.addSats],
      ["paddusb", "0F DC", i8x16.addSatu],
      ["paddusw", "0F DD", i16x8.addSatu],
      ["psubb", "0F F8", i8x16.sub],
      ["psubw", "0F F9", i16x8.sub],
      ["psubd", "0F FA", i32x4.sub],
      ["psubsb", "0F E8", i8x16.subSats],
      ["psubsw", "0F E9", i16x8.subSats],
      ["psubusb", "0F D8", i8x16.subSatu],
      ["psubusw", "0F D9", i16x8.subSatu],
      ["pmullw", "0F D5", i16x8.mul],
      ["pmulhw", "0F E5", mulHigh(i32x4.extmulLows, i32x4.extmulHighs)],
      ["pmaddwd", "0F F5", i32x4.dot16s],
      ["pcmpeqb", "0F 74", i8x16.eq],
      ["pcmpeqw", "0F 75", i16x8.eq],
      ["pcmpeqd", "0F 76", i32x4.eq],
      ["pcmpgtb", "0F 64", i8x16.gts],
      ["pcmpgtw", "0F 65", i16x8.gts],
      ["pcmpgtd", "0F 66", i32x4.gts],
    ],
  ],
  [
    SSE,
    [
      ["pmulhuw", "0F E4", mulHigh(i32x4.extmulLowu, i32x4.extmulHighu)],
      ["pavgb", "0F E0", i8x16.avgru],
      ["pavgw", "0F E3", i16x8.avgru],
      ["pminub", "0F DA", i8x16.minu],
      ["pmaxub", "0F DE", i8x16.maxu],
      ["pminsw", "0F EA", i16x8.mins],
      ["pmaxsw", "0F EE", i16x8.maxs],
      ["psadbw", "0F F6", sumOfDifferences],
    ],
  ],
  [
    SSE2,
    [
      ["paddq", "0F D4", i64x2.add],
      ["psubq", "0F FB", i64x2.sub],
      ["pmuludq", "0F F4", (a, b) => i64x2.extmulLowu(even32(a), even32(b))],
    ],
  ],
  [
    SSSE3,
    [
      ["phaddw", "0F 38 01", pairwise(2, i16x8.add)],
      ["phaddd", "0F 38 02", pairwise(4, i32x4.add)],
      ["phaddsw", "0F 38 03", pairwise(2, i16x8.addSats)],
      ["phsubw", "0F 38 05", pairwise(2, i16x8.sub)],
      ["phsubd", "0F 38 06", pairwise(4, i32x4.sub)],
      ["phsubsw", "0F 38 07", pairwise(2, i16x8.subSats)],
      ["pmaddubsw", "0F 38 04", maddUnsigned],
      ["pmulhrsw", "0F 38 0B", mulRounded],
      ["psignb", "0F 38 08", sign(i8x16)],
      ["psignw", "0F 38 09", sign(i16x8)],
      ["psignd", "0F 38 0A", sign(i32x4)],
      ["pabsb", "0F 38 1C", (_, b) => i8x16.abs(b)],
      ["pabsw", "0F 38 1D", (_, b) => i16x8.abs(b)],
      ["pabsd", "0F 38 1E", (_, b) => i32x4.abs(b)],
    ],
  ],
];

const SSE4_1: readonly Row[] = [
  ["pmuldq", "0F 38 28", (a, b) => i64x2.extmulLows(even32(a), even32(b))],
  ["pmulld", "0F 38 40", i32x4.mul],
  ["pcmpeqq", "0F 38 29", i64x2.eq],
  ["pminsb", "0F 38 38", i8x16.mins],
  ["pminsd", "0F 38 39", i32x4.mins],
  ["pminuw", "0F 38 3A", i16x8.minu],
  ["pminud", "0F 38 3B", i32x4.minu],
  ["pmaxsb", "0F 38 3C", i8x16.maxs],
  ["pmaxsd", "0F 38 3D", i32x4.maxs],
  ["pmaxuw", "0F 38 3E", i16x8.maxu],
  ["pmaxud", "0F 38 3F", i32x4.maxu],
  ["phminposuw", "0F 38 41", minimumPosition],
];

/** Four neighbouring bytes from each of `from` to `from` + 3: what is compared with one group of four. */
const groups = (a: Expr, from: number): Expr =>
  v128.shuffle(
    a,
    a,
    Array.from({ length: 16 }, (_, i) => from + (i >> 2) + (i & 3)),
  );

export const SIMD_INTEGER: readonly Insn[] = [
  ...IN_BOTH.flatMap(([features, rows]) => rows.flatMap(([name, code, act]) => inBoth(name, code, features, act))),
  ...SSE4_1.map(([name, code, act]) => vector(name, `66 ${code} /r Vx,Wx`, "sse", "sse4.1", act)),
  vector("pcmpgtq", "66 0F 38 37 /r Vx,Wx", "sse", "sse4.2", i64x2.gts),
  insn("mpsadbw", {
    forms: ["66 0F 3A 42 /r ib Vx,Wx,Ib"],
    unit: "sse",
    cpuid: "sse4.1",
    exec: (e, dst, src, choice) => {
      const n = e.let(immediate(e, choice!));
      const a = e.readV(dst!);
      const b = e.readV(src!);
      // Bit 2 chooses where in the destination, bits 1 and 0 which group of four in the source.
      const first = i8x16.splat(i32.and(n, i32.const(4)));
      const group = i8x16.splat(i32.shl(i32.and(n, i32.const(3)), i32.const(2)));
      const bytes = e.let(v128.swizzle(a, i8x16.add(BYTE_NUMBERS, first)));
      const four = e.let(
        v128.swizzle(
          b,
          i8x16.add(
            bytesOf((i) => i & 3),
            group,
          ),
        ),
      );
      const sums = (from: number): Expr => sumsOfFour(absoluteDifference(groups(bytes, from), four));
      e.writeV(dst!, i16x8.narrows(sums(0), sums(4)));
    },
  }),
];
