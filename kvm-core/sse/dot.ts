/**
 * DPPS and DPPD: products, then sums of neighbours, each step rounded.
 * Document: SDM volume 2A, DPPS and DPPD (the order of additions, exceptions of each step).
 * Left out: nothing.
 */

import { FPU } from "../cpu/fpu-state.ts";
import type { FloatFunction } from "../float/functions.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import { v128 } from "../wasm/simd.ts";
import { type Context, type Defined, element, withElement } from "./map.ts";
import { setRaised, unmaskedOf } from "./settle.ts";

const ZERO = i64.const(0);

export function defineDot(context: Context): Defined[] {
  return [defineOne(context, "dpps", "f32", 32, 4), defineOne(context, "dppd", "f64", 64, 2)];
}

function defineOne(context: Context, name: string, format: "f32" | "f64", bits: 32 | 64, lanes: 2 | 4): Defined {
  const { module, float, settle, types } = context;
  const code = module.define(name, types[name]!);
  const [cpu, a, b, imm] = [0, 1, 2, 3].map((i) => code.param(i)) as [Expr, Expr, Expr, Expr];
  const [mul, add] = [float[`${format}Mul` as FloatFunction], float[`${format}Add` as FloatFunction]];
  setRaised(code, cpu, i32.const(0));
  const terms = Array.from({ length: lanes }, (_, i) => {
    const term = code.local("i64");
    code.set(term, ZERO);
    code.if(i32.and(imm, i32.const(0x10 << i)), () =>
      code.call(mul, [cpu, element(bits, a, i), element(bits, b, i)], term),
    );
    return term;
  });
  const leave = (): void => leaveIfUnmasked(code, cpu, settle);
  leave();
  let sums: readonly Expr[] = terms;
  while (sums.length > 1) {
    const level = sums;
    sums = Array.from({ length: level.length / 2 }, (_, i) => {
      const sum = code.local("i64");
      code.call(add, [cpu, level[2 * i]!, level[2 * i + 1]!], sum);
      return sum;
    });
    leave();
  }
  const result = code.let(v128.const(0n));
  const vector = code.local("v128");
  code.set(vector, result);
  for (let i = 0; i < lanes; i++) {
    const value = select(i32.and(imm, i32.const(1 << i)), sums[0]!, ZERO);
    code.set(vector, withElement(bits, vector, i, value));
  }
  code.call(settle, [cpu]);
  code.return(vector);
  code.unreachable();
  return [name, code];
}

/** After a step with an unmasked exception the next one is not done. */
function leaveIfUnmasked(code: Code, cpu: Expr, settle: number): void {
  code.if(unmaskedOf(cpu, i32.load(cpu, FPU.raised)), () => {
    code.call(settle, [cpu]);
    code.return(v128.const(0n));
  });
}
