/**
 * F2XM1, FYL2X and FYL2XP1: 2^x - 1, y log2(x), y log2(x + 1).
 * Document: SDM volume 2, F2XM1, FYL2X, FYL2XP1, with their tables of special operands.
 * Left out: nothing.
 */

import { type Extended, infinity, ONE, type Real, zero } from "./extended.ts";
import { RAISED } from "./format.ts";
import { type Call, fixed, magnitude, type Outcome, product, scaled, TINY, toFixed, type Value } from "./outcome.ts";
import { BITS, divide, expMinusOne, LN2, ln, multiply } from "./real.ts";

const FIXED_ONE = 1n << BITS;

export function f2xm1(call: Call, x: Extended): Outcome {
  if (x.kind === "zero") return call.exact(x.bits);
  if (x.kind === "infinity") return call.exact(x.negative ? MINUS_ONE : x.bits);
  const stop = call.denormals(x);
  if (stop) return stop;
  if (magnitude(x) >= 0) return call.unchanged(x.bits === MINUS_ONE ? MINUS_HALF : x.bits);
  const power = multiply(toFixed(x), LN2);
  // 2^x - 1 = x ln 2 (1 + x ln 2 / 2 + ...)
  if (magnitude(x) < TINY) return call.rounded(scaled(x, multiply(LN2, FIXED_ONE + power / 2n)));
  return call.rounded(fixed(expMinusOne(power)));
}

const MINUS_ONE = ONE | (0x8000n << 64n);
const MINUS_HALF = MINUS_ONE - (1n << 64n);

export function fyl2x(call: Call, x: Extended, y: Extended): Outcome {
  if (x.kind === "zero") {
    if (y.kind === "zero") return call.invalid();
    const result = [infinity(!y.negative)];
    return y.kind === "infinity" ? call.exact(...result) : call.before(RAISED.ZE, result);
  }
  if (x.negative) return call.invalid();
  const one = x.kind === "finite" && isPowerOfTwo(x) && magnitude(x) === 0;
  if (y.kind === "infinity" ? one : y.kind === "zero" && x.kind === "infinity") return call.invalid();
  const stop = call.denormals(x, y);
  if (stop) return stop;
  const below = x.kind === "finite" && magnitude(x) < 0;
  if (x.kind === "infinity" || y.kind === "infinity") return call.exact(infinity(y.negative !== below));
  if (one || y.kind === "zero") return call.exact(zero(y.negative !== below));
  return call.computed(product(log2(x), y));
}

const isPowerOfTwo = ({ mantissa }: Real): boolean => (mantissa & (mantissa - 1n)) === 0n;

/** Of a positive number other than 1. */
function log2(x: Real): Value {
  const whole = magnitude(x);
  if (isPowerOfTwo(x)) {
    return [{ negative: whole < 0, mantissa: BigInt(Math.abs(whole)), exponent: 0 }, false];
  }
  // From [1, 2); a number a little below 1 is taken as it is, so that nothing cancels.
  const up = whole === -1 ? 0 : whole;
  const mantissa = x.mantissa << BigInt(Number(BITS) + x.exponent - up);
  return fixed(divide(ln(mantissa), LN2) + BigInt(up) * FIXED_ONE);
}

export function fyl2xp1(call: Call, x: Extended, y: Extended): Outcome {
  const negative = x.negative !== y.negative;
  if (x.kind === "infinity") {
    if (x.negative || y.kind === "zero") return call.invalid();
    const stop = call.denormals(y);
    return stop ?? call.exact(infinity(negative));
  }
  if (y.kind === "infinity") {
    if (x.kind === "zero") return call.invalid();
    const stop = call.denormals(x);
    return stop ?? call.exact(infinity(negative));
  }
  const stop = call.denormals(x, y);
  if (stop) return stop;
  if (x.kind === "zero" || y.kind === "zero") return call.exact(zero(negative));
  // log2(1 + x) = x / ln 2 (1 - x/2 + ...)
  if (magnitude(x) < TINY) {
    return call.rounded(product(scaled(x, divide(FIXED_ONE - toFixed(x) / 2n, LN2)), y));
  }
  // Outside (sqrt(1/2) - 1, sqrt(2) - 1) the result is undefined; there is a logarithm down to -1.
  if (x.negative && magnitude(x) >= 0) return call.unchanged(x.bits);
  const unit = x.exponent < 0 ? 1n << BigInt(-x.exponent) : 1n;
  const shifted = x.exponent < 0 ? x.mantissa : x.mantissa << BigInt(x.exponent);
  const sum: Real = {
    negative: false,
    mantissa: unit + (x.negative ? -shifted : shifted),
    exponent: Math.min(x.exponent, 0),
  };
  return call.computed(product(log2(sum), y));
}
