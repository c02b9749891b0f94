/**
 * Vectors of kvm-core/isa/insn/simd-lane.ts.
 * Document: SDM volume 2, PINSR* PEXTR* INSERTPS EXTRACTPS PBLENDW BLENDPS BLENDPD PBLENDVB BLENDVPS BLENDVPD PTEST.
 * Left out: nothing.
 */

import { A, B, inMemory, lane, lanes, type Reference, unsigned, xmm } from "./simd-rows.ts";
import { ARITHMETIC, M, type Row, type Vectors } from "./vectors.ts";

const VALUE = 0x8899_aabbn;
const POINTERS = { 8: "byte ptr ", 16: "word ptr ", 32: "dword ptr ", 64: "qword ptr " } as const;
type Bits = keyof typeof POINTERS;

const put = (a: bigint, bits: number, count: number, at: number, value: bigint): bigint =>
  lanes(bits, count, (i) => (i === at % count ? value : lane(a, bits, i)));

/** The lane's number is taken modulo how many there are. */
function insert(mnemonic: string, bits: Bits, at: number, register: "xmm2" | "mm2" = "xmm2"): Row[] {
  const count = (register === "mm2" ? 64 : 128) / bits;
  const a = unsigned(A, bits * count);
  const after = { [register]: put(a, bits, count, at, bits === 64 ? VALUE : unsigned(VALUE, bits)) };
  const general = bits === 64 ? "rax" : "eax";
  return [
    [{ [register]: a, rax: VALUE }, `${mnemonic} ${register}, ${general}, ${at}`, after],
    [{ [register]: a, m: VALUE }, `${mnemonic} ${register}, ${POINTERS[bits]}${M}, ${at}`, after],
  ];
}

function extract(mnemonic: string, bits: Bits, at: number, register: "xmm2" | "mm2" = "xmm2"): Row[] {
  const count = (register === "mm2" ? 64 : 128) / bits;
  const value = lane(A, bits, at % count);
  const general = bits === 64 ? "rax" : "eax";
  return [
    [{ [register]: unsigned(A, bits * count), rax: -1 }, `${mnemonic} ${general}, ${register}, ${at}`, { rax: value }],
  ];
}

/** To memory goes the lane and nothing else. */
const store = (mnemonic: string, bits: Bits, at: number): Row => [
  { xmm2: A, m: -1 },
  `${mnemonic} ${POINTERS[bits]}${M}, xmm2, ${at}`,
  { m: unsigned((-1n << BigInt(bits)) | lane(A, bits, at % (128 / bits)), 64) },
];

const blended =
  (bits: number, choices: number): Reference =>
  (a, b) =>
    lanes(bits, 128 / bits, (i) => lane((choices >> i) & 1 ? b : a, bits, i));
const blends = (mnemonic: string, bits: number): Row[] =>
  [0, 1, 0x5a, 0xff].flatMap((choices) => xmm(mnemonic, blended(bits, choices), { tail: `, ${choices}` }));

const MASK = 0x8000_7fff_0080_ff7f_7f80_0000_8000_0001n;
const variable = (mnemonic: string, bits: number): Row[] =>
  xmm(
    mnemonic,
    (a, b) => lanes(bits, 128 / bits, (i) => lane(lane(MASK, bits, i) >> BigInt(bits - 1) ? b : a, bits, i)),
    {
      tail: ", xmm0",
      before: { xmm0: MASK },
    },
  );

/** Bits 7 and 6 of the immediate count only if the source is a register. */
function insertps(n: number): Row[] {
  const after = (source: number): { xmm2: bigint } => {
    const whole = put(A, 32, 4, (n >> 4) & 3, lane(B, 32, source));
    return { xmm2: lanes(32, 4, (i) => ((n >> i) & 1 ? 0n : lane(whole, 32, i))) };
  };
  return [
    [{ xmm2: A, xmm5: B }, `insertps xmm2, xmm5, ${n}`, after(n >> 6)],
    [{ xmm2: A, ...inMemory(B) }, `insertps xmm2, ${M}, ${n}`, after(0)],
  ];
}

const test = (a: bigint, b: bigint, flags: string): Row[] => [
  [{ xmm2: a, xmm5: b, flags: ARITHMETIC }, "ptest xmm2, xmm5", { flags }],
  [{ xmm2: a, ...inMemory(b) }, `ptest xmm2, ${M}`, { flags }],
];

export const VECTORS: Vectors = {
  both: [
    ...[0, 2, 7].flatMap((at) => insert("pinsrw", 16, at, "mm2")),
    ...[0, 5, 14].flatMap((at) => insert("pinsrw", 16, at)),
    ...[0, 11, 0xff].flatMap((at) => insert("pinsrb", 8, at)),
    ...[0, 3, 6].flatMap((at) => insert("pinsrd", 32, at)),
    ...[0, 3, 6].flatMap((at) => extract("pextrw", 16, at, "mm2")),
    ...[0, 3, 15].flatMap((at) => extract("pextrw", 16, at)),
    ...[0, 10, 31].flatMap((at) => [...extract("pextrb", 8, at), store("pextrb", 8, at)]),
    ...[0, 3, 6].flatMap((at) => [...extract("pextrd", 32, at), store("pextrd", 32, at)]),
    ...[1, 3, 4].flatMap((at) => [...extract("extractps", 32, at), store("extractps", 32, at)]),
    ...[0, 5, 0xfa].map((at) => store("pextrw", 16, at)),
    // The encoding of SSE4.1 with a register.
    [{ xmm2: A, rax: -1 }, ".byte 0x66, 0x0f, 0x3a, 0x15, 0xd0, 0x03", { rax: lane(A, 16, 3) }],
    ...[0x00, 0x40, 0xd0, 0xb9, 0x6f].flatMap(insertps),

    ...blends("pblendw", 16),
    ...blends("blendps", 32),
    ...blends("blendpd", 64),
    ...variable("pblendvb", 8),
    ...variable("blendvps", 32),
    ...variable("blendvpd", 64),

    ...test(0xf0n, 0x0fn, "ZF"),
    ...test(0xf0n << 100n, 0x30n << 100n, "CF"),
    ...test(0xf0n << 60n, 0x3fn << 60n, ""),
    ...test(A, 0n, "ZF CF"),
  ],
  only64: [
    ...insert("pinsrq", 64, 1),
    ...insert("pinsrq", 64, 2),
    ...extract("pextrq", 64, 1),
    store("pextrq", 64, 1),
    [{ xmm12: A, rax: -1 }, "pextrb rax, xmm12, 9", { rax: lane(A, 8, 9) }],
  ],
};
