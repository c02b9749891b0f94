/**
 * Vectors of kvm-core/isa/insn/simd-string.ts.
 * Document: SDM volume 2, 4.1 (tables 4-1 to 4-7), PCMPESTRI PCMPESTRM PCMPISTRI PCMPISTRM.
 * Left out: random states: test/host.
 */

import { M, type Row, type State, type Vectors } from "./vectors.ts";

const ALL = "CF PF AF ZF SF OF";
const LOW = (1n << 64n) - 1n;

/** Bytes, the first one lowest, 0 behind them. */
const text = (s: string): bigint => Array.from(s).reduceRight((all, c) => (all << 8n) | BigInt(c.charCodeAt(0)), 0n);
const words = (...all: readonly number[]): bigint =>
  all.reduceRight((sum, word) => (sum << 16n) | BigInt(word & 0xffff), 0n);

type Compare = readonly [a: bigint, b: bigint, imm: number, result: bigint, flags: string];

/** With both strings in registers, and with the second in memory, where it may be misaligned. */
function rows(mnemonic: string, [a, b, imm, result, flags]: Compare, lengths: State = {}): Row[] {
  const after = { [mnemonic.endsWith("i") ? "rcx" : "xmm0"]: result, flags };
  const before = { rcx: -1, flags: ALL, xmm1: a, xmm0: 99, ...lengths };
  return [
    [{ ...before, xmm2: b }, `${mnemonic} xmm1, xmm2, ${imm}`, after],
    [{ ...before, m1: b & LOW, m2: b >> 64n }, `${mnemonic} xmm1, [${M.slice(1, -1)} + 8], ${imm}`, after],
  ];
}

/** Strings that end at a zero, and what is found first, or last. */
const INDICES: readonly Compare[] = [
  // Any of a set.
  [text("aeiou"), text("hello"), 0x00, 1n, "CF ZF SF"],
  [text("aeiou"), text("hello"), 0x40, 4n, "CF ZF SF"],
  [text("aeiou"), text("xyzzyxyzzyxyzzyx"), 0x00, 16n, "SF"],
  [text("xyzzyxyzzyxyzzyx"), text("y"), 0x00, 0n, "CF ZF OF"],
  // Ranges; a half one counts as none.
  [text("az"), text("HELLO wORLD12345"), 0x04, 6n, "CF SF"],
  [text("09az0"), text("--0"), 0x04, 2n, "CF ZF SF"],
  [text("0"), text("0"), 0x04, 16n, "ZF SF"],
  // From -128 to -1, with and without sign.
  [text("\x80\xff"), text("ab\x90"), 0x06, 2n, "CF ZF SF"],
  [text("\xf0\x10"), text("ab\x01"), 0x06, 2n, "CF ZF SF"],
  [text("\xf0\x10"), text("ab\x01"), 0x04, 16n, "ZF SF"],
  // The first difference; behind both ends all is equal.
  [text("same text"), text("same test"), 0x18, 7n, "CF ZF SF"],
  [text("same"), text("same"), 0x18, 16n, "ZF SF"],
  [text("same"), text("same"), 0x08, 0n, "CF ZF SF OF"],
  [text("same"), text("sam"), 0x18, 3n, "CF ZF SF"],
  // A substring; the end of the register may cut it off, the end of the string may not.
  [text("wor"), text("hello world"), 0x0c, 6n, "CF ZF SF"],
  [text("worm"), text("hello, say I wor"), 0x0c, 13n, "CF SF"],
  [text("worm"), text("hello wor"), 0x0c, 16n, "ZF SF"],
  [0n, text("x"), 0x0c, 0n, "CF ZF SF OF"],
  // Negative, for all elements and for those that there are.
  [text("b"), text("bbb"), 0x10, 3n, "CF ZF SF"],
  [text("b"), text("bbb"), 0x30, 16n, "ZF SF"],
  [text("b"), text("bbab"), 0x30, 2n, "CF ZF SF"],
  [text("b"), text("bab"), 0x20, 0n, "CF ZF SF OF"],
  // Words.
  [words(0x100, 0x7fff), words(5, 0x100, 7, 1, 1, 1, 1, 1), 0x01, 1n, "CF SF"],
  [words(0x100), words(5, 7), 0x01, 8n, "ZF SF"],
  [words(-5, 5), words(100, 9, 3), 0x07, 2n, "CF ZF SF"],
  [words(1, 2), words(9, 1, 2, 1, 2, 1, 2, 1), 0x4d, 7n, "CF SF"],
];

