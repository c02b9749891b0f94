/**
 * Compares x87, MMX and SSE state, as exactly as not-compared.ts lets, and makes such state simpler.
 * Document: SDM volume 1, 4.2.2 and 8.2 (formats); fpu-case.ts.
 * Left out: general registers, flags and memory: compare.ts.
 */

import { FCW_DEFAULT, type FpuState, FSW, MXCSR_DEFAULT, topOf } from "../kvm-core/support/fpu.ts";
import { consistent } from "./fpu-case.ts";
import type { Looseness } from "./not-compared.ts";

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

const single = new DataView(new ArrayBuffer(4));
function float32(bits: number): number {
  single.setUint32(0, bits);
  return single.getFloat32(0);
}

/** Are two registers the same but for the error that each lane of 32 bits may have? */
function nearLanes(a: bigint, b: bigint, relative: number): boolean {
  for (let shift = 0n; shift < 128n; shift += 32n) {
    const [x, y] = [Number((a >> shift) & 0xffff_ffffn), Number((b >> shift) & 0xffff_ffffn)];
    if (x === y) continue;
    const [p, q] = [float32(x), float32(y)];
    if (!(Math.abs(p - q) <= Math.abs(p) * 2 ** -relative)) return false;
  }
  return true;
}

const EXPONENT = 0x7fffn;
/** Are two 80-bit values `ulps` or less apart? With exponent and significand as one number neighbours are adjacent. */
function nearReal(a: bigint, b: bigint, ulps: number): boolean {
  if (a === b) return true;
  const isNumber = (value: bigint): boolean => ((value >> 64n) & EXPONENT) !== EXPONENT;
  if (a >> 79n !== b >> 79n || !isNumber(a) || !isNumber(b)) return false;
  // Without the integer bit, which is 1 in all but denormals.
  const place = (value: bigint): bigint => (((value >> 64n) & EXPONENT) << 63n) | (value & 0x7fff_ffff_ffff_ffffn);
  const distance = place(a) - place(b);
  return (distance < 0n ? -distance : distance) <= BigInt(ulps);
}

/** One line for each thing that differs. */
export function fpuDifferences(host: FpuState, guest: FpuState, loose: Looseness = {}): string[] {
  const lines: string[] = [];
  const check = (what: string, a: bigint | number, b: bigint | number, same = a === b): void => {
    if (!same) lines.push(`${what}: host ${hex(a)}, guest ${hex(b)}`);
  };
  const { relative, ulps, fsw = 0 } = loose;
  host.xmm.forEach((a, i) => {
    const b = guest.xmm[i]!;
    check(`xmm${i}`, a, b, relative === undefined ? a === b : nearLanes(a, b, relative));
  });
  check("mxcsr", host.mxcsr, guest.mxcsr);
  check("fcw", host.fcw, guest.fcw);
  const looksAt = 0xffff & ~FSW.TOP & ~fsw;
  check("fsw", host.fsw & looksAt, guest.fsw & looksAt);
  check("top", topOf(host.fsw), topOf(guest.fsw));
  check("tags", host.tags, guest.tags);
  host.st.forEach((a, i) => {
    const b = guest.st[i]!;
    check(`r${i} (mm${i}, st${(i - topOf(host.fsw)) & 7})`, a, b, ulps === undefined ? a === b : nearReal(a, b, ulps));
  });
  return lines;
}

/** States with one thing less in them, as functions of the best that there is. */
export const SIMPLER: readonly ((fpu: FpuState) => FpuState)[] = [
  (fpu) => ({ ...fpu, mxcsr: MXCSR_DEFAULT }),
  (fpu) => ({ ...fpu, mxcsr: fpu.mxcsr & ~FSW.flags }),
  (fpu) => consistent({ ...fpu, fcw: FCW_DEFAULT }),
  (fpu) => consistent({ ...fpu, fsw: 0 }),
  (fpu) => consistent({ ...fpu, fsw: fpu.fsw & FSW.TOP }),
  (fpu) => ({ ...fpu, tags: 0xff }),
  (fpu) => ({ ...fpu, tags: 0 }),
  ...Array.from(
    { length: 16 },
    (_, i) =>
      (fpu: FpuState): FpuState => ({
        ...fpu,
        xmm: fpu.xmm.map((value, r) => (r === i ? 0n : value)),
      }),
  ),
  ...Array.from(
    { length: 16 },
    (_, i) =>
      (fpu: FpuState): FpuState => ({
        ...fpu,
        xmm: fpu.xmm.map((value, r) => (r === i ? value & ((1n << 64n) - 1n) : value)),
      }),
  ),
  ...Array.from(
    { length: 8 },
    (_, i) =>
      (fpu: FpuState): FpuState => ({
        ...fpu,
        st: fpu.st.map((value, r) => (r === i ? 0n : value)),
      }),
  ),
];

export const sameFpu = (a: FpuState, b: FpuState): boolean => fpuDifferences(a, b).length === 0;

/** Registers that are not 0, and the control words. */
export function fpuText(fpu: FpuState): string {
  const some = (name: string, values: readonly bigint[]): string[] =>
    values.flatMap((value, i) => (value === 0n ? [] : [`${name}${i}=${hex(value)}`]));
  const control = `mxcsr=${hex(fpu.mxcsr)} fcw=${hex(fpu.fcw)} fsw=${hex(fpu.fsw)} tags=${hex(fpu.tags)}`;
  return [control, ...some("xmm", fpu.xmm), ...some("r", fpu.st)].join(" ");
}
