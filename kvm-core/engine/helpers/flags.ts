/**
 * Helpers of flags that are privileged or that the engine has to know of: CLI, STI, PUSHF, POPF.
 * Document: SDM volume 2, the instructions of the names; volume 3, 20.2.7 (virtual-8086 mode), 6.8.1 (the shadow of STI).
 * Left out: VME and PVI, the virtual interrupt flag: CR4 refuses them.
 */

import { VECTOR } from "../../cpu/fault.ts";
import { RFLAGS, readFlags } from "../../cpu/flags.ts";
import { popFlags } from "../../cpu/pop-flags.ts";
import { PopFrame } from "../../cpu/stack-frame.ts";
import { CPU } from "../../cpu/state.ts";
import { SHADOW } from "../debug.ts";
import { type Helper, type HelperContext, NEXT, RESUME } from "./context.ts";

export function flagHelpers(c: HelperContext): Record<"cli" | "sti" | "pushf" | "popf", Helper> {
  const { machine: m } = c;
  const { state } = m;
  const frame = new PopFrame(state, m.system, m.fault);
  /** Virtual-8086 code needs IOPL 3 for PUSHF and POPF. */
  const refused = (): boolean => c.isVirtual && c.iopl < 3;

  return {
    cli(ip) {
      if (c.cpl > c.iopl) return c.fault(ip, VECTOR.GP);
      state.set(CPU.eflags, state.get(CPU.eflags) & ~RFLAGS.IF);
      return NEXT;
    },

    sti(ip) {
      if (c.cpl > c.iopl) return c.fault(ip, VECTOR.GP);
      const before = state.get(CPU.eflags);
      if (before & RFLAGS.IF) return NEXT;
      state.set(CPU.eflags, before | RFLAGS.IF);
      m.syncNext(ip);
      m.debug.shadow(SHADOW.sti);
      return state.get(CPU.window) === 0 ? NEXT : RESUME;
    },

    pushf(ip) {
      if (refused()) return c.fault(ip, VECTOR.GP);
      // The image never has RF or VM set (SDM volume 2, PUSHF).
      state.set64(CPU.data, readFlags(state.u32, state.zone) & ~(RFLAGS.RF | RFLAGS.VM), 0);
      return NEXT;
    },

    /** The instruction's release of the stack comes behind it. */
    popf(ip, size) {
      if (refused()) return c.fault(ip, VECTOR.GP);
      popFlags(state, state.get(CPU.data), size, false);
      const flags = state.get(CPU.eflags);
      const opensWindow = flags & RFLAGS.IF && state.get(CPU.window) !== 0;
      if (!(flags & RFLAGS.TF) && !opensWindow) return NEXT;
      // Somebody has to look before the next instruction.
      frame.current();
      frame.release(size / 8);
      frame.store();
      m.syncNext(ip);
      return RESUME;
    },
  };
}
