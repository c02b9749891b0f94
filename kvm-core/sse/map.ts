/**
 * Functions that do one thing to each element: arithmetic and conversions.
 * Document: SDM volume 2, the instructions of the names.
 * Left out: those with an immediate: compare.ts, round.ts, dot.ts.
 */

import { FPU } from "../cpu/fpu-state.ts";
import { RAISED } from "../float/format.ts";
import type { FloatFunction } from "../float/functions.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import type { FuncType, ModuleBuilder } from "../wasm/module.ts";
import { i32x4, i64x2, v128 } from "../wasm/simd.ts";
import { type Asker, isProduct, isSum } from "./exact.ts";
import { roundsQuietly } from "./fast.ts";
import { setRaised } from "./settle.ts";
import { SHAPES, type Shape } from "./shape.ts";

export interface Context {
  readonly module: ModuleBuilder;
  readonly float: Readonly<Record<FloatFunction, number>>;
  /** settle(cpu), of settle.ts. */
  readonly settle: number;
  /** isProduct(x, y, z), of exact.ts. */
  readonly isProduct: number;
  readonly types: Readonly<Record<string, FuncType>>;
}
export type Defined = readonly [name: string, code: Code];

/** Element i of the result is fns[i % fns.length] of elements i of the operands; further elements are 0. */
interface Map {
  readonly name: string;
  readonly fns: readonly FloatFunction[];
  readonly operands: 1 | 2;
  /** Bits of elements. */
  readonly from: 32 | 64;
  readonly to: 32 | 64;
  /** 0: one number, not a vector. */
  readonly lanes: 0 | 2 | 4;
  /** Where WebAssembly gives the result also of zeros: fast.ts looks for ordinary numbers alone. */
  readonly shortcut?: Shortcut;
}
interface Shortcut {
  readonly shape: Shape;
  readonly compute: (shape: Shape, a: Expr, b: Expr) => Expr;
  /** Mask: a result of zero is exact. */
  readonly exactZero?: (shape: Shape, a: Expr, b: Expr) => Expr;
  /** i32: the result is exact, given that it is not tiny. */
  readonly isExact: (asker: Asker, a: Expr, b: Expr, result: Expr) => Expr;
}

type Row = readonly [name: string, fns: readonly string[], operands: 1 | 2, shortcut?: Omit<Shortcut, "shape">];
const SUM: Row[3] = {
  compute: (s, a, b) => s.add(a, b),
  isExact: (asker, a, b, sum) => isSum(asker, a, b, sum, false),
};
const DIFFERENCE: Row[3] = {
  compute: (s, a, b) => s.sub(a, b),
  isExact: (asker, a, b, difference) => isSum(asker, a, b, difference, true),
};
const PRODUCT: Row[3] = {
  compute: (s, a, b) => s.mul(a, b),
  exactZero: (s, a, b) => s.or(s.zero(a), s.zero(b)),
  isExact: (asker, a, b, product) => isProduct(asker, a, b, product),
};
const QUOTIENT: Row[3] = {
  compute: (s, a, b) => s.div(a, b),
  exactZero: (s, a) => s.zero(a),
  isExact: (asker, a, b, quotient) => isProduct(asker, quotient, b, a),
};
const ROOT: Row[3] = {
  compute: (s, a) => s.sqrt(a),
  isExact: (asker, a, _b, root) => isProduct(asker, root, root, a),
};
const ARITHMETIC: readonly Row[] = [
  ["add", ["Add"], 2, SUM],
  ["sub", ["Sub"], 2, DIFFERENCE],
  ["mul", ["Mul"], 2, PRODUCT],
  ["div", ["Div"], 2, QUOTIENT],
  ["sqrt", ["Sqrt"], 1, ROOT],
  ["min", ["Min"], 2],
  ["max", ["Max"], 2],
];
const ALTERNATING: Row = ["addsub", ["Sub", "Add"], 2];

const bitsOf = ({ format }: Shape): 32 | 64 => (format === "f32" ? 32 : 64);

function arithmetic(shape: Shape, [name, fns, operands, shortcut]: Row): Map {
  const bits = bitsOf(shape);
  return {
    name: name + shape.suffix,
    fns: fns.map((fn) => (shape.format + fn) as FloatFunction),
    operands,
    from: bits,
    to: bits,
    lanes: !shape.packed ? 0 : bits === 32 ? 4 : 2,
    ...(shortcut && { shortcut: { shape, ...shortcut } }),
  };
}

function conversion(name: string, fn: FloatFunction, from: 32 | 64, to: 32 | 64, lanes: 0 | 2 | 4): Map {
  return { name, fns: [fn], operands: 1, from, to, lanes };
}

