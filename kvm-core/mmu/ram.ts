/**
 * The guest-physical page table, as the vCPU reads it: where in linear memory a guest-physical address is.
 * Document: architecture.md section 3; cpu/zones.ts has the layout.
 * Left out: who writes it: memory slots, and the flags of pages that hold decoded code.
 */

import type { VcpuState } from "../cpu/vcpu-state.ts";
import { GPA_ADDRESS, GPA_PRESENT, GPA_TABLE } from "../cpu/zones.ts";

/** Guest-physical addresses that the table covers. */
const GPA_END = 0x1_0000_0000;

/** Linear address of the RAM at `gpa`, or 0 if nobody's. */
export function ramAt(state: VcpuState, gpa: number): number {
  if (gpa >= GPA_END) return 0;
  const entry = state.u32[(GPA_TABLE >>> 2) + (gpa >>> 12)]!;
  return entry & GPA_PRESENT ? ((entry & GPA_ADDRESS) | (gpa & 0xfff)) >>> 0 : 0;
}

/** The table's flags for the page of `gpa`, which is RAM. */
export function pageFlags(state: VcpuState, gpa: number): number {
  return state.u32[(GPA_TABLE >>> 2) + (gpa >>> 12)]! & 0xfff;
}
