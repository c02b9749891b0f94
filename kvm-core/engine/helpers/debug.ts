/**
 * Helpers of the debug registers, and INT1.
 * Document: SDM volume 3, 18.2 (debug registers, general detect); volume 2, MOV DR and INT1.
 * Left out: what breakpoints do: engine/debug.ts and watch.ts.
 */

import { CR4 } from "../../cpu/control.ts";
import { VECTOR } from "../../cpu/fault.ts";
import { CPU } from "../../cpu/state.ts";
import { DR6, DR7 } from "../debug.ts";
import { type Helper, type HelperContext, NEXT, RESUME } from "./context.ts";

export function debugHelpers(c: HelperContext): Record<"readDr" | "writeDr" | "int1", Helper> {
  const { machine: m } = c;
  const { state } = m;

  /** DR4 and DR5 are aliases of DR6 and DR7 while CR4.DE is clear. */
  const number = (register: number): number => (register === 4 || register === 5 ? register + 2 : register);
  /** RESUME after a fault that any access to a debug register may give. */
  const refused = (ip: number, register: number): number => {
    if ((register === 4 || register === 5) && state.get(CPU.cr4) & CR4.DE) return c.fault(ip, VECTOR.UD);
    if (c.cpl !== 0) return c.fault(ip, VECTOR.GP);
    if (!(state.get(CPU.dr + 7 * 8) & DR7.GD)) return NEXT;
    m.current = ip;
    m.sync(ip);
    m.debug.raise(DR6.BD, "fault");
    return RESUME;
  };

  return {
    readDr(ip, register) {
      if (refused(ip, register) !== NEXT) return RESUME;
      state.copy64(CPU.data, CPU.dr + number(register) * 8);
      return NEXT;
    },

    writeDr(ip, register) {
      if (refused(ip, register) !== NEXT) return RESUME;
      const to = number(register);
      // RIP before the blocks may go.
      m.syncNext(ip);
      const [lo, hi] = [state.get(CPU.data), state.high(CPU.data)];
      if (to >= 6 && hi !== 0) return c.fault(ip, VECTOR.GP);
      if (to === 6) state.set64(CPU.dr + to * 8, (lo & DR6.writable) | DR6.ones, 0);
      else if (to === 7) state.set64(CPU.dr + to * 8, (lo & DR7.writable) | DR7.ones, 0);
      else state.set64(CPU.dr + to * 8, lo, hi);
      return m.debugChanged() ? RESUME : NEXT;
    },

    int1(ip) {
      m.current = ip;
      m.syncNext(ip);
      m.debug.raise(0, "trap", state.u32[(ip + 4) >>> 2]! >>> 24);
      return RESUME;
    },
  };
}
