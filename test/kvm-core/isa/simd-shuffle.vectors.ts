/**
 * Vectors of kvm-core/isa/insn/simd-shuffle.ts.
 * Document: SDM volume 2, PACK* PUNPCK* UNPCK* PSHUF* SHUFPS SHUFPD PALIGNR PMOVSX* PMOVZX*.
 * Left out: nothing.
 */

import { A, inBoth, lane, lanes, mmx, type Reference, saturated, signed, unsigned, xmm } from "./simd-rows.ts";
import type { Row, Vectors } from "./vectors.ts";

/** Signed lanes of destination, then source, saturated to half their width. */
const packed =
  (bits: 16 | 32, isSigned: boolean): Reference =>
  (a, b, width) => {
    const count = width / bits;
    return lanes(bits / 2, count * 2, (i) => {
      const value = i < count ? lane(a, bits, i) : lane(b, bits, i - count);
      return saturated(signed(value, bits), bits / 2, isSigned);
    });
  };

/** Lanes of destination and source in turn, from the lower or the upper half. */
const unpacked =
  (bits: number, half: 0 | 1): Reference =>
  (a, b, width) => {
    const count = width / bits;
    return lanes(bits, count, (i) => lane(i & 1 ? b : a, bits, (half * count) / 2 + (i >> 1)));
  };

/** Of the source, lane i as bits of the immediate say; those outside `from` to `to` stay. */
const shuffled =
  (bits: number, choices: number, from = 0, to = 16): Reference =>
  (_, b, width) =>
    lanes(bits, width / bits, (i) =>
      lane(b, bits, i < from || i >= to ? i : from + ((choices >> (2 * (i - from))) & 3)),
    );

const bytesBy: Reference = (a, b, width) =>
  lanes(8, width / 8, (i) => {
    const choice = lane(b, 8, i);
    return choice & 0x80n ? 0n : lane(a, 8, Number(choice) % (width / 8));
  });

const aligned =
  (count: number): Reference =>
  (a, b, width) =>
    unsigned(((a << BigInt(width)) | b) >> BigInt(count * 8), width);

const CHOICES = [0x00, 0x1b, 0xe4, 0xff, 0x72];
const choosing = (rows: (choices: number, tail: string) => readonly Row[]): Row[] =>
  CHOICES.flatMap((choices) => rows(choices, `, ${choices}`));

/** The source's lanes of `from` bits, in `to` bits. */
function extended(name: string, from: number, to: number): Row[] {
  const all = (take: (value: bigint, bits: number) => bigint): Reference => {
    return (_, b) => lanes(to, 128 / to, (i) => take(lane(b, from, i), from));
  };
  const b = 0x0180_ff7f_8001_ff80n;
  return [...xmm(`pmovsx${name}`, all(signed), { b }), ...xmm(`pmovzx${name}`, all(unsigned), { b })];
}

export const VECTORS: Vectors = {
  both: [
    ...inBoth("packsswb", packed(16, true)),
    ...inBoth("packssdw", packed(32, true)),
    ...inBoth("packuswb", packed(16, false)),
    ...xmm("packusdw", packed(32, false)),

    ...inBoth("punpcklbw", unpacked(8, 0)),
    ...inBoth("punpcklwd", unpacked(16, 0)),
    ...inBoth("punpckldq", unpacked(32, 0)),
    ...inBoth("punpckhbw", unpacked(8, 1)),
    ...inBoth("punpckhwd", unpacked(16, 1)),
    ...inBoth("punpckhdq", unpacked(32, 1)),
    ...xmm("punpcklqdq", unpacked(64, 0)),
    ...xmm("punpckhqdq", unpacked(64, 1)),
    ...xmm("unpcklps", unpacked(32, 0)),
    ...xmm("unpckhps", unpacked(32, 1)),
    ...xmm("unpcklpd", unpacked(64, 0)),
    ...xmm("unpckhpd", unpacked(64, 1)),

    ...choosing((choices, tail) => [
      ...mmx("pshufw", shuffled(16, choices), { tail }),
      ...xmm("pshuflw", shuffled(16, choices, 0, 4), { tail }),
      ...xmm("pshufhw", shuffled(16, choices, 4), { tail }),
      ...xmm("pshufd", shuffled(32, choices), { tail }),
      ...xmm("shufps", (a, b) => lanes(32, 4, (i) => lane(i < 2 ? a : b, 32, (choices >> (2 * i)) & 3)), { tail }),
      ...xmm("shufpd", (a, b) => lanes(64, 2, (i) => lane(i < 1 ? a : b, 64, (choices >> i) & 1)), { tail }),
    ]),
    ...inBoth("pshufb", bytesBy, { b: 0x7f8f_0010_0102_0f3e_0807_8006_0504_0300n }),
    ...[0, 1, 7, 8, 13, 15, 16, 21, 31, 32, 200, 255].flatMap((count) =>
      inBoth("palignr", aligned(count), { tail: `, ${count}` }),
    ),

    ...extended("bw", 8, 16),
    ...extended("bd", 8, 32),
    ...extended("bq", 8, 64),
    ...extended("wd", 16, 32),
    ...extended("wq", 16, 64),
    ...extended("dq", 32, 64),
    // Two bytes are all that is read: the last ones that there are.
    [{ xmm2: A, m: 0x7f80n << 48n }, "pmovsxbq xmm2, [0x300006]", { xmm2: (0x7fn << 64n) | unsigned(-128n, 64) }],
  ],
};
