/**
 * What a load puts into a segment register: from a descriptor, by real mode's rule, or nothing.
 * Document: SDM volume 3, 3.4.3, 20.1.1 (real mode), 20.2.1 (virtual-8086 mode).
 * Left out: the checks before a load. Whoever changes CS or SS calls updateMode() behind it.
 */

import type { Descriptor } from "./descriptor.ts";
import { ATTRIBUTE } from "./segment.ts";
import { CPU, SEG } from "./state.ts";
import type { VcpuState } from "./vcpu-state.ts";

const LIMIT_64K = 0xffff;
/** A writable data segment, present and accessed: what 8086 code has in every register. */
const DATA = ATTRIBUTE.present | ATTRIBUTE.s | ATTRIBUTE.writable | ATTRIBUTE.accessed;

function set(state: VcpuState, segment: number, selector: number, base: number): void {
  state.set(CPU.selector + segment * 4, selector);
  state.set64(CPU.segBase + segment * 8, base, 0);
}

/** ES to GS from a descriptor. */
export function setSegment(state: VcpuState, segment: number, selector: number, descriptor: Descriptor): void {
  set(state, segment, selector, descriptor.base);
  state.set(CPU.limit + segment * 4, descriptor.limit);
  state.set(CPU.attributes + segment * 4, descriptor.attributes);
}

const FLAT = DATA | ATTRIBUTE.g;
/** Attributes of flat segments that fast system calls load without a descriptor. */
const FLAT_KINDS = {
  code32: FLAT | ATTRIBUTE.code | ATTRIBUTE.db,
  code64: FLAT | ATTRIBUTE.code | ATTRIBUTE.l,
  data: FLAT | ATTRIBUTE.db,
} as const;

export function setFlatSegment(
  state: VcpuState,
  segment: number,
  selector: number,
  level: number,
  kind: keyof typeof FLAT_KINDS,
): void {
  set(state, segment, selector, 0);
  state.set(CPU.limit + segment * 4, 0xffff_ffff);
  state.set(CPU.attributes + segment * 4, FLAT_KINDS[kind] | (level << 5));
}

/** A null selector. SS keeps the privilege level. */
export function setNullSegment(state: VcpuState, segment: number, selector: number, cpl: number): void {
  set(state, segment, selector, 0);
  state.set(CPU.limit + segment * 4, 0);
  state.set(CPU.attributes + segment * 4, ATTRIBUTE.unusable | (segment === SEG.ss ? cpl << 5 : 0));
}

/** Real mode changes selector and base alone, so that a limit from protected mode stays. */
export function setRealSegment(state: VcpuState, segment: number, selector: number): void {
  set(state, segment, selector, selector << 4);
  if (!(state.get(CPU.attributes + segment * 4) & ATTRIBUTE.unusable)) return;
  state.set(CPU.limit + segment * 4, LIMIT_64K);
  state.set(CPU.attributes + segment * 4, DATA);
}

/** Virtual-8086 mode: 64 KiB, privilege level 3, in CS too. */
export function setVirtualSegment(state: VcpuState, segment: number, selector: number): void {
  set(state, segment, selector, selector << 4);
  state.set(CPU.limit + segment * 4, LIMIT_64K);
  state.set(CPU.attributes + segment * 4, DATA | ATTRIBUTE.dpl);
}

/** Does a segment of these attributes hold the bytes at [offset, offset + size)? (SDM volume 3, 5.3) */
export function inLimit(attributes: number, limit: number, offset: number, size: number): boolean {
  if (attributes & ATTRIBUTE.unusable) return false;
  const last = offset + size - 1;
  const isData = (attributes & ATTRIBUTE.code) === 0;
  if (!isData || !(attributes & ATTRIBUTE.expandDown)) return last <= limit;
  return offset > limit && last <= (attributes & ATTRIBUTE.db ? 0xffff_ffff : 0xffff);
}
