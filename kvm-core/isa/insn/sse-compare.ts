/**
 * SSE comparisons: masks, and flags.
 * Document: SDM volume 2, CMPPS CMPPD CMPSS CMPSD, COMISS COMISD, UCOMISS UCOMISD.
 * Left out: VEX forms; they come with AVX.
 */

import type { CpuFeature } from "../../../shared/cpu-features.ts";
import { compare, compareToFlags, read, write } from "../../emit/sse-float.ts";
import { PD, PS, SD, type Shape, SS } from "../../sse/shape.ts";
import { i64 } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

function mask(shape: Shape, prefix: string, operands: string, cpuid: CpuFeature): Insn {
  return insn(`cmp${shape.suffix}`, {
    forms: [`${prefix} 0F C2 /r ib ${operands},Ib`],
    unit: "sse",
    cpuid,
    exec: (e, dst, src, imm) => {
      const b = read(e, shape, src!);
      const a = read(e, shape, dst!);
      write(e, shape, dst!, compare(e, shape, e.let(i64.toI32(e.read(imm!))), a, b));
    },
  });
}

function flags(shape: Shape, name: "comi" | "ucomi", form: string, cpuid: CpuFeature): Insn {
  return insn(name + shape.suffix, {
    forms: [form],
    unit: "sse",
    cpuid,
    exec: (e, dst, src) => {
      const b = read(e, shape, src!);
      compareToFlags(e, shape, name, read(e, shape, dst!), b);
    },
  });
}

export const SSE_COMPARE: readonly Insn[] = [
  mask(PS, "NP", "Vps,Wps", "sse"),
  mask(PD, "66", "Vpd,Wpd", "sse2"),
  mask(SS, "F3", "Vss,Wss", "sse"),
  mask(SD, "F2", "Vsd,Wsd", "sse2"),
  flags(SS, "ucomi", "NP 0F 2E /r Vss,Wss", "sse"),
  flags(SD, "ucomi", "66 0F 2E /r Vsd,Wsd", "sse2"),
  flags(SS, "comi", "NP 0F 2F /r Vss,Wss", "sse"),
  flags(SD, "comi", "66 0F 2F /r Vsd,Wsd", "sse2"),
];
