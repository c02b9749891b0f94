/**
 * Random values for vector lanes and floating-point numbers of every format, those that are special more often than others.
 * Document: SDM volume 1, 4.2.2 and tables 4-3 and 8-3 (classes of numbers, unsupported encodings), 4.2.4 (NaNs).
 * Left out: which register gets what: fpu-values.ts.
 */

import type { Values } from "./values.ts";

/** What lanes hold; text: strings of few letters and their ends; count: of a shift, in the low quadword. */
export type Lanes = "f32" | "f64" | "f80" | "int" | "text" | "count";

interface Format {
  readonly exponent: number;
  /** Bits behind the binary point; of f80, those below the integer bit. */
  readonly fraction: number;
}
const FORMATS: Readonly<Record<"f32" | "f64" | "f80", Format>> = {
  f32: { exponent: 8, fraction: 23 },
  f64: { exponent: 11, fraction: 52 },
  f80: { exponent: 15, fraction: 63 },
};
/** Where results are rounded: fractions of single, double and extended precision, and a bit on. */
const CUTS = [10, 23, 24, 51, 52, 53, 62] as const;
const ones = (bits: number): bigint => (1n << BigInt(bits)) - 1n;

export class VectorValues {
  readonly #values: Values;
  /** Numbers of a case have exponents and fractions near each other, or sums and comparisons would not be interesting. */
  readonly #near: number;
  #lastFraction: bigint;

  constructor(values: Values) {
    this.#values = values;
    this.#near = values.below(20);
    this.#lastFraction = values.u64();
  }

  /** 80 bits of x87's own format, encodings that it does not support among them. */
  f80(): bigint {
    const plain = this.#float(FORMATS.f80);
    const [fraction, rest] = [plain & ones(63), plain >> 63n];
    const integerBit = (rest & 0x7fffn) === 0n ? 0n : 1n;
    // Pseudo-denormals, unnormals, pseudo-infinities and pseudo-NaNs have the other integer bit.
    const other = this.#values.percent(4) ? 1n : 0n;
    return (rest << 64n) | ((integerBit ^ other) << 63n) | fraction;
  }

  /** 18 packed decimal digits and a sign. */
  bcd(): bigint {
    const values = this.#values;
    let digits = 0n;
    const count = values.percent(50) ? 18 : values.below(19);
    for (let i = 0; i < count; i++) digits = (digits << 4n) | BigInt(values.percent(10) ? 9 : values.below(10));
    return digits | (BigInt(values.percent(50) ? 0x80 : 0) << 72n);
  }

  float(lanes: "f32" | "f64"): bigint {
    return this.#float(FORMATS[lanes]);
  }

  /** A register's worth. */
  vector(lanes: Lanes): bigint {
    if (lanes === "f80") return this.f80() | (this.#values.u64() << 80n);
    if (lanes === "text") return this.#text();
    if (lanes === "count") return this.#count();
    if (lanes === "int" || this.#values.percent(4)) return this.#integers();
    const bits = lanes === "f32" ? 32n : 64n;
    const same = this.#values.percent(10) ? this.float(lanes) : undefined;
    let all = 0n;
    for (let at = 0n; at < 128n; at += bits) all |= (same ?? this.float(lanes)) << at;
    return all;
  }

  #bits128(): bigint {
    return (this.#values.u64() << 64n) | this.#values.u64();
  }

  #integers(): bigint {
    const values = this.#values;
    switch (values.below(16)) {
      case 0:
        return 0n;
      case 1:
        return ones(128);
      case 2:
        return this.#count();
      case 3:
        return this.#text();
      case 4: {
        const lane = 8 << values.below(4);
        const one = this.#edge(lane);
        return this.#each(lane, () => one);
      }
      case 5:
      case 6:
      case 7:
      case 8:
      case 9: {
        const lane = 8 << values.below(4);
        return this.#each(lane, () => (values.percent(65) ? this.#edge(lane) : values.u64()));
      }
      case 10: {
        const lane = 16 << values.below(3);
        return this.#each(lane, () => BigInt(values.below(200) - 100));
      }
      default:
        return this.#bits128();
    }
  }

  #count(): bigint {
    const values = this.#values;
    return BigInt(values.below(140)) | (values.percent(50) ? values.u64() << 64n : 0n);
  }

