/**
 * SSE4.1 rounding to integers, and the control register of SSE.
 * Document: SDM volume 2, ROUNDPS ROUNDPD ROUNDSS ROUNDSD, LDMXCSR, STMXCSR; volume 1, 10.2.3 (MXCSR).
 * Left out: VEX forms; they come with AVX.
 */

import { VECTOR } from "../../cpu/fault.ts";
import { FPU } from "../../cpu/fpu-state.ts";
import { exactly, read, write } from "../../emit/sse-float.ts";
import { PD, PS, SD, type Shape, SS } from "../../sse/shape.ts";
import { i32, i64 } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

/** Bits of MXCSR that are reserved: those of MXCSR_MASK (FXSAVE) that are 0. */
const RESERVED = ~0xffff;

function round(shape: Shape, code: string, operands: string): Insn {
  const name = `round${shape.suffix}`;
  return insn(name, {
    forms: [`66 0F 3A ${code} /r ib ${operands},Ib`],
    unit: "sse",
    cpuid: "sse4.1",
    exec: (e, dst, src, imm) => {
      const value = read(e, shape, src!);
      write(e, shape, dst!, exactly(e, name, shape.type, value, i64.toI32(e.read(imm!))));
    },
  });
}

export const SSE_ROUND: readonly Insn[] = [
  round(PS, "08", "Vps,Wps"),
  round(PD, "09", "Vpd,Wpd"),
  round(SS, "0A", "Vss,Wss"),
  round(SD, "0B", "Vsd,Wsd"),
  insn("ldmxcsr", {
    forms: ["NP 0F AE /2 Md"],
    unit: "sse",
    cpuid: "sse",
    exec: (e, src) => {
      const value = e.let(i64.toI32(e.read(src!)));
      e.if(i32.and(value, i32.const(RESERVED)), () => e.raise(VECTOR.GP));
      e.setFpu(FPU.mxcsr, value);
    },
  }),
  insn("stmxcsr", {
    forms: ["NP 0F AE /3 Md"],
    unit: "sse",
    cpuid: "sse",
    exec: (e, dst) => e.write(dst!, i32.toI64u(e.fpu(FPU.mxcsr, "i32"))),
  }),
];
