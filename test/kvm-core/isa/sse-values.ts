/**
 * What vectors of SSE floating point are made of: numbers as bits, vectors of them, operations on them in every shape.
 * Document: SDM volume 1, 4.2.2 (formats), 10.2.3 (MXCSR).
 * Left out: the rows: sse-*.vectors.ts.
 */

import { M, type Row, type State } from "./vectors.ts";

const view = new DataView(new ArrayBuffer(8));

/** Bits of a number; a bigint stands for itself. */
export type Numeral = number | bigint;
export function f32(value: Numeral): bigint {
  if (typeof value === "bigint") return value;
  view.setFloat32(0, value);
  return BigInt(view.getUint32(0));
}
export function f64(value: Numeral): bigint {
  if (typeof value === "bigint") return value;
  view.setFloat64(0, value);
  return view.getBigUint64(0);
}

/** A vector, its lowest element first. */
export const lanes32 = (...values: readonly bigint[]): bigint =>
  values.reduce((all, value, i) => all | (BigInt.asUintN(32, value) << BigInt(32 * i)), 0n);
export const lanes64 = (...values: readonly bigint[]): bigint =>
  values.reduce((all, value, i) => all | (BigInt.asUintN(64, value) << BigInt(64 * i)), 0n);
export const ps = (...values: readonly Numeral[]): bigint => lanes32(...values.map(f32));
export const pd = (...values: readonly Numeral[]): bigint => lanes64(...values.map(f64));

export const IE = 1;
export const DE = 2;
export const ZE = 4;
export const OE = 8;
export const UE = 16;
export const PE = 32;
export const MXCSR = 0x1f80;

export const QNAN32 = 0xffc0_0000n;
export const QNAN64 = 0xfff8_0000_0000_0000n;
/** What the upper part of a register is in rows about one number: it stays. */
const REST = 0x1111_2222_3333_4444_5555_6666_7777_8888n;
const over = (bits: 32 | 64, low: bigint): bigint => ((REST >> BigInt(bits)) << BigInt(bits)) | low;

/** `m` and `m1` for 16 bytes of memory. */
export const memory = (value: bigint): State => ({ m: BigInt.asUintN(64, value), m1: value >> 64n });
export const pointer = (bytes: number): string => `${{ 4: "dword", 8: "qword", 16: "xmmword" }[bytes]} ptr ${M}`;

/** A row whose source is XMM2, and one whose source is memory; the destination is XMM1. `rest` follows the operands. */
export function fromBoth(
  mnemonic: string,
  bytes: number,
  destination: bigint,
  source: bigint,
  after: State,
  rest = "",
  before: State = {},
): Row[] {
  return [
    [{ ...before, xmm1: destination, xmm2: source }, `${mnemonic} xmm1, xmm2${rest}`, { xmm2: source, ...after }],
    [{ ...before, xmm1: destination, ...memory(source) }, `${mnemonic} xmm1, ${pointer(bytes)}${rest}`, after],
  ];
}

/** An operation in its four shapes: four numbers (of pd the first two, of ss and sd the first); `flags` of MXCSR. */
export function everyShape(
  name: string,
  a: readonly number[],
  b: readonly number[],
  result: readonly number[],
  flags: readonly [all: number, firstTwo: number, first: number] = [0, 0, 0],
  rest = "",
): Row[] {
  const mxcsr = (i: 0 | 1 | 2): number => MXCSR | flags[i];
  const two = (values: readonly number[]): bigint => pd(...values.slice(0, 2));
  return [
    ...fromBoth(`${name}ps`, 16, ps(...a), ps(...b), { xmm1: ps(...result), mxcsr: mxcsr(0) }, rest),
    ...fromBoth(`${name}pd`, 16, two(a), two(b), { xmm1: two(result), mxcsr: mxcsr(1) }, rest),
    ...oneNumber(name, a[0]!, b[0]!, result[0]!, flags[2], rest),
  ];
}

/** The two shapes of one number; the rest of the destination stays. */
export function oneNumber(name: string, a: Numeral, b: Numeral, result: Numeral, flags = 0, rest = ""): Row[] {
  const after = (bits: 32 | 64, value: bigint): State => ({ xmm1: over(bits, value), mxcsr: MXCSR | flags });
  return [
    ...fromBoth(`${name}ss`, 4, over(32, f32(a)), over(32, f32(b)), after(32, f32(result)), rest),
    ...fromBoth(`${name}sd`, 8, over(64, f64(a)), over(64, f64(b)), after(64, f64(result)), rest),
  ];
}
