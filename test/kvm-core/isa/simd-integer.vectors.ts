/**
 * Vectors of kvm-core/isa/insn/simd-integer.ts.
 * Document: SDM volume 2, PADD* PSUB* PMUL* PMADD* PAVG* PMIN* PMAX* PABS* PSIGN* PHADD* PHSUB* PSADBW MPSADBW PHMINPOSUW
 * PCMPEQ* PCMPGT*.
 * Left out: nothing.
 */

import {
  each,
  eachSigned,
  inBoth,
  lane,
  lanes,
  type Reference,
  saturated,
  signed,
  unsigned,
  xmm,
} from "./simd-rows.ts";
import type { Row, Vectors } from "./vectors.ts";

const NAMES = { 8: "b", 16: "w", 32: "d", 64: "q" } as const;
type Bits = keyof typeof NAMES;

/** An operation for several widths of lanes. */
const widths = (make: typeof inBoth, name: string, all: readonly Bits[], result: (bits: Bits) => Reference): Row[] =>
  all.flatMap((bits) => make(name + NAMES[bits], result(bits)));

const smaller = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const absolute = (a: bigint): bigint => (a < 0n ? -a : a);
const truth = (condition: boolean): bigint => (condition ? -1n : 0n);

/** Neighbours, of the destination and then of the source. */
const pairs =
  (bits: number, isSigned: boolean, f: (first: bigint, second: bigint) => bigint): Reference =>
  (a, b, width) => {
    const count = width / bits;
    const at = (i: number): bigint => {
      const value = i < count ? lane(a, bits, i) : lane(b, bits, i - count);
      return isSigned ? signed(value, bits) : value;
    };
    return lanes(bits, count, (i) => f(at(2 * i), at(2 * i + 1)));
  };

/** Sums of products of neighbouring lanes, the destination's taken as `left` says and the source's signed. */
const sums =
  (
    bits: 8 | 16,
    left: (value: bigint, bits: number) => bigint,
    fit: (sum: bigint, bits: number) => bigint,
  ): Reference =>
  (a, b, width) =>
    lanes(bits * 2, width / bits / 2, (i) => {
      const product = (at: number): bigint => left(lane(a, bits, at), bits) * signed(lane(b, bits, at), bits);
      return fit(product(2 * i) + product(2 * i + 1), bits * 2);
    });

/** Products of the even lanes of 32 bits, in 64. */
const products =
  (take: (value: bigint, bits: number) => bigint): Reference =>
  (a, b, width) =>
    lanes(64, width / 64, (i) => take(lane(a, 32, 2 * i), 32) * take(lane(b, 32, 2 * i), 32));

const differences: Reference = (a, b, width) =>
  lanes(64, width / 64, (i) => {
    let sum = 0n;
    for (let at = i * 8; at < i * 8 + 8; at++) sum += absolute(lane(a, 8, at) - lane(b, 8, at));
    return sum;
  });

const groupDifferences =
  (choice: number): Reference =>
  (a, b) =>
    lanes(16, 8, (i) => {
      let sum = 0n;
      for (let j = 0; j < 4; j++) sum += absolute(lane(a, 8, (choice & 4) + i + j) - lane(b, 8, (choice & 3) * 4 + j));
      return sum;
    });

const ALL = [8, 16, 32, 64] as const;
const UP_TO_32 = [8, 16, 32] as const;

