/**
 * State components of the XSAVE feature set: where they lie in an image, and the way from the vCPU's state there and back.
 * Document: SDM volume 1, 10.5.1 (FXSAVE image), 13.1 to 13.6 (components, areas, XINUSE); volume 2, FXSAVE, XSAVE.
 * Left out: AVX: a row of REGISTER_FILES. Supervisor components: IA32_XSS has no bit.
 *
 * An image is an array of u32 words. Its x87 registers are in stack order, its tags by physical register.
 */

import { FPU, FPU_SLOT, FSW_ES } from "./fpu-state.ts";
import type { VcpuState } from "./vcpu-state.ts";

/** Bits of XCR0, XSTATE_BV and the like. */
export const XFEATURE = { x87: 1, sse: 2, avx: 4 } as const;

/** Byte offsets in an image. */
export const AREA = {
  mxcsr: 24,
  st: 32,
  xmm: 160,
  header: 512,
  /** End of the header and start of the extended region. */
  extended: 576,
} as const;
/** Bytes that FXSAVE and FXRSTOR want; the last 96 are the program's own. */
export const FXSAVE_SIZE: number = AREA.header;
/** Words of the header. */
export const HEADER = { xstateBv: 128, xcompBv: 130, end: 144 } as const;
/** XCOMP_BV bit 63, in its upper word: the extended region is compacted. */
export const COMPACTED = 0x8000_0000;

/** Sixteen registers of 16 bytes that are a component, or with their other halves are one. */
export interface RegisterFile {
  readonly feature: number;
  /** In the standard format. */
  readonly offset: number;
  readonly field: number;
}

const FILE_SIZE = 16 * FPU_SLOT;
export const SSE_FILE: RegisterFile = { feature: XFEATURE.sse, offset: AREA.xmm, field: FPU.xmm };
/** All but x87, in the order of their bits. */
export const REGISTER_FILES: readonly RegisterFile[] = [SSE_FILE];
/** What XCR0 may have. */
export const SUPPORTED_XCR0: number = REGISTER_FILES.reduce<number>((all, { feature }) => all | feature, XFEATURE.x87);

/** MXCSR bits that are not reserved: MXCSR_MASK of the image. */
export const MXCSR_MASK = 0xffff;
export const MXCSR_INIT = 0x1f80;
const FCW_INIT = 0x37f;
/** FCW bits that can be written; bit 6 always reads as 1. */
const FCW_WRITABLE = 0x1f3f;
const FCW_ONES = 0x40;
const FSW_B = 0x8000;
const TOP = 0x3800;
const TOP_SHIFT = 11;
const EXCEPTIONS = 0x3f;
const OPCODE = 0x7ff;

/** Bytes of an area with these components. */
export function areaSize(features: number, compacted: boolean): number {
  let end: number = AREA.extended;
  for (const file of REGISTER_FILES) {
    if (file.feature & features) end = Math.max(end, fileOffset(file, features, compacted) + FILE_SIZE);
  }
  return end;
}

/** Where a component lies in an area with these components. */
export function fileOffset(file: RegisterFile, features: number, compacted: boolean): number {
  if (!compacted || file.offset < AREA.extended) return file.offset;
  const before = REGISTER_FILES.filter(
    ({ feature, offset }) => offset >= AREA.extended && feature < file.feature && feature & features,
  );
  return AREA.extended + before.length * FILE_SIZE;
}

/** A value that XCR0 may have (SDM volume 1, 13.3): x87 always, YMM only on top of XMM. */
export function validXcr0(lo: number, hi: number): boolean {
  if (hi !== 0 || lo & ~SUPPORTED_XCR0 || !(lo & XFEATURE.x87)) return false;
  return !(lo & XFEATURE.avx) || (lo & XFEATURE.sse) !== 0;
}

/** x87 words 0 to 5 and the registers. `wide`: pointers of 64 bits in place of 32 and a selector. */
export function saveX87(state: VcpuState, image: Uint32Array, wide: boolean): void {
  const top = state.get(FPU.top);
  image[0] = state.get(FPU.fcw) | ((state.get(FPU.fsw) | (top << TOP_SHIFT)) << 16);
  image[1] = state.get(FPU.tags) | (state.get(FPU.fop) << 16);
  image[2] = state.get(FPU.fip);
  image[3] = wide ? state.high(FPU.fip) : state.get(FPU.fcs);
  image[4] = state.get(FPU.fdp);
  image[5] = wide ? state.high(FPU.fdp) : state.get(FPU.fds);
  for (let i = 0; i < 8; i++) {
    const from = FPU.st + ((top + i) & 7) * FPU_SLOT;
    const to = AREA.st / 4 + i * 4;
    image[to] = state.get(from);
    image[to + 1] = state.high(from);
    image[to + 2] = state.get(from + 8);
    image[to + 3] = 0;
  }
}

