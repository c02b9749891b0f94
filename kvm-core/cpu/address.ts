/**
 * Addresses of 64 bits as pairs of u32, and which of them are canonical.
 * Document: SDM volume 1, 3.3.7.1.
 * Left out: 57-bit linear addresses.
 */

/** The upper half of the sum hi:lo + delta (|delta| < 2^31); the lower one is (lo + delta) >>> 0. */
export function sumHigh(lo: number, hi: number, delta: number): number {
  const sum = lo + delta;
  return sum < 0 ? (hi - 1) >>> 0 : sum > 0xffff_ffff ? (hi + 1) >>> 0 : hi;
}

/** Bits 63..47 are equal. */
export function canonicalHigh(hi: number): boolean {
  return hi === ((hi << 16) >> 16) >>> 0;
}
