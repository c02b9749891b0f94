/**
 * Vectors of ROUNDPS and its like in every mode, and of MXCSR's load and store.
 * Document: SDM volume 2B, ROUNDPD (table 4-18); volume 1, 10.2.3 (MXCSR).
 * Left out: reserved bits of MXCSR and unmasked exceptions, which fault: test/host.
 */

import { DE, everyShape, f32, IE, MXCSR, PE } from "./sse-values.ts";
import { M, type Row, type Vectors } from "./vectors.ts";

const OPERAND = [2.5, -0.5, -3.7, 7];
const NONE = [0, 0, 0, 0];
/** By the immediate's low bits. */
const ROUNDED = [
  [2, -0, -4, 7],
  [2, -1, -4, 7],
  [3, -0, -3, 7],
  [2, -0, -3, 7],
];

const one = (before: number, imm: number, operand: bigint, result: bigint, flags: number): Row => [
  { xmm2: operand, mxcsr: before },
  `roundss xmm1, xmm2, ${imm}`,
  { xmm1: result, mxcsr: before | flags },
];

export const VECTORS: Vectors = {
  both: [
    ...ROUNDED.flatMap((result, mode) => [
      ...everyShape("round", NONE, OPERAND, result, [PE, PE, PE], `, ${mode}`),
      ...everyShape("round", NONE, OPERAND, result, [0, 0, 0], `, ${mode | 8}`),
      // As MXCSR says, whatever the low bits are.
      one(MXCSR | (mode << 13), 7, f32(2.5), f32(result[0]!), PE),
      one(MXCSR | PE | (mode << 13), 4, f32(2.5), f32(result[0]!), 0),
    ]),
    // Denormals raise nothing, and are zeros under DAZ.
    one(MXCSR, 2, 1n, f32(1), PE),
    one(MXCSR | 0x40, 2, 1n, 0n, 0),
    one(MXCSR | DE, 0, 0x7f80_0001n, 0x7fc0_0001n, IE),
    [{ m: 0x1234_5678_0000_ffc0n }, `ldmxcsr ${M}`, { mxcsr: 0xffc0 }],
    [{ m: -1n, mxcsr: 0x5fa3 }, `stmxcsr ${M}`, { m: 0xffff_ffff_0000_5fa3n, mxcsr: 0x5fa3 }],
  ],
};
