/**
 * Small arithmetic on addresses and bits.
 * Follows: nothing but arithmetic; numbers are exact integers below 2^53.
 * Left out: 64-bit values, which are pairs of u32 or bigint where they occur.
 */

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;

/** The next multiple of `unit` at or above `value`. Any positive unit, any safe integer. */
export function alignUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

export function isPowerOfTwo(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0 && 2 ** Math.round(Math.log2(value)) === value;
}

/** `0x` and at least `digits` hexadecimal digits. */
export function hex(value: number, digits = 1): string {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}
