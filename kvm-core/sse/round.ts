/**
 * ROUNDPS and its like.
 * Document: SDM volume 2B, ROUNDPD (figure 4-24, table 4-18).
 * Left out: nothing.
 */

import { FPU } from "../cpu/fpu-state.ts";
import type { FloatFunction } from "../float/functions.ts";
import { type Expr, i32 } from "../wasm/expr.ts";
import { v128 } from "../wasm/simd.ts";
import { allUsable, inexactIsQuiet, roundingMode } from "./fast.ts";
import { type Context, type Defined, element, withElement } from "./map.ts";
import { setRaised } from "./settle.ts";
import { SHAPES } from "./shape.ts";

/** Bits of the immediate: by MXCSR; inexact results raise nothing. */
const IMM = { mxcsr: 4, silent: 8 } as const;

export function defineRound({ module, float, settle, types }: Context): Defined[] {
  return SHAPES.map((shape): Defined => {
    const { suffix, format, packed } = shape;
    const name = `round${suffix}`;
    const code = module.define(name, types[name]!);
    const [cpu, a, imm] = [0, 1, 2].map((i) => code.param(i)) as [Expr, Expr, Expr];
    setRaised(code, cpu, i32.const(0));
    const mxcsr = code.let(i32.load(cpu, FPU.mxcsr));
    const quiet = i32.or(i32.and(imm, i32.const(IMM.silent)), inexactIsQuiet(mxcsr));
    code.if(allUsable(shape, [a]), () => {
      code.if(quiet, () => {
        const mode = code.let(i32.and(imm, i32.const(3)));
        code.if(i32.and(imm, i32.const(IMM.mxcsr)), () => code.set(mode, roundingMode(mxcsr)));
        const arms = [shape.nearest, shape.floor, shape.ceil, shape.trunc].map((round) => () => code.return(round(a)));
        code.switch(mode, arms);
      });
    });
    const index = float[`${format}Round` as FloatFunction];
    const result = code.local("i64");
    if (packed) {
      const bits = format === "f32" ? 32 : 64;
      const vector = code.local("v128");
      code.set(vector, v128.const(0n));
      for (let i = 0; i < 128 / bits; i++) {
        code.call(index, [cpu, element(bits, a, i), imm], result);
        code.set(vector, withElement(bits, vector, i, result));
      }
      code.call(settle, [cpu]);
      code.return(vector);
    } else {
      code.call(index, [cpu, a, imm], result);
      code.call(settle, [cpu]);
      code.return(result);
    }
    code.unreachable();
    return [name, code];
  });
}
