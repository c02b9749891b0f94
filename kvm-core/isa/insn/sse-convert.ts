/**
 * SSE conversions: between the formats, from and to integers in general, MMX and XMM registers.
 * Document: SDM volume 2A, CVT*; volume 1, table 4-1 and 11.5.2.1 (integers out of range).
 * Left out: VEX forms; they come with AVX; half precision.
 */

import type { CpuFeature } from "../../../shared/cpu-features.ts";
import type { Emitter, Operand } from "../../emit/emitter.ts";
import { fastOr, roundingly, truncating } from "../../emit/sse-float.ts";
import { allUsable } from "../../sse/fast.ts";
import { PD, PS, SD, SS } from "../../sse/shape.ts";
import { type Expr, f32, f64, i32, i64 } from "../../wasm/expr.ts";
import { f32x4, f64x2, i32x4, i64x2, v128 } from "../../wasm/simd.ts";
import { type Insn, insn } from "../insn.ts";

type Convert = (e: Emitter, a: Expr, size: number) => Expr;

/** One number: read, converted, written. The size that counts is the general register's. */
function single(mnemonic: string, form: string, cpuid: CpuFeature, convert: Convert): Insn {
  return insn(mnemonic, {
    forms: [form],
    unit: "sse",
    cpuid,
    exec: (e, dst, src) => {
      const { size } = dst!.kind === "xmm" ? src! : dst!;
      e.write(dst!, convert(e, e.let(e.read(src!)), size));
    },
  });
}

function vector(mnemonic: string, form: string, convert: Convert): Insn {
  return insn(mnemonic, {
    forms: [form],
    unit: "sse",
    cpuid: "sse2",
    exec: (e, dst, src) => e.writeV(dst!, convert(e, e.readV(src!), 128)),
  });
}

/**
 * With an MMX operand: SSE's and MMX's conditions both hold, in this order, unless it is in memory. Processors make the MMX
 * registers valid before they look at what the conversion raised.
 */
function withMmx(
  mnemonic: string,
  form: string,
  cpuid: CpuFeature,
  readSource: (e: Emitter, src: Operand) => Expr,
  convert: Convert,
  writeResult: (e: Emitter, dst: Operand, value: Expr) => void,
): Insn {
  return insn(mnemonic, {
    forms: [form],
    unit: "sse",
    cpuid,
    exec: (e, dst, src) => {
      const touches = dst!.kind === "mm" || src!.kind === "mm";
      if (touches) e.unit("mmx");
      const source = readSource(e, src!);
      if (touches) e.enterMmx();
      writeResult(e, dst!, convert(e, source, 64));
    },
  });
}

const float = (a: Expr): Expr => i32.asF32(i64.toI32(a));
const floatBits = (value: Expr): Expr => i32.toI64u(f32.bits(value));

// --- between formats

const toDouble: Convert = (e, a) => fastOr(e, f64.bits(f32.toF64(float(a))), () => allUsable(SS, [a]), "cvtss2sd", a);
const toSingle: Convert = (e, a) =>
  roundingly(
    e,
    {
      value: floatBits(f64.toF32(i64.asF64(a))),
      isRight: (result) => i32.or(SS.ordinary(result), SD.zero(a)),
      isExact: (result) => f64.eq(f32.toF64(float(result)), i64.asF64(a)),
    },
    "cvtsd2ss",
    a,
  );
/** A condition on the lower two elements, of one bit for each. */
const lowTwo = (mask: Expr): Expr => i32.eq(i32.and(mask, i32.const(3)), i32.const(3));
const toDoubles: Convert = (e, a) =>
  fastOr(e, f64x2.promote(a), () => lowTwo(i32x4.bitmask(PS.usable(a))), "cvtps2pd", a);
const toSingles: Convert = (e, a) =>
  roundingly(
    e,
    {
      value: f32x4.demote(a),
      isRight: (result) => lowTwo(i32.or(i32x4.bitmask(PS.ordinary(result)), i64x2.bitmask(PD.zero(a)))),
      isExact: (result) => PD.all(f64x2.eq(f64x2.promote(result), a)),
    },
    "cvtpd2ps",
    a,
  );

// --- from integers

const always = (): Expr => i32.const(1);
/** An integer of so many bits beside the sign is exact in the format. */
const FITS = { f32: 2 ** 24, f64: 2 ** 53 } as const;
const fits = (a: Expr, format: "f32" | "f64", size: number): Expr => {
  const limit = FITS[format];
  if (size === 32) return i32.ltu(i32.add(i64.toI32(a), i32.const(limit)), i32.const(2 * limit));
  return i64.ltu(i64.add(a, i64.const(limit)), i64.const(2 * limit));
};

/** 32 bits always fit into an f64. */
const intToDouble: Convert = (e, a, size) => {
  if (size === 32) return f64.bits(i32.toF64s(i64.toI32(a)));
  const value = f64.bits(i64.toF64s(a));
  return roundingly(e, { value, isRight: always, isExact: () => fits(a, "f64", size) }, "cvtsi2sdq", a);
};
const intToSingle: Convert = (e, a, size) => {
  const value = floatBits(size === 32 ? i32.toF32s(i64.toI32(a)) : i64.toF32s(a));
  const name = size === 32 ? "cvtsi2ssd" : "cvtsi2ssq";
  return roundingly(e, { value, isRight: always, isExact: () => fits(a, "f32", size) }, name, a);
};
const intsToSingles: Convert = (e, a) => {
  const all = (value: number): Expr => i32x4.splat(i32.const(value));
  const isExact = (): Expr => PS.all(i32x4.ltu(i32x4.add(a, all(FITS.f32)), all(2 * FITS.f32)));
  return roundingly(e, { value: f32x4.convert32s(a), isRight: always, isExact }, "cvtdq2ps", a);
};
const intsToDoubles: Convert = (_e, a) => f64x2.convert32s(a);

