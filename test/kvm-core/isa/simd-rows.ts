/**
 * Rows of vectors for instructions on packed lanes: what the manual says of one lane, and the forms that it is said of.
 * Document: SDM volume 2, "Operation" of the instructions in simd-*.vectors.ts.
 * Left out: the rows: simd-*.vectors.ts.
 */

import { M, type Row, type State } from "./vectors.ts";

/** Two registers whose lanes of every width have signs, ends of ranges and equal ones among them. */
export const A = 0x8000_7fff_ff01_00fe_8080_7f7f_0001_ffffn;
export const B = 0x8000_0001_80ff_7f00_8001_7f7f_fffe_00ffn;

export const unsigned = (value: bigint, bits: number): bigint => BigInt.asUintN(bits, value);
export const signed = (value: bigint, bits: number): bigint => BigInt.asIntN(bits, value);
export const lane = (value: bigint, bits: number, i: number): bigint => unsigned(value >> BigInt(bits * i), bits);
/** A vector of `count` lanes. */
export const lanes = (bits: number, count: number, f: (i: number) => bigint): bigint =>
  Array.from({ length: count }, (_, i) => unsigned(f(i), bits) << BigInt(bits * i)).reduce((all, one) => all | one);
/** `value` if it fits, else the end of the range of a signed or unsigned lane. */
export function saturated(value: bigint, bits: number, isSigned: boolean): bigint {
  const high = (1n << BigInt(isSigned ? bits - 1 : bits)) - 1n;
  const low = isSigned ? -high - 1n : 0n;
  return value < low ? low : value > high ? high : value;
}

/** Of destination and source, in registers of `width` bits. */
export type Reference = (a: bigint, b: bigint, width: 64 | 128) => bigint;
/** Lane by lane. */
export const each =
  (bits: number, f: (a: bigint, b: bigint) => bigint): Reference =>
  (a, b, width) =>
    lanes(bits, width / bits, (i) => f(lane(a, bits, i), lane(b, bits, i)));
/** The same on signed lanes. */
export const eachSigned = (bits: number, f: (a: bigint, b: bigint) => bigint): Reference =>
  each(bits, (a, b) => f(signed(a, bits), signed(b, bits)));

/** A vector in memory at DATA. */
export const inMemory = (value: bigint): State => ({ m: unsigned(value, 64), m1: value >> 64n });
const LOW = (1n << 64n) - 1n;

/** What follows the two operands: an immediate, an implied register. */
interface Extra {
  readonly tail?: string;
  readonly before?: State;
  readonly a?: bigint;
  readonly b?: bigint;
  /** Size of the operand in memory, where the assembler wants to know. */
  readonly pointer?: string;
}

/** The form with MMX registers, and the one with memory; all MMX registers are valid then. */
export function mmx(mnemonic: string, result: Reference, extra: Extra = {}): Row[] {
  const { tail = "", before = {}, a = A & LOW, b = B & LOW, pointer = "" } = extra;
  const after = { mm2: result(a, b, 64), tags: 0xff };
  return [
    [{ ...before, mm2: a, mm5: b }, `${mnemonic} mm2, mm5${tail}`, after],
    [{ ...before, mm2: a, ...inMemory(b) }, `${mnemonic} mm2, ${pointer}${M}${tail}`, after],
  ];
}

export function xmm(mnemonic: string, result: Reference, extra: Extra = {}): Row[] {
  const { tail = "", before = {}, a = A, b = B, pointer = "" } = extra;
  const after = { xmm2: result(a, b, 128) };
  return [
    [{ ...before, xmm2: a, xmm5: b }, `${mnemonic} xmm2, xmm5${tail}`, after],
    [{ ...before, xmm2: a, ...inMemory(b) }, `${mnemonic} xmm2, ${pointer}${M}${tail}`, after],
  ];
}

export const inBoth = (mnemonic: string, result: Reference, extra: Extra = {}): Row[] => [
  ...mmx(mnemonic, result, extra),
  ...xmm(mnemonic, result, extra),
];
