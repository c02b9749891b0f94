/**
 * The instructions D9 E0 to D9 FF that have no operand in the code, but for the transcendental ones.
 * Document: SDM volume 2, FCHS FABS FTST FXAM FLD1 to FLDZ FXTRACT FPREM FPREM1 FDECSTP FINCSTP FSQRT FRNDINT FSCALE.
 * Left out: F2XM1 FYL2X FPTAN FPATAN FYL2XP1 FSINCOS FSIN FCOS, which are a helper.
 */

import { FCW, FPU, FSW } from "../cpu/fpu-state.ts";
import type { FloatFunction } from "../float/functions.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64 } from "../wasm/expr.ts";
import type { Float } from "./arith.ts";
import { emitExamine, emitTest } from "./compare.ts";
import { empty, Stack, type StackFunctions } from "./stack.ts";

/** RC: to nearest 0, down 1, up 2, to zero 3. */
const roundsTo = (cpu: Expr, modes: number): Expr => {
  const rc = i32.and(i32.shru(i32.load(cpu, FPU.fcw), i32.const(FCW.roundShift)), i32.const(3));
  return i32.and(i32.shru(i32.const(modes), rc), i32.const(1));
};
const DOWN_OR_ZERO = 0b1010;
const UP = 0b0100;

/** Constants to nearest; then in which rounding modes the last bit is one more or one less. */
interface Constant {
  readonly significand: bigint;
  readonly exponent: number;
  readonly less?: number;
  readonly more?: number;
}
const CONSTANTS: readonly Constant[] = [
  { significand: 0x8000_0000_0000_0000n, exponent: 0x3fff },
  // log2(10), log2(e), pi, log10(2), ln(2)
  { significand: 0xd49a_784b_cd1b_8afen, exponent: 0x4000, more: UP },
  { significand: 0xb8aa_3b29_5c17_f0bcn, exponent: 0x3fff, less: DOWN_OR_ZERO },
  { significand: 0xc90f_daa2_2168_c235n, exponent: 0x4000, less: DOWN_OR_ZERO },
  { significand: 0x9a20_9a84_fbcf_f799n, exponent: 0x3ffd, less: DOWN_OR_ZERO },
  { significand: 0xb172_17f7_d1cf_79acn, exponent: 0x3ffe, less: DOWN_OR_ZERO },
  { significand: 0n, exponent: 0 },
];

function loadConstant(stack: Stack, { significand, exponent, less = 0, more = 0 }: Constant): void {
  const { code, cpu } = stack;
  stack.overflowIfFull();
  const slot = stack.slot(-1);
  const nearest = i64.const(BigInt.asIntN(64, significand));
  const step = i32.sub(roundsTo(cpu, more), roundsTo(cpu, less));
  code.store("i64", slot, less || more ? i64.add(nearest, i32.toI64s(step)) : nearest);
  code.store("i64", slot, i64.const(exponent), 8);
  stack.commit(i32.const(0));
  stack.push();
}

/** FCHS, FABS: of any value, and nothing is raised. */
function sign(stack: Stack, change: (exponent: Expr) => Expr): void {
  const { code } = stack;
  const slot = stack.slot(0);
  stack.underflowIf(empty(stack.filled(0)), () => indefiniteResult(stack));
  code.store("i64", slot, change(i64.load(slot, 8)), 8);
  stack.commit(i32.const(0));
}

function indefiniteResult(stack: Stack): void {
  stack.indefinite(stack.slot(0));
  stack.mark(0, true);
}

/** ST(0) = f(ST(0)) or f(ST(0), ST(1)). */
function inPlace(stack: Stack, func: number, operands: 1 | 2): void {
  const { code, cpu } = stack;
  stack.underflowIf(missing(stack, operands), () => indefiniteResult(stack));
  const slot = stack.slot(0);
  stack.begin();
  code.call(func, operands === 1 ? [cpu, slot, slot] : [cpu, slot, slot, stack.slot(1)], code.local("i32"));
  stack.commit();
}

const missing = (stack: Stack, operands: 1 | 2): Expr =>
  empty(operands === 1 ? stack.filled(0) : i32.and(stack.filled(0), stack.filled(1)));

function remainder(stack: Stack, func: number): void {
  const { code, cpu } = stack;
  // C2 says that the operation is not complete. One that gives a NaN or nothing is, and C0 and C3 stay, as there is no quotient.
  const complete = (): void => stack.setCodes(i32.const(0), FSW.C2);
  code.if(missing(stack, 2), complete);
  stack.underflowIf(missing(stack, 2), () => indefiniteResult(stack));
  const slot = stack.slot(0);
  const result = code.local("i32");
  stack.begin();
  code.call(func, [cpu, slot, slot, stack.slot(1)], result);
  stack.commit();
  const isNan = i32.eq(i32.and(i32.load16u(slot, 8), i32.const(0x7fff)), i32.const(0x7fff));
  code.if(i32.or(isNan, i32.eqz(result)), complete, () => stack.setCodes(i32.and(result, i32.const(FSW.codes))));
}

function extract(stack: Stack, func: number): void {
  const { code, cpu } = stack;
  const both = (): void => {
    indefiniteResult(stack);
    stack.push();
    stack.indefinite(stack.slot(0));
  };
  stack.underflowIf(empty(stack.filled(0)), both);
  stack.overflowIf(stack.filled(-1), both);
  const slot = stack.slot(0);
  const done = code.local("i32");
  stack.begin();
  code.call(func, [cpu, stack.slot(-1), slot, slot], done);
  stack.commit();
  code.if(done, () => stack.push());
}

/** x87Single; `compareSlot` is compare.ts's. */
export function emitSingle(code: Code, functions: StackFunctions, float: Float, compareSlot: number): void {
  const stack = new Stack(code, functions);
  const nothing = (): void => code.unreachable();
  const operation = (name: FloatFunction, operands: 1 | 2) => (): void => inPlace(stack, float[name], operands);
  const turn = (by: 1 | -1) => (): void => {
    stack.commit(i32.const(0));
    stack.turn(by);
  };
  /** By the low five bits of ModRM. */
  const arms: Readonly<Record<number, () => void>> = {
    0: () => sign(stack, (exponent) => i64.xor(exponent, i64.const(0x8000))),
    1: () => sign(stack, (exponent) => i64.and(exponent, i64.const(0x7fff))),
    4: () => emitTest(stack, compareSlot),
    5: () => emitExamine(stack, float),
    ...Object.fromEntries(CONSTANTS.map((constant, i) => [0x08 + i, () => loadConstant(stack, constant)])),
    20: () => extract(stack, float.x87Extract),
    21: () => remainder(stack, float.x87RemainderNearest),
    22: turn(-1),
    23: turn(1),
    24: () => remainder(stack, float.x87Remainder),
    26: operation("x87Sqrt", 1),
    28: operation("x87Round", 1),
    29: operation("x87Scale", 2),
  };
  code.block((end) => {
    const numbers = Array.from({ length: 32 }, (_, i) => arms[i] ?? nothing);
    code.switch(
      i32.and(code.param(1), i32.const(0x1f)),
      numbers.map((arm) => () => {
        arm();
        code.br(end);
      }),
    );
  });
}
