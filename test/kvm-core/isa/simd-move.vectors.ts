/**
 * Vectors of kvm-core/isa/insn/simd-move.ts.
 * Document: SDM volume 2, MOVAPS MOVAPD MOVUPS MOVUPD MOVDQA MOVDQU LDDQU MOVNTPS MOVNTPD MOVNTDQ MOVNTQ MOVNTDQA MASKMOVQ
 * MASKMOVDQU.
 * Left out: what faults: simd-fault.test.ts.
 */

import { A, B, inMemory, unsigned } from "./simd-rows.ts";
import { M, type Row, type Vectors } from "./vectors.ts";

const STORED = inMemory(A);
const move = (mnemonic: string, ...forms: readonly ("register" | "load" | "store")[]): Row[] => {
  const rows: Record<(typeof forms)[number], Row> = {
    register: [{ xmm2: B, xmm5: A }, `${mnemonic} xmm2, xmm5`, { xmm2: A }],
    load: [{ xmm2: B, ...STORED }, `${mnemonic} xmm2, ${M}`, { xmm2: A }],
    store: [{ xmm2: A }, `${mnemonic} ${M}, xmm2`, STORED],
  };
  return forms.map((form) => rows[form]);
};
const ALL = ["register", "load", "store"] as const;

export const VECTORS: Vectors = {
  both: [
    ...["movaps", "movapd", "movdqa", "movups", "movupd", "movdqu"].flatMap((mnemonic) => move(mnemonic, ...ALL)),
    ...move("lddqu", "load"),
    ...move("movntdqa", "load"),
    ...["movntps", "movntpd", "movntdq"].flatMap((mnemonic) => move(mnemonic, "store")),
    [{ m: 1, m1: 2, m2: 3 }, "movdqu xmm2, [0x300004]", { xmm2: 0x0000_0003_0000_0000_0000_0002_0000_0000n }],
    [{ mm2: 0x0102_0304_0506_0708n }, `movntq ${M}, mm2`, { m: 0x0102_0304_0506_0708n, tags: 0xff }],
    [
      { mm2: 0x1122_3344_5566_7788n, mm5: 0x80ff_7f00_0000_8001n, rdi: 0x30_0000, m: -1 },
      "maskmovq mm2, mm5",
      { m: 0x1122_ffff_ffff_77ffn, tags: 0xff },
    ],
    [
      { xmm2: A, xmm5: 0x80n << 120n, rdi: 0x2f_fff8, m: 0, m1: 7 },
      "maskmovdqu xmm2, xmm5",
      { m: unsigned((A >> 120n) << 56n, 64), m1: 7 },
    ],
  ],
};
