/**
 * STAC and CLAC in generated code, the same in both stages: RFLAGS.AC, and under SMAP the TLBs that serve with it.
 * Document: SDM volume 2, STAC CLAC; volume 3, 4.6.1 (SMAP). The choice of the TLB class is that of updateMode().
 * Left out: the check of the privilege level; it comes before, and CPL is below 3 here.
 */

import { ACCESS } from "../cpu/access.ts";
import { CR4 } from "../cpu/control.ts";
import { RFLAGS } from "../cpu/flags.ts";
import { CPU } from "../cpu/state.ts";
import { TLB, TLB_CLASS } from "../cpu/zones.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32 } from "../wasm/expr.ts";

export function alignmentCheck(code: Code, cpu: Expr, on: boolean): void {
  const store = (value: Expr, field: number): void => code.store("i32", cpu, value, field);
  const flags = i32.load(cpu, CPU.eflags);
  store(on ? i32.or(flags, i32.const(RFLAGS.AC)) : i32.and(flags, i32.const(~RFLAGS.AC)), CPU.eflags);
  store(i32.const(on ? ACCESS.ac : 0), CPU.dataAccess);
  const smap = i32.and(i32.shru(i32.load(cpu, CPU.cr4), i32.const(Math.log2(CR4.SMAP))), i32.const(1));
  const other = i32.mul(smap, i32.const(TLB_CLASS.supervisorAc * TLB.classSize));
  const set = i32.load(cpu, CPU.tlbSet);
  store(on ? i32.add(set, other) : set, CPU.tlbBase);
}
