/**
 * Extended-precision numbers as BigInts: taken apart, and rounded back.
 * Document: SDM volume 1, 4.2.2, 4.8 (encodings), 8.5 (exceptions), table 4-10 (overflow).
 * Left out: speed: generated code has x87-target.ts and x87-round.ts for that.
 */

import { CONDITION, EXTENDED, FCW, RAISED, ROUNDING } from "./format.ts";

const SIGNIFICAND = (1n << 64n) - 1n;
const INTEGER = 1n << 63n;
const QUIET = 1n << 62n;

export type Kind = "zero" | "finite" | "infinity" | "quiet" | "signalling" | "unsupported";

/** (-1)^negative * mantissa * 2^exponent, if it is zero or finite. */
export interface Real {
  readonly negative: boolean;
  readonly mantissa: bigint;
  readonly exponent: number;
}

export interface Extended extends Real {
  readonly bits: bigint;
  readonly kind: Kind;
  readonly denormal: boolean;
}

/** Sign and exponent << 64 | significand. */
export function unpack(bits: bigint): Extended {
  const mantissa = bits & SIGNIFICAND;
  const word = Number(bits >> 64n);
  const field = word & EXTENDED.top;
  const denormal = field === 0 && mantissa !== 0n;
  const exponent = Math.max(field, 1) - EXTENDED.bias - 63;
  return { bits, negative: (word & 0x8000) !== 0, mantissa, exponent, kind: kindOf(field, mantissa), denormal };
}

function kindOf(field: number, mantissa: bigint): Kind {
  if (field === 0) return mantissa === 0n ? "zero" : "finite";
  if ((mantissa & INTEGER) === 0n) return "unsupported";
  if (field !== EXTENDED.top) return "finite";
  if (mantissa === INTEGER) return "infinity";
  return (mantissa & QUIET) === 0n ? "signalling" : "quiet";
}

const pack = (negative: boolean, field: number, significand: bigint): bigint =>
  (BigInt(field | (negative ? 0x8000 : 0)) << 64n) | significand;

export const zero = (negative: boolean): bigint => pack(negative, 0, 0n);
export const infinity = (negative: boolean): bigint => pack(negative, EXTENDED.top, INTEGER);
export const ONE = pack(false, EXTENDED.bias, INTEGER);
/** The real indefinite. */
export const INDEFINITE = pack(true, EXTENDED.top, INTEGER | QUIET);
export const quieted = (nan: bigint): bigint => nan | QUIET;

export const length = (x: bigint): number => x.toString(2).length;

export interface Rounded {
  readonly bits: bigint;
  /** As FPU.raised. */
  readonly raised: number;
}

/** Rounds to 64 bits, whatever PC says. `inexact`: the value is a little larger in magnitude than what it says. */
export function round({ negative, mantissa, exponent }: Real, fcw: number, inexact: boolean): Rounded {
  // A bit below everything that rounding looks at.
  const wide = inexact ? (mantissa << 130n) | 1n : mantissa << 130n;
  const top = exponent - 130 + length(wide) - 1 + EXTENDED.bias;
  const mode = (fcw >> FCW.rounding) & 3;
  const to = (field: number): { significand: bigint; up: boolean; exact: boolean } => {
    // Below the normal numbers the unit stays what it is.
    const cut = BigInt(length(wide) - 64 + field - top);
    const [kept, rest, half] = [wide >> cut, wide & ((1n << cut) - 1n), 1n << (cut - 1n)];
    const tie = rest === half && (kept & 1n) !== 0n;
    const up = mode === ROUNDING.nearest ? rest > half || tie : rest !== 0n && mode === (negative ? 1 : 2);
    return { significand: kept + (up ? 1n : 0n), up, exact: rest === 0n };
  };
  const inexactFlags = (r: { up: boolean; exact: boolean }, also = 0): number =>
    r.exact ? 0 : RAISED.PE | also | (r.up ? CONDITION.C1 : 0);
  const normal = to(top);
  const carry = normal.significand > SIGNIFICAND;
  const field = carry ? top + 1 : top;
  const significand = carry ? INTEGER : normal.significand;
  if (field >= EXTENDED.top) {
    if ((fcw & RAISED.OE) === 0) {
      const bits = pack(negative, field - EXTENDED.wrap, significand);
      return { bits, raised: RAISED.OE | inexactFlags(normal) };
    }
    const infinite = mode === ROUNDING.nearest || mode === (negative ? ROUNDING.down : ROUNDING.up);
    const bits = infinite ? infinity(negative) : pack(negative, EXTENDED.top - 1, SIGNIFICAND);
    return { bits, raised: RAISED.OE | RAISED.PE | (infinite ? CONDITION.C1 : 0) };
  }
  if (field >= 1) return { bits: pack(negative, field, significand), raised: inexactFlags(normal) };
  if ((fcw & RAISED.UE) === 0) {
    const bits = pack(negative, field + EXTENDED.wrap, significand);
    return { bits, raised: RAISED.UE | inexactFlags(normal) };
  }
  const tiny = to(1);
  const bits = pack(negative, (tiny.significand & INTEGER) === 0n ? 0 : 1, tiny.significand);
  return { bits, raised: inexactFlags(tiny, RAISED.UE) };
}
