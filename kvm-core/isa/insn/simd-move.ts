/**
 * Moves of whole vectors.
 * Document: SDM volume 2, MOVAPS MOVAPD MOVUPS MOVUPD MOVDQA MOVDQU.
 * Left out: VEX forms; they come with AVX.
 */

import type { Emitter, Operand } from "../../emit/emitter.ts";
import { type Insn, insn } from "../insn.ts";

const exec = (e: Emitter, dst?: Operand, src?: Operand): void => e.writeV(dst!, e.readV(src!));

export const SIMD_MOVE: readonly Insn[] = [
  insn("movaps", { forms: ["NP 0F 28 /r Vps,Wps", "NP 0F 29 /r Wps,Vps"], unit: "sse", cpuid: "sse", exec }),
  insn("movapd", { forms: ["66 0F 28 /r Vpd,Wpd", "66 0F 29 /r Wpd,Vpd"], unit: "sse", cpuid: "sse2", exec }),
  insn("movups", {
    forms: ["NP 0F 10 /r Vps,Wps", "NP 0F 11 /r Wps,Vps"],
    unit: "sse",
    cpuid: "sse",
    unaligned: true,
    exec,
  }),
  insn("movupd", {
    forms: ["66 0F 10 /r Vpd,Wpd", "66 0F 11 /r Wpd,Vpd"],
    unit: "sse",
    cpuid: "sse2",
    unaligned: true,
    exec,
  }),
  insn("movdqa", { forms: ["66 0F 6F /r Vx,Wx", "66 0F 7F /r Wx,Vx"], unit: "sse", cpuid: "sse2", exec }),
  insn("movdqu", {
    forms: ["F3 0F 6F /r Vx,Wx", "F3 0F 7F /r Wx,Vx"],
    unit: "sse",
    cpuid: "sse2",
    unaligned: true,
    exec,
  }),
];
