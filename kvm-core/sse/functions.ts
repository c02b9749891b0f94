/**
 * The generated functions of SSE floating point: exact for any operands and any MXCSR, one number after the other.
 * Document: SDM volume 1, 11.5 (SIMD floating-point exceptions), 4.9.2 (order of exceptions); volume 2, the instructions of the names.
 * Left out: when they need not be called: fast.ts.
 *
 * Who calls one looks at FPU.raised afterwards: 0, and MXCSR has what flags there were; else the exception is due, and what the
 * function returned is nothing.
 */

import type { FloatFunction } from "../float/functions.ts";
import type { FuncType, ModuleBuilder } from "../wasm/module.ts";
import { defineCompare } from "./compare.ts";
import { defineDot } from "./dot.ts";
import { defineIsProduct } from "./exact.ts";
import { type Context, defineMap, MAPS, mapType } from "./map.ts";
import { defineReciprocals } from "./reciprocal.ts";
import { defineRound } from "./round.ts";
import { defineSettle } from "./settle.ts";

const V: FuncType = { params: ["i32", "v128"], results: ["v128"] };
const V_IMM: FuncType = { params: ["i32", "v128", "i32"], results: ["v128"] };
const VV_IMM: FuncType = { params: ["i32", "v128", "v128", "i32"], results: ["v128"] };
const S_IMM: FuncType = { params: ["i32", "i64", "i32"], results: ["i64"] };
const SS_IMM: FuncType = { params: ["i32", "i64", "i64", "i32"], results: ["i64"] };
const RELATE: FuncType = { params: ["i32", "i64", "i64"], results: ["i32"] };

/** By name, which is the instruction's. The first parameter is $cpu; one number is an i64 as float/functions.ts has it. */
export const SSE_TYPES: Readonly<Record<string, FuncType>> = {
  ...Object.fromEntries(MAPS.map((map) => [map.name, mapType(map)])),
  cmpss: SS_IMM,
  cmpsd: SS_IMM,
  cmpps: VV_IMM,
  cmppd: VV_IMM,
  /** RELATION of float/functions.ts. */
  comiss: RELATE,
  comisd: RELATE,
  ucomiss: RELATE,
  ucomisd: RELATE,
  roundss: S_IMM,
  roundsd: S_IMM,
  roundps: V_IMM,
  roundpd: V_IMM,
  dpps: VV_IMM,
  dppd: VV_IMM,
  rcpps: V,
  rsqrtps: V,
};

/** Defines and exports them, given the functions of float/; returns their indices. */
export function defineSse(
  module: ModuleBuilder,
  float: Readonly<Record<FloatFunction, number>>,
): Readonly<Record<string, number>> {
  const context: Context = {
    module,
    float,
    settle: defineSettle(module),
    isProduct: defineIsProduct(module),
    types: SSE_TYPES,
  };
  const codes = [
    ...MAPS.map((map) => defineMap(context, map)),
    ...defineCompare(context),
    ...defineRound(context),
    ...defineDot(context),
    ...defineReciprocals(context),
  ];
  return Object.fromEntries(codes.map(([name, code]) => [name, module.indexOf(code)]));
}
