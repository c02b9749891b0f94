/**
 * Moves of parts of vectors: between general registers and MMX or XMM registers, of one lane or one half, with lanes doubled;
 * sign masks; EMMS.
 * Document: SDM volume 2, MOVD MOVQ MOVSS MOVSD MOVLPS MOVLPD MOVHPS MOVHPD MOVHLPS MOVLHPS MOVDDUP MOVSLDUP MOVSHDUP MOVQ2DQ
 * MOVDQ2Q MOVMSKPS MOVMSKPD PMOVMSKB EMMS; table 13-1 of volume 3 for EMMS.
 * Left out: VEX forms; they come with AVX.
 */

import type { CpuFeature } from "../../../shared/cpu-features.ts";
import { FPU } from "../../cpu/fpu-state.ts";
import type { Emitter, Operand } from "../../emit/emitter.ts";
import { type Expr, i32 } from "../../wasm/expr.ts";
import { i8x16, i32x4, i64x2, v128 } from "../../wasm/simd.ts";
import { type Insn, insn } from "../insn.ts";
import type { File } from "../simd.ts";

type Exec = (e: Emitter, ...operands: Operand[]) => void;

/** The source's bits, the rest of the destination 0. */
const clearing: Exec = (e, dst, src) => e.writeV(dst!, v128.from64(e.read(src!)));
/** The source's bits, the rest of the destination as it was. */
const merging: Exec = (e, dst, src) => e.write(dst!, e.read(src!));
/** MOVSS and MOVSD: only from memory do they clear. */
const scalar: Exec = (e, dst, src) => (src!.kind === "mem" ? clearing : merging)(e, dst!, src!);

const part = (mnemonic: string, cpuid: CpuFeature, exec: Exec, ...forms: readonly string[]): Insn =>
  insn(mnemonic, { forms, unit: "sse", cpuid, exec });

/** MOVD, which with 64 bits is MOVQ. */
const general = (unit: File, cpuid: CpuFeature, exec: Exec, form: string): Insn =>
  insn("movd", { forms: [form], unit, cpuid, names: ["movd", "movd", "movq"], exec });

const toUpper: Exec = (e, dst, src) => e.writeV(dst!, i64x2.replace(e.readV(dst!), 1, e.read(src!)));
const fromUpper: Exec = (e, dst, src) => e.write(dst!, i64x2.extract(e.readV(src!), 1));

const sorted =
  (lanes: readonly number[]): Exec =>
  (e, dst, src) => {
    const a = e.readV(src!);
    e.writeV(dst!, v128.shuffle(a, a, lanes));
  };

const signs = (mnemonic: string, unit: File, cpuid: CpuFeature, form: string, bitmask: (a: Expr) => Expr): Insn =>
  insn(mnemonic, {
    forms: [form],
    unit,
    cpuid,
    exec: (e, dst, src) => e.write(dst!, i32.toI64u(bitmask(e.readV(src!)))),
  });

/** Between the two files: what both units ask for comes first, and the MMX registers become valid. */
const between = (mnemonic: string, form: string, exec: Exec): Insn =>
  insn(mnemonic, {
    forms: [form],
    unit: "sse",
    cpuid: "sse2",
    exec: (e, dst, src) => {
      e.unit("mmx");
      exec(e, dst!, src!);
      e.enterMmx();
    },
  });

export const SIMD_PART: readonly Insn[] = [
  general("mmx", "mmx", merging, "NP 0F 6E /r Pq,Ey"),
  general("mmx", "mmx", merging, "NP 0F 7E /r Ey,Pq"),
  general("sse", "sse2", clearing, "66 0F 6E /r Vdq,Ey"),
  general("sse", "sse2", merging, "66 0F 7E /r Ey,Vq"),
  insn("movq", { forms: ["NP 0F 6F /r Pq,Qq", "NP 0F 7F /r Qq,Pq"], unit: "mmx", cpuid: "mmx", exec: merging }),
  part("movq", "sse2", clearing, "F3 0F 7E /r Vq,Wq"),
  part("movq", "sse2", (e, dst, src) => (dst!.kind === "mem" ? merging : clearing)(e, dst!, src!), "66 0F D6 /r Wq,Vq"),
  part("movss", "sse", scalar, "F3 0F 10 /r Vss,Wss", "F3 0F 11 /r Wss,Vss"),
  part("movsd", "sse2", scalar, "F2 0F 10 /r Vsd,Wsd", "F2 0F 11 /r Wsd,Vsd"),

  part("movlps", "sse", merging, "NP 0F 12 /r Vq,Mq", "NP 0F 13 /r Mq,Vq"),
  part("movlpd", "sse2", merging, "66 0F 12 /r Vq,Mq", "66 0F 13 /r Mq,Vq"),
  part("movhps", "sse", toUpper, "NP 0F 16 /r Vq,Mq"),
  part("movhpd", "sse2", toUpper, "66 0F 16 /r Vq,Mq"),
  part("movhps", "sse", fromUpper, "NP 0F 17 /r Mq,Vq"),
  part("movhpd", "sse2", fromUpper, "66 0F 17 /r Mq,Vq"),
  part("movlhps", "sse", toUpper, "NP 0F 16 /r Vq,Uq"),
  part("movhlps", "sse", fromUpper, "NP 0F 12 /r Vq,Uq"),

  part("movddup", "pni", (e, dst, src) => e.writeV(dst!, i64x2.splat(e.read(src!))), "F2 0F 12 /r Vq,Wq"),
  part("movsldup", "pni", sorted([0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10, 11]), "F3 0F 12 /r Vps,Wps"),
  part("movshdup", "pni", sorted([4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15]), "F3 0F 16 /r Vps,Wps"),

  between("movq2dq", "F3 0F D6 /r Vdq,Nq", clearing),
  between("movdq2q", "F2 0F D6 /r Pq,Uq", merging),

  signs("movmskps", "sse", "sse", "NP 0F 50 /r Gd,Ups", i32x4.bitmask),
  signs("movmskpd", "sse", "sse2", "66 0F 50 /r Gd,Upd", i64x2.bitmask),
  signs("pmovmskb", "mmx", "sse", "NP 0F D7 /r Gd,Nq", i8x16.bitmask),
  signs("pmovmskb", "sse", "sse2", "66 0F D7 /r Gd,Ux", i8x16.bitmask),

  insn("emms", {
    forms: ["NP 0F 77"],
    cpuid: "mmx",
    exec: (e) => {
      e.unit("mmx");
      e.setFpu(FPU.top, i32.const(0));
      e.setFpu(FPU.tags, i32.const(0));
    },
  }),
];