// --- to integers

/** How an instruction gets an integer: as MXCSR says, or cut off. */
interface Way {
  readonly prefix: "cvt" | "cvtt";
  readonly fast: typeof roundingly;
}
const ROUNDED: Way = { prefix: "cvt", fast: roundingly };
const CUT: Way = { prefix: "cvtt", fast: truncating };

/** Beyond these the slow way knows what is out of range; rounding to nearest does not lead out of what is below. */
const LIMIT_32 = 2 ** 31 - 1;
const LIMIT_64 = 2 ** 63;

const toInt =
  (from: "ss" | "sd", { prefix, fast }: Way): Convert =>
  (e, a, size) => {
    const ops = from === "ss" ? f32 : f64;
    const number = from === "ss" ? float(a) : i64.asF64(a);
    const whole = e.let(prefix === "cvt" ? ops.nearest(number) : ops.trunc(number));
    const value = size === 32 ? i32.toI64u(ops.toI32s(whole)) : ops.toI64s(whole);
    const isRight = (): Expr => ops.lt(ops.abs(number), ops.const(size === 32 ? LIMIT_32 : LIMIT_64));
    const isExact = (): Expr => ops.eq(whole, number);
    return fast(e, { value, isRight, isExact }, `${prefix}${from}2si${size === 32 ? "d" : "q"}`, a);
  };

const toInts =
  (from: "ps" | "pd", { prefix, fast }: Way): Convert =>
  (e, a) => {
    const [ops, shape, constant] = from === "ps" ? ([f32x4, PS, f32] as const) : ([f64x2, PD, f64] as const);
    const whole = e.let(prefix === "cvt" ? ops.nearest(a) : ops.trunc(a));
    const value = (from === "ps" ? i32x4.truncSats : i32x4.truncSatF64s)(whole);
    const isRight = (): Expr => shape.all(ops.lt(ops.abs(a), ops.splat(constant.const(LIMIT_32))));
    const isExact = (): Expr => shape.all(ops.eq(whole, a));
    return fast(e, { value, isRight, isExact }, `${prefix}${from}2dq`, a);
  };

function toIntegers(way: Way): Insn[] {
  const { prefix } = way;
  const code = prefix === "cvt" ? "2D" : "2C";
  const low64 = (e: Emitter, src: Operand): Expr => e.let(v128.from64(e.read(src)));
  const all = (e: Emitter, dst: Operand, value: Expr): void => e.writeV(dst, value);
  return [
    single(`${prefix}ss2si`, `F3 0F ${code} /r Gy,Wss`, "sse", toInt("ss", way)),
    single(`${prefix}sd2si`, `F2 0F ${code} /r Gy,Wsd`, "sse2", toInt("sd", way)),
    withMmx(`${prefix}ps2pi`, `NP 0F ${code} /r Pq,Wq`, "sse", low64, toInts("ps", way), all),
    withMmx(`${prefix}pd2pi`, `66 0F ${code} /r Pq,Wpd`, "sse2", (e, src) => e.readV(src), toInts("pd", way), all),
    vector(`${prefix}ps2dq`, `${prefix === "cvt" ? "66" : "F3"} 0F 5B /r Vx,Wps`, toInts("ps", way)),
    vector(`${prefix}pd2dq`, `${prefix === "cvt" ? "F2" : "66"} 0F E6 /r Vx,Wpd`, toInts("pd", way)),
  ];
}

export const SSE_CONVERT: readonly Insn[] = [
  single("cvtss2sd", "F3 0F 5A /r Vsd,Wss", "sse2", toDouble),
  single("cvtsd2ss", "F2 0F 5A /r Vss,Wsd", "sse2", toSingle),
  vector("cvtps2pd", "NP 0F 5A /r Vpd,Wq", toDoubles),
  vector("cvtpd2ps", "66 0F 5A /r Vps,Wpd", toSingles),
  single("cvtsi2ss", "F3 0F 2A /r Vss,Ey", "sse", intToSingle),
  single("cvtsi2sd", "F2 0F 2A /r Vsd,Ey", "sse2", intToDouble),
  vector("cvtdq2ps", "NP 0F 5B /r Vps,Wx", intsToSingles),
  vector("cvtdq2pd", "F3 0F E6 /r Vpd,Wq", intsToDoubles),
  withMmx(
    "cvtpi2ps",
    "NP 0F 2A /r Vps,Qq",
    "sse",
    (e, src) => e.readV(src),
    intsToSingles,
    (e, dst, value) => e.write(dst, i64x2.extract(value, 0)),
  ),
  withMmx(
    "cvtpi2pd",
    "66 0F 2A /r Vpd,Qq",
    "sse2",
    (e, src) => e.readV(src),
    intsToDoubles,
    (e, dst, value) => e.writeV(dst, value),
  ),
  ...toIntegers(ROUNDED),
  ...toIntegers(CUT),
];
