/**
 * Vectors of kvm-core/isa/insn/simd-shift.ts.
 * Document: SDM volume 2, PSLLW PSLLD PSLLQ PSRLW PSRLD PSRLQ PSRAW PSRAD PSLLDQ PSRLDQ.
 * Left out: nothing.
 */

import { A, each, eachSigned, inBoth, type Reference, unsigned } from "./simd-rows.ts";
import type { Row, Vectors } from "./vectors.ts";

type Shift = (a: bigint, count: bigint, bits: number) => bigint;
const left: Shift = (a, count) => a << count;
const right: Shift = (a, count) => a >> count;

/** By 0, by some, by all bits and more; the count's upper bits in its quadword count, those beyond do not. */
function shifts(mnemonic: string, bits: number, act: Shift, isSigned = false): Row[] {
  const by = (count: bigint): Reference => {
    const clamped = count < 64n ? count : 64n;
    return (isSigned ? eachSigned : each)(bits, (a) => act(a, clamped, bits));
  };
  const [low, high] = [unsigned(A, 64), A];
  return [
    ...[0n, 5n, BigInt(bits - 1), BigInt(bits), 0x1_0000_0001n, 1n << 63n].flatMap((count) =>
      inBoth(mnemonic, (a, b, width) => by(unsigned(b, 64))(a, b, width), { b: (0xfffn << 64n) | count }),
    ),
    ...[0, 5, bits - 1, bits, 255].flatMap((count): Row[] => [
      [{ mm2: low }, `${mnemonic} mm2, ${count}`, { mm2: by(BigInt(count))(low, 0n, 64), tags: 0xff }],
      [{ xmm2: high }, `${mnemonic} xmm2, ${count}`, { xmm2: by(BigInt(count))(high, 0n, 128) }],
    ]),
  ];
}

const bytes = (mnemonic: string, act: (a: bigint, bits: bigint) => bigint): Row[] =>
  [0, 1, 7, 15, 16, 240, 255].map((count) => [
    { xmm2: A },
    `${mnemonic} xmm2, ${count}`,
    { xmm2: act(A, BigInt(count * 8)) },
  ]);

export const VECTORS: Vectors = {
  both: [
    ...shifts("psllw", 16, left),
    ...shifts("pslld", 32, left),
    ...shifts("psllq", 64, left),
    ...shifts("psrlw", 16, right),
    ...shifts("psrld", 32, right),
    ...shifts("psrlq", 64, right),
    ...shifts("psraw", 16, right, true),
    ...shifts("psrad", 32, right, true),
    ...bytes("pslldq", (a, bits) => unsigned(a << bits, 128)),
    ...bytes("psrldq", (a, bits) => a >> bits),
  ],
};
