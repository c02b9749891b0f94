/**
 * FCOM, FUCOM, FCOMI, FUCOMI, FTST, and FXAM.
 * Document: SDM volume 2, those instructions (tables of condition codes and flags).
 * Left out: the comparison: kvm-core/float.
 */

import { FPU, FSW } from "../cpu/fpu-state.ts";
import { RELATION } from "../float/functions.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import type { Float } from "./arith.ts";
import { empty, Stack, type StackFunctions } from "./stack.ts";

const UNORDERED = FSW.C3 | FSW.C2 | FSW.C0;
const [CF, PF, ZF] = [1, 4, 0x40];
/** Unmasked, these keep the stack as it is. */
const STOPS = FSW.before;

/** A value for each RELATION. */
function byRelation(relation: Expr, less: number, equal: number, unordered: number): Expr {
  const is = (which: number): Expr => i32.eq(relation, i32.const(which));
  const rest = select(is(RELATION.unordered), i32.const(unordered), i32.const(0));
  return select(is(RELATION.less), i32.const(less), select(is(RELATION.equal), i32.const(equal), rest));
}

/** Compares, and commits what that raised. */
function relate(stack: Stack, float: Float, other: Expr, quiet: Expr, c1: Expr = i32.const(0)): Expr {
  const { code, cpu } = stack;
  const relation = code.local("i32");
  stack.begin();
  code.if(
    quiet,
    () => code.call(float.x87CompareQuiet, [cpu, stack.slot(0), other], relation),
    () => code.call(float.x87Compare, [cpu, stack.slot(0), other], relation),
  );
  stack.commit(i32.or(stack.raised, c1));
  return relation;
}

/** 0 to 2 pops. */
function popTimes(stack: Stack, pops: Expr): void {
  stack.code.if(pops, () => {
    stack.pop();
    stack.popIf(i32.eq(pops, i32.const(2)));
  });
}

/** A register is empty: the condition codes say so whether or not that is masked. */
function unorderedIf(stack: Stack, isMissing: Expr, pops: Expr): void {
  stack.code.if(isMissing, () => stack.setCodes(i32.const(UNORDERED), FSW.C0 | FSW.C2 | FSW.C3));
  stack.underflowIf(isMissing, () => popTimes(stack, pops));
}

/** compare(cpu, slot, quiet, pops): ST(0), which may be empty, with a slot. */
export function emitCompareSlot(code: Code, functions: StackFunctions, float: Float): void {
  const stack = new Stack(code, functions);
  const [other, quiet, pops] = [code.param(1), code.param(2), code.param(3)];
  unorderedIf(stack, empty(stack.filled(0)), pops);
  const relation = relate(stack, float, other, quiet);
  stack.setCodes(byRelation(relation, FSW.C0, FSW.C3, UNORDERED));
  code.if(stack.unmasked(STOPS), () => code.return());
  popTimes(stack, pops);
}

/** x87CompareRegister. */
export function emitCompare(code: Code, functions: StackFunctions, compareSlot: number): void {
  const stack = new Stack(code, functions);
  const [cpu, modrm, quiet, pops] = [code.param(0), code.param(1), code.param(2), code.param(3)];
  const i = code.let(i32.and(modrm, i32.const(7)));
  unorderedIf(stack, empty(i32.and(stack.filled(0), stack.filled(i))), pops);
  code.call(compareSlot, [cpu, stack.slot(i), quiet, pops]);
}

/** x87CompareFlags. */
export function emitCompareFlags(code: Code, functions: StackFunctions, float: Float): void {
  const stack = new Stack(code, functions);
  const [modrm, quiet, pops] = [code.param(1), code.param(2), code.param(3)];
  const i = code.let(i32.and(modrm, i32.const(7)));
  stack.underflowIf(empty(i32.and(stack.filled(0), stack.filled(i))), () => stack.popIf(pops), i32.const(ZF | PF | CF));
  // C1 stays, which the manual and processors see differently.
  const c1 = code.let(i32.and(i32.load(stack.cpu, FPU.fsw), i32.const(FSW.C1)));
  const relation = relate(stack, float, stack.slot(i), quiet, c1);
  stack.popIf(i32.and(pops, i32.eqz(stack.unmasked(STOPS))));
  code.return(byRelation(relation, CF, ZF, ZF | PF | CF));
  code.unreachable();
}

/** FTST: ST(0) with +0.0. */
export function emitTest(stack: Stack, compareSlot: number): void {
  const { code, cpu } = stack;
  const zero = code.let(i32.add(cpu, i32.const(FPU.scratch)));
  code.store("i64", zero, i64.const(0));
  code.store("i64", zero, i64.const(0), 8);
  code.call(compareSlot, [cpu, zero, i32.const(0), i32.const(0)]);
}

/** FXAM: it raises nothing, and C1 is the sign, of an empty register too. */
export function emitExamine(stack: Stack, float: Float): void {
  const { code, cpu } = stack;
  const slot = stack.slot(0);
  const classOf = code.local("i32");
  code.set(classOf, i32.const(FSW.C3 | FSW.C0));
  code.if(stack.filled(0), () => code.call(float.x87Examine, [cpu, slot], classOf));
  const sign = i32.and(i32.shru(i32.load16u(slot, 8), i32.const(15)), i32.const(1));
  stack.setCodes(i32.or(classOf, i32.shl(sign, i32.const(Math.log2(FSW.C1)))));
}
