/**
 * Vectors of x87 loads, stores, exchanges and conditional moves.
 * Document: SDM volume 2, the instructions of the rows; volume 1, 4.8.3.7 (indefinites), 8.5.
 * Left out: random values: the check against the host's processor, test/host.
 */

import { M, type Row, type Vectors } from "./vectors.ts";

const top = (n: number): number => n << 11;
const INDEFINITE = 0xffff_c000_0000_0000_0000n;
const M8 = "[0x300008]";
const PI = 0x4000_c90f_daa2_2168_c235n;
const low = (value: bigint): bigint => value & 0xffff_ffff_ffff_ffffn;

const load = (code: string, m: bigint | number, st0: bigint | number, m1 = 0n): Row => [
  { m, m1 },
  code,
  { st0, fsw: top(7), tags: 0x80 },
];

/** FST and FSTP, FIST and FISTP: `value` is stored as `m`. */
const stores = (name: string, operand: string, value: bigint | number, m: bigint | number, fsw = 0): Row[] => [
  [{ st0: value }, `${name} ${operand}`, { m, fsw, tags: 1 }],
  [{ st0: value }, `${name}p ${operand}`, { m, fsw: fsw | top(1), tags: 0 }],
];

/** A condition that holds, and one that does not. */
const moves = (name: string, holds: string, not: string): Row[] => [
  [{ st0: 1, st2: 5, flags: holds }, `fcmov${name} st, st(2)`, { st0: 5, st2: 5, fsw: 0, flags: holds }],
  [{ st0: 1, st2: 5, flags: not }, `fcmov${name} st, st(2)`, { st0: 1, fsw: 0 }],
];

