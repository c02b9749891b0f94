/**
 * The state of x87, MMX and SSE of a test machine, as values.
 * Document: SDM volume 1, 8.1 (x87 state), 4.2.2 (the 80-bit format), 9.2 (MMX registers), 10.2.3 (MXCSR).
 * Left out: x87's instruction and data pointers.
 */

import { updateFpuTraps } from "../../../kvm-core/cpu/control.ts";
import { FPU, FPU_SLOT } from "../../../kvm-core/cpu/fpu-state.ts";
import type { Mode, TestMachine } from "./machine.ts";

export interface FpuState {
  /** XMM0 on: sixteen, in 32-bit mode eight. */
  readonly xmm: readonly bigint[];
  readonly mxcsr: number;
  /** 80 bits each, by PHYSICAL register: MMi is the low 64 bits of number i, ST(i) is number (TOP + i) & 7. */
  readonly st: readonly bigint[];
  readonly fcw: number;
  /** With TOP in bits 13 to 11. */
  readonly fsw: number;
  /** Bit i: physical register i is not empty. */
  readonly tags: number;
}

export const MXCSR_DEFAULT = 0x1f80;
export const FCW_DEFAULT = 0x37f;
export const FSW = { flags: 0x3f, ES: 1 << 7, C1: 1 << 9, TOP: 7 << 11, B: 1 << 15 } as const;
const LOW = (1n << 64n) - 1n;

export const topOf = (fsw: number): number => (fsw >> 11) & 7;

/** What nothing has touched yet, after FNINIT. */
export const freshFpu = (mode: Mode): FpuState => ({
  xmm: new Array<bigint>(mode === 64 ? 16 : 8).fill(0n),
  mxcsr: MXCSR_DEFAULT,
  st: new Array<bigint>(8).fill(0n),
  fcw: FCW_DEFAULT,
  fsw: 0,
  tags: 0,
});

export function setFpu({ view, zone }: TestMachine, fpu: FpuState): void {
  const put = (at: number, value: bigint): void => {
    view.setBigUint64(zone + at, value & LOW, true);
    view.setBigUint64(zone + at + 8, value >> 64n, true);
  };
  fpu.xmm.forEach((value, i) => {
    put(FPU.xmm + i * FPU_SLOT, value);
  });
  fpu.st.forEach((value, i) => {
    put(FPU.st + i * FPU_SLOT, value);
  });
  view.setUint32(zone + FPU.mxcsr, fpu.mxcsr, true);
  view.setUint32(zone + FPU.fcw, fpu.fcw, true);
  view.setUint32(zone + FPU.fsw, fpu.fsw & ~FSW.TOP, true);
  view.setUint32(zone + FPU.top, topOf(fpu.fsw), true);
  view.setUint32(zone + FPU.tags, fpu.tags, true);
  view.setUint32(zone + FPU.raised, 0, true);
  updateFpuTraps(new Uint32Array(view.buffer), zone);
}

export function getFpu({ view, zone, mode }: TestMachine): FpuState {
  const get = (at: number): bigint =>
    view.getBigUint64(zone + at, true) | (view.getBigUint64(zone + at + 8, true) << 64n);
  return {
    xmm: Array.from({ length: mode === 64 ? 16 : 8 }, (_, i) => get(FPU.xmm + i * FPU_SLOT)),
    mxcsr: view.getUint32(zone + FPU.mxcsr, true),
    st: Array.from({ length: 8 }, (_, i) => get(FPU.st + i * FPU_SLOT)),
    fcw: view.getUint32(zone + FPU.fcw, true),
    fsw: view.getUint32(zone + FPU.fsw, true) | (view.getUint32(zone + FPU.top, true) << 11),
    tags: view.getUint32(zone + FPU.tags, true),
  };
}

const double = new DataView(new ArrayBuffer(8));

/** A number in x87's 80 bits; NaN is the indefinite. */
export function f80(value: number): bigint {
  double.setFloat64(0, value);
  const bits = double.getBigUint64(0);
  const sign = (bits >> 63n) << 79n;
  const exponent = Number((bits >> 52n) & 0x7ffn);
  const fraction = (bits & ((1n << 52n) - 1n)) << 11n;
  const make = (e: number, significand: bigint): bigint => (BigInt(e) << 64n) | significand;
  if (Number.isNaN(value)) return make(0xffff, 3n << 62n);
  if (exponent === 0x7ff) return sign | make(0x7fff, 1n << 63n);
  if (value === 0) return sign;
  if (exponent !== 0) return sign | make(exponent - 1023 + 16383, (1n << 63n) | fraction);
  // A denormal of double precision is none here.
  const shift = 64 - fraction.toString(2).length;
  return sign | make(1 - 1023 + 16383 - shift, fraction << BigInt(shift));
}
