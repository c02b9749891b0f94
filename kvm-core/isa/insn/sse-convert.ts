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
const toSingle: Convert = (e, a) => {
  const isRight = (result: Expr): Expr => i32.or(SS.ordinary(result), SD.zero(a));
  return roundingly(e, floatBits(f64.toF32(i64.asF64(a))), isRight, "cvtsd2ss", a);
};
/** A condition on the lower two elements, of one bit for each. */
const lowTwo = (mask: Expr): Expr => i32.eq(i32.and(mask, i32.const(3)), i32.const(3));
const toDoubles: Convert = (e, a) =>
  fastOr(e, f64x2.promote(a), () => lowTwo(i32x4.bitmask(PS.usable(a))), "cvtps2pd", a);
const toSingles: Convert = (e, a) => {
  const isRight = (result: Expr): Expr => lowTwo(i32.or(i32x4.bitmask(PS.ordinary(result)), i64x2.bitmask(PD.zero(a))));
  return roundingly(e, f32x4.demote(a), isRight, "cvtpd2ps", a);
};

// --- from integers

/** 32 bits always fit into an f64. */
const intToDouble: Convert = (e, a, size) => {
  if (size === 32) return f64.bits(i32.toF64s(i64.toI32(a)));
  return roundingly(e, f64.bits(i64.toF64s(a)), always, "cvtsi2sdq", a);
};
const intToSingle: Convert = (e, a, size) =>
  size === 32
    ? roundingly(e, floatBits(i32.toF32s(i64.toI32(a))), always, "cvtsi2ssd", a)
    : roundingly(e, floatBits(i64.toF32s(a)), always, "cvtsi2ssq", a);
const always = (): Expr => i32.const(1);
const intsToSingles: Convert = (e, a) => roundingly(e, f32x4.convert32s(a), always, "cvtdq2ps", a);
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
    const value = from === "ss" ? float(a) : i64.asF64(a);
    const whole = prefix === "cvt" ? ops.nearest(value) : value;
    const integer = size === 32 ? i32.toI64u(ops.toI32s(whole)) : ops.toI64s(whole);
    const isRight = (): Expr => ops.lt(ops.abs(value), ops.const(size === 32 ? LIMIT_32 : LIMIT_64));
    return fast(e, integer, isRight, `${prefix}${from}2si${size === 32 ? "d" : "q"}`, a);
  };

const singlesToInts =
  ({ prefix, fast }: Way): Convert =>
  (e, a) => {
    const isRight = (): Expr => PS.all(f32x4.lt(f32x4.abs(a), f32x4.splat(f32.const(LIMIT_32))));
    return fast(e, i32x4.truncSats(prefix === "cvt" ? f32x4.nearest(a) : a), isRight, `${prefix}ps2dq`, a);
  };
const doublesToInts =
  ({ prefix, fast }: Way): Convert =>
  (e, a) => {
    const isRight = (): Expr => PD.all(f64x2.lt(f64x2.abs(a), f64x2.splat(f64.const(LIMIT_32))));
    return fast(e, i32x4.truncSatF64s(prefix === "cvt" ? f64x2.nearest(a) : a), isRight, `${prefix}pd2dq`, a);
  };

function toIntegers(way: Way): Insn[] {
  const { prefix } = way;
  const code = prefix === "cvt" ? "2D" : "2C";
  const low64 = (e: Emitter, src: Operand): Expr => e.let(v128.from64(e.read(src)));
  const all = (e: Emitter, dst: Operand, value: Expr): void => e.writeV(dst, value);
  return [
    single(`${prefix}ss2si`, `F3 0F ${code} /r Gy,Wss`, "sse", toInt("ss", way)),
    single(`${prefix}sd2si`, `F2 0F ${code} /r Gy,Wsd`, "sse2", toInt("sd", way)),
    withMmx(`${prefix}ps2pi`, `NP 0F ${code} /r Pq,Wq`, "sse", low64, singlesToInts(way), all),
    withMmx(`${prefix}pd2pi`, `66 0F ${code} /r Pq,Wpd`, "sse2", (e, src) => e.readV(src), doublesToInts(way), all),
    vector(`${prefix}ps2dq`, `${prefix === "cvt" ? "66" : "F3"} 0F 5B /r Vx,Wps`, singlesToInts(way)),
    vector(`${prefix}pd2dq`, `${prefix === "cvt" ? "F2" : "66"} 0F E6 /r Vx,Wpd`, doublesToInts(way)),
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