export const VECTORS: Vectors = {
  both: [
    load(`fld dword ptr ${M}`, 0x3fc0_0000, 1.5),
    load(`fld qword ptr ${M}`, 0xbff8_0000_0000_0000n, -1.5),
    load(`fld tbyte ptr ${M}`, low(PI), PI, PI >> 64n),
    load(`fild word ptr ${M}`, 0xfffe, -2),
    load(`fild dword ptr ${M}`, 0xffff_fffd, -3),
    load(`fild qword ptr ${M}`, 0x7fff_ffff_ffff_ffffn, 0x403d_ffff_ffff_ffff_fffen),
    load(`fbld tbyte ptr ${M}`, 0x1234n, -1234, 0x8000n),
    [{ st0: 7 }, "fld st(0)", { st0: 7, st1: 7, fsw: top(7), tags: 0x81 }],
    // A signalling NaN becomes quiet in a load of 32 bits, and not in one of 80.
    [{ m: 0x7f80_0001 }, `fld dword ptr ${M}`, { st0: 0x7fff_c000_0100_0000_0000n, fsw: 1 | top(7) }],
    [{ m: low(1n << 63n) | 1n, m1: 0x7fff }, `fld tbyte ptr ${M}`, { st0: 0x7fff_8000_0000_0000_0001n, fsw: top(7) }],
    // Unmasked, nothing is pushed; but a denormal is, as processors do.
    [{ m: 0x7f80_0001, fcw: 0x37e }, `fld dword ptr ${M}; fnstsw ax`, { rax: 0x8081, tags: 0 }],
    [{ m: 1, fcw: 0x37d }, `fld dword ptr ${M}; fnstsw ax`, { st0: 2 ** -149, rax: 0x8082 | top(7), tags: 0x80 }],
    // No room: C1 says that the stack overflowed. An empty register: it does not.
    [{ st7: 1, m: 0 }, `fld dword ptr ${M}`, { st0: INDEFINITE, fsw: 0x241 | top(7), tags: 0x80 }],
    [{ st7: 1, m: 0, fcw: 0x37e }, `fld dword ptr ${M}; fnstsw ax`, { st7: 1, rax: 0x82c1, tags: 0x80 }],
    [{}, "fld st(0)", { st0: INDEFINITE, fsw: 0x41 | top(7), tags: 0x80 }],

    ...stores("fst", `dword ptr ${M}`, 1.5, 0x3fc0_0000),
    ...stores("fst", `qword ptr ${M}`, -1.5, 0xbff8_0000_0000_0000n),
    ...stores("fist", `word ptr ${M}`, 2.5, 2, 0x20),
    ...stores("fist", `dword ptr ${M}`, -3, 0xffff_fffd),
    [{ st0: 2 ** 40 }, `fistp qword ptr ${M}`, { m: 2 ** 40, fsw: top(1), tags: 0 }],
    [{ st0: 2.5, fcw: 0xb7f }, `fistp qword ptr ${M}`, { m: 3, fsw: 0x220 | top(1) }],
    [{ st0: -2.5 }, `fisttp word ptr ${M}`, { m: 0xfffe, fsw: 0x20 | top(1), tags: 0 }],
    [{ st0: 2.5 }, `fisttp dword ptr ${M}`, { m: 2, fsw: 0x20 | top(1) }],
    [{ st0: -2.5 }, `fisttp qword ptr ${M}`, { m: -2, fsw: 0x20 | top(1) }],
    [{ st0: PI, m1: -1 }, `fstp tbyte ptr ${M}`, { m: low(PI), m1: 0xffff_ffff_ffff_4000n, fsw: top(1), tags: 0 }],
    [{ st0: -1234, m1: -1 }, `fbstp tbyte ptr ${M}`, { m: 0x1234, m1: 0xffff_ffff_ffff_8000n, fsw: top(1) }],
    [{ st0: 5 }, "fst st(2)", { st0: 5, st2: 5, fsw: 0, tags: 5 }],
    [{ st0: 5 }, "fstp st(2)", { st1: 5, fsw: top(1), tags: 4 }],
    // Out of range: the integer indefinite, or unmasked nothing.
    [{ st0: 40_000 }, `fistp word ptr ${M}`, { m: 0x8000, fsw: 1 | top(1) }],
    [{ st0: 40_000, m: 7, fcw: 0x37e }, `fistp word ptr ${M}; fnstsw ax`, { m: 7, rax: 0x8081, tags: 1 }],
    [{ st0: 1e18, m: 7, m1: 7 }, `fbstp tbyte ptr ${M}`, { m: 0xc000_0000_0000_0000n, m1: 0xffff, fsw: 1 | top(1) }],
    [{ st0: 1e300, m: 7, fcw: 0x377 }, `fstp dword ptr ${M}; fnstsw ax`, { m: 7, rax: 0x8088, tags: 1 }],
    // An unmasked inexact result is stored, and the exception is pending.
    [{ st0: 2.5, m: 7, fcw: 0x35f }, `fistp dword ptr ${M}; fnstsw ax`, { m: 2, rax: 0x80a0 | top(1), tags: 0 }],
    [{ m: 7 }, `fstp dword ptr ${M}`, { m: 0xffc0_0000, fsw: 0x41 | top(1) }],
    [{ m: 7, m1: 7 }, `fstp tbyte ptr ${M}`, { m: low(INDEFINITE), m1: 0xffff, fsw: 0x41 | top(1) }],
    [{ m: 7, fcw: 0x37e }, `fstp tbyte ptr ${M}; fnstsw ax`, { m: 7, rax: 0x80c1 }],
    [{}, "fst st(2)", { st2: INDEFINITE, fsw: 0x41, tags: 4 }],

    [{ st0: 1, st3: 2 }, "fxch st(3)", { st0: 2, st3: 1, fsw: 0 }],
    [{ st3: 2 }, "fxch st(3)", { st0: 2, st3: INDEFINITE, fsw: 0x41, tags: 9 }],
    [{ st0: 1, st3: 2 }, "ffree st(3)", { st0: 1, fsw: 0, tags: 1 }],
    ...moves("b", "CF", "ZF"),
    ...moves("e", "ZF", "CF"),
    ...moves("be", "ZF", "SF"),
    ...moves("u", "PF", "ZF"),
    ...moves("nb", "ZF", "CF"),
    ...moves("ne", "CF", "ZF"),
    ...moves("nbe", "SF", "CF"),
    ...moves("nu", "ZF", "PF"),
    [{ st0: 1 }, "fcmovb st, st(2)", { st0: INDEFINITE, fsw: 0x41, tags: 1 }],

    // The opcodes that the manual leaves out.
    [{ st0: 1, st3: 2 }, ".byte 0xdf, 0xc3", { fsw: top(1), tags: 0 }],
    [{ st0: 1, st3: 2 }, ".byte 0xdd, 0xcb", { st0: 2, st3: 1 }],
    [{ st0: 1, st3: 2 }, ".byte 0xdf, 0xcb", { st0: 2, st3: 1 }],
    [{ st0: 5 }, ".byte 0xd9, 0xda", { st1: 5, fsw: top(1), tags: 4 }],
    [{ st2: 5 }, ".byte 0xd9, 0xda", { st1: 5, fsw: top(1), tags: 4 }],
    [{ st0: 5 }, ".byte 0xdf, 0xd2", { st1: 5, fsw: top(1), tags: 4 }],
    [{ st0: 5 }, ".byte 0xdf, 0xda", { st1: 5, fsw: top(1), tags: 4 }],
  ],
  only64: [[{ rsi: 0x30_0000, m1: 5 }, `fild word ptr [rsi+8]; fistp dword ptr ${M8}`, { m1: 5, tags: 0 }]],
};
