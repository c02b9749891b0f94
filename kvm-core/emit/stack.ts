/**
 * The stack as both stages use it: pushes and pops.
 * Document: SDM volume 1, 6.2 (stacks).
 * Left out: the checks of the stack segment and of the address: segment.ts, by way of stackAddress().
 */

import { GPR } from "../cpu/state.ts";
import { type Expr, i64 } from "../wasm/expr.ts";
import type { Emitter, Size } from "./emitter.ts";
import { unsigned } from "./flags.ts";

type Stack = Pick<
  Emitter,
  "let" | "gpr" | "setGpr" | "load" | "store" | "stackSize" | "stackAddress" | "setStackPointer"
>;

export function push(e: Stack, value: Expr, size: Size): void {
  const v = e.let(value);
  const sp = e.let(unsigned(i64.sub(e.gpr(GPR.rsp), i64.const(size / 8)), e.stackSize));
  e.store(e.stackAddress(sp, size / 8, "write"), v, size);
  e.setStackPointer(sp);
}

export function top(e: Stack, size: Size): Expr {
  return e.load(e.stackAddress(unsigned(e.gpr(GPR.rsp), e.stackSize), size / 8, "read"), size);
}

export function release(e: Stack, size: Size, extra?: Expr): void {
  const moved = i64.add(e.gpr(GPR.rsp), i64.const(size / 8));
  e.setStackPointer(extra ? i64.add(moved, extra) : moved);
}

/** SP, ESP or RSP; of a 16-bit stack the upper half of ESP stays. */
export function setStackPointer(e: Stack, value: Expr): void {
  if (e.stackSize === 16) e.setGpr(GPR.rsp, value, 16);
  else e.setGpr(GPR.rsp, unsigned(value, e.stackSize));
}
