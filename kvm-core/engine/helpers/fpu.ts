/**
 * Helpers of x87, MMX and SSE: what is raised before an instruction of a unit, SIMD exceptions, masked stores.
 * Document: SDM volume 3, 2.5 (EM, MP, TS, NE), table 9-3, 13.1; volume 1, 11.5 (SIMD floating-point exceptions).
 * Left out: FERR# and IGNNE#: with CR0.NE clear an unmasked x87 exception is #MF as well.
 */

import { CR4 } from "../../cpu/control.ts";
import { VECTOR } from "../../cpu/fault.ts";
import { FPU } from "../../cpu/fpu-state.ts";
import { CPU } from "../../cpu/state.ts";
import { unitVector } from "../unit-faults.ts";
import { type Helper, type HelperContext, NEXT } from "./context.ts";

export function fpuHelpers(c: HelperContext): Record<"fpuTrap" | "simdException" | "maskMove", Helper> {
  const { state } = c.machine;

  return {
    /** FPU.traps said that something is due; `unit` is a number of UNITS. */
    fpuTrap: (ip, unit) => c.fault(ip, unitVector(state, unit)),

    /** An unmasked exception is among FPU.raised. The flags are set, the destination stays. */
    simdException(ip) {
      state.set(FPU.mxcsr, state.get(FPU.mxcsr) | (state.get(FPU.raised) & 0x3f));
      return c.fault(ip, state.get(CPU.cr4) & CR4.OSXMMEXCPT ? VECTOR.XM : VECTOR.UD);
    },

    /**
     * `mask`: bit i for byte i, and the number of bytes above bit 16. Stores the bytes at `from` in linear memory whose bits
     * are 1 to CPU.data. All have to be writable, even if none is stored.
     */
    maskMove(ip, from, mask) {
      const { memory } = c.machine;
      c.machine.current = ip;
      state.copy64(CPU.address, CPU.data);
      if (memory.probe(mask >>> 16) === 0) return c.operandFault(ip);
      const [lo, hi] = [state.get(CPU.data), state.high(CPU.data)];
      for (let i = 0; i < mask >>> 16; i++) {
        if (!((mask >>> i) & 1)) continue;
        state.u8[state.zone + CPU.bounce] = state.u8[from + i]!;
        const at = memory.next(lo, hi, i);
        memory.writeBytes(at.lo, at.hi, 1, memory.dataAccess);
      }
      return NEXT;
    },
  };
}
