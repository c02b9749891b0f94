/**
 * The state of x87, MMX and SSE of a case as FXSAVE lays it out, which is how the runner has it.
 * Document: SDM volume 1, 10.5.1 (FXSAVE area).
 * Left out: instruction and data pointers of x87: both sides begin with 0, and not-compared.ts says who stores them.
 */

import { type FpuState, FSW, topOf } from "../kvm-core/support/fpu.ts";

export const FXSAVE = { fcw: 0, fsw: 2, tags: 4, mxcsr: 24, st: 32, xmm: 160, size: 512 } as const;
const SLOT = 16;
const LOW = (1n << 64n) - 1n;

/** ES and B follow from flags and masks; the processor makes them so when it loads the state. */
export function consistent(fpu: FpuState): FpuState {
  const summary = fpu.fsw & ~fpu.fcw & FSW.flags ? FSW.ES | FSW.B : 0;
  return { ...fpu, fsw: (fpu.fsw & ~(FSW.ES | FSW.B)) | summary };
}

export function toFxsave(fpu: FpuState, view: DataView, at: number): void {
  view.setUint16(at + FXSAVE.fcw, fpu.fcw, true);
  view.setUint16(at + FXSAVE.fsw, fpu.fsw, true);
  view.setUint8(at + FXSAVE.tags, fpu.tags);
  view.setUint32(at + FXSAVE.mxcsr, fpu.mxcsr, true);
  const put = (slot: number, value: bigint): void => {
    view.setBigUint64(slot, value & LOW, true);
    view.setBigUint64(slot + 8, value >> 64n, true);
  };
  const top = topOf(fpu.fsw);
  fpu.st.forEach((value, i) => {
    put(at + FXSAVE.st + ((i - top) & 7) * SLOT, value);
  });
  fpu.xmm.forEach((value, i) => {
    put(at + FXSAVE.xmm + i * SLOT, value);
  });
}

export function fromFxsave(view: DataView, at: number, registers: number): FpuState {
  const get = (slot: number): bigint => view.getBigUint64(slot, true) | (view.getBigUint64(slot + 8, true) << 64n);
  const fsw = view.getUint16(at + FXSAVE.fsw, true);
  return {
    xmm: Array.from({ length: registers }, (_, i) => get(at + FXSAVE.xmm + i * SLOT)),
    mxcsr: view.getUint32(at + FXSAVE.mxcsr, true),
    st: Array.from({ length: 8 }, (_, i) => BigInt.asUintN(80, get(at + FXSAVE.st + ((i - topOf(fsw)) & 7) * SLOT))),
    fcw: view.getUint16(at + FXSAVE.fcw, true),
    fsw,
    tags: view.getUint8(at + FXSAVE.tags),
  };
}
