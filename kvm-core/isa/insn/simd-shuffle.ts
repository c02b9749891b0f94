/**
 * Lanes moved about: packing and unpacking, shuffles, alignment, sign and zero extension.
 * Document: SDM volume 2, PACK* PUNPCK* UNPCK* PSHUF* SHUFPS SHUFPD PALIGNR PMOVSX* PMOVZX*.
 * Left out: VEX forms; they come with AVX.
 */

import type { CpuFeature } from "../../../shared/cpu-features.ts";
import type { Emitter, Operand } from "../../emit/emitter.ts";
import { type Expr, i32 } from "../../wasm/expr.ts";
import { i8x16, i16x8, i32x4, i64x2, v128 } from "../../wasm/simd.ts";
import { type Insn, insn } from "../insn.ts";
import {
  arrange,
  BYTE_NUMBERS,
  bytesOf,
  type File,
  immediate,
  inBoth,
  joined,
  type Operation,
  vector,
} from "../simd.ts";

type Binary = (a: Expr, b: Expr) => Expr;
type Unary = (a: Expr) => Expr;

// --- packing and unpacking

const pack =
  (narrow: Binary): Operation =>
  (a, b, file, e) => {
    if (file === "sse") return narrow(a, b);
    const all = e.let(joined(a, b));
    return narrow(all, all);
  };

/** Lanes of the lower or upper halves of both, in turn. */
const interleave =
  (bytes: number, half: "low" | "high"): Operation =>
  (a, b, file) =>
    arrange(a, b, file, bytes, (i, lanes) => (half === "high" ? lanes / 2 : 0) + (i >> 1) + (i & 1) * lanes);

/** Of the lower halves MMX reads 32 bits of memory. */
function unpack(mnemonic: string, code: string, bytes: number, half: "low" | "high"): Insn[] {
  const act = interleave(bytes, half);
  return [
    vector(mnemonic, `NP ${code} /r Pq,${half === "low" ? "Qd" : "Qq"}`, "mmx", "mmx", act),
    vector(mnemonic, `66 ${code} /r Vx,Wx`, "sse", "sse2", act),
  ];
}

// --- shuffles by an immediate

interface Selection {
  /** Bits of the immediate that choose one lane, and how many choices it has. */
  readonly bits: 1 | 2;
  readonly choices: 2 | 4;
  /** Bytes of a lane. */
  readonly bytes: 2 | 4 | 8;
  /** Lanes that are chosen, all if absent, the others stay; they are chosen from lanes from `first` on. */
  readonly first?: number;
  readonly end?: number;
}

/**
 * The numbers of bytes, for swizzle(), that an immediate chooses: lane i by its choice i modulo `choices`. A product moves
 * each lane's choice to one and the same place.
 */
function chosen(number: Expr, { bits, choices, bytes, first = 0, end = 16 / bytes }: Selection): Expr {
  const top = (choices - 1) * bits;
  const lane = (byte: number): number => Math.floor(byte / bytes);
  const isChosen = (byte: number): boolean => lane(byte) >= first && lane(byte) < end;
  const words = (f: (byte: number) => number): Expr => bytesOf((i) => f(i & ~1) >> (8 * (i & 1)));
  const factors = words((i) => 1 << (top - (lane(i) % choices) * bits));
  const masks = words((i) => (isChosen(i) ? (1 << bits) - 1 : 0));
  const choice = v128.and(i16x8.shru(i16x8.mul(i16x8.splat(number), factors), i32.const(top)), masks);
  const start = bytesOf((i) => (isChosen(i) ? first * bytes + (i % bytes) : i));
  return i8x16.add(i16x8.mul(choice, i16x8.splat(i32.const(bytes * 0x0101))), start);
}

function shuffle(mnemonic: string, form: string, unit: File, cpuid: CpuFeature, selection: Selection): Insn {
  return insn(mnemonic, {
    forms: [form],
    unit,
    cpuid,
    exec: (e, dst, src, choices) => {
      const a = e.readV(src!);
      e.writeV(dst!, v128.swizzle(a, chosen(immediate(e, choices!), selection)));
    },
  });
}

/** Lower lanes from the destination, upper ones from the source. */
function shuffleTwo(mnemonic: string, form: string, cpuid: CpuFeature, selection: Selection): Insn {
  return insn(mnemonic, {
    forms: [form],
    unit: "sse",
    cpuid,
    exec: (e, dst, src, choices) => {
      const a = e.readV(dst!);
      const b = e.readV(src!);
      // Numbers of the source's bytes follow those of the destination's.
      const upper = bytesOf((i) => (i < 8 ? 0 : 16));
      const numbers = e.let(i8x16.add(chosen(immediate(e, choices!), selection), upper));
      e.writeV(dst!, v128.swizzleTwo(a, b, numbers));
    },
  });
}

const WORDS = { bits: 2, choices: 4, bytes: 2 } as const;

/** Destination above source, shifted right by bytes. Numbers of bytes beyond both make 0. */
function align(unit: File, cpuid: CpuFeature, form: string): Insn {
  return insn("palignr", {
    forms: [form],
    unit,
    cpuid,
    exec: (e, dst, src, count) => {
      const a = e.readV(dst!);
      const b = e.readV(src!);
      const numbers = e.let(i8x16.addSatu(BYTE_NUMBERS, i8x16.splat(immediate(e, count!))));
      e.writeV(dst!, unit === "mmx" ? v128.swizzle(joined(b, a), numbers) : v128.swizzleTwo(b, a, numbers));
    },
  });
}

