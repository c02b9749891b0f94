/**
 * Segment bounds: which offsets of each segment may be read and written, made from limits and attributes.
 * Document: SDM volume 3, 5.3 (limit checking), 5.4 (type checking), 20.1 (real-address mode; 21.1 in newer editions).
 * Left out: the privilege checks, which are done when a segment is loaded: engine/far/.
 *
 * Generated code looks at nothing else: an access of n bytes at an offset is allowed if low <= offset and
 * offset + n - 1 <= high, both as 64-bit numbers.
 */

import { ATTRIBUTE } from "./segment.ts";
import { CPU, SEG } from "./state.ts";

/** Rows of CPU.bounds: two for each of ES CS SS DS FS GS, reads and then writes; then one that allows everything. */
export const BOUNDS = { size: 16, low: 0, high: 8, perSegment: 32, write: 16, anyRow: 12, rows: 13 } as const;
const SEGMENTS = 6;
const USABLE = ATTRIBUTE.s | ATTRIBUTE.present | ATTRIBUTE.unusable;
const ALL = 0xffff_ffff;

/** Number of the row that an access to a segment is checked against. */
export function boundsRow(segment: number, write: boolean): number {
  return segment * 2 + (write ? 1 : 0);
}

/** Every offset of every segment: 64-bit mode. */
export function openBounds(u32: Uint32Array, cpu: number): void {
  for (let row = 0; row < BOUNDS.rows; row++) allow(u32, cpu, row, 0, ALL, ALL);
}

/** The bounds of all segments; `real`: in real-address and virtual-8086 mode attributes do not count. */
export function segmentBounds(u32: Uint32Array, cpu: number, real: boolean): void {
  for (let segment = 0; segment < SEGMENTS; segment++) {
    const limit = u32[(cpu + CPU.limit + segment * 4) >>> 2]!;
    const attributes = u32[(cpu + CPU.attributes + segment * 4) >>> 2]!;
    const isCode = (attributes & ATTRIBUTE.code) !== 0;
    const usable = real || (attributes & USABLE) === (ATTRIBUTE.s | ATTRIBUTE.present);
    const readable = usable && (real || !isCode || (attributes & ATTRIBUTE.writable) !== 0);
    const writable = usable && (real || (!isCode && (attributes & ATTRIBUTE.writable) !== 0));
    const down = !real && !isCode && (attributes & ATTRIBUTE.expandDown) !== 0;
    const row = segment * 2;
    bound(u32, cpu, row, readable, down, limit, attributes);
    bound(u32, cpu, row + 1, writable, down, limit, attributes);
  }
  allow(u32, cpu, BOUNDS.anyRow, 0, ALL, ALL);
}

/** Does the segment take every offset, read and written, at the offset's own linear address? */
export function isFlat(u32: Uint32Array, cpu: number, segment: number): boolean {
  const base = (cpu + CPU.segBase + segment * 8) >>> 2;
  if ((u32[base]! | u32[base + 1]!) !== 0) return false;
  const at = (cpu + CPU.bounds + segment * BOUNDS.perSegment) >>> 2;
  // Only a segment of 4 GiB has an upper bound of 64 bits.
  if (segment === SEG.cs) return u32[(cpu + CPU.limit + segment * 4) >>> 2] === ALL;
  return u32[at + 3] === ALL && u32[at + 7] === ALL;
}

function bound(
  u32: Uint32Array,
  cpu: number,
  row: number,
  allowed: boolean,
  down: boolean,
  limit: number,
  attributes: number,
): void {
  if (!allowed || (down && limit === ALL)) allow(u32, cpu, row, ALL, 0, 0);
  else if (down) allow(u32, cpu, row, limit + 1, attributes & ATTRIBUTE.db ? ALL : 0xffff, 0);
  // Whether an access may run over the end of 4 GiB is the processor's choice (SDM volume 3, 5.3); here it goes on at 0.
  else allow(u32, cpu, row, 0, limit, limit === ALL ? ALL : 0);
}

/** low, and the two halves of high. */
function allow(u32: Uint32Array, cpu: number, row: number, low: number, high: number, highHigh: number): void {
  const at = (cpu + CPU.bounds + row * BOUNDS.size) >>> 2;
  u32[at] = low;
  u32[at + 1] = 0;
  u32[at + 2] = high;
  u32[at + 3] = highHigh;
}
