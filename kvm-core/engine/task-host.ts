/**
 * What a task switch asks of the machine: CR3 without a MOV, and what the old task's instruction must not do any more.
 * Document: SDM volume 3, 7.3 (steps of a task switch), 4.4.1 (PDPTEs).
 * Left out: the switch: far/task-switch.ts.
 */

import { usesPdptes } from "../cpu/control.ts";
import { CPU } from "../cpu/state.ts";
import { loadPdptes } from "../mmu/pdpte.ts";
import type { TaskHost } from "./far/task-switch.ts";
import type { Machine } from "./machine.ts";

export function taskHost(m: Machine): TaskHost {
  const { state } = m;
  return {
    loadCr3(value) {
      const pdptes = usesPdptes(state.get(CPU.cr0), state.get(CPU.cr4), state.get(CPU.efer));
      if (pdptes && !loadPdptes(state, value)) return false;
      state.set64(CPU.cr3, value, 0);
      m.memory.tlb.loadCr3(false);
      m.modeChanged();
      return true;
    },

    note: (on) => m.watch.note(on),

    switched() {
      // The old task's TF is saved with it.
      m.step.interrupted = true;
      m.debugChanged();
    },
  };
}