/** By the number in each byte of b; bit 7 makes 0. */
const shuffleBytes: Operation = (a, b, file) =>
  v128.swizzle(a, v128.and(b, i8x16.splat(i32.const(file === "mmx" ? 0x87 : 0x8f))));

// --- extension

/** The lower lanes of a register, or of as much memory as they fill. */
function extend(name: string, code: string, memory: "q" | "d" | "w", signed: Unary, unsigned: Unary): Insn[] {
  const one = (prefix: string, opcode: string, act: Unary): Insn =>
    insn(`${prefix}${name}`, {
      forms: [`66 0F 38 ${opcode} /r Vx,W${memory}`],
      unit: "sse",
      cpuid: "sse4.1",
      exec: (e: Emitter, dst?: Operand, src?: Operand) => e.writeV(dst!, act(e.readV(src!))),
    });
  return [one("pmovsx", `2${code}`, signed), one("pmovzx", `3${code}`, unsigned)];
}
const twice =
  (first: Unary, ...then: readonly Unary[]): Unary =>
  (a) =>
    then.reduce((all, act) => act(all), first(a));

export const SIMD_SHUFFLE: readonly Insn[] = [
  ...inBoth("packsswb", "0F 63", ["mmx", "sse2"], pack(i8x16.narrows)),
  ...inBoth("packssdw", "0F 6B", ["mmx", "sse2"], pack(i16x8.narrows)),
  ...inBoth("packuswb", "0F 67", ["mmx", "sse2"], pack(i8x16.narrowu)),
  vector("packusdw", "66 0F 38 2B /r Vx,Wx", "sse", "sse4.1", pack(i16x8.narrowu)),

  ...unpack("punpcklbw", "0F 60", 1, "low"),
  ...unpack("punpcklwd", "0F 61", 2, "low"),
  ...unpack("punpckldq", "0F 62", 4, "low"),
  ...unpack("punpckhbw", "0F 68", 1, "high"),
  ...unpack("punpckhwd", "0F 69", 2, "high"),
  ...unpack("punpckhdq", "0F 6A", 4, "high"),
  vector("punpcklqdq", "66 0F 6C /r Vx,Wx", "sse", "sse2", interleave(8, "low")),
  vector("punpckhqdq", "66 0F 6D /r Vx,Wx", "sse", "sse2", interleave(8, "high")),
  vector("unpcklps", "NP 0F 14 /r Vps,Wps", "sse", "sse", interleave(4, "low")),
  vector("unpckhps", "NP 0F 15 /r Vps,Wps", "sse", "sse", interleave(4, "high")),
  vector("unpcklpd", "66 0F 14 /r Vpd,Wpd", "sse", "sse2", interleave(8, "low")),
  vector("unpckhpd", "66 0F 15 /r Vpd,Wpd", "sse", "sse2", interleave(8, "high")),

  shuffle("pshufw", "NP 0F 70 /r ib Pq,Qq,Ib", "mmx", "sse", { ...WORDS, end: 4 }),
  shuffle("pshuflw", "F2 0F 70 /r ib Vx,Wx,Ib", "sse", "sse2", { ...WORDS, end: 4 }),
  shuffle("pshufhw", "F3 0F 70 /r ib Vx,Wx,Ib", "sse", "sse2", { ...WORDS, first: 4 }),
  shuffle("pshufd", "66 0F 70 /r ib Vx,Wx,Ib", "sse", "sse2", { bits: 2, choices: 4, bytes: 4 }),
  shuffleTwo("shufps", "NP 0F C6 /r ib Vps,Wps,Ib", "sse", { bits: 2, choices: 4, bytes: 4 }),
  shuffleTwo("shufpd", "66 0F C6 /r ib Vpd,Wpd,Ib", "sse2", { bits: 1, choices: 2, bytes: 8 }),
  ...inBoth("pshufb", "0F 38 00", ["ssse3", "ssse3"], shuffleBytes),
  align("mmx", "ssse3", "NP 0F 3A 0F /r ib Pq,Qq,Ib"),
  align("sse", "ssse3", "66 0F 3A 0F /r ib Vx,Wx,Ib"),

  ...extend("bw", "0", "q", i16x8.extendLows, i16x8.extendLowu),
  ...extend("bd", "1", "d", twice(i16x8.extendLows, i32x4.extendLows), twice(i16x8.extendLowu, i32x4.extendLowu)),
  ...extend(
    "bq",
    "2",
    "w",
    twice(i16x8.extendLows, i32x4.extendLows, i64x2.extendLows),
    twice(i16x8.extendLowu, i32x4.extendLowu, i64x2.extendLowu),
  ),
  ...extend("wd", "3", "q", i32x4.extendLows, i32x4.extendLowu),
  ...extend("wq", "4", "d", twice(i32x4.extendLows, i64x2.extendLows), twice(i32x4.extendLowu, i64x2.extendLowu)),
  ...extend("dq", "5", "q", i64x2.extendLows, i64x2.extendLowu),
];
