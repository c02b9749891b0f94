/**
 * The flags that live in CPU.eflags, as both stages read and write them: DF, AC.
 * Document: SDM volume 1, 3.4.3; volume 3, 4.6 (AC under SMAP).
 * Left out: the arithmetic flags, which are lazy (flags.ts), and those that helpers see to.
 */

import { ACCESS } from "../cpu/access.ts";
import { CR4 } from "../cpu/control.ts";
import { RFLAGS } from "../cpu/flags.ts";
import { CPU } from "../cpu/state.ts";
import { TLB, TLB_CLASS } from "../cpu/zones.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32 } from "../wasm/expr.ts";

/** i32, 1 or 0: the direction flag. */
export function direction(cpu: Expr): Expr {
  return i32.and(i32.shru(i32.load(cpu, CPU.eflags), i32.const(Math.log2(RFLAGS.DF))), i32.const(1));
}

export function setFlag(code: Code, cpu: Expr, flag: number, on: boolean): void {
  const flags = i32.load(cpu, CPU.eflags);
  code.store("i32", cpu, on ? i32.or(flags, i32.const(flag)) : i32.and(flags, i32.const(~flag)), CPU.eflags);
}

/** Sets or clears AC at supervisor level; under SMAP other TLBs serve then. */
export function setAlignmentCheck(code: Code, cpu: Expr, on: boolean): void {
  setFlag(code, cpu, RFLAGS.AC, on);
  code.store("i32", cpu, i32.const(on ? ACCESS.ac : 0), CPU.dataAccess);
  // As updateMode() in cpu/control.ts chooses the class.
  const smap = i32.and(i32.shru(i32.load(cpu, CPU.cr4), i32.const(Math.log2(CR4.SMAP))), i32.const(1));
  const other = i32.mul(smap, i32.const(TLB_CLASS.supervisorAc * TLB.classSize));
  const set = i32.load(cpu, CPU.tlbSet);
  code.store("i32", cpu, on ? i32.add(set, other) : set, CPU.tlbBase);
}
