/**
 * SSE arithmetic: sums, products, quotients, roots, extremes, approximate reciprocals, sums within a register, dot products.
 * Document: SDM volume 2, ADDPS ADDPD ADDSS ADDSD and their like, ADDSUBPS HADDPS HSUBPS RCPPS RSQRTPS DPPS and theirs.
 * Left out: VEX forms; they come with AVX.
 */

import type { Emitter, Operand } from "../../emit/emitter.ts";
import { type Arithmetic, arithmetic, exactly, extreme, read, rounded, write } from "../../emit/sse-float.ts";
import { PD, PS, SD, type Shape, SS } from "../../sse/shape.ts";
import { type Expr, i64 } from "../../wasm/expr.ts";
import { i64x2, v128 } from "../../wasm/simd.ts";
import { type Insn, insn } from "../insn.ts";

type Binary = (e: Emitter, shape: Shape, a: Expr, b: Expr) => Expr;

/** The four shapes of an operation, with prefix, operands and feature. */
const FOUR = [
  [PS, "NP", "Vps,Wps", "sse"],
  [PD, "66", "Vpd,Wpd", "sse2"],
  [SS, "F3", "Vss,Wss", "sse"],
  [SD, "F2", "Vsd,Wsd", "sse2"],
] as const;

function four(name: string, code: string, act: (e: Emitter, shape: Shape, dst: Operand, src: Operand) => Expr): Insn[] {
  return FOUR.map(([shape, prefix, operands, cpuid]) =>
    insn(name + shape.suffix, {
      forms: [`${prefix} 0F ${code} /r ${operands}`],
      unit: "sse",
      cpuid,
      exec: (e, dst, src) => write(e, shape, dst!, act(e, shape, dst!, src!)),
    }),
  );
}

const ofTwo =
  (act: Binary) =>
  (e: Emitter, shape: Shape, dst: Operand, src: Operand): Expr => {
    const b = read(e, shape, src);
    return act(e, shape, read(e, shape, dst), b);
  };

const basic = (name: Arithmetic, code: string): Insn[] =>
  four(
    name,
    code,
    ofTwo((e, shape, a, b) => arithmetic(e, shape, name, a, b)),
  );
const extremes = (name: "min" | "max", code: string): Insn[] =>
  four(
    name,
    code,
    ofTwo((e, shape, a, b) => extreme(e, shape, name, a, b)),
  );

/** RCPPS and RSQRTPS, which raise nothing: of a single number the vector's lowest. */
function approximations(name: string, code: string): Insn[] {
  return [
    insn(`${name}ps`, {
      forms: [`NP 0F ${code} /r Vps,Wps`],
      unit: "sse",
      cpuid: "sse",
      exec: (e, dst, src) => e.writeV(dst!, e.call(`${name}ps`, "v128", e.readV(src!))),
    }),
    insn(`${name}ss`, {
      forms: [`F3 0F ${code} /r Vss,Wss`],
      unit: "sse",
      cpuid: "sse",
      exec: (e, dst, src) => {
        const all = e.call(`${name}ps`, "v128", v128.from64(e.read(src!)));
        e.write(dst!, i64x2.extract(all, 0));
      },
    }),
  ];
}

/** Packed forms of SSE3. */
function sse3(name: string, code: string, act: Binary): Insn[] {
  return (
    [
      [PS, "F2", "Vps,Wps"],
      [PD, "66", "Vpd,Wpd"],
    ] as const
  ).map(([shape, prefix, operands]) =>
    insn(name + shape.suffix, {
      forms: [`${prefix} 0F ${code} /r ${operands}`],
      unit: "sse",
      cpuid: "pni",
      exec: (e, dst, src) => e.writeV(dst!, ofTwo(act)(e, shape, dst!, src!)),
    }),
  );
}

/** Byte numbers of a shuffle that takes whole elements. */
const elements = (bytes: number, numbers: readonly number[]): number[] =>
  numbers.flatMap((n) => Array.from({ length: bytes }, (_, i) => n * bytes + i));
const EVEN = { f32: elements(4, [0, 2, 4, 6]), f64: elements(8, [0, 2]) } as const;
const ODD = { f32: elements(4, [1, 3, 5, 7]), f64: elements(8, [1, 3]) } as const;

const horizontal =
  (name: "add" | "sub"): Binary =>
  (e, shape, a, b) => {
    const x = e.let(v128.shuffle(a, b, EVEN[shape.format]));
    const y = e.let(v128.shuffle(a, b, ODD[shape.format]));
    return arithmetic(e, shape, name, x, y);
  };

/** Signs of the elements that ADDSUB subtracts. */
const SUBTRACTED = { f32: 0x8000_0000_0000_0000_8000_0000n, f64: 0x8000_0000_0000_0000n } as const;
const alternating: Binary = (e, shape, a, b) => {
  const sum = shape.add(a, v128.xor(b, v128.const(SUBTRACTED[shape.format])));
  return rounded(e, shape, sum, "addsub", a, b);
};

function dot(shape: Shape, code: string, operands: string): Insn {
  const name = `dp${shape.suffix}`;
  return insn(name, {
    forms: [`66 0F 3A ${code} /r ib ${operands},Ib`],
    unit: "sse",
    cpuid: "sse4.1",
    exec: (e, dst, src, imm) => {
      const b = e.readV(src!);
      e.writeV(dst!, exactly(e, name, "v128", e.readV(dst!), b, i64.toI32(e.read(imm!))));
    },
  });
}

export const SSE_ARITH: readonly Insn[] = [
  ...basic("add", "58"),
  ...basic("mul", "59"),
  ...basic("sub", "5C"),
  ...basic("div", "5E"),
  ...extremes("min", "5D"),
  ...extremes("max", "5F"),
  ...four("sqrt", "51", (e, shape, _dst, src) => {
    const value = read(e, shape, src);
    return rounded(e, shape, shape.sqrt(value), "sqrt", value);
  }),
  ...approximations("rsqrt", "52"),
  ...approximations("rcp", "53"),
  ...sse3("addsub", "D0", alternating),
  ...sse3("hadd", "7C", horizontal("add")),
  ...sse3("hsub", "7D", horizontal("sub")),
  dot(PS, "40", "Vps,Wps"),
  dot(PD, "41", "Vpd,Wpd"),
];
