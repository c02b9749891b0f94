/**
 * Vectors of kvm-core/isa/insn/simd-logic.ts.
 * Document: SDM volume 2, PAND PANDN POR PXOR, ANDPS ANDPD ANDNPS ANDNPD ORPS ORPD XORPS XORPD.
 * Left out: nothing.
 */

import { inBoth, type Reference, xmm } from "./simd-rows.ts";
import type { Row, Vectors } from "./vectors.ts";

const named = (name: string, float: string, result: Reference): Row[] => [
  ...inBoth(name, result),
  ...xmm(`${float}ps`, result),
  ...xmm(`${float}pd`, result),
];

export const VECTORS: Vectors = {
  both: [
    ...named("pand", "and", (a, b) => a & b),
    ...named("pandn", "andn", (a, b) => ~a & b),
    ...named("por", "or", (a, b) => a | b),
    ...named("pxor", "xor", (a, b) => a ^ b),
  ],
  only64: [[{ xmm9: 0xf0f0n, xmm14: 0x3c3cn }, "pxor xmm9, xmm14", { xmm9: 0xccccn }]],
};