/** The caller calls updateFpuTraps() afterwards: an exception may be pending. */
export function loadX87(state: VcpuState, image: Uint32Array, wide: boolean): void {
  const fcw = (image[0]! & FCW_WRITABLE) | FCW_ONES;
  const fsw = image[0]! >>> 16;
  const top = (fsw & TOP) >>> TOP_SHIFT;
  state.set(FPU.fcw, fcw);
  // ES and B say what flags and masks come to, whatever the image has.
  const pending = fsw & ~fcw & EXCEPTIONS ? FSW_ES | FSW_B : 0;
  state.set(FPU.fsw, (fsw & ~(TOP | FSW_ES | FSW_B)) | pending);
  state.set(FPU.top, top);
  state.set(FPU.tags, image[1]! & 0xff);
  state.set(FPU.fop, (image[1]! >>> 16) & OPCODE);
  state.set64(FPU.fip, image[2]!, wide ? image[3]! : 0);
  state.set64(FPU.fdp, image[4]!, wide ? image[5]! : 0);
  state.set(FPU.fcs, wide ? 0 : image[3]! & 0xffff);
  state.set(FPU.fds, wide ? 0 : image[5]! & 0xffff);
  for (let i = 0; i < 8; i++) {
    const to = FPU.st + ((top + i) & 7) * FPU_SLOT;
    const from = AREA.st / 4 + i * 4;
    state.set64(to, image[from]!, image[from + 1]!);
    state.set64(to + 8, image[from + 2]! & 0xffff, 0);
  }
}

/** What FNINIT leaves, and all registers 0. */
export function initX87(state: VcpuState): void {
  state.set(FPU.fcw, FCW_INIT);
  for (const field of [FPU.fsw, FPU.top, FPU.tags, FPU.fop, FPU.fcs, FPU.fds]) state.set(field, 0);
  for (const field of [FPU.fip, FPU.fdp]) state.set64(field, 0, 0);
  state.u8.fill(0, state.zone + FPU.st, state.zone + FPU.st + 8 * FPU_SLOT);
}

function x87InUse(state: VcpuState): boolean {
  if (state.get(FPU.fcw) !== FCW_INIT) return true;
  const fields = [FPU.fsw, FPU.top, FPU.tags, FPU.fop, FPU.fcs, FPU.fds, FPU.fip, FPU.fip + 4, FPU.fdp, FPU.fdp + 4];
  return fields.some((field) => state.get(field) !== 0) || anySet(state, FPU.st, 8);
}

function anySet({ u32, zone }: VcpuState, field: number, registers: number): boolean {
  const at = (zone + field) >>> 2;
  for (let i = 0; i < registers * (FPU_SLOT / 4); i++) if (u32[at + i] !== 0) return true;
  return false;
}

/** The first `count` registers of a file, from byte `offset` of the image on. */
export function saveFile(
  { u32, zone }: VcpuState,
  file: RegisterFile,
  image: Uint32Array,
  offset: number,
  count: number,
): void {
  const from = (zone + file.field) >>> 2;
  for (let i = 0; i < count * 4; i++) image[offset / 4 + i] = u32[from + i]!;
}

export function loadFile(
  { u32, zone }: VcpuState,
  file: RegisterFile,
  image: Uint32Array,
  offset: number,
  count: number,
): void {
  const to = (zone + file.field) >>> 2;
  for (let i = 0; i < count * 4; i++) u32[to + i] = image[offset / 4 + i]!;
}

export function initFile({ u32, zone }: VcpuState, file: RegisterFile, count: number): void {
  const at = (zone + file.field) >>> 2;
  u32.fill(0, at, at + count * 4);
}

/**
 * XINUSE: the components that are not as they are initially, as far as a program sees `count` registers of each file
 * (SDM volume 1, 13.6). MXCSR does not count.
 */
export function inUse(state: VcpuState, count: number): number {
  let used = x87InUse(state) ? XFEATURE.x87 : 0;
  for (const { feature, field } of REGISTER_FILES) if (anySet(state, field, count)) used |= feature;
  return used;
}
