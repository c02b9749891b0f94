/**
 * SSE conversions: between the formats, to and from integers, and to integral values.
 * Document: SDM volume 2, CVTSD2SI, CVTTSD2SI, CVTSI2SD, CVTSD2SS, CVTSS2SD, ROUNDSD; volume 1, table 4-1 (integer indefinite).
 * Left out: unsigned integers, which are AVX-512's.
 */

import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import { RAISED, ROUNDING } from "./format.ts";
import { boundedIntegral, integral, largestOf, signed } from "./integral.ts";
import { infinity } from "./round.ts";
import type { SseParts, SseTarget } from "./sse-target.ts";
import { isZero } from "./target.ts";

const ZERO = i64.const(0);

/** f32ToF64, f64ToF32. */
export function emitToFormat(f: SseTarget, to: SseParts): void {
  const { code } = f;
  const bits = f.param(1);
  const operand = f.operand(bits);
  const signBit = i64.shl(i32.toI64u(operand.sign), i64.const(to.format.bits - 1));
  code.if(f.isSpecial(operand), () => {
    code.if(f.isNan(bits), () => {
      code.if(f.isSignalling(bits), () => f.raise(RAISED.IE));
      // The fraction's upper bits stay, and the quiet bit gets set.
      const fraction = i64.shl(bits, i64.const(64 - f.format.fraction));
      const moved = i64.shru(fraction, i64.const(64 - to.format.fraction));
      const quiet = infinity(to.format) | (1n << BigInt(to.format.fraction - 1));
      code.return(i64.or(i64.or(moved, i64.const(quiet)), signBit));
    });
    code.if(operand.infinite, () => code.return(i64.or(i64.const(infinity(to.format)), signBit)));
    const denormal = f.smallOperands([operand]);
    code.if(denormal, () => f.raiseBefore(RAISED.DE));
    code.if(isZero(operand), () => code.return(signBit));
  });
  f.pack(to.pack, operand.sign, operand.exponent, operand.significand);
}

/** f64ToI32 and the like; denormals raise nothing but PE. */
export function emitToInteger(f: SseTarget, bits: 32 | 64, truncate: boolean): void {
  const { code } = f;
  const operand = f.operand(f.param(1));
  code.if(i32.eqz(operand.field), () => {
    f.smallOperands([operand]);
  });
  const mode = truncate ? i32.const(ROUNDING.zero) : code.let(f.roundingMode());
  const indefinite = (): void => {
    f.raise(RAISED.IE);
    code.return(i64.const(BigInt.asIntN(64, 1n << BigInt(bits - 1))));
  };
  const { magnitude, rest } = boundedIntegral(f, operand, mode, largestOf(bits, operand.sign), indefinite);
  code.if(i64.ne(rest, ZERO), () => f.raise(RAISED.PE));
  const value = signed(operand.sign, magnitude);
  code.return(bits === 32 ? i64.and(value, i64.const(0xffff_ffffn)) : value);
}

export function emitFromInteger(f: SseTarget, bits: 32 | 64): void {
  const { code } = f;
  const value = code.let(bits === 32 ? i64.extend32s(code.param(1)) : code.param(1));
  code.if(i64.eqz(value), () => code.return(ZERO));
  const sign = code.let(i64.lts(value, ZERO));
  const magnitude = code.let(signed(sign, value));
  finishInteger(f, sign, magnitude);
}

function finishInteger(f: SseTarget, sign: Expr, magnitude: Expr): void {
  const up = f.code.let(i64.clz(magnitude));
  f.finish(sign, i32.sub(i32.const(63), i64.toI32(up)), { hi: i64.shl(magnitude, up), lo: ZERO });
}

/** ROUNDSS, ROUNDSD. */
export function emitRound(f: SseTarget): void {
  const { code } = f;
  const [bits, control] = [f.param(1), code.param(2)];
  const operand = f.operand(bits);
  code.if(f.isNan(bits), () => {
    code.if(f.isSignalling(bits), () => f.raise(RAISED.IE));
    code.return(i64.or(bits, f.quietBit));
  });
  code.if(i32.ges(operand.exponent, i32.const(f.format.fraction)), () => code.return(bits));
  code.if(i32.eqz(operand.field), () => {
    f.smallOperands([operand]);
  });
  const own = i32.and(control, i32.const(3));
  const mode = code.let(select(i32.and(control, i32.const(4)), f.roundingMode(), own));
  const { magnitude, rest } = integral(f, operand, mode);
  code.if(i32.eqz(i32.and(control, i32.const(8))), () => {
    code.if(i64.ne(rest, ZERO), () => f.raise(RAISED.PE));
  });
  code.if(i64.eqz(magnitude), () => f.zero(operand.sign));
  finishInteger(f, operand.sign, magnitude);
}
