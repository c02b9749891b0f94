/**
 * FADD, FSUB, FSUBR, FMUL, FDIV, FDIVR between registers and with memory.
 * Document: SDM volume 2, those instructions; volume 1, 8.5 (which results are written, and what is popped).
 * Left out: the operations: kvm-core/float.
 */

import { FPU } from "../cpu/fpu-state.ts";
import type { FloatFunction } from "../float/functions.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, select } from "../wasm/expr.ts";
import { empty, Stack, type StackFunctions } from "./stack.ts";

export type Float = Readonly<Record<FloatFunction, number>>;

/** operate(cpu, op, dst, x, y) -> done: the operation whose number is ModRM.reg, on the slots `x` of ST(0) and `y` of the other. */
export function emitOperate(code: Code, float: Float): void {
  const [cpu, op, dst, x, y] = [0, 1, 2, 3, 4].map((i) => code.param(i)) as [Expr, Expr, Expr, Expr, Expr];
  const done = code.local("i32");
  const arm = (name: FloatFunction, a: Expr, b: Expr) => (): void => {
    code.call(float[name], [cpu, dst, a, b], done);
    code.return(done);
  };
  code.switch(op, [
    arm("x87Add", x, y),
    arm("x87Mul", x, y),
    () => code.unreachable(),
    () => code.unreachable(),
    arm("x87Sub", x, y),
    arm("x87Sub", y, x),
    arm("x87Div", x, y),
    arm("x87Div", y, x),
  ]);
  code.unreachable();
}

const operation = (modrm: Expr): Expr => i32.and(i32.shru(modrm, i32.const(3)), i32.const(7));

/** x87Arith. */
export function emitArith(code: Code, functions: StackFunctions, operate: number): void {
  const stack = new Stack(code, functions);
  const [cpu, modrm, toRegister, pops] = [code.param(0), code.param(1), code.param(2), code.param(3)];
  const i = code.let(i32.and(modrm, i32.const(7)));
  const [x, y] = [stack.slot(0), stack.slot(i)];
  const place = select(toRegister, i, i32.const(0));
  const dst = code.let(select(toRegister, y, x));
  stack.underflowIf(empty(i32.and(stack.filled(0), stack.filled(i))), () => {
    stack.indefinite(dst);
    stack.mark(place, true);
    stack.popIf(pops);
  });
  const done = code.local("i32");
  stack.begin();
  code.call(operate, [cpu, operation(modrm), dst, x, y], done);
  stack.commit();
  stack.popIf(i32.and(done, pops));
}

/** x87ArithMemory; `compare`: function(cpu, slot, quiet, pops). */
export function emitArithMemory(
  code: Code,
  functions: StackFunctions,
  operate: number,
  compare: number,
  float: Float,
): void {
  const stack = new Stack(code, functions);
  const [cpu, modrm, format, bits] = [code.param(0), code.param(1), code.param(2), code.param(3)];
  const op = code.let(operation(modrm));
  const isCompare = code.let(i32.eq(i32.and(op, i32.const(6)), i32.const(2)));
  const other = code.let(i32.add(cpu, i32.const(FPU.scratch)));
  code.if(stack.filled(0), () => {
    code.block((end) => {
      code.switch(format, [
        () => {
          code.call(float.x87WidenF32, [cpu, other, bits]);
          code.br(end);
        },
        () => {
          code.call(float.x87WidenF64, [cpu, other, bits]);
          code.br(end);
        },
        () => code.call(float.x87FromI64, [cpu, other, bits]),
      ]);
    });
  });
  code.if(isCompare, () => {
    code.call(compare, [cpu, other, i32.const(0), i32.and(op, i32.const(1))]);
    code.return();
  });
  const x = stack.slot(0);
  stack.underflowIf(empty(stack.filled(0)), () => {
    stack.indefinite(x);
    stack.mark(0, true);
  });
  stack.begin();
  code.call(operate, [cpu, op, x, x, other], code.local("i32"));
  stack.commit();
}
