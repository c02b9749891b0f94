/**
 * Vectors of kvm-core/isa/insn/simd-crypto.ts.
 * Document: FIPS 197 and 180-4, the examples; SDM volume 2, the operations of the names, worked out by hand.
 * Left out: random states: test/host.
 */

import { M, type Row, type Vectors } from "./vectors.ts";

const STATE = 0x7b5b_5465_7374_5665_6374_6f72_5d53_475dn;
const KEY = 0x4869_2853_6861_7929_5b47_7565_726f_6e5dn;
const A = 0x7654_3210_fedc_ba98_89ab_cdef_0123_4567n;
const B = 0x8bad_f00d_0bad_f00d_cafe_babe_dead_beefn;
const LOW = (1n << 64n) - 1n;

/** With the source in a register, in memory, and equal to the destination's register. */
function rows(operation: string, dst: bigint, src: bigint, result: bigint, tail = "", more = {}): Row[] {
  const memory = { m: src & LOW, m1: src >> 64n };
  return [
    [{ xmm3: dst, xmm5: src, ...more }, `${operation} xmm3, xmm5${tail}`, { xmm3: result, xmm5: src }],
    [{ xmm3: dst, ...memory, ...more }, `${operation} xmm3, ${M}${tail}`, { xmm3: result }],
  ];
}

const BOTH: readonly Row[] = [
  ...rows("aesenc", STATE, KEY, 0xa831_1c2f_9fdb_a3c5_8b10_4b58_ded7_e595n),
  ...rows("aesenclast", STATE, KEY, 0xc7fb_881e_938c_5964_177e_c425_53fd_c611n),
  ...rows("aesdec", STATE, KEY, 0x138a_c342_faea_2787_b58e_b95e_b730_392an),
  ...rows("aesdeclast", STATE, KEY, 0xc5a3_91ef_6b31_7f95_d410_637b_72a5_93d0n),
  ...rows("aesimc", STATE, KEY, 0x597f_8df1_09ef_aa15_f39b_c5a1_19d8_59b6n),
  // The first round key of FIPS 197, appendix A.1.
  ...rows(
    "aeskeygenassist",
    STATE,
    0x3c4f_cf09_8815_f7ab_a6d2_ae28_1615_7e2bn,
    0x01eb_848b_eb84_8a01_3424_b5e5_24b5_e434n,
    ", 1",
  ),
  ...rows("pclmulqdq", STATE, KEY, 0x1d4d_84c8_5c34_40c0_9296_33d5_d36f_0451n, ", 0"),
  ...rows("pclmulqdq", STATE, KEY, 0x1bd1_7c8d_556a_b5a1_7fa5_40ac_2a28_1315n, ", 0x10"),
  ...rows("pclmulqdq", STATE, KEY, 0x1a2b_f6db_3a30_862f_babf_262d_f4b7_d5c9n, ", 1"),
  // Bits that choose nothing.
  ...rows("pclmulqdq", STATE, KEY, 0x1d1e_1f2c_592e_7c45_d66e_e03e_410f_d4edn, ", 0xff"),
  // The longest product there is.
  ...rows("pclmulqdq", LOW, LOW, 0x5555_5555_5555_5555_5555_5555_5555_5555n, ", 0"),
  // FIPS 180-4's example "abc": the first four rounds of SHA-1, the first two of SHA-256.
  ...rows(
    "sha1rnds4",
    0x6745_2301_efcd_ab89_98ba_dcfe_1032_5476n,
    0x2535_4570_0000_0000_0000_0000_0000_0000n,
    0xcdd8_e11b_a139_0f08_6264_14db_c045_bf0cn,
    ", 0",
  ),
  ...rows(
    "sha256rnds2",
    0x3c6e_f372_a54f_f53a_1f83_d9ab_5be0_cd19n,
    0x6a09_e667_bb67_ae85_510e_527f_9b05_688cn,
    0x5a6a_d9ad_5d6a_ebcd_78ce_7989_fa2a_4622n,
    "",
    { xmm0: (0x7137_4491n << 32n) | (0x6162_6380n + 0x428a_2f98n) },
  ),
  ...rows("sha1nexte", A, B, 0xa942_fc91_0bad_f00d_cafe_babe_dead_beefn),
  ...rows("sha1msg1", A, B, 0xffff_ffff_ffff_ffff_0206_3de2_0a8e_b56an),
  ...rows("sha1msg2", A, B, 0xfbf3_843a_6844_004c_ae0c_e600_f5a1_82bbn),
  ...rows("sha256msg1", A, B, 0x2227_4d1b_217e_ee4b_8a2b_df80_3e81_11b3n),
  ...rows("sha256msg2", A, B, 0x11c1_7c59_a6f6_dbcc_cfd1_6dce_4729_1546n),
];

export const VECTORS: Vectors = {
  both: BOTH,
  only64: [
    [{ xmm11: STATE, xmm14: KEY }, "aesenc xmm11, xmm14", { xmm11: 0xa831_1c2f_9fdb_a3c5_8b10_4b58_ded7_e595n }],
    [{ xmm9: LOW }, "pclmulqdq xmm9, xmm9, 0", { xmm9: 0x5555_5555_5555_5555_5555_5555_5555_5555n }],
  ],
};
