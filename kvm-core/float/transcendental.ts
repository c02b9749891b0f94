/**
 * The transcendental instructions of the x87, correctly rounded.
 * Document: SDM volume 2, F2XM1, FYL2X, FYL2XP1, FPTAN, FPATAN, FSIN, FCOS, FSINCOS; volume 1, 8.3.8 to 8.3.10.
 * Left out: empty registers, pushes and pops, which are the caller's.
 *
 * Operands and results are 80 bits: sign and exponent << 64 | significand. Rounding is by RC, to 64 bits, whatever PC says.
 * Processors promise an error below one unit, so their results are at most one unit away from these. As theirs, the argument of sine,
 * cosine and tangent is reduced by a pi of 66 bits (SDM volume 1, 8.3.8; AMD's Zen 5 does the same), which is part of the result.
 */

import {
  type Extended,
  INDEFINITE,
  infinity,
  length,
  ONE,
  quieted,
  type Real,
  round,
  unpack,
  zero,
} from "./extended.ts";
import { RAISED } from "./format.ts";
import { angle, BITS, divide, expMinusOne, LN2, ln, multiply, PI, sinCos } from "./real.ts";

export interface Outcome {
  /**
   * What takes the place of the operand (of ST(1) for FYL2X, FYL2XP1, FPATAN, whose ST(0) is popped), then what is pushed (FPTAN,
   * FSINCOS). Empty: nothing is written, pushed or popped: an unmasked IE, ZE or DE, or an argument out of range.
   */
  readonly results: readonly bigint[];
  /** As FPU.raised. */
  readonly raised: number;
  /** C2: the argument is out of range, 2^63 or more. */
  readonly incomplete: boolean;
}

export type Transcendental = "f2xm1" | "fyl2x" | "fyl2xp1" | "fptan" | "fpatan" | "fsin" | "fcos" | "fsincos";

/** Below this exponent a function is its first term, and a trace of the next. */
const TINY = -70;
const FIXED_ONE = 1n << BITS;
/** Sine, cosine and tangent take no number from 2^63 on. */
const OUT_OF_RANGE = 63;
/** Half of the processors' pi: 66 bits, cut off. */
const QUARTER_TURN = ((PI >> (BITS - 64n)) << (BITS - 64n)) / 2n;

/** `st1` counts for fyl2x, fyl2xp1 and fpatan alone. */
export function transcendental(name: Transcendental, fcw: number, st0: bigint, st1: bigint): Outcome {
  const call = new Call(fcw);
  const [x, y] = [unpack(st0), unpack(st1)];
  switch (name) {
    case "f2xm1":
      return call.guard([x], 1, () => f2xm1(call, x));
    case "fyl2x":
      return call.guard([x, y], 1, () => fyl2x(call, x, y));
    case "fyl2xp1":
      return call.guard([x, y], 1, () => fyl2xp1(call, x, y));
    case "fpatan":
      return call.guard([x, y], 1, () => fpatan(call, x, y));
    case "fsin":
      return call.guard([x], 1, () => trigonometric(call, x, (sin) => [sin]));
    case "fcos":
      return call.guard([x], 1, () => trigonometric(call, x, (_, cos) => [cos]));
    case "fsincos":
      return call.guard([x], 2, () => trigonometric(call, x, (sin, cos) => [sin, cos]));
    case "fptan":
      return call.guard([x], 2, () => fptan(call, x));
  }
}

/** A value, and whether it is a little larger in magnitude than what it says. */
type Value = readonly [Real, boolean];

/** Exceptions and results of one instruction. */
class Call {
  readonly #fcw: number;
  #raised = 0;

  constructor(fcw: number) {
    this.#fcw = fcw;
  }

  /** Encodings that are not supported, NaNs and denormals; then the instruction. */
  guard(operands: readonly Extended[], results: number, compute: () => Outcome): Outcome {
    const every = (bits: bigint): readonly bigint[] => new Array<bigint>(results).fill(bits);
    if (operands.some(({ kind }) => kind === "unsupported")) return this.before(RAISED.IE, every(INDEFINITE));
    const nans = operands.filter(({ kind }) => kind === "quiet" || kind === "signalling");
    if (nans.length > 0) {
      const result = every(quieted(nans.reduce(chosen).bits));
      return nans.some(({ kind }) => kind === "signalling") ? this.before(RAISED.IE, result) : this.exact(...result);
    }
    return compute();
  }

