/**
 * FSIN, FCOS, FSINCOS, FPTAN and FPATAN.
 * Document: SDM volume 2, FSIN, FCOS, FSINCOS, FPTAN, FPATAN, with their tables of special operands; volume 1, 8.3.8 (pi).
 * Left out: nothing.
 *
 * The argument of sine, cosine and tangent is reduced by the 66 bits of pi that the manual gives, as Intel's processors and AMD's Zen 5
 * do it: near the multiples of pi that is a part of the result.
 */

import { type Extended, ONE, type Real, zero } from "./extended.ts";
import { type Call, fixed, magnitude, nearly, type Outcome, TINY, toFixed, type Value } from "./outcome.ts";
import { angle, BITS, PI, sinCos } from "./real.ts";

/** Sine, cosine and tangent take no number from 2^63 on. */
const OUT_OF_RANGE = 63;
/** Half of the processors' pi: 66 bits, cut off. */
const QUARTER_TURN = ((PI >> (BITS - 64n)) << (BITS - 64n)) / 2n;

export function fpatan(call: Call, x: Extended, y: Extended): Outcome {
  const signed = (value: bigint): Value => fixed(y.negative ? -value : value);
  if (x.kind === "infinity" || y.kind === "infinity") {
    const stop = call.denormals(x, y);
    if (stop) return stop;
    if (x.kind !== y.kind) {
      if (y.kind === "infinity") return call.rounded(signed(PI / 2n));
      return x.negative ? call.rounded(signed(PI)) : call.exact(zero(y.negative));
    }
    return call.rounded(signed(x.negative ? (3n * PI) / 4n : PI / 4n));
  }
  const stop = call.denormals(x, y);
  if (stop) return stop;
  if (y.kind === "zero") return x.negative ? call.rounded(signed(PI)) : call.exact(zero(y.negative));
  if (x.kind === "zero") return call.rounded(signed(PI / 2n));
  const distance = magnitude(y) - magnitude(x);
  if (distance < TINY && !x.negative) {
    // y/x (1 - (y/x)^2 / 3 + ...)
    const mantissa = (y.mantissa << (BITS + 64n)) / x.mantissa;
    const exponent = y.exponent - x.exponent - Number(BITS + 64n);
    const exactly = mantissa * x.mantissa === y.mantissa << (BITS + 64n);
    const quotient = { negative: y.negative, mantissa: exactly ? mantissa - 1n : mantissa, exponent };
    return call.rounded([quotient, true]);
  }
  if (distance < TINY) return call.rounded(signed(PI - 1n));
  if (distance > -TINY) return call.rounded(signed(PI / 2n));
  // Both divided by the power of two in the larger one.
  const down = Math.max(magnitude(x), magnitude(y));
  const [a, b] = [y, x].map((each) => each.mantissa << BigInt(Number(BITS) + each.exponent - down)) as [bigint, bigint];
  const first = angle(a, b);
  return call.rounded(signed(x.negative ? PI - first : first));
}

/** [sin x, cos x] for a finite number below 2^63. */
function sinCosOf(x: Extended): [Value, Value] {
  if (magnitude(x) < TINY) return [nearly(x, false), nearly(ONE_REAL, false)];
  const value = toFixed(x);
  // To nearest; division cuts towards zero.
  const twice = 2n * value + QUARTER_TURN;
  const turns = twice / (2n * QUARTER_TURN) - (twice < 0n ? 1n : 0n);
  const [sin, cos] = sinCos(value - turns * QUARTER_TURN);
  const [s, c] = (turns & 1n) === 0n ? [sin, cos] : [cos, -sin];
  return (turns & 2n) === 0n ? [fixed(s), fixed(c)] : [fixed(-s), fixed(-c)];
}

const ONE_REAL: Real = { negative: false, mantissa: 1n, exponent: 0 };

export function trigonometric(call: Call, x: Extended, pick: (sin: Value, cos: Value) => Value[]): Outcome {
  const results = pick([x, false], [ONE_REAL, false]);
  if (x.kind === "infinity") return call.invalid(results.length);
  if (x.kind === "zero") return call.rounded(...results);
  if (magnitude(x) >= OUT_OF_RANGE) return call.incomplete();
  const stop = call.denormals(x);
  return stop ?? call.rounded(...pick(...sinCosOf(x)));
}

export function fptan(call: Call, x: Extended): Outcome {
  if (x.kind === "infinity") return call.invalid(2);
  if (x.kind === "zero") return call.exact(x.bits, ONE);
  if (magnitude(x) >= OUT_OF_RANGE) return call.incomplete();
  const stop = call.denormals(x);
  if (stop) return stop;
  const tangent = magnitude(x) < TINY ? nearly(x, true) : tangentOf(x);
  return call.rounded(tangent, [ONE_REAL, false]);
}

function tangentOf(x: Extended): Value {
  const [[sin], [cos]] = sinCosOf(x);
  const quotient = (sin.mantissa << BITS) / cos.mantissa;
  return fixed(sin.negative === cos.negative ? quotient : -quotient);
}
