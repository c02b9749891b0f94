/**
 * Sizes of memory as QEMU reads them.
 * Follows: QEMU's -m and qemu_strtosz: a number, perhaps with a fraction, and a suffix of powers of 1024.
 * Left out: hexadecimal sizes.
 */
const UNITS: Readonly<Record<string, number>> = { b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** Bytes, or undefined if the text is no size. Without a suffix it counts in `unit`. */
export function parseSize(text: string, unit: keyof typeof UNITS): number | undefined {
  const match = /^([0-9]+(?:\.[0-9]+)?)([bkmgt]?)$/i.exec(text);
  if (match === null) return undefined;
  const [, digits = "", suffix = ""] = match;
  const bytes = Math.ceil(Number(digits) * UNITS[(suffix || String(unit)).toLowerCase()]!);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
