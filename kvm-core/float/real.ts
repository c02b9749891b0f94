/**
 * Real numbers as fixed-point BigInts: constants, exponential, logarithm, sine, cosine and arc tangent, far more exact than any format.
 * Document: Brent and Zimmermann, Modern Computer Arithmetic, chapter 4 (series, argument reduction, Newton's iteration).
 * Left out: formats, rounding and special values: transcendental.ts has them.
 *
 * A value x is the integer x * 2^BITS, wrong by a few units at most. The numbers that come in have at most 64 significant bits, and
 * results that matter are above 2^-140, so 150 bits and more of each are right.
 */

/** Bits behind the point. */
export const BITS = 320n;
const ONE = 1n << BITS;

/** Drops `bits` bits, to nearest. */
const descale = (value: bigint, bits: bigint): bigint => (value + (1n << (bits - 1n))) >> bits;
export const multiply = (a: bigint, b: bigint): bigint => descale(a * b, BITS);
export const divide = (a: bigint, b: bigint): bigint => (a << BITS) / b;

/** atan(1 / n) and atanh(1 / n). */
function inverse(n: bigint, sign: bigint): bigint {
  let [power, sum] = [ONE / n, 0n];
  for (let k = 1n, flip = 1n; power !== 0n; k += 2n, flip *= sign) {
    sum += (flip * power) / k;
    power /= n * n;
  }
  return sum;
}

/** Machin's formula. */
export const PI = 4n * (4n * inverse(5n, -1n) - inverse(239n, -1n));
/** ln 2 = 18 atanh(1/26) - 2 atanh(1/4801) + 8 atanh(1/8749) */
export const LN2 = 18n * inverse(26n, 1n) - 2n * inverse(4801n, 1n) + 8n * inverse(8749n, 1n);

/** e^x - 1, for |x| below 1. */
export function expMinusOne(x: bigint): bigint {
  let [term, sum] = [x, x];
  for (let k = 2n; term !== 0n && term !== -1n; k++) {
    term = multiply(term, x) / k;
    sum += term;
  }
  return sum;
}

/** ln(x), for x from 1/2 to 2: the f64 logarithm, and the series for what it leaves. */
export function ln(x: bigint): bigint {
  const guess = fromNumber(Math.log(toNumber(x)));
  const rest = multiply(x, ONE + expMinusOne(-guess)) - ONE;
  return guess + alternating(rest, 1n);
}

/** [sin x, cos x], for |x| up to 1. */
export function sinCos(x: bigint): [bigint, bigint] {
  const square = multiply(x, x);
  const series = (first: bigint, from: bigint): bigint => {
    let [term, sum] = [first, first];
    for (let k = from; term !== 0n && term !== -1n; k += 2n) {
      term = -multiply(term, square) / (k * (k + 1n));
      sum += term;
    }
    return sum;
  };
  return [series(x, 2n), series(ONE, 1n)];
}

/** The angle of a point whose coordinates are not negative, in [0, pi/2]. */
export function angle(y: bigint, x: bigint): bigint {
  if (y > x) return PI / 2n - angle(x, y);
  const tangent = divide(y, x);
  const guess = fromNumber(Math.atan(toNumber(tangent)));
  const [sin, cos] = sinCos(guess);
  const rest = divide(multiply(tangent, cos) - sin, cos + multiply(tangent, sin));
  return guess + alternating(rest, 2n);
}

/** x - x^(1+step)/(1+step) + x^(1+2step)/(1+2step) - ...: a logarithm or an arc tangent of a small number. */
function alternating(x: bigint, step: bigint): bigint {
  const factor = step === 1n ? x : multiply(x, x);
  let [power, sum] = [x, x];
  for (let k = 1n + step; power !== 0n && power !== -1n; k += step) {
    power = -multiply(power, factor);
    sum += power / k;
  }
  return sum;
}

/** Bits of an f64 that reach a fixed-point number. */
const HEAD = 60n;
const toNumber = (x: bigint): number => Number(x >> (BITS - HEAD)) / 2 ** Number(HEAD);
const fromNumber = (x: number): bigint => BigInt(Math.round(x * 2 ** Number(HEAD))) << (BITS - HEAD);
