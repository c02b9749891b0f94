/**
 * Vectors of x87 arithmetic and comparisons.
 * Document: SDM volume 2, the instructions of the rows; volume 1, 8.5 (exceptions).
 * Left out: random values: the check against the host's processor, test/host.
 */

import { M, type Row, type Vectors } from "./vectors.ts";

/** TOP in a status word. */
const top = (n: number): number => n << 11;
const C0 = 0x100;
const C3 = 0x4000;
const UNORDERED = 0x4500;
const F32_2 = 0x4000_0000n;
const F64_2 = 0x4000_0000_0000_0000n;
const ST = { st0: 12, st1: 3 };

/** 12 op 3, and with the operands the other way round, in every kind of operands. */
function arithmetic(name: string, forward: number): Row[] {
  const after = { fsw: 0, tags: 3 };
  const popped = { fsw: top(1), tags: 2 };
  const bare = name.slice(1);
  return [
    [ST, `${name} st, st(1)`, { ...after, st0: forward, st1: 3 }],
    [{ st0: 3, st1: 12 }, `${name} st(1), st`, { ...after, st0: 3, st1: forward }],
    [{ st0: 3, st1: 12 }, `${name}p st(1), st`, { ...popped, st0: forward }],
    [{ st0: 12, m: 0x4040_0000 }, `${name} dword ptr ${M}`, { fsw: 0, st0: forward }],
    [{ st0: 12, m: 0x4008_0000_0000_0000n }, `${name} qword ptr ${M}`, { fsw: 0, st0: forward }],
    [{ st0: 12, m: 3 }, `fi${bare} word ptr ${M}`, { fsw: 0, st0: forward }],
    [{ st0: 12, m: 3 }, `fi${bare} dword ptr ${M}`, { fsw: 0, st0: forward }],
  ];
}

/** 1 compared with 2, which is less. */
const comparison = (name: string, pops: 0 | 1, integer: string): Row[] => [
  [{ st0: 1, m: F32_2 }, `${name} dword ptr ${M}`, { fsw: C0 | top(pops), tags: pops ? 0 : 1 }],
  [{ st0: 2, m: F64_2 }, `${name} qword ptr ${M}`, { fsw: C3 | top(pops) }],
  [{ st0: 3, m: 2 }, `${integer} word ptr ${M}`, { fsw: top(pops) }],
  [{ st0: -1, m: 0xffff_ffff }, `${integer} dword ptr ${M}`, { fsw: C3 | top(pops) }],
];

const flags = (name: string, pops: 0 | 1): Row[] => [
  [{ st0: 1, st1: 2, flags: "ZF OF SF" }, `${name} st, st(1)`, { flags: "CF", fsw: top(pops) }],
  [{ st0: 2, st1: 2 }, `${name} st, st(1)`, { flags: "ZF", fsw: top(pops) }],
  [{ st0: 3, st1: 2, flags: "CF AF" }, `${name} st, st(1)`, { flags: "", fsw: top(pops) }],
];

export const VECTORS: Vectors = {
  both: [
    ...arithmetic("fadd", 15),
    ...arithmetic("fmul", 36),
    ...arithmetic("fsub", 9),
    ...arithmetic("fsubr", -9),
    ...arithmetic("fdiv", 4),
    ...arithmetic("fdivr", 0.25),
    // 1/3 is rounded down to nearest, and up by RC; PC rounds to 24 bits.
    [{ st0: 1, st1: 3 }, "fdiv st, st(1)", { st0: 0x3ffd_aaaa_aaaa_aaaa_aaabn, fsw: 0x220 }],
    [{ st0: 1, st1: 3, fcw: 0x77f }, "fdiv st, st(1)", { st0: 0x3ffd_aaaa_aaaa_aaaa_aaaan, fsw: 0x20 }],
    [{ st0: 1, st1: 3, fcw: 0x7f }, "fdiv st, st(1)", { st0: 0x3ffd_aaaa_ab00_0000_0000n, fsw: 0x220 }],
    [{ st0: 1, st1: 0 }, "fdiv st, st(1)", { st0: Number.POSITIVE_INFINITY, fsw: 4 }],
    // Unmasked, a division by zero leaves the operands, and pops nothing.
    [{ st0: 0, st1: 1, fcw: 0x37b }, "fdivp st(1), st; fnstsw ax", { st0: 0, st1: 1, rax: 0x8084, tags: 3 }],
    // An unmasked overflow delivers a result whose exponent is 24576 less, and pops.
    [
      { st0: 0x7ffe_8000_0000_0000_0000n, st1: 4, fcw: 0x377 },
      "fmulp st(1), st; fnstsw ax",
      { st0: 0x2000_8000_0000_0000_0000n, rax: 0x8088 | top(1), tags: 2 },
    ],
    // Empty registers, masked and unmasked; an empty destination is filled.
    [{ st1: 3 }, "fadd st, st(1)", { st0: Number.NaN, fsw: 0x41, tags: 3 }],
    [{ st0: 3 }, "faddp st(1), st", { st0: Number.NaN, fsw: 0x41 | top(1), tags: 2 }],
    [{ st0: 3, fcw: 0x37e }, "faddp st(1), st; fnstsw ax", { st0: 3, rax: 0x80c1, tags: 1 }],

    ...comparison("fcom", 0, "ficom"),
    ...comparison("fcomp", 1, "ficomp"),
    [{ st0: 1, st3: 2 }, "fcom st(3)", { fsw: C0, tags: 9 }],
    [{ st0: 2, st3: 2 }, "fcomp st(3)", { fsw: C3 | top(1), tags: 8 }],
    [{ st0: 2, st1: 1 }, "fcompp", { fsw: top(2), tags: 0 }],
    [{ st0: 1, st3: 2 }, "fucom st(3)", { fsw: C0, tags: 9 }],
    [{ st0: 1, st3: 2 }, "fucomp st(3)", { fsw: C0 | top(1), tags: 8 }],
    [{ st0: 2, st1: 1 }, "fucompp", { fsw: top(2), tags: 0 }],
    // A quiet NaN is invalid for FCOM, and not for FUCOM.
    [{ st0: Number.NaN, st1: 1 }, "fcom st(1)", { fsw: UNORDERED | 1 }],
    [{ st0: Number.NaN, st1: 1 }, "fucom st(1)", { fsw: UNORDERED }],
    [{ st0: Number.NaN, st1: 1, fcw: 0x37e }, "fcompp; fnstsw ax", { rax: UNORDERED | 0x8081, tags: 3 }],
    [{ st1: 1 }, "fucompp", { fsw: UNORDERED | 0x41 | top(2), tags: 0 }],
    // The opcodes that the manual leaves out.
    [{ st0: 1, st3: 2 }, ".byte 0xdc, 0xd3", { fsw: C0, tags: 9 }],
    [{ st0: 1, st3: 2 }, ".byte 0xdc, 0xdb", { fsw: C0 | top(1), tags: 8 }],
    [{ st0: 1, st3: 2 }, ".byte 0xde, 0xd3", { fsw: C0 | top(1), tags: 8 }],

    ...flags("fcomi", 0),
    ...flags("fcomip", 1),
    ...flags("fucomi", 0),
    ...flags("fucomip", 1),
    [{ st0: Number.NaN, st1: 1 }, "fcomi st, st(1)", { flags: "ZF PF CF", fsw: 1 }],
    [{ st0: Number.NaN, st1: 1 }, "fucomip st, st(1)", { flags: "ZF PF CF", fsw: top(1) }],
    [{ st1: 1 }, "fcomip st, st(1)", { flags: "ZF PF CF", fsw: 0x41 | top(1) }],
  ],
};
