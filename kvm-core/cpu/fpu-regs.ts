/**
 * KVM_GET/SET_FPU, XSAVE and XCRS on the vCPU state.
 * Document: KVM API, KVM_GET_FPU, KVM_GET_XSAVE, KVM_GET_XCRS and their counterparts; Linux <asm/kvm.h>.
 * Left out: FCS and FDS: as on Linux the pointers of x87 have 64 bits here. Bits 511 to 464 of an image, the program's own.
 */

import type { KvmFpu, KvmXcrs } from "../../shared/ioctls.ts";
import { updateFpuTraps } from "./control.ts";
import { allowedXcr0 } from "./cpuid.ts";
import { FPU, FPU_SLOT } from "./fpu-state.ts";
import { VcpuState } from "./vcpu-state.ts";
import {
  AREA,
  areaSize,
  HEADER,
  initFile,
  initX87,
  inUse,
  loadFile,
  loadX87,
  MXCSR_INIT,
  MXCSR_MASK,
  REGISTER_FILES,
  SSE_FILE,
  SUPPORTED_XCR0,
  saveFile,
  saveX87,
  validXcr0,
  XFEATURE,
} from "./xstate.ts";

/** Bytes of struct kvm_xsave. */
export const XSAVE_BYTES = 4096;
const REGISTERS = 16;
const ST_BYTES = 8 * FPU_SLOT;
const XMM_BYTES = REGISTERS * FPU_SLOT;
const MXCSR_WORD = AREA.mxcsr / 4;

const bytesOf = (image: Uint32Array, offset: number, length: number): Uint8Array =>
  new Uint8Array(image.buffer, offset, length);

export function getFpu(memory: WebAssembly.Memory, zone: number): KvmFpu {
  const state = new VcpuState(memory, zone);
  const image = new Uint32Array(AREA.header / 4);
  saveX87(state, image, true);
  saveFile(state, SSE_FILE, image, AREA.xmm, REGISTERS);
  const pointer = (word: number): bigint => (BigInt(image[word + 1]!) << 32n) | BigInt(image[word]!);
  return {
    fpr: bytesOf(image, AREA.st, ST_BYTES).slice(),
    fcw: image[0]! & 0xffff,
    fsw: image[0]! >>> 16,
    ftwx: image[1]! & 0xff,
    last_opcode: image[1]! >>> 16,
    last_ip: pointer(2),
    last_dp: pointer(4),
    xmm: bytesOf(image, AREA.xmm, XMM_BYTES).slice(),
    mxcsr: state.get(FPU.mxcsr),
  };
}

/** False, with nothing changed, on registers of another size or reserved bits of MXCSR. */
export function setFpu(memory: WebAssembly.Memory, zone: number, fpu: KvmFpu): boolean {
  if (fpu.fpr.length !== ST_BYTES || fpu.xmm.length !== XMM_BYTES || fpu.mxcsr & ~MXCSR_MASK) return false;
  const state = new VcpuState(memory, zone);
  const image = new Uint32Array(AREA.header / 4);
  const half = (value: bigint): [number, number] => [Number(value & 0xffff_ffffn), Number(value >> 32n)];
  image.set([
    fpu.fcw | (fpu.fsw << 16),
    fpu.ftwx | (fpu.last_opcode << 16),
    ...half(fpu.last_ip),
    ...half(fpu.last_dp),
  ]);
  bytesOf(image, AREA.st, ST_BYTES).set(fpu.fpr);
  bytesOf(image, AREA.xmm, XMM_BYTES).set(fpu.xmm);
  loadX87(state, image, true);
  loadFile(state, SSE_FILE, image, AREA.xmm, REGISTERS);
  state.set(FPU.mxcsr, fpu.mxcsr);
  updateFpuTraps(state.u32, zone);
  return true;
}

/** An image in the standard format, with all components that there are. */
export function getXsave(memory: WebAssembly.Memory, zone: number): Uint8Array {
  const state = new VcpuState(memory, zone);
  const image = new Uint32Array(XSAVE_BYTES / 4);
  saveX87(state, image, true);
  image.set([state.get(FPU.mxcsr), MXCSR_MASK], MXCSR_WORD);
  for (const file of REGISTER_FILES) saveFile(state, file, image, file.offset, REGISTERS);
  const used = inUse(state, REGISTERS);
  image[HEADER.xstateBv] = state.get(FPU.mxcsr) === MXCSR_INIT ? used : used | XFEATURE.sse;
  return bytesOf(image, 0, XSAVE_BYTES);
}

/** False, with nothing changed, on an image that no processor with these components restores from. */
export function setXsave(memory: WebAssembly.Memory, zone: number, region: Uint8Array): boolean {
  if (region.length < areaSize(SUPPORTED_XCR0, false) || region.length > XSAVE_BYTES) return false;
  const image = new Uint32Array(XSAVE_BYTES / 4);
  bytesOf(image, 0, region.length).set(region);
  const there = image[HEADER.xstateBv]!;
  const rest = image.subarray(HEADER.xstateBv + 1, HEADER.end);
  if (there & ~SUPPORTED_XCR0 || rest.some((word) => word !== 0)) return false;
  const mxcsr = there & (XFEATURE.sse | XFEATURE.avx) ? image[MXCSR_WORD]! : MXCSR_INIT;
  if (mxcsr & ~MXCSR_MASK) return false;
  const state = new VcpuState(memory, zone);
  if (there & XFEATURE.x87) loadX87(state, image, true);
  else initX87(state);
  for (const file of REGISTER_FILES) {
    if (there & file.feature) loadFile(state, file, image, file.offset, REGISTERS);
    else initFile(state, file, REGISTERS);
  }
  state.set(FPU.mxcsr, mxcsr);
  updateFpuTraps(state.u32, zone);
  return true;
}

export function getXcrs(memory: WebAssembly.Memory, zone: number): KvmXcrs {
  const value = new DataView(memory.buffer).getBigUint64(zone + FPU.xcr0, true);
  return { flags: 0, xcrs: [{ xcr: 0, value }] };
}

/** False where Linux gives EINVAL. Registers other than XCR0 are passed over. */
export function setXcrs(memory: WebAssembly.Memory, zone: number, { flags, xcrs }: KvmXcrs): boolean {
  if (flags !== 0) return false;
  const found = xcrs.find(({ xcr }) => xcr === 0);
  if (found === undefined) return true;
  const lo = Number(found.value & 0xffff_ffffn);
  if (!validXcr0(lo, Number(found.value >> 32n)) || lo & ~allowedXcr0(new Uint32Array(memory.buffer), zone))
    return false;
  new DataView(memory.buffer).setBigUint64(zone + FPU.xcr0, found.value, true);
  return true;
}
