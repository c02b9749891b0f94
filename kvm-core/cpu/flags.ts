/**
 * RFLAGS: its bits, and the two lazy words that arithmetic leaves behind.
 * Document: SDM volume 1, 3.4.3; the words after Bochs' lazy flags (result and carry-out vector).
 * Left out: which instruction sets which flag: that stands in the families, through emit/flags.ts.
 *
 * result: the sign-extended result. ZF: it is 0. SF: its sign, inverted by SD. PF: parity of its low byte xor PDB.
 * aux:    bit 63 CF, bit 62 the carry into the top bit (OF = bit 63 xor bit 62), bit 61 SD, bits 15..8 PDB, bit 3 AF.
 */

import { CPU } from "./state.ts";
import type { VcpuState } from "./vcpu-state.ts";

export const RFLAGS = {
  CF: 1 << 0,
  /** Always one. */
  FIXED: 1 << 1,
  PF: 1 << 2,
  AF: 1 << 4,
  ZF: 1 << 6,
  SF: 1 << 7,
  TF: 1 << 8,
  IF: 1 << 9,
  DF: 1 << 10,
  OF: 1 << 11,
  IOPL: 3 << 12,
  NT: 1 << 14,
  RF: 1 << 16,
  VM: 1 << 17,
  AC: 1 << 18,
  VIF: 1 << 19,
  VIP: 1 << 20,
  ID: 1 << 21,
} as const;

/** control.ts has it too, and needs these flags. */
const CR0_PE = 1;

/** The flags that arithmetic sets; they live in the lazy words, never in CPU.eflags. */
export const ARITHMETIC = RFLAGS.CF | RFLAGS.PF | RFLAGS.AF | RFLAGS.ZF | RFLAGS.SF | RFLAGS.OF;
/** Every flag that exists, without the fixed bit. */
export const ALL_FLAGS =
  ARITHMETIC |
  RFLAGS.TF |
  RFLAGS.IF |
  RFLAGS.DF |
  RFLAGS.IOPL |
  RFLAGS.NT |
  RFLAGS.RF |
  RFLAGS.VM |
  RFLAGS.AC |
  RFLAGS.VIF |
  RFLAGS.VIP |
  RFLAGS.ID;

/** Bit numbers in the aux word. */
export const AUX = { CF: 63, PO: 62, SD: 61, PDB: 8, AF: 3 } as const;

/** RFLAGS bits 31..0, exact, from the vCPU state at linear address `cpu`. */
export function readFlags(u32: Uint32Array, cpu: number): number {
  const lo = u32[(cpu + CPU.flagResult) >>> 2]!;
  const hi = u32[(cpu + CPU.flagResult + 4) >>> 2]!;
  const aux = u32[(cpu + CPU.flagAux) >>> 2]!;
  const top = u32[(cpu + CPU.flagAux + 4) >>> 2]!;
  let flags = u32[(cpu + CPU.eflags) >>> 2]! | RFLAGS.FIXED;
  if (top & 0x8000_0000) flags |= RFLAGS.CF;
  if ((top ^ (top << 1)) & 0x8000_0000) flags |= RFLAGS.OF;
  if ((hi ^ (top << 2)) & 0x8000_0000) flags |= RFLAGS.SF;
  if ((lo | hi) === 0) flags |= RFLAGS.ZF;
  if (aux & (1 << AUX.AF)) flags |= RFLAGS.AF;
  let parity = (lo ^ (aux >>> AUX.PDB)) & 0xff;
  parity ^= parity >>> 4;
  if (!((0x6996 >>> (parity & 15)) & 1)) flags |= RFLAGS.PF;
  return flags >>> 0;
}

/** Sets all of RFLAGS; bits that do not exist are dropped. */
export function writeFlags(u32: Uint32Array, cpu: number, flags: number): void {
  const zero = (flags & RFLAGS.ZF) !== 0;
  // A result of 0 has even parity, a result of 1 odd parity, and both are positive: PDB and SD mend the rest.
  const parityDelta = zero === ((flags & RFLAGS.PF) !== 0) ? 0 : 1 << AUX.PDB;
  const carry = flags & RFLAGS.CF ? 1 : 0;
  const overflow = flags & RFLAGS.OF ? 1 : 0;
  u32[(cpu + CPU.flagResult) >>> 2] = zero ? 0 : 1;
  u32[(cpu + CPU.flagResult + 4) >>> 2] = 0;
  u32[(cpu + CPU.flagAux) >>> 2] = parityDelta | (flags & RFLAGS.AF ? 1 << AUX.AF : 0);
  u32[(cpu + CPU.flagAux + 4) >>> 2] =
    ((carry << 31) | ((carry ^ overflow) << 30) | ((flags & RFLAGS.SF ? 1 : 0) << 29)) >>> 0;
  u32[(cpu + CPU.eflags) >>> 2] = flags & ALL_FLAGS & ~ARITHMETIC;
}

/** Sets RFLAGS bits that POPF and IRET may change at this privilege level (SDM volume 2, POPF and IRET). */
export function popFlags(state: VcpuState, value: number, width: number, fromIret: boolean): void {
  const old = readFlags(state.u32, state.zone);
  const cpl = state.get(CPU.cpl);
  const isVirtual = (old & RFLAGS.VM) !== 0;
  let writable: number = ARITHMETIC | RFLAGS.TF | RFLAGS.DF | RFLAGS.NT | RFLAGS.AC | RFLAGS.ID;
  if (fromIret) writable |= RFLAGS.RF;
  if (fromIret && cpl === 0 && state.get(CPU.cr0) & CR0_PE) writable |= RFLAGS.VIF | RFLAGS.VIP;
  if (cpl <= (old & RFLAGS.IOPL) >>> 12) writable |= RFLAGS.IF;
  if (cpl === 0) writable |= RFLAGS.IOPL;
  if (width === 16) writable &= 0xffff;
  let result: number = (old & ~writable) | (value & writable);
  if (!fromIret) result &= ~RFLAGS.RF;
  if (!fromIret && width !== 16 && !isVirtual) result &= ~(RFLAGS.VIF | RFLAGS.VIP);
  writeFlags(state.u32, state.zone, result);
}
