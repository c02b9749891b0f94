/**
 * Control registers and EFER: their bits, and the decode mode that follows from them and the segments.
 * Document: SDM volume 3, 2.5 and 2.2.1; volume 3, 5.2.1 (code segment L and D bits).
 * Left out: bits of features that are not built; writing them gives #GP.
 */

import { ACCESS } from "./access.ts";
import { isFlat, openBounds, segmentBounds } from "./bounds.ts";
import { RFLAGS } from "./flags.ts";
import { FPU, FSW_ES, TRAPS } from "./fpu-state.ts";
import { ATTRIBUTE } from "./segment.ts";
import { CPU, SEG } from "./state.ts";
import { TLB, TLB_CLASS, ZONE } from "./zones.ts";

export const CR0 = {
  PE: 1 << 0,
  MP: 1 << 1,
  EM: 1 << 2,
  TS: 1 << 3,
  ET: 1 << 4,
  NE: 1 << 5,
  WP: 1 << 16,
  AM: 1 << 18,
  NW: 1 << 29,
  CD: 1 << 30,
  PG: 1 << 31,
} as const;
const CR0_BITS = Object.values(CR0).reduce((all, bit) => all | bit, 0);

export const CR4 = {
  VME: 1 << 0,
  PVI: 1 << 1,
  TSD: 1 << 2,
  DE: 1 << 3,
  PSE: 1 << 4,
  PAE: 1 << 5,
  MCE: 1 << 6,
  PGE: 1 << 7,
  OSFXSR: 1 << 9,
  OSXMMEXCPT: 1 << 10,
  PCE: 1 << 8,
  UMIP: 1 << 11,
  FSGSBASE: 1 << 16,
  PCIDE: 1 << 17,
  OSXSAVE: 1 << 18,
  SMEP: 1 << 20,
  SMAP: 1 << 21,
} as const;
const CR4_BITS = Object.values(CR4).reduce((all, bit) => all | bit, 0);

export const EFER = { SCE: 1 << 0, LME: 1 << 8, LMA: 1 << 10, NXE: 1 << 11 } as const;
/** EFER bits that software may write; LMA follows from LME and CR0.PG. */
export const EFER_WRITABLE = EFER.SCE | EFER.LME | EFER.NXE;

/** Physical-address bits (MAXPHYADDR): those above are reserved in CR3 and in paging-structure entries. */
export const PHYSICAL_BITS = 40;
/** CR3 bits 11..0 while CR4.PCIDE is set. */
export const PCID_MASK = 0xfff;

/**
 * The decode mode: what besides the bytes decides what an instruction means. Four bits, part of a block's key.
 * flat: ES CS SS DS begin at 0, take 4 GiB, and the data segments may be read and written: no access needs a check.
 */
export const MODE = { code16: 0, code32: 1, code64: 2, codeSize: 3, stack32: 4, flat: 8 } as const;

const FLAT_SEGMENTS = [SEG.es, SEG.cs, SEG.ss, SEG.ds] as const;

/** A value that MOV CR0 may set: no reserved combination (SDM volume 3, 2.5). */
export function validCr0(lo: number, hi: number): boolean {
  if (hi !== 0) return false;
  if (lo & CR0.PG && !(lo & CR0.PE)) return false;
  return !(lo & CR0.NW && !(lo & CR0.CD));
}

/** Reserved bits of CR0 below bit 32 are ignored on write and ET reads as one. */
export function fixCr0(lo: number): number {
  return ((lo & CR0_BITS) | CR0.ET) >>> 0;
}

export function validCr4(lo: number, hi: number): boolean {
  return hi === 0 && (lo & ~CR4_BITS) === 0;
}

/** A value that MOV CR3 may set; bit 63, which is no bit of CR3, is the caller's to look at. */
export function validCr3(hi: number): boolean {
  return hi >>> (PHYSICAL_BITS - 32) === 0;
}

/** PCIDs need IA-32e mode, and paging stays on while they are enabled (SDM volume 3, 4.10.1). */
export function validPcide(cr0: number, cr4: number, efer: number): boolean {
  return !(cr4 & CR4.PCIDE) || ((cr0 & CR0.PG) !== 0 && (efer & EFER.LMA) !== 0);
}