  /** An exception that comes before the result. */
  before(exception: number, results: readonly bigint[]): Outcome {
    this.#raised |= exception;
    return this.exact(...((this.#fcw & exception) === 0 ? [] : results));
  }

  invalid(results = 1): Outcome {
    return this.before(RAISED.IE, new Array<bigint>(results).fill(INDEFINITE));
  }

  /** Nothing to round. */
  exact(...results: bigint[]): Outcome {
    return { results, raised: this.#raised, incomplete: false };
  }

  /** Where the manual leaves the result undefined: Zen 5's is the operand, and PE. At 1 and -1 that is right for F2XM1, PE apart. */
  unchanged(bits: bigint): Outcome {
    this.#raised |= RAISED.PE;
    return this.exact(bits);
  }

  incomplete(): Outcome {
    return { results: [], raised: this.#raised, incomplete: true };
  }

  /** Notes denormals: undefined, or what an unmasked DE makes of the instruction. */
  denormals(...operands: Extended[]): Outcome | undefined {
    if (!operands.some(({ denormal }) => denormal)) return undefined;
    this.#raised |= RAISED.DE;
    return (this.#fcw & RAISED.DE) === 0 ? this.exact() : undefined;
  }

  /** For logarithms of powers of two, which processors do not notice: PE, and with it UE, though nothing is lost. */
  computed(value: Value): Outcome {
    const outcome = this.rounded(value);
    const tiny = outcome.results.some((bits) => unpack(bits).denormal);
    return { ...outcome, raised: outcome.raised | RAISED.PE | (tiny ? RAISED.UE : 0) };
  }

  rounded(...values: Value[]): Outcome {
    const results = values.map(([value, inexact]) => {
      if (value.mantissa === 0n) return zero(value.negative);
      const { bits, raised } = round(value, this.#fcw, inexact);
      this.#raised |= raised;
      return bits;
    });
    return this.exact(...results);
  }
}

/** Of two NaNs: the quiet one, the one with the larger significand, the positive one. */
function chosen(a: Extended, b: Extended): Extended {
  if (a.kind !== b.kind) return a.kind === "quiet" ? a : b;
  if (a.mantissa !== b.mantissa) return a.mantissa > b.mantissa ? a : b;
  return a.negative ? b : a;
}

/** Exponent of the highest bit. */
const magnitude = ({ mantissa, exponent }: Real): number => exponent + length(mantissa) - 1;

/** A fixed-point number, not exact, times 2^exponent. */
function fixed(value: bigint, exponent = 0): Value {
  const mantissa = value < 0n ? -value : value;
  return [{ negative: value < 0n, mantissa, exponent: exponent - Number(BITS) }, true];
}

/** A finite number in fixed point: its exponent is from TINY to 200. */
function toFixed({ negative, mantissa, exponent }: Real): bigint {
  const value = mantissa << BigInt(Number(BITS) + exponent);
  return negative ? -value : value;
}

/** x, a trace smaller in magnitude, or larger. */
function nearly({ negative, mantissa, exponent }: Real, larger: boolean): Value {
  const wide = (mantissa << BITS) - (larger ? 0n : 1n);
  return [{ negative, mantissa: wide, exponent: exponent - Number(BITS) }, true];
}

function product([a, inexact]: Value, b: Real): Value {
  const mantissa = a.mantissa * b.mantissa;
  return [{ negative: a.negative !== b.negative, mantissa, exponent: a.exponent + b.exponent }, inexact];
}

/** x times a fixed-point number. */
const scaled = (x: Real, factor: bigint): Value => product(fixed(factor), x);

function f2xm1(call: Call, x: Extended): Outcome {
  if (x.kind === "zero") return call.exact(x.bits);
  if (x.kind === "infinity") return call.exact(x.negative ? MINUS_ONE : x.bits);
  const stop = call.denormals(x);
  if (stop) return stop;
  if (magnitude(x) >= 0) return call.unchanged(x.bits === MINUS_ONE ? MINUS_HALF : x.bits);
  // 2^x - 1 = x ln 2 (1 + x ln 2 / 2 + ...)
  if (magnitude(x) < TINY) return call.rounded(scaled(x, LN2));
  return call.rounded(fixed(expMinusOne(multiply(toFixed(x), LN2))));
}

const MINUS_ONE = ONE | (0x8000n << 64n);
const MINUS_HALF = MINUS_ONE - (1n << 64n);

function fyl2x(call: Call, x: Extended, y: Extended): Outcome {
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

function fyl2xp1(call: Call, x: Extended, y: Extended): Outcome {
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
  if (magnitude(x) < TINY) return call.rounded(product(scaled(x, divide(FIXED_ONE, LN2)), y));
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

function fpatan(call: Call, x: Extended, y: Extended): Outcome {
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

function trigonometric(call: Call, x: Extended, pick: (sin: Value, cos: Value) => Value[]): Outcome {
  const results = pick([x, false], [ONE_REAL, false]);
  if (x.kind === "infinity") return call.invalid(results.length);
  if (x.kind === "zero") return call.rounded(...results);
  if (magnitude(x) >= OUT_OF_RANGE) return call.incomplete();
  const stop = call.denormals(x);
  return stop ?? call.rounded(...pick(...sinCosOf(x)));
}

function fptan(call: Call, x: Extended): Outcome {
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
