/**
 * Logic on vectors, in MMX and XMM registers.
 * Document: SDM volume 2, PAND PANDN POR PXOR, ANDPS ANDPD ANDNPS ANDNPD ORPS ORPD XORPS XORPD.
 * Left out: VEX forms; they come with AVX.
 */

import type { CpuFeature } from "../../../shared/cpu-features.ts";
import type { Expr } from "../../wasm/expr.ts";
import { v128 } from "../../wasm/simd.ts";
import { type Insn, insn } from "../insn.ts";

type Operation = (a: Expr, b: Expr) => Expr;

function logic(
  mnemonic: string,
  forms: readonly string[],
  unit: "mmx" | "sse",
  cpuid: CpuFeature,
  act: Operation,
): Insn {
  return insn(mnemonic, {
    forms,
    unit,
    cpuid,
    exec: (e, dst, src) => e.writeV(dst!, act(e.readV(dst!), e.readV(src!))),
  });
}

/** One operation under its four names: they differ in nothing that can be seen. */
function family(name: string, float: string, code: string, floatCode: string, act: Operation): Insn[] {
  return [
    logic(name, [`NP 0F ${code} /r Pq,Qq`], "mmx", "mmx", act),
    logic(name, [`66 0F ${code} /r Vx,Wx`], "sse", "sse2", act),
    logic(`${float}ps`, [`NP 0F ${floatCode} /r Vps,Wps`], "sse", "sse", act),
    logic(`${float}pd`, [`66 0F ${floatCode} /r Vpd,Wpd`], "sse", "sse2", act),
  ];
}

export const SIMD_LOGIC: readonly Insn[] = [
  ...family("pand", "and", "DB", "54", v128.and),
  ...family("pandn", "andn", "DF", "55", (a, b) => v128.andnot(b, a)),
  ...family("por", "or", "EB", "56", v128.or),
  ...family("pxor", "xor", "EF", "57", v128.xor),
];
