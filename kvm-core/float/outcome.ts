/**
 * What a transcendental instruction gives: results and exceptions, and the values on the way to them.
 * Document: SDM volume 1, 4.9.2 (order of exceptions), table 4-7 (NaNs), 8.5.
 * Left out: what the instructions compute: exponential.ts, trigonometry.ts.
 */

import { type Extended, INDEFINITE, length, quieted, type Real, round, unpack, zero } from "./extended.ts";
import { RAISED } from "./format.ts";
import { BITS } from "./real.ts";

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

/** A value, and whether it is a little larger in magnitude than what it says. */
export type Value = readonly [Real, boolean];

/** Exceptions and results of one instruction. */
export class Call {
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

/** Below this exponent a function is the beginning of its series. */
export const TINY = -70;

/** Exponent of the highest bit. */
export const magnitude = ({ mantissa, exponent }: Real): number => exponent + length(mantissa) - 1;

/** A fixed-point number, not exact. */
export function fixed(value: bigint): Value {
  const mantissa = value < 0n ? -value : value;
  return [{ negative: value < 0n, mantissa, exponent: -Number(BITS) }, true];
}

/** A finite number in fixed point; what lies below is lost. */
export function toFixed({ negative, mantissa, exponent }: Real): bigint {
  const value = mantissa << BigInt(Number(BITS) + exponent);
  return negative ? -value : value;
}

/** x, a trace smaller in magnitude, or larger. */
export function nearly({ negative, mantissa, exponent }: Real, larger: boolean): Value {
  const wide = (mantissa << BITS) - (larger ? 0n : 1n);
  return [{ negative, mantissa: wide, exponent: exponent - Number(BITS) }, true];
}

export function product([a, inexact]: Value, b: Real): Value {
  const mantissa = a.mantissa * b.mantissa;
  return [{ negative: a.negative !== b.negative, mantissa, exponent: a.exponent + b.exponent }, inexact];
}

/** x times a fixed-point number. */
export const scaled = (x: Real, factor: bigint): Value => product(fixed(factor), x);
