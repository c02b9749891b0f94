/**
 * Operands that are worth trying: the edges of each format, numbers near each other, and anything at all.
 * Document: SDM volume 1, 4.8 and table 4-3 (encodings).
 * Left out: nothing.
 */

/** A generator with a seed (xorshift64*), so that a failure comes again. */
export class Random {
  #state: bigint;

  constructor(seed: number) {
    this.#state = BigInt(seed) * 0x9e3779b97f4a7c15n + 1n;
  }

  bits(count: number): bigint {
    let x = this.#state & ((1n << 64n) - 1n);
    x ^= x >> 12n;
    x = (x ^ (x << 25n)) & ((1n << 64n) - 1n);
    x ^= x >> 27n;
    this.#state = x;
    return ((x * 0x2545f4914f6cdd1dn) & ((1n << 64n) - 1n)) >> BigInt(64 - count);
  }

  below(limit: number): number {
    return Number(this.bits(32) % BigInt(limit));
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
}

export interface Encoding {
  /** Bits of exponent and of fraction; `explicit` means that the integer bit is stored. */
  readonly exponent: number;
  readonly fraction: number;
  readonly explicit: boolean;
}

export const ENCODING = {
  f32: { exponent: 8, fraction: 23, explicit: false },
  f64: { exponent: 11, fraction: 52, explicit: false },
  x87: { exponent: 15, fraction: 63, explicit: true },
} as const satisfies Readonly<Record<string, Encoding>>;

/** Sign, exponent field, fraction -> bits. A normal number's integer bit is added where it is stored. */
export function encode(e: Encoding, sign: bigint, exponent: bigint, fraction: bigint): bigint {
  if (!e.explicit) return (((sign << BigInt(e.exponent)) | exponent) << BigInt(e.fraction)) | fraction;
  const integer = exponent === 0n ? 0n : 1n << 63n;
  return (((sign << 15n) | exponent) << 64n) | integer | fraction;
}

/** Fractions with long runs of ones or zeros, whose sums and products end halfway, or next to it. */
function fraction(random: Random, bits: number): bigint {
  const all = (1n << BigInt(bits)) - 1n;
  const mixed = random.bits(bits);
  switch (random.below(6)) {
    case 0:
      return 0n;
    case 1:
      return all;
    case 2:
      return mixed & (all << BigInt(random.below(bits)));
    case 3:
      return (all << BigInt(random.below(bits))) & all;
    case 4:
      return 1n << BigInt(random.below(bits));
    default:
      return mixed;
  }
}

/** Zeros, denormals, the ends of the normal numbers, ones, infinities, NaNs; of x87, what is not supported, too. */
export function edges(e: Encoding): bigint[] {
  const top = (1n << BigInt(e.exponent)) - 1n;
  const bias = top >> 1n;
  const all = (1n << BigInt(e.fraction)) - 1n;
  const quiet = 1n << BigInt(e.fraction - 1);
  const pairs: [bigint, bigint][] = [
    [0n, 0n],
    [0n, 1n],
    [0n, all],
    [0n, quiet],
    [1n, 0n],
    [1n, 1n],
    [top - 1n, all],
    [top - 1n, 0n],
    [bias, 0n],
    [bias, 1n],
    [bias - 1n, 0n],
    [bias - 1n, all],
    [bias + 1n, quiet],
    [top, 0n],
    [top, 1n],
    [top, quiet - 1n],
    [top, quiet],
    [top, quiet | 1n],
    [top, all],
  ];
  const values = [0n, 1n].flatMap((sign) => pairs.map(([exponent, digits]) => encode(e, sign, exponent, digits)));
  if (e.explicit) {
    // Pseudo-denormals; then unnormals, pseudo-infinities, pseudo-NaNs.
    for (const word of [0n, 1n, bias, top - 1n, top]) values.push((word << 64n) | (word === 0n ? 1n << 63n : 0n));
    values.push((1n << 63n) | 5n, (0x8000n << 64n) | (1n << 63n) | all, (bias << 64n) | all);
    values.push((top << 64n) | 1n, (top << 64n) | quiet, ((0x8000n | top) << 64n) | quiet | 1n);
  }
  return values;
}

/** Pairs: now and then edges, mostly numbers whose exponents are near enough to each other to matter. */
export function pair(random: Random, e: Encoding, edge: readonly bigint[]): [bigint, bigint] {
  const number = (exponent: bigint): bigint => encode(e, random.bits(1), exponent, fraction(random, e.fraction));
  const any = (): bigint => number(random.bits(e.exponent));
  const top = (1 << e.exponent) - 1;
  const clamp = (exponent: number): bigint => BigInt(Math.max(0, Math.min(top, exponent)));
  switch (random.below(8)) {
    case 0:
      return [random.pick(edge), random.pick(edge)];
    case 1:
      return [random.pick(edge), any()];
    case 2:
      return [any(), random.pick(edge)];
    case 3:
      return [any(), any()];
    case 4: {
      // A product or quotient near the ends of the range.
      const first = random.below(top);
      const end = random.pick([0, top]) + random.below(2 * e.fraction) - e.fraction;
      const second = random.below(2) === 0 ? end - first + (top >> 1) : first - end + (top >> 1);
      return [number(clamp(first)), number(clamp(second))];
    }
    case 5: {
      const small = random.below(e.fraction + 4);
      return [number(clamp(small)), number(clamp(random.below(e.fraction + 4)))];
    }
    default: {
      const first = random.below(top);
      return [number(clamp(first)), number(clamp(first + random.below(2 * e.fraction + 8) - e.fraction - 4))];
    }
  }
}