export const MAPS: readonly Map[] = [
  ...SHAPES.flatMap((shape) => ARITHMETIC.map((row) => arithmetic(shape, row))),
  ...SHAPES.filter(({ packed }) => packed).map((shape) => arithmetic(shape, ALTERNATING)),
  conversion("cvtss2sd", "f32ToF64", 32, 64, 0),
  conversion("cvtsd2ss", "f64ToF32", 64, 32, 0),
  // From and to general registers: d of 32 bits, q of 64. CVTSI2SD of 32 bits is always exact.
  conversion("cvtsi2ssd", "f32FromI32", 32, 32, 0),
  conversion("cvtsi2ssq", "f32FromI64", 64, 32, 0),
  conversion("cvtsi2sdq", "f64FromI64", 64, 64, 0),
  conversion("cvtss2sid", "f32ToI32", 32, 32, 0),
  conversion("cvtss2siq", "f32ToI64", 32, 64, 0),
  conversion("cvttss2sid", "f32ToI32Truncate", 32, 32, 0),
  conversion("cvttss2siq", "f32ToI64Truncate", 32, 64, 0),
  conversion("cvtsd2sid", "f64ToI32", 64, 32, 0),
  conversion("cvtsd2siq", "f64ToI64", 64, 64, 0),
  conversion("cvttsd2sid", "f64ToI32Truncate", 64, 32, 0),
  conversion("cvttsd2siq", "f64ToI64Truncate", 64, 64, 0),
  conversion("cvtps2pd", "f32ToF64", 32, 64, 2),
  conversion("cvtpd2ps", "f64ToF32", 64, 32, 2),
  conversion("cvtdq2ps", "f32FromI32", 32, 32, 4),
  conversion("cvtps2dq", "f32ToI32", 32, 32, 4),
  conversion("cvttps2dq", "f32ToI32Truncate", 32, 32, 4),
  conversion("cvtpd2dq", "f64ToI32", 64, 32, 2),
  conversion("cvttpd2dq", "f64ToI32Truncate", 64, 32, 2),
];

export function mapType({ operands, lanes }: Map): FuncType {
  const type = lanes === 0 ? "i64" : "v128";
  return { params: ["i32", ...new Array<typeof type>(operands).fill(type)], results: [type] };
}

/** Element i of a vector, as functions of float/ take it. */
export function element(bits: 32 | 64, vector: Expr, i: number): Expr {
  return bits === 32 ? i32.toI64u(i32x4.extract(vector, i)) : i64x2.extract(vector, i);
}
export function withElement(bits: 32 | 64, vector: Expr, i: number, value: Expr): Expr {
  return bits === 32 ? i32x4.replace(vector, i, i64.toI32(value)) : i64x2.replace(vector, i, value);
}

export function defineMap({ module, float, settle, isProduct, types }: Context, map: Map): Defined {
  const { name, fns, operands, from, to, lanes, shortcut } = map;
  const code = module.define(name, types[name]!);
  const cpu = code.param(0);
  const values = [1, 2].slice(0, operands).map((i) => code.param(i));
  setRaised(code, cpu, i32.const(0));
  if (shortcut) emitShortcut(cpu, { code, shape: shortcut.shape, isProduct }, shortcut, values);
  const indices = fns.map((fn) => float[fn]);
  const result = code.local("i64");
  if (lanes === 0) {
    code.call(indices[0]!, [cpu, ...values], result);
    code.call(settle, [cpu]);
    code.return(result);
  } else {
    const vector = code.local("v128");
    code.set(vector, v128.const(0n));
    for (let i = 0; i < lanes; i++) {
      code.call(indices[i % indices.length]!, [cpu, ...values.map((value) => element(from, value, i))], result);
      code.set(vector, withElement(to, vector, i, result));
    }
    code.call(settle, [cpu]);
    code.return(vector);
  }
  code.unreachable();
  return [name, code];
}

function emitShortcut(cpu: Expr, asker: Asker, shortcut: Shortcut, values: readonly Expr[]): void {
  const { code, shape } = asker;
  const [a, b] = [values[0]!, values.at(-1)!];
  const mxcsr = code.let(i32.load(cpu, FPU.mxcsr));
  code.if(roundsQuietly(mxcsr), () => {
    const result = code.let(shortcut.compute(shape, a, b));
    const zero = shape.zero(result);
    const { exactZero } = shortcut;
    const good = shape.or(shape.ordinary(result), exactZero ? shape.and(zero, exactZero(shape, a, b)) : zero);
    const usable = values.map(shape.usable).reduce(shape.and);
    code.if(shape.all(shape.and(usable, good)), () => {
      code.if(i32.and(mxcsr, i32.const(RAISED.PE)), () => code.return(result));
      const isExact = shortcut.isExact(asker, a, b, result);
      const flag = select(isExact, i32.const(0), i32.const(RAISED.PE));
      code.store("i32", cpu, i32.or(mxcsr, flag), FPU.mxcsr);
      code.return(result);
    });
  });
}