const MASKS: readonly Compare[] = [
  [text("aeiou"), text("hello"), 0x00, 0b10010n, "CF ZF SF"],
  [text("aeiou"), text("hello"), 0x40, 0xff_0000_ff00n, "CF ZF SF"],
  [text("aeiou"), text("xoxoxoxoxoxoxoxo"), 0x40, 0xff00_ff00_ff00_ff00_ff00_ff00_ff00_ff00n, "CF SF"],
  [words(3), words(1, 3, 3, 1, 3, 1, 1, 3), 0x01, 0b1001_0110n, "CF SF"],
  [words(3), words(1, 3, 3, 1, 3, 1, 1, 3), 0x41, 0xffff_0000_0000_ffff_0000_ffff_ffff_0000n, "CF SF"],
  [text("z"), text("a"), 0x00, 0n, "ZF SF"],
];

/** The same bytes with lengths: magnitudes, as many as there are elements at most. */
const LENGTHS: readonly (readonly [rax: number, rdx: number, compare: Compare])[] = [
  [5, 5, [text("aeiou"), text("hello"), 0x00, 1n, "CF ZF SF"]],
  [1, 5, [text("aeiou"), text("hello"), 0x00, 16n, "ZF SF"]],
  [-5, -4, [text("aeiou"), text("hello"), 0x40, 1n, "CF ZF SF"]],
  // A zero is a character.
  [16, 16, [0n, 0n, 0x08, 0n, "CF OF"]],
  [0x7fff_ffff, -0x8000_0000, [0n, 0n, 0x00, 0n, "CF OF"]],
  [0, 0, [text("a"), text("a"), 0x00, 16n, "ZF SF"]],
  [0, 3, [text("a"), text("abc"), 0x0c, 0n, "CF ZF SF OF"]],
  [8, 9, [words(1, 2, 3, 4, 5, 6, 7, 8), words(8, 7, 6, 5, 4, 3, 2, 1), 0x41, 7n, "CF OF"]],
];

export const VECTORS: Vectors = {
  both: [
    ...INDICES.flatMap((compare) => rows("pcmpistri", compare)),
    ...MASKS.flatMap((compare) => rows("pcmpistrm", compare)),
    ...LENGTHS.flatMap(([rax, rdx, compare]) => rows("pcmpestri", compare, { rax, rdx })),
    ...rows("pcmpestrm", [text("aeiou"), text("hello"), 0x00, 0b10010n, "CF ZF SF"], { rax: 5, rdx: 5 }),
    ...rows("pcmpestrm", [text("aeiou"), text("hello"), 0x40, 0xff00n, "CF ZF SF"], { rax: 5, rdx: 4 }),
  ],
  only64: [
    // Without REX.W the upper halves of the lengths do not count.
    ...rows("pcmpestri", [text("a"), text("ba"), 0x00, 1n, "CF ZF SF"], { rax: 0x1_0000_0001, rdx: 0x1_0000_0002 }),
    [
      { xmm1: text("a"), xmm2: text("ba"), rax: 0x1_0000_0000, rdx: -0x1_0000_0000 },
      "rex.w pcmpestri xmm1, xmm2, 0x40",
      { rcx: 15, flags: "CF" },
    ],
    [{ xmm9: text("l"), xmm10: text("hello") }, "pcmpistri xmm9, xmm10, 0x40", { rcx: 3, flags: "CF ZF SF" }],
  ],
};
