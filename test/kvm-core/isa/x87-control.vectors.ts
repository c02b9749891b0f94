/**
 * Vectors of x87 control, constants, and operations on the top of the stack.
 * Document: SDM volume 2, the instructions of the rows.
 * Left out: environments, and what is raised: test/kvm-core/engine/x87.test.ts.
 */

import { M, type Row, type Vectors } from "./vectors.ts";

const top = (n: number): number => n << 11;
const INDEFINITE = 0xffff_c000_0000_0000_0000n;
const [C0, C1, C2, C3] = [0x100, 0x200, 0x400, 0x4000];
const DOWN = 0x77f;
const UP = 0xb7f;

/** A constant to nearest, down and up. */
const constant = (name: string, nearest: bigint, down: bigint, up: bigint): Row[] =>
  [[0x37f, nearest] as const, [DOWN, down] as const, [UP, up] as const, [0xf7f, down] as const].map(([fcw, st0]) => [
    { fcw },
    name,
    { st0, fsw: top(7), tags: 0x80 },
  ]);

const examined = (value: number | bigint, codes: number): Row => [{ st0: value }, "fxam", { fsw: codes, st0: value }];

/** One operand, or two, for a result that takes the operand's place. */
const unary = (name: string, value: number | bigint, st0: number | bigint, fsw = 0): Row => [
  { st0: value },
  name,
  { st0, fsw },
];
const binary = (name: string, a: number, b: number, st0: number, fsw = 0): Row => [
  { st0: a, st1: b },
  name,
  { st0, fsw },
];

