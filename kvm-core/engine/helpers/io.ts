/**
 * Helpers of port I/O, with the I/O permission bitmap and I/O breakpoints.
 * Document: SDM volume 1, 19.5 (protection of ports); volume 3, 18.2.4 (breakpoints of ports).
 * Left out: what a port does: the host.
 */

import { CPU } from "../../cpu/state.ts";
import { type Helper, type HelperContext, NEXT } from "./context.ts";

export function ioHelpers(c: HelperContext): Record<"in" | "out" | "ioPermission", Helper> {
  const { machine: m } = c;
  const { state, host } = m;
  const allowed = (port: number, size: number): boolean =>
    (c.cpl <= c.iopl && !c.isVirtual) || m.task.allowsPort(port, size);

  return {
    in(ip, value, size) {
      const port = value & 0xffff;
      if (!allowed(port, size)) return c.failed(ip);
      m.current = ip;
      state.set64(CPU.data, host.portIn(port, size as 1 | 2 | 4), 0);
      m.debug.portAccessed(port, size);
      return NEXT;
    },

    out(ip, to, size) {
      const port = to & 0xffff;
      if (!allowed(port, size)) return c.failed(ip);
      m.current = ip;
      const value = state.get(CPU.data);
      host.portOut(port, size as 1 | 2 | 4, size === 4 ? value : value & ((1 << (size * 8)) - 1));
      m.debug.portAccessed(port, size);
      return NEXT;
    },

    /** INS and OUTS ask before they look at their count or touch memory: #GP comes before #PF. */
    ioPermission: (ip, port, size) => (allowed(port & 0xffff, size) ? NEXT : c.failed(ip)),
  };
}
