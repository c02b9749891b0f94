/**
 * Moves of whole vectors, and stores of the bytes that a mask chooses.
 * Document: SDM volume 2, MOVAPS MOVAPD MOVUPS MOVUPD MOVDQA MOVDQU LDDQU MOVNTPS MOVNTPD MOVNTDQ MOVNTQ MOVNTDQA MASKMOVQ
 * MASKMOVDQU.
 * Left out: VEX forms; they come with AVX. A non-temporal hint is none here: all memory is write-back.
 */

import type { CpuFeature } from "../../../shared/cpu-features.ts";
import { GPR } from "../../cpu/state.ts";
import type { Emitter, Operand } from "../../emit/emitter.ts";
import { i32 } from "../../wasm/expr.ts";
import { i8x16 } from "../../wasm/simd.ts";
import { type Insn, insn } from "../insn.ts";
import type { File } from "../simd.ts";

const exec = (e: Emitter, dst?: Operand, src?: Operand): void => e.writeV(dst!, e.readV(src!));
const move = (mnemonic: string, unit: File, cpuid: CpuFeature, ...forms: readonly string[]): Insn =>
  insn(mnemonic, { forms, unit, cpuid, exec });
const unaligned = (mnemonic: string, cpuid: CpuFeature, ...forms: readonly string[]): Insn =>
  insn(mnemonic, { forms, unit: "sse", cpuid, unaligned: true, exec });

/**
 * To DS:rDI go the bytes whose mask has bit 7, each by itself: other processors may write the others meanwhile. A fault with no
 * bit set, and for bytes that are not stored, is up to the processor; AMD's raise it, and by then MMX registers are valid.
 */
function maskMove(mnemonic: string, form: string, unit: File, cpuid: CpuFeature, bytes: 8 | 16): Insn {
  return insn(mnemonic, {
    forms: [form],
    unit,
    cpuid,
    string: true,
    exec: (e, src, mask) => {
      const address = e.let(e.sourceAddress(e.gpr(GPR.rdi, e.addressSize), bytes, "write"));
      const bits = i8x16.bitmask(e.readV(mask!));
      if (unit === "mmx") e.enterMmx();
      e.setData(address);
      e.helper("maskMove", e.slot(src!), i32.or(bits, i32.const(bytes << 16)));
    },
  });
}

export const SIMD_MOVE: readonly Insn[] = [
  move("movaps", "sse", "sse", "NP 0F 28 /r Vps,Wps", "NP 0F 29 /r Wps,Vps"),
  move("movapd", "sse", "sse2", "66 0F 28 /r Vpd,Wpd", "66 0F 29 /r Wpd,Vpd"),
  move("movdqa", "sse", "sse2", "66 0F 6F /r Vx,Wx", "66 0F 7F /r Wx,Vx"),
  unaligned("movups", "sse", "NP 0F 10 /r Vps,Wps", "NP 0F 11 /r Wps,Vps"),
  unaligned("movupd", "sse2", "66 0F 10 /r Vpd,Wpd", "66 0F 11 /r Wpd,Vpd"),
  unaligned("movdqu", "sse2", "F3 0F 6F /r Vx,Wx", "F3 0F 7F /r Wx,Vx"),
  unaligned("lddqu", "pni", "F2 0F F0 /r Vx,Mx"),
  move("movntps", "sse", "sse", "NP 0F 2B /r Mps,Vps"),
  move("movntpd", "sse", "sse2", "66 0F 2B /r Mpd,Vpd"),
  move("movntdq", "sse", "sse2", "66 0F E7 /r Mx,Vx"),
  move("movntdqa", "sse", "sse4.1", "66 0F 38 2A /r Vx,Mx"),
  move("movntq", "mmx", "sse", "NP 0F E7 /r Mq,Pq"),
  maskMove("maskmovq", "NP 0F F7 /r Pq,Nq", "mmx", "sse", 8),
  maskMove("maskmovdqu", "66 0F F7 /r Vdq,Udq", "sse", "sse2", 16),
];