/** PAE paging is in use, so that the PDPTE registers are (SDM volume 3, 4.4.1). */
export function usesPdptes(cr0: number, cr4: number, efer: number): boolean {
  return (cr0 & CR0.PG) !== 0 && (cr4 & CR4.PAE) !== 0 && (efer & EFER.LMA) === 0;
}

/** Recomputes FPU.traps after CR0, CR4 or the x87 status word changed (SDM volume 3, tables 2-2 and 9-3). */
export function updateFpuTraps(u32: Uint32Array, zone: number): void {
  const cr0 = u32[(zone + CPU.cr0) >>> 2]!;
  const emulated = (cr0 & CR0.EM) !== 0;
  const switched = (cr0 & CR0.TS) !== 0;
  let traps = 0;
  if (emulated || switched) traps |= TRAPS.x87 | TRAPS.mmx | TRAPS.sse;
  if (!(u32[(zone + CPU.cr4) >>> 2]! & CR4.OSFXSR)) traps |= TRAPS.sse;
  if (switched && cr0 & CR0.MP) traps |= TRAPS.wait;
  if (u32[(zone + FPU.fsw) >>> 2]! & FSW_ES) traps |= TRAPS.pending;
  u32[(zone + FPU.traps) >>> 2] = traps;
}

/**
 * Recomputes CPU.mode, CPU.cpl, CPU.bounds, CPU.dataAccess, CPU.tlbBase and FPU.traps after segments, control registers, EFER or
 * RFLAGS.VM or AC changed.
 */
export function updateMode(u32: Uint32Array, zone: number): void {
  const cpu = zone + ZONE.cpu;
  const cs = u32[(cpu + CPU.attributes + SEG.cs * 4) >>> 2]!;
  const ss = u32[(cpu + CPU.attributes + SEG.ss * 4) >>> 2]!;
  const long = (u32[(cpu + CPU.efer) >>> 2]! & EFER.LMA) !== 0;
  const protectedMode = (u32[(cpu + CPU.cr0) >>> 2]! & CR0.PE) !== 0;
  const virtual8086 = (u32[(cpu + CPU.eflags) >>> 2]! & RFLAGS.VM) !== 0;
  const cpl = virtual8086 ? 3 : protectedMode ? (ss & ATTRIBUTE.dpl) >>> 5 : 0;
  let mode: number;
  if (long && cs & ATTRIBUTE.l) {
    // The bounds are open already if the code before was 64-bit code.
    if ((u32[(cpu + CPU.mode) >>> 2]! & MODE.codeSize) !== MODE.code64) openBounds(u32, cpu);
    mode = MODE.code64 | MODE.stack32 | MODE.flat;
  } else {
    segmentBounds(u32, cpu, !protectedMode || virtual8086);
    mode = cs & ATTRIBUTE.db ? MODE.code32 : MODE.code16;
    if (ss & ATTRIBUTE.db) mode |= MODE.stack32;
    if (FLAT_SEGMENTS.every((segment) => isFlat(u32, cpu, segment))) mode |= MODE.flat;
  }
  updateFpuTraps(u32, zone);
  u32[(cpu + CPU.mode) >>> 2] = mode;
  u32[(cpu + CPU.cpl) >>> 2] = cpl;
  const ac = (u32[(cpu + CPU.eflags) >>> 2]! & RFLAGS.AC) !== 0;
  const smap = (u32[(cpu + CPU.cr4) >>> 2]! & CR4.SMAP) !== 0;
  u32[(cpu + CPU.dataAccess) >>> 2] = cpl === 3 ? ACCESS.user : ac ? ACCESS.ac : 0;
  const tlbClass = cpl === 3 ? TLB_CLASS.user : ac && smap ? TLB_CLASS.supervisorAc : TLB_CLASS.supervisor;
  // Alignment is checked where an access comes to TypeScript: then every one has to.
  const aligned = cpl === 3 && ac && (u32[(cpu + CPU.cr0) >>> 2]! & CR0.AM) !== 0;
  const served = u32[(cpu + CPU.tlbSet) >>> 2]! + tlbClass * TLB.classSize;
  u32[(cpu + CPU.tlbBase) >>> 2] = aligned ? zone + ZONE.tlbNever : served;
}
