/**
 * Helpers of flags that are privileged or that the engine has to know of: CLI, STI, PUSHF, POPF.
 * Document: SDM volume 2, the instructions of the names; volume 3, 20.2.7 and 20.3 (virtual-8086 mode, VIF), 20.4 (PVI),
 * 6.8.1 (the shadow of STI).
 * Left out: nothing.
 */

import { CR4 } from "../../cpu/control.ts";
import { VECTOR } from "../../cpu/fault.ts";
import { RFLAGS, readFlags } from "../../cpu/flags.ts";
import { popFlags, popVirtualFlags } from "../../cpu/pop-flags.ts";
import { PopFrame } from "../../cpu/stack-frame.ts";
import { CPU } from "../../cpu/state.ts";
import { allowsVirtualFlags, virtualImage } from "../../cpu/virtual-interrupt.ts";
import { SHADOW } from "../debug.ts";
import { type Helper, type HelperContext, NEXT, RESUME } from "./context.ts";

export function flagHelpers(c: HelperContext): Record<"cli" | "sti" | "pushf" | "popf", Helper> {
  const { machine: m } = c;
  const { state } = m;
  const frame = new PopFrame(state, m.system, m.fault);
  /** Virtual-8086 code needs IOPL 3 for PUSHF and POPF, or CR4.VME for those of 16 bits. */
  const isLimited = (): boolean => c.isVirtual && c.iopl < 3;
  const isExtended = (size: number): boolean => size === 16 && (state.get(CPU.cr4) & CR4.VME) !== 0;
  /** Above IOPL, CLI and STI are about VIF. */
  const virtualInterrupts = (): boolean => {
    const cr4 = state.get(CPU.cr4);
    return c.cpl === 3 && (cr4 & (c.isVirtual ? CR4.VME : CR4.PVI)) !== 0;
  };

  return {
    cli(ip) {
      if (c.cpl > c.iopl) {
        if (!virtualInterrupts()) return c.fault(ip, VECTOR.GP);
        state.set(CPU.eflags, state.get(CPU.eflags) & ~RFLAGS.VIF);
        return NEXT;
      }
      state.set(CPU.eflags, state.get(CPU.eflags) & ~RFLAGS.IF);
      return NEXT;
    },

    sti(ip) {
      const before = state.get(CPU.eflags);
      if (c.cpl > c.iopl) {
        if (!virtualInterrupts() || before & RFLAGS.VIP) return c.fault(ip, VECTOR.GP);
        state.set(CPU.eflags, before | RFLAGS.VIF);
        return NEXT;
      }
      if (before & RFLAGS.IF) return NEXT;
      state.set(CPU.eflags, before | RFLAGS.IF);
      m.syncNext(ip);
      m.debug.shadow(SHADOW.sti);
      return state.get(CPU.window) === 0 ? NEXT : RESUME;
    },

    pushf(ip, size) {
      const limited = isLimited();
      if (limited && !isExtended(size)) return c.fault(ip, VECTOR.GP);
      const flags = readFlags(state.u32, state.zone);
      // The image never has RF or VM set (SDM volume 2, PUSHF).
      state.set64(CPU.data, (limited ? virtualImage(flags) : flags) & ~(RFLAGS.RF | RFLAGS.VM), 0);
      return NEXT;
    },

    /** The instruction's release of the stack comes behind it. */
    popf(ip, size) {
      if (isLimited()) {
        if (!isExtended(size)) return c.fault(ip, VECTOR.GP);
        if (!allowsVirtualFlags(state, state.get(CPU.data), m.fault)) return c.failed(ip);
        popVirtualFlags(state, state.get(CPU.data));
        return NEXT;
      }
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
