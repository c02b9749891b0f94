/**
 * SSE floating point as an `exec` writes it: WebAssembly's own operation where its result is the guest's, else the exact function.
 * Document: SDM volume 1, 11.5 (SIMD floating-point exceptions).
 * Left out: the conditions and the functions, which kvm-core/sse has.
 */

import { FPU } from "../cpu/fpu-state.ts";
import { isOrdering, isTrue } from "../sse/compare.ts";
import { allOrdinary, allUsable, inexactIsQuiet, roundsAsHost } from "../sse/fast.ts";
import type { Shape } from "../sse/shape.ts";
import { type Expr, i32, i64, type ValType } from "../wasm/expr.ts";
import { i32x4, v128 } from "../wasm/simd.ts";
import type { Emitter, Operand } from "./emitter.ts";
import { setRelation } from "./flags.ts";

const mxcsr = (e: Emitter): Expr => e.fpu(FPU.mxcsr, "i32");

export function read(e: Emitter, shape: Shape, operand: Operand): Expr {
  return shape.packed ? e.readV(operand) : e.let(e.read(operand));
}

/** All of a vector; of one number its bits, and the rest of the register stays. */
export function write(e: Emitter, shape: Shape, operand: Operand, value: Expr): void {
  if (shape.packed) e.writeV(operand, value);
  else e.write(operand, value);
}

/** What the exact function gives, or the exception that it found. */
export function exactly(e: Emitter, name: string, type: ValType, ...args: readonly Expr[]): Expr {
  const result = e.call(name, type, ...args);
  e.if(e.fpu(FPU.raised, "i32"), () => e.trap("simdException"));
  return result;
}

/** `value` if `isRight` (i32), else what the exact function gives. */
export function fastOr(
  e: Emitter,
  value: Expr,
  isRight: (value: Expr) => Expr,
  name: string,
  ...args: readonly Expr[]
): Expr {
  const result = e.variable(value);
  e.if(i32.eqz(isRight(result)), () => e.assign(result, exactly(e, name, result.type, ...args)));
  return result;
}

export type Arithmetic = "add" | "sub" | "mul" | "div";

/** Rounded arithmetic on what was read; the function is named as the instruction. */
export function arithmetic(e: Emitter, shape: Shape, name: Arithmetic, a: Expr, b: Expr): Expr {
  return rounded(e, shape, shape[name](a, b), name, a, b);
}

/** A value that WebAssembly computed from the operands by rounding once. */
export function rounded(e: Emitter, shape: Shape, value: Expr, name: string, ...operands: readonly Expr[]): Expr {
  const isRight = (result: Expr): Expr => allOrdinary(shape, result, operands);
  return roundingly(e, { value, isRight }, name + shape.suffix, ...operands);
}

/** MINPS, MAXPS and the like. */
export function extreme(e: Emitter, shape: Shape, name: "min" | "max", a: Expr, b: Expr): Expr {
  return fastOr(e, shape[name](a, b), () => allUsable(shape, [a, b]), name + shape.suffix, a, b);
}

/** All ones where the predicate holds, of an immediate that is i32. */
export function compare(e: Emitter, shape: Shape, predicate: Expr, a: Expr, b: Expr): Expr {
  const negated = (flag: Expr): Expr => i32.sub(i32.const(0), flag);
  const value = (): Expr => {
    if (!shape.packed) return i64.sub(i64.const(0), i32.toI64u(isTrue(predicate, relation(shape, a, b))));
    const everywhere = (flag: Expr): Expr => i32x4.splat(negated(flag));
    const opposite = i32.and(i32.shru(predicate, i32.const(2)), i32.const(1));
    const equal = v128.and(shape.eq(a, b), everywhere(i32.eqz(i32.and(predicate, i32.const(1)))));
    const less = v128.and(shape.lt(a, b), everywhere(isOrdering(predicate)));
    return v128.xor(v128.or(equal, less), everywhere(opposite));
  };
  return fastOr(e, value(), () => allUsable(shape, [a, b]), `cmp${shape.suffix}`, a, b, predicate);
}

/** RELATION of two numbers neither of which is a NaN. */
function relation(shape: Shape, a: Expr, b: Expr): Expr {
  return i32.or(shape.eq(a, b), i32.shl(shape.lt(b, a), i32.const(1)));
}

/** COMISS and the like: sets the flags. */
export function compareToFlags(e: Emitter, shape: Shape, name: "comi" | "ucomi", a: Expr, b: Expr): void {
  setRelation(
    e,
    fastOr(e, relation(shape, a, b), () => allUsable(shape, [a, b]), name + shape.suffix, a, b),
  );
}

/** A result and when it is right, beside what MXCSR says of results that are not exact. */
export interface Candidate {
  readonly value: Expr;
  readonly isRight: (value: Expr) => Expr;
  /** i32: it is exact for sure. */
  readonly isExact?: (value: Expr) => Expr;
}

/** As fastOr(), where the result is also subject to MXCSR's rounding mode. */
export function roundingly(e: Emitter, candidate: Candidate, name: string, ...args: readonly Expr[]): Expr {
  return choose(e, roundsAsHost(mxcsr(e)), candidate, name, args);
}

/** As roundingly(), for results that are cut off whatever the rounding mode is. */
export function truncating(e: Emitter, candidate: Candidate, name: string, ...args: readonly Expr[]): Expr {
  return choose(e, inexactIsQuiet(mxcsr(e)), candidate, name, args);
}

function choose(
  e: Emitter,
  quiet: Expr,
  { value, isRight, isExact }: Candidate,
  name: string,
  args: readonly Expr[],
): Expr {
  const any = (result: Expr): Expr => (isExact ? i32.or(quiet, isExact(result)) : quiet);
  return fastOr(e, value, (result) => i32.and(any(result), isRight(result)), name, ...args);
}
