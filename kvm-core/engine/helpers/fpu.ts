/**
 * Helpers of x87, MMX and SSE: what is raised before an instruction of a unit, and SIMD exceptions.
 * Document: SDM volume 3, 2.5 (EM, MP, TS, NE), table 9-3, 13.1; volume 1, 11.5 (SIMD floating-point exceptions).
 * Left out: FERR# and IGNNE#: with CR0.NE clear an unmasked x87 exception is #MF as well.
 */

import { CR0, CR4 } from "../../cpu/control.ts";
import { VECTOR } from "../../cpu/fault.ts";
import { FPU, UNITS } from "../../cpu/fpu-state.ts";
import { CPU } from "../../cpu/state.ts";
import type { Helper, HelperContext } from "./context.ts";

export function fpuHelpers(c: HelperContext): Record<"fpuTrap" | "simdException", Helper> {
  const { state } = c.machine;

  return {
    /** FPU.traps said that something is due; `unit` is a number of UNITS. */
    fpuTrap(ip, unit) {
      const cr0 = state.get(CPU.cr0);
      const { sse, mmx } = UNITS;
      const isVector = unit === sse.number || unit === mmx.number;
      if (isVector && cr0 & CR0.EM) return c.fault(ip, VECTOR.UD);
      if (unit === sse.number && !(state.get(CPU.cr4) & CR4.OSFXSR)) return c.fault(ip, VECTOR.UD);
      if (unit === UNITS.wait.number) {
        if (cr0 & CR0.TS && cr0 & CR0.MP) return c.fault(ip, VECTOR.NM);
      } else if (cr0 & (CR0.TS | CR0.EM)) return c.fault(ip, VECTOR.NM);
      return c.fault(ip, VECTOR.MF);
    },

    /** An unmasked exception is among FPU.raised. The flags are set, the destination stays. */
    simdException(ip) {
      state.set(FPU.mxcsr, state.get(FPU.mxcsr) | (state.get(FPU.raised) & 0x3f));
      return c.fault(ip, state.get(CPU.cr4) & CR4.OSXMMEXCPT ? VECTOR.XM : VECTOR.UD);
    },
  };
}
