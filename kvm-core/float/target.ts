/**
 * What an arithmetic operation needs of a flavour, SSE or x87: operands taken apart, results, exceptions.
 * Document: SDM volume 1, 4.9.2 (which exception goes before which).
 * Left out: how a flavour does it: sse-target.ts, x87-target.ts.
 */

import { FPU } from "../cpu/fpu-state.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64 } from "../wasm/expr.ts";
import { RAISED, ROUNDING } from "./format.ts";
import type { Wide } from "./words.ts";

/** A number taken apart: (-1)^sign * significand / 2^63 * 2^exponent. The first three are locals. */
export interface Operand {
  /** i32, 0 or 1. */
  readonly sign: Expr;
  /** i32, unbiased. */
  readonly exponent: Expr;
  /** i64 with bit 63 set; 0 for a zero. */
  readonly significand: Expr;
  /** i32: it is an infinity; the rest but the sign means nothing then. */
  readonly infinite: Expr;
}

export const isZero = (operand: Operand): Expr => i64.eqz(operand.significand);

/** One operation, for every flavour. */
export interface Operation {
  /** What is invalid, or divides by zero: emits f.invalid() and the like. Only after an operand that is no normal number. */
  refuse(f: Target, ...operands: Operand[]): void;
  /** Results with infinities and zeros, likewise. */
  special(f: Target, ...operands: Operand[]): void;
  /** Finite numbers other than zero; ends the function. */
  compute(f: Target, ...operands: Operand[]): void;
}

export abstract class Target {
  readonly code: Code;
  readonly cpu: Expr;

  constructor(code: Code) {
    this.code = code;
    this.cpu = code.param(0);
  }

  /** The control word. */
  abstract control(): Expr;
  /** Where the masks and the rounding mode are in it. */
  abstract readonly masks: number;
  abstract readonly rounding: number;

  /**
   * Takes the operands apart (parameters), treats NaNs, denormals and whatever `operation` says of special ones, and computes.
   * NaN operands come first, then what is invalid, then division by zero, then denormals.
   */
  abstract arithmetic(operation: Operation, operands: number): void;
  /** All of these end the function. */
  abstract invalid(): void;
  abstract infinity(sign: Expr): void;
  /** `conditions` is what the function returns beside `done`, if it does. */
  abstract zero(sign: Expr, conditions?: Expr): void;
  /** Rounds hi:lo / 2^127 * 2^exponent; bit 63 of hi is set. `conditions` as above. */
  abstract finish(sign: Expr, exponent: Expr, value: Wide, conditions?: Expr): void;
  /** The function's return after an unmasked exception. */
  abstract refused(): void;

  raise(flags: number): void {
    this.raiseBits(i32.const(flags));
  }

  raiseBits(flags: Expr): void {
    this.code.store("i32", this.cpu, i32.or(i32.load(this.cpu, FPU.raised), flags), FPU.raised);
  }

  /** 0 if the exception is unmasked. */
  masked(exception: number): Expr {
    return i32.and(this.control(), i32.const(exception << this.masks));
  }

  /** An exception that goes before the operation. */
  raiseBefore(exception: number): void {
    this.raise(exception);
    this.code.if(i32.eqz(this.masked(exception)), () => this.refused());
  }

  /** x/0: exactly an infinity. */
  divideByZero(sign: Expr): void {
    this.raiseBefore(RAISED.ZE);
    this.infinity(sign);
  }

  roundingMode(): Expr {
    return i32.and(i32.shru(this.control(), i32.const(this.rounding)), i32.const(3));
  }

  /** What x - x is. */
  exactZero(): void {
    this.zero(i32.eq(this.roundingMode(), i32.const(ROUNDING.down)));
  }
}

/**
 * Does a magnitude grow in rounding? `rest` is what is cut off, `half` half of a unit, `odd` (0 or 1) the last bit that stays; all i64.
 * Returns an i32 local.
 */
export function roundsUp(code: Code, mode: Expr, sign: Expr, odd: Expr, rest: Expr, half: Expr): Expr {
  const up = code.local("i32");
  code.if(
    i32.eqz(mode),
    () => {
      const tieToOdd = i32.and(i64.eq(rest, half), i64.toI32(odd));
      code.set(up, i32.or(i64.gtu(rest, half), tieToOdd));
    },
    // Up for positive numbers, down for negative ones.
    () => code.set(up, i32.and(i64.ne(rest, i64.const(0)), i32.eq(mode, i32.sub(i32.const(ROUNDING.up), sign)))),
  );
  return up;
}