  /** Letters in bytes or words; an end comes early, late or never. */
  #text(): bigint {
    const values = this.#values;
    const bits = values.pick([8, 8, 16]);
    const ends = values.pick([0, 0, 5, 15, 40]);
    const letters = 1 + values.below(6);
    return this.#each(bits, () => (values.percent(ends) ? 0n : BigInt(0x7e + values.below(letters))));
  }

  #each(bits: number, lane: () => bigint): bigint {
    let all = 0n;
    for (let at = 0; at < 128; at += bits) all |= BigInt.asUintN(bits, lane()) << BigInt(at);
    return all;
  }

  #edge(bits: number): bigint {
    const half = 1n << BigInt(bits - 1);
    return this.#values.pick([0n, 1n, 2n, -1n, -2n, half, half - 1n, half + 1n, half - 2n, half >> 1n]);
  }

  #float({ exponent, fraction }: Format): bigint {
    const values = this.#values;
    const maximum = 2 ** exponent - 1;
    const bias = maximum >> 1;
    const sign = BigInt(values.below(2)) << BigInt(exponent + fraction);
    const make = (e: number, f: bigint): bigint =>
      sign | (BigInt(Math.min(Math.max(e, 0), maximum)) << BigInt(fraction)) | (f & ones(fraction));
    const quiet = 1n << BigInt(fraction - 1);
    const random = BigInt.asUintN(fraction, values.u64());
    switch (values.below(32)) {
      case 0:
      case 1:
        return make(0, 0n);
      case 2:
        return make(maximum, 0n);
      case 3:
        return make(maximum, quiet | random);
      case 4:
        return make(maximum, (random & ~quiet) | 1n);
      case 5:
        return make(0, random);
      case 6:
        return make(0, values.pick([1n, 2n, ones(fraction), quiet]));
      case 7:
        return values.percent(50) ? make(1, random & 3n) : make(maximum - 1, ones(fraction) - (random & 3n));
      case 8: // about the ends of the integers' ranges
      case 9:
        return make(bias + values.pick([15, 31, 32, 63, 64]) - values.below(3), this.#fraction(fraction));
      case 10: // a number with few bits behind the point
      case 11:
        return make(bias + values.below(10) - 2, this.#fraction(fraction) & ~ones(Math.max(fraction - 8, 0)));
      case 12:
        return make(values.below(maximum), random);
      case 13:
        return make(bias, 0n);
      default:
        return make(this.#base(bias) + values.below(5) - 2, this.#fraction(fraction));
    }
  }

  /** The exponent about which a case's numbers lie; sums, products and quotients meet the ends of the range too. */
  #base(bias: number): number {
    switch (this.#near) {
      case 0:
        return 2;
      case 1:
        return 2 * bias - 2;
      case 2:
        return bias >> 1;
      case 3:
        return bias + (bias >> 1);
      case 4:
      case 5:
        return this.#values.pick([4, bias >> 1, bias, bias + (bias >> 1), 2 * bias - 4]);
      case 6:
        return bias + 12 + this.#values.below(60);
      case 7:
        return bias + this.#values.below(80) - 40;
      default:
        return bias;
    }
  }

  /** Random, near the last one, or with a pattern that is halfway between two results, or almost. */
  #fraction(bits: number): bigint {
    const values = this.#values;
    let fraction = values.u64();
    const kind = values.below(10);
    if (kind < 2) fraction = this.#lastFraction + BigInt(values.below(5) - 2);
    else if (kind < 5) {
      const cut = Math.max(bits - values.pick(CUTS), 1);
      const half = 1n << BigInt(cut - 1);
      fraction = (fraction & ~ones(cut)) | values.pick([half, half - 1n, half + 1n, 0n, 1n, ones(cut)]);
    } else if (kind === 5) fraction = BigInt(values.below(8)) << BigInt(Math.max(bits - 3, 0));
    this.#lastFraction = fraction;
    return BigInt.asUintN(bits, fraction);
  }
}