export const VECTORS: Vectors = {
  both: [
    [{ st0: 1 }, "wait; fnop", { st0: 1, fsw: 0, tags: 1 }],
    unary("fchs", 2, -2),
    unary("fchs", 0, -0),
    unary("fabs", -2, 2),
    unary("ftst", -2, -2, C0),
    unary("ftst", 0, 0, C3),
    unary("ftst", Number.NaN, Number.NaN, C3 | C2 | C0 | 1),
    examined(1, C2),
    examined(-1, C2 | C1),
    examined(0, C3),
    examined(Number.NEGATIVE_INFINITY, C2 | C1 | C0),
    examined(Number.NaN, C1 | C0),
    examined(1n, C3 | C2),
    examined(0x3fff_0000_0000_0000_0001n, 0),
    [{}, "fxam", { fsw: C3 | C0 }],

    ...constant("fld1", 0x3fff_8000_0000_0000_0000n, 0x3fff_8000_0000_0000_0000n, 0x3fff_8000_0000_0000_0000n),
    ...constant("fldl2t", 0x4000_d49a_784b_cd1b_8afen, 0x4000_d49a_784b_cd1b_8afen, 0x4000_d49a_784b_cd1b_8affn),
    ...constant("fldl2e", 0x3fff_b8aa_3b29_5c17_f0bcn, 0x3fff_b8aa_3b29_5c17_f0bbn, 0x3fff_b8aa_3b29_5c17_f0bcn),
    ...constant("fldpi", 0x4000_c90f_daa2_2168_c235n, 0x4000_c90f_daa2_2168_c234n, 0x4000_c90f_daa2_2168_c235n),
    ...constant("fldlg2", 0x3ffd_9a20_9a84_fbcf_f799n, 0x3ffd_9a20_9a84_fbcf_f798n, 0x3ffd_9a20_9a84_fbcf_f799n),
    ...constant("fldln2", 0x3ffe_b172_17f7_d1cf_79acn, 0x3ffe_b172_17f7_d1cf_79abn, 0x3ffe_b172_17f7_d1cf_79acn),
    ...constant("fldz", 0n, 0n, 0n),
    [{ st7: 1 }, "fldz", { st0: INDEFINITE, fsw: 0x241 | top(7), tags: 0x80 }],

    [{ st0: 12 }, "fxtract", { st0: 1.5, st1: 3, fsw: top(7), tags: 0x81 }],
    [{ st0: 0 }, "fxtract", { st0: 0, st1: Number.NEGATIVE_INFINITY, fsw: 4 | top(7) }],
    [{}, "fxtract", { st0: INDEFINITE, st1: INDEFINITE, fsw: 0x41 | top(7), tags: 0x81 }],
    [{ st0: 1, st7: 1 }, "fxtract", { st0: INDEFINITE, st1: INDEFINITE, fsw: 0x241 | top(7), tags: 0x81 }],
    // 11 = 3 * 3 + 2 truncated, 4 * 3 - 1 to nearest; C0, C3, C1 are the quotient's bits 2, 1 and 0.
    binary("fprem", 11, 3, 2, C3 | C1),
    binary("fprem1", 11, 3, -1, C0),
    // Too far apart: C2 says that the remainder is not complete.
    [{ st0: 2 ** 100, st1: 3 }, "fprem", { fsw: C2 }],
    [{ st0: 1 }, "fincstp", { st7: 1, fsw: top(1), tags: 1 }],
    [{ st0: 1 }, "fdecstp", { st1: 1, fsw: top(7), tags: 1 }],
    unary("fsqrt", 9, 3),
    unary("fsqrt", -1, INDEFINITE, 1),
    unary("frndint", 2.5, 2, 0x20),
    [{ st0: 2.5, fcw: UP }, "frndint", { st0: 3, fsw: 0x220 }],
    binary("fscale", 3, 2.9, 12),

    // Inexact is what they say of exact results, too.
    unary("f2xm1", 1, 1, 0x20),
    unary("f2xm1", -1, -0.5, 0x20),
    [{ st0: 8, st1: 5 }, "fyl2x", { st0: 15, fsw: 0x20 | top(1), tags: 2 }],
    [{ st0: 0, st1: 5 }, "fyl2xp1", { st0: 0, fsw: top(1), tags: 2 }],
    [{ st0: 1, st1: 0 }, "fpatan", { st0: 0, fsw: top(1), tags: 2 }],
    [{ st0: 0 }, "fptan", { st0: 1, st1: 0, fsw: top(7), tags: 0x81 }],
    [{ st0: 0 }, "fsincos", { st0: 1, st1: 0, fsw: top(7), tags: 0x81 }],
    unary("fsin", 0, 0),
    unary("fcos", 0, 1),
    [{ st0: 2 ** 70, fsw: C1 }, "fsin", { st0: 2 ** 70, fsw: C2 }],
    [{ st7: 1, st0: 1 }, "fptan", { st0: INDEFINITE, st1: INDEFINITE, fsw: 0x241 | top(7) }],
    [{ st0: 1 }, "fyl2x", { st0: INDEFINITE, fsw: 0x41 | top(1), tags: 2 }],
    [{ fcw: 0x37e }, "fsin; fnstsw ax", { rax: 0x80c1, tags: 0 }],

    [{ m: 0xffff }, `fldcw ${M}`, { fcw: 0x1f7f }],
    [{ fcw: 0x77f }, `fnstcw ${M}`, { m: 0x77f }],
    [{ fsw: 0x4700 | top(3) }, "fnstsw ax", { rax: 0x4700 | top(3) }],
    [{ fsw: 0x4700 | top(3) }, `fnstsw ${M}`, { m: 0x4700 | top(3) }],
    // An exception that is flagged already is pending once it is unmasked.
    [{ fsw: 4, m: 0x37b }, `fldcw ${M}; fnstsw ax`, { rax: 0x8084 }],
    [{ fsw: 0xc7ff, fcw: 0x340 }, "fnclex", { fsw: 0x4700 }],
    [{ fsw: 0x8081, fcw: 0x340, st0: 1 }, "fninit", { fcw: 0x37f, fsw: 0, tags: 0, st0: 1 }],
    // FENI, FDISI and FSETPM of old do nothing, and do not wait.
    [{ fsw: 0x8081, fcw: 0x340 }, ".byte 0xdb, 0xe0, 0xdb, 0xe1, 0xdb, 0xe4", { fsw: 0x8081 }],
  ],
  elsewhere: ["fldenv", "fnstenv", "fnsave", "frstor"].map((mnemonic) => ({
    mnemonic,
    file: "test/kvm-core/engine/x87-environment.test.ts",
    reason: "their images are longer than a row",
  })),
};
