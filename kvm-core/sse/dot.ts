/**
 * DPPS and DPPD: products, then sums of neighbours, each step rounded.
 * Document: SDM volume 2A, DPPS and DPPD (the order of additions, exceptions of each step).
 * Left out: nothing.
 */

import { FPU } from "../cpu/fpu-state.ts";
import type { FloatFunction } from "../float/functions.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import { i32x4, i64x2, v128 } from "../wasm/simd.ts";
import { allUsable, roundsAsHost } from "./fast.ts";
import { type Context, type Defined, element, withElement } from "./map.ts";
import { setRaised } from "./settle.ts";
import { PD, PS, type Shape } from "./shape.ts";

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
  emitFast(code, cpu, format === "f32" ? PS : PD, a, b, imm);
  const terms = Array.from({ length: lanes }, (_, i) => {
    const term = code.local("i64");
    code.set(term, ZERO);
    code.if(i32.and(imm, i32.const(0x10 << i)), () =>
      code.call(mul, [cpu, element(bits, a, i), element(bits, b, i)], term),
    );
    return term;
  });
  // Each step's flags count, and after one with an unmasked exception the next is not done.
  const settleStep = (): void => {
    code.call(settle, [cpu]);
    code.if(i32.load(cpu, FPU.raised), () => code.return(v128.const(0n)));
  };
  settleStep();
  let sums: readonly Expr[] = terms;
  while (sums.length > 1) {
    const level = sums;
    sums = Array.from({ length: level.length / 2 }, (_, i) => {
      const sum = code.local("i64");
      code.call(add, [cpu, level[2 * i]!, level[2 * i + 1]!], sum);
      return sum;
    });
    settleStep();
  }
  const vector = code.local("v128");
  code.set(vector, v128.const(0n));
  for (let i = 0; i < lanes; i++) {
    const value = select(i32.and(imm, i32.const(1 << i)), sums[0]!, ZERO);
    code.set(vector, withElement(bits, vector, i, value));
  }
  code.return(vector);
  code.unreachable();
  return [name, code];
}

/** The neighbour of each element, at a distance of 1 and of 2. */
const NEIGHBOURS = {
  f32: [bytesOf([1, 0, 3, 2], 4), bytesOf([2, 3, 0, 1], 4)],
  f64: [bytesOf([1, 0], 8)],
} as const;

/** All elements at once, where each step has ordinary results or exact zeros. Elements that are left out are zeros. */
function emitFast(code: Code, cpu: Expr, shape: Shape, a: Expr, b: Expr, imm: Expr): void {
  const used = code.let(elementsOf(shape, imm, 4));
  const x = code.let(v128.and(a, used));
  const y = code.let(v128.and(b, used));
  code.if(i32.and(roundsAsHost(i32.load(cpu, FPU.mxcsr)), allUsable(shape, [x, y])), () => {
    const sum = code.let(shape.mul(x, y));
    const good = code.local("v128");
    const isExact = v128.or(shape.zero(x), shape.zero(y));
    code.set(good, v128.or(shape.ordinary(sum), v128.and(shape.zero(sum), isExact)));
    for (const neighbours of NEIGHBOURS[shape.format]) {
      code.set(sum, shape.add(sum, v128.shuffle(sum, sum, neighbours)));
      code.set(good, v128.and(good, v128.or(shape.ordinary(sum), shape.zero(sum))));
    }
    code.if(shape.all(good), () => code.return(v128.and(sum, elementsOf(shape, imm, 0))));
  });
}

/** A mask of the elements for which the immediate has bits, from bit `first` on. */
function elementsOf({ format }: Shape, imm: Expr, first: 0 | 4): Expr {
  const bits = lanes(format, (i) => 1n << BigInt(first + i));
  const all = format === "f32" ? i32x4.splat(imm) : i64x2.splat(i32.toI64u(imm));
  return (format === "f32" ? i32x4 : i64x2).eq(v128.and(all, bits), bits);
}

const lanes = (format: "f32" | "f64", value: (i: number) => bigint): Expr => {
  const [count, bits] = format === "f32" ? [4, 32n] : [2, 64n];
  let all = 0n;
  for (let i = 0; i < count; i++) all |= value(i) << (bits * BigInt(i));
  return v128.const(all);
};

function bytesOf(elements: readonly number[], bytes: number): number[] {
  return elements.flatMap((n) => Array.from({ length: bytes }, (_, i) => n * bytes + i));
}