export const VECTORS: Vectors = {
  both: [
    ...widths(inBoth, "padd", ALL, (bits) => each(bits, (a, b) => a + b)),
    ...widths(inBoth, "psub", ALL, (bits) => each(bits, (a, b) => a - b)),
    ...widths(inBoth, "padds", [8, 16], (bits) => eachSigned(bits, (a, b) => saturated(a + b, bits, true))),
    ...widths(inBoth, "paddus", [8, 16], (bits) => each(bits, (a, b) => saturated(a + b, bits, false))),
    ...widths(inBoth, "psubs", [8, 16], (bits) => eachSigned(bits, (a, b) => saturated(a - b, bits, true))),
    ...widths(inBoth, "psubus", [8, 16], (bits) => each(bits, (a, b) => saturated(a - b, bits, false))),
    ...widths(inBoth, "pavg", [8, 16], (bits) => each(bits, (a, b) => (a + b + 1n) >> 1n)),
    ...widths(inBoth, "pcmpeq", UP_TO_32, (bits) => each(bits, (a, b) => truth(a === b))),
    ...widths(inBoth, "pcmpgt", UP_TO_32, (bits) => eachSigned(bits, (a, b) => truth(a > b))),
    ...xmm(
      "pcmpeqq",
      each(64, (a, b) => truth(a === b)),
      { a: 5n, b: (5n << 64n) | 5n },
    ),
    ...xmm(
      "pcmpgtq",
      eachSigned(64, (a, b) => truth(a > b)),
    ),

    ...inBoth("pminub", each(8, smaller)),
    ...inBoth("pminsw", eachSigned(16, smaller)),
    ...xmm("pminsb", eachSigned(8, smaller)),
    ...xmm("pminsd", eachSigned(32, smaller)),
    ...xmm("pminuw", each(16, smaller)),
    ...xmm("pminud", each(32, smaller)),
    ...inBoth("pmaxub", each(8, larger)),
    ...inBoth("pmaxsw", eachSigned(16, larger)),
    ...xmm("pmaxsb", eachSigned(8, larger)),
    ...xmm("pmaxsd", eachSigned(32, larger)),
    ...xmm("pmaxuw", each(16, larger)),
    ...xmm("pmaxud", each(32, larger)),

    ...inBoth(
      "pmullw",
      each(16, (a, b) => a * b),
    ),
    ...xmm(
      "pmulld",
      each(32, (a, b) => a * b),
    ),
    ...inBoth(
      "pmulhw",
      eachSigned(16, (a, b) => (a * b) >> 16n),
    ),
    ...inBoth(
      "pmulhuw",
      each(16, (a, b) => (a * b) >> 16n),
    ),
    ...inBoth(
      "pmulhrsw",
      eachSigned(16, (a, b) => (((a * b) >> 14n) + 1n) >> 1n),
    ),
    ...inBoth("pmuludq", products(unsigned)),
    ...xmm("pmuldq", products(signed)),
    ...inBoth(
      "pmaddwd",
      sums(16, signed, (sum) => sum),
      { a: 0x8000_8000_7fff_8000n, b: 0x8000_8000_7fff_7fffn },
    ),
    ...inBoth(
      "pmaddubsw",
      sums(8, unsigned, (sum, bits) => saturated(sum, bits, true)),
      {
        a: 0xffff_ff01_0203_ffffn,
        b: 0x7f7f_8080_8005_807fn,
      },
    ),

    ...widths(inBoth, "pabs", UP_TO_32, (bits) => eachSigned(bits, (_, b) => absolute(b))),
    ...widths(inBoth, "psign", UP_TO_32, (bits) => eachSigned(bits, (a, b) => (b < 0n ? -a : b === 0n ? 0n : a))),
    ...widths(inBoth, "phadd", [16, 32], (bits) => pairs(bits, false, (a, b) => a + b)),
    ...widths(inBoth, "phsub", [16, 32], (bits) => pairs(bits, false, (a, b) => a - b)),
    ...inBoth(
      "phaddsw",
      pairs(16, true, (a, b) => saturated(a + b, 16, true)),
    ),
    ...inBoth(
      "phsubsw",
      pairs(16, true, (a, b) => saturated(a - b, 16, true)),
    ),
    ...inBoth("psadbw", differences),
    ...[0, 3, 6, 0xf9].flatMap((choice) => xmm("mpsadbw", groupDifferences(choice), { tail: `, ${choice}` })),
    ...xmm("phminposuw", () => 0x2_0001n, { b: 0x0009_0008_0007_0001_0002_0001_0005_8000n | (2n << 48n) }),
    ...xmm("phminposuw", () => 0x7_0000n, { b: 0x0000_ffff_0007_0001_0002_0001_0005_8000n }),
  ],
};
