/**
 * Segment registers: attributes as the hidden part holds them, and descriptors taken apart.
 * Document: SDM volume 3, 3.4.3 and 3.4.5.
 * Left out: loading through the GDT, which needs guest memory: engine/far/segments.ts.
 */

import type { KvmSegment } from "../../shared/ioctls.ts";
import { CPU } from "./state.ts";

/** Bits of CPU.attributes: descriptor bits 55..40 (without the limit's), and bit 16 for an unusable segment. */
export const ATTRIBUTE = {
  type: 0x000f,
  accessed: 0x0001,
  /** Data: writable. Code: readable. */
  writable: 0x0002,
  /** Data: expand-down. Code: conforming. */
  expandDown: 0x0004,
  code: 0x0008,
  s: 0x0010,
  dpl: 0x0060,
  present: 0x0080,
  avl: 0x1000,
  l: 0x2000,
  db: 0x4000,
  g: 0x8000,
  unusable: 0x1_0000,
} as const;

/** Limit in bytes of the descriptor `lo`, `hi` (its two u32 words). */
export function descriptorLimit(lo: number, hi: number): number {
  const limit = (lo & 0xffff) | (hi & 0x000f_0000);
  return hi & 0x0080_0000 ? ((limit << 12) | 0xfff) >>> 0 : limit;
}

/** Base of a code or data descriptor, u32. */
export function descriptorBase(lo: number, hi: number): number {
  return ((lo >>> 16) | ((hi & 0xff) << 16) | (hi & 0xff00_0000)) >>> 0;
}

/** CPU.attributes of a descriptor's high word. */
export function descriptorAttributes(hi: number): number {
  return (hi >>> 8) & 0xf0ff;
}

/** Linear offset in the state of a segment's base (u64): six lie in the slots, TR and LDTR apart. */
export function baseOffset(segment: number): number {
  return segment < 6 ? CPU.segBase + segment * 8 : CPU.trBase + (segment - 6) * 8;
}

export function readSegment(view: DataView, cpu: number, segment: number): KvmSegment {
  const a = view.getUint32(cpu + CPU.attributes + segment * 4, true);
  return {
    base: view.getBigUint64(cpu + baseOffset(segment), true),
    limit: view.getUint32(cpu + CPU.limit + segment * 4, true),
    selector: view.getUint32(cpu + CPU.selector + segment * 4, true),
    type: a & ATTRIBUTE.type,
    present: (a >>> 7) & 1,
    dpl: (a >>> 5) & 3,
    db: (a >>> 14) & 1,
    s: (a >>> 4) & 1,
    l: (a >>> 13) & 1,
    g: (a >>> 15) & 1,
    avl: (a >>> 12) & 1,
    unusable: (a >>> 16) & 1,
  };
}

export function writeSegment(view: DataView, cpu: number, segment: number, value: KvmSegment): void {
  const bit = (on: number, shift: number): number => (on ? 1 << shift : 0);
  const attributes =
    (value.type & ATTRIBUTE.type) |
    bit(value.s, 4) |
    ((value.dpl & 3) << 5) |
    bit(value.present, 7) |
    bit(value.avl, 12) |
    bit(value.l, 13) |
    bit(value.db, 14) |
    bit(value.g, 15) |
    bit(value.unusable, 16);
  view.setBigUint64(cpu + baseOffset(segment), value.base, true);
  view.setUint32(cpu + CPU.limit + segment * 4, value.limit, true);
  view.setUint32(cpu + CPU.selector + segment * 4, value.selector & 0xffff, true);
  view.setUint32(cpu + CPU.attributes + segment * 4, attributes, true);
}
