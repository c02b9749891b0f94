/**
 * The four PDPTE registers of PAE paging: read from CR3's table when control registers change, not by a walk.
 * Document: SDM volume 3, 4.4.1 (when they are loaded, and what gives #GP).
 * Left out: registers of their own in KVM_SET_SREGS: they are read from memory then, and stay if that gives #GP.
 */

import { CPU } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import { ENTRY, PDPTE_RESERVED } from "./paging.ts";
import { ramAt } from "./ram.ts";

/** False, with nothing changed, if a present PDPTE has reserved bits set: #GP(0). */
export function loadPdptes(state: VcpuState, cr3: number): boolean {
  const { view, zone } = state;
  const entries: bigint[] = [];
  for (let i = 0; i < 4; i++) {
    const at = ramAt(state, ((cr3 & ~31) >>> 0) + i * 8);
    // Outside RAM all bits read as ones, the reserved ones too.
    const entry = at === 0 ? -1n : view.getBigUint64(at, true);
    if (entry & ENTRY.present && entry & PDPTE_RESERVED) return false;
    entries.push(entry);
  }
  entries.forEach((entry, i) => {
    view.setBigUint64(zone + CPU.pdpte + i * 8, entry, true);
  });
  return true;
}
