/**
 * Vectors of kvm-core/isa/insn/simd-part.ts.
 * Document: SDM volume 2, MOVD MOVQ MOVSS MOVSD MOVLPS MOVLPD MOVHPS MOVHPD MOVHLPS MOVLHPS MOVDDUP MOVSLDUP MOVSHDUP MOVQ2DQ
 * MOVDQ2Q MOVMSKPS MOVMSKPD PMOVMSKB EMMS.
 * Left out: what faults: simd-fault.test.ts.
 */

import { A, B, inMemory, lane, lanes, unsigned, xmm } from "./simd-rows.ts";
import { M, type Row, type Vectors } from "./vectors.ts";

const LOW = unsigned(B, 64);
const HIGH = B >> 64n;
const join = (high: bigint, low: bigint): bigint => (high << 64n) | low;

/** MOVSS and MOVSD: from a register the rest stays, from memory it becomes 0. */
function scalar(mnemonic: string, bits: 32 | 64): Row[] {
  const value = unsigned(B, bits);
  return [
    [{ xmm2: A, xmm5: B }, `${mnemonic} xmm2, xmm5`, { xmm2: ((A >> BigInt(bits)) << BigInt(bits)) | value }],
    [{ xmm2: A, ...inMemory(B) }, `${mnemonic} xmm2, ${M}`, { xmm2: value }],
    [{ xmm2: B, m: -1, m1: 5 }, `${mnemonic} ${M}, xmm2`, { m: unsigned((-1n << BigInt(bits)) | value, 64), m1: 5 }],
  ];
}

const half = (mnemonic: string, loaded: bigint, stored: bigint): Row[] => [
  [{ xmm2: A, m: LOW }, `${mnemonic} xmm2, ${M}`, { xmm2: loaded }],
  [{ xmm2: B, m: -1, m1: 5 }, `${mnemonic} ${M}, xmm2`, { m: stored, m1: 5 }],
];
const withLow = join(A >> 64n, LOW);
const withHigh = join(LOW, unsigned(A, 64));

export const VECTORS: Vectors = {
  both: [
    [{ rax: 0x8899_aabb, mm2: -1 }, "movd mm2, eax", { mm2: 0x8899_aabb, tags: 0xff }],
    [{ m: 0x1_8899_aabbn, mm2: -1 }, `movd mm2, dword ptr ${M}`, { mm2: 0x8899_aabb, tags: 0xff }],
    [{ mm2: 0x1_8899_aabbn, rax: -1 }, "movd eax, mm2", { rax: 0x8899_aabb, tags: 0xff }],
    [{ mm2: 0x1_8899_aabbn, m: -1 }, `movd dword ptr ${M}, mm2`, { m: 0xffff_ffff_8899_aabbn, tags: 0xff }],
    [{ rax: 0x8899_aabb, xmm2: -1 }, "movd xmm2, eax", { xmm2: 0x8899_aabb }],
    [{ m: 0x1_8899_aabbn, xmm2: -1 }, `movd xmm2, dword ptr ${M}`, { xmm2: 0x8899_aabb }],
    [{ xmm2: 0x1_8899_aabbn, rax: -1 }, "movd eax, xmm2", { rax: 0x8899_aabb }],
    [{ xmm2: 0x1_8899_aabbn, m: -1 }, `movd dword ptr ${M}, xmm2`, { m: 0xffff_ffff_8899_aabbn }],
    [{ mm2: 1, mm5: LOW }, "movq mm2, mm5", { mm2: LOW, tags: 0xff }],
    [{ mm2: 1, m: LOW }, `movq mm2, ${M}`, { mm2: LOW, tags: 0xff }],
    [{ mm2: LOW, m: 1 }, `movq ${M}, mm2`, { m: LOW, tags: 0xff }],
    [{ mm2: 1, mm5: LOW }, ".byte 0x0f, 0x7f, 0xea", { mm2: LOW, tags: 0xff }],
    ...xmm("movq", (_, b) => unsigned(b, 64)),
    [{ xmm2: B, m: 1, m1: 5 }, `movq ${M}, xmm2`, { m: LOW, m1: 5 }],
    [{ xmm2: A, xmm5: B }, ".byte 0x66, 0x0f, 0xd6, 0xea", { xmm2: LOW }],
    ...scalar("movss", 32),
    ...scalar("movsd", 64),

    ...half("movlps", withLow, LOW),
    ...half("movlpd", withLow, LOW),
    ...half("movhps", withHigh, HIGH),
    ...half("movhpd", withHigh, HIGH),
    [{ xmm2: A, xmm5: B }, "movhlps xmm2, xmm5", { xmm2: join(A >> 64n, HIGH) }],
    [{ xmm2: A, xmm5: B }, "movlhps xmm2, xmm5", { xmm2: withHigh }],
    [{ xmm2: A }, "movhlps xmm2, xmm2", { xmm2: join(A >> 64n, A >> 64n) }],

    ...xmm("movddup", () => join(LOW, LOW)),
    ...xmm("movsldup", (_, b) => lanes(32, 4, (i) => lane(b, 32, i & 2))),
    ...xmm("movshdup", (_, b) => lanes(32, 4, (i) => lane(b, 32, i | 1))),

    [{ mm5: LOW, xmm2: A, fsw: 0x1800 }, "movq2dq xmm2, mm5", { xmm2: LOW, tags: 0xff, fsw: 0 }],
    [{ xmm5: B, mm2: 1, fsw: 0x1800 }, "movdq2q mm2, xmm5", { mm2: LOW, tags: 0xff, fsw: 0 }],

    [{ xmm5: A, rax: -1 }, "movmskps eax, xmm5", { rax: 0b1110 }],
    [{ xmm5: B, rax: -1 }, "movmskpd eax, xmm5", { rax: 0b11 }],
    [{ mm5: LOW, rax: -1 }, "pmovmskb eax, mm5", { rax: 0b1000_1101, tags: 0xff }],
    [{ xmm5: B, rax: -1 }, "pmovmskb eax, xmm5", { rax: 0b1000_1100_1000_1101 }],

    [{ mm2: 1, mm5: 7, fsw: 0x1800 }, "emms", { mm2: 1, mm5: 7, tags: 0, fsw: 0 }],
  ],
  only64: [
    [{ rax: LOW }, "movq xmm12, rax", { xmm12: LOW }],
    [{ xmm12: B }, "movq rax, xmm12", { rax: LOW }],
    [{ rax: LOW }, "movq mm2, rax", { mm2: LOW }],
    [{ mm2: LOW }, "movq rax, mm2", { rax: LOW }],
    [{ xmm15: B, rax: -1 }, "movmskpd rax, xmm15", { rax: 0b11 }],
  ],
};
