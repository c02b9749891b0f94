/**
 * Operations on v128: what is folded is what WebAssembly makes of the same values at run time.
 * Document: WebAssembly core specification, 4.4.3.
 * Left out: operations that are not folded, which instructions' vectors run.
 */

import { describe, expect, it } from "vitest";
import { type Expr, i32 } from "../../../kvm-core/wasm/expr.ts";
import { ModuleBuilder } from "../../../kvm-core/wasm/module.ts";
import { f32x4, i8x16, i16x8, i32x4, i64x2, v128 } from "../../../kvm-core/wasm/simd.ts";

const VALUES = [
  0n,
  0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100n,
  0x8000_7fff_ff01_00fe_8080_7f7f_0001_ffffn,
  0x0000_0001_80ff_7f00_8001_7f7f_fffe_00ffn,
];
const COUNT = 37;
const RESULT = 64;

/** Runs the operation on two vectors and a scalar that are in memory. */
function run(act: (a: Expr, b: Expr, n: Expr) => Expr, a: bigint, b: bigint): bigint {
  const module = new ModuleBuilder();
  module.importMemory("e", "m", 1);
  const code = module.define("f", { params: ["i32"], results: [] });
  const at = code.param(0);
  code.store("v128", at, act(v128.load(at), v128.load(at, 16), i32.load(at, 32)), RESULT);
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const view = new DataView(memory.buffer);
  for (const [i, value] of [a, b, BigInt(COUNT)].entries()) {
    view.setBigUint64(i * 16, BigInt.asUintN(64, value), true);
    view.setBigUint64(i * 16 + 8, value >> 64n, true);
  }
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.encode()), { e: { m: memory } });
  (instance.exports["f"] as (at: number) => void)(0);
  return (view.getBigUint64(RESULT + 8, true) << 64n) | view.getBigUint64(RESULT, true);
}

type Operation = (a: Expr, b: Expr, n: Expr) => Expr;
const FOLDED: Readonly<Record<string, Operation>> = {
  "i8x16.splat": (_, __, n) => i8x16.splat(n),
  "i16x8.splat": (_, __, n) => i16x8.splat(n),
  "i32x4.splat": (_, __, n) => i32x4.splat(n),
  "i8x16.add": i8x16.add,
  "i8x16.sub": i8x16.sub,
  "i8x16.minu": i8x16.minu,
  "i8x16.addSatu": i8x16.addSatu,
  "i8x16.eq": i8x16.eq,
  "i16x8.mul": i16x8.mul,
  "i16x8.eq": i16x8.eq,
  "i16x8.shru": (a, _, n) => i16x8.shru(a, n),
  "i32x4.sub": i32x4.sub,
  "i64x2.eq": i64x2.eq,
  "v128.and": v128.and,
};
/** Of a vector at run time and a constant. */
const CHOICES: Readonly<Record<string, Operation>> = {
  swizzle: v128.swizzle,
  swizzleTwo: (a, s) => v128.swizzleTwo(a, i8x16.neg(a), s),
  bitselect: (a, s) => v128.bitselect(a, i8x16.neg(a), s),
};
const MASKS = [0x0101_ff00_ffff_0000_0000_00ff_0000_ffffn, 0xffff_0000_ffff_0000_0000_00ff_0000_ffffn];
const NUMBERS = [
  0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100n,
  0x1f00_101f_0102_0304_0506_0708_090a_0b0cn,
  0x20ff_101f_0102_0304_8006_0708_090a_0b0cn,
];

describe("constants", () => {
  it.each(Object.entries(FOLDED))("%s is folded", (_name, act) => {
    for (const a of VALUES) {
      for (const b of VALUES) {
        const folded = act(v128.const(a), v128.const(b), i32.const(COUNT));
        expect(folded).toMatchObject({ kind: "const", type: "v128", value: run(act, a, b) });
      }
    }
  });

  it.each(Object.entries(CHOICES))("%s by a constant gives the same", (_name, act) => {
    for (const a of VALUES) {
      for (const s of [...MASKS, ...NUMBERS]) expect(run((x) => act(x, v128.const(s), x), a, 0n)).toBe(run(act, a, s));
    }
  });

  it("a choice of whole bytes becomes a shuffle", () => {
    const [a, b] = [v128.load(i32.const(0)), v128.load(i32.const(16))];
    const shuffle = v128.shuffle(a, b, []).op;
    expect(v128.swizzle(a, v128.const(NUMBERS[0]!)).op).toBe(shuffle);
    expect(v128.swizzle(a, v128.const(NUMBERS[1]!)).op).not.toBe(shuffle);
    expect(v128.swizzleTwo(a, b, v128.const(NUMBERS[1]!)).op).toBe(shuffle);
    expect(v128.bitselect(a, b, v128.const(MASKS[1]!)).op).toBe(shuffle);
    expect(v128.bitselect(a, b, v128.const(MASKS[0]!)).op).not.toBe(shuffle);
  });

  it("of floating point are not folded", () => {
    const one = v128.const(VALUES[1]!);
    expect(f32x4.add(one, one).kind).toBe("op");
    expect(f32x4.eq(one, one).kind).toBe("op");
  });
});
