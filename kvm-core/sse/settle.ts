/**
 * What follows on the computation of all elements of an SSE instruction: the exception, or the flags.
 * Document: SDM volume 1, 11.5.3 (masked and unmasked exceptions), 4.9.2 and 11.5.2 (before and after the computation).
 * Left out: raising it, which is the instruction's, and putting the flags into MXCSR then: the helper's.
 */

import { FPU } from "../cpu/fpu-state.ts";
import { MXCSR, RAISED } from "../float/format.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32 } from "../wasm/expr.ts";
import type { ModuleBuilder } from "../wasm/module.ts";

const FLAGS = 0x3f;
/** Found before the computation. If one is unmasked, no element is computed. */
const BEFORE = RAISED.IE | RAISED.DE | RAISED.ZE;

/** Defines settle(cpu); returns its index. */
export function defineSettle(module: ModuleBuilder): number {
  const code = module.define("", { params: ["i32"], results: [] });
  const cpu = code.param(0);
  const raised = code.let(i32.and(i32.load(cpu, FPU.raised), i32.const(FLAGS)));
  const masks = i32.shru(i32.load(cpu, FPU.mxcsr), i32.const(MXCSR.masks));
  const unmasked = code.let(i32.and(raised, i32.xor(masks, i32.const(-1))));
  code.if(
    unmasked,
    () => code.if(i32.and(unmasked, i32.const(BEFORE)), () => setRaised(code, cpu, i32.and(raised, i32.const(BEFORE)))),
    () => {
      code.store("i32", cpu, i32.or(i32.load(cpu, FPU.mxcsr), raised), FPU.mxcsr);
      setRaised(code, cpu, i32.const(0));
    },
  );
  return module.indexOf(code);
}

export function setRaised(code: Code, cpu: Expr, flags: Expr): void {
  code.store("i32", cpu, flags, FPU.raised);
}
