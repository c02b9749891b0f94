/**
 * Helpers of segment registers, descriptor tables and selectors.
 * Document: SDM volume 2, MOV Sreg, LDS, LGDT, SGDT, LLDT, SLDT, LTR, STR, LAR, LSL, VERR, VERW, ARPL, SWAPGS.
 * Left out: UMIP.
 */

import { canonicalHigh } from "../../cpu/address.ts";
import { MODE } from "../../cpu/control.ts";
import { VECTOR } from "../../cpu/fault.ts";
import { RFLAGS, readFlags, writeFlags } from "../../cpu/flags.ts";
import { CPU, SEG } from "../../cpu/state.ts";
import { SHADOW } from "../debug.ts";
import { type Helper, type HelperContext, NEXT } from "./context.ts";

type Name =
  | "readSreg"
  | "writeSreg"
  | "loadPointer"
  | "table"
  | "loadTable"
  | "protectedMode"
  | "lldt"
  | "ltr"
  | "lar"
  | "lsl"
  | "verify";

export function segmentHelpers(c: HelperContext): Record<Name, Helper> {
  const { machine: m } = c;
  const { state, segments } = m;
  const { zone } = state;
  const isCode64 = (): boolean => (state.get(CPU.mode) & MODE.codeSize) === MODE.code64;

  const load = (ip: number, segment: number, selector: number): number => {
    const mode = state.get(CPU.mode);
    m.current = ip;
    if (!segments.load(segment, selector & 0xffff)) return c.failed(ip);
    if (mode !== state.get(CPU.mode)) m.modeChanged();
    return NEXT;
  };
  /** ZF says whether the selector can be used; -1 is a fault. */
  const answer = (ip: number, found: number): number => {
    if (found < 0) return c.failed(ip);
    const flags = readFlags(state.u32, zone) & ~RFLAGS.ZF;
    writeFlags(state.u32, zone, found === 0 ? flags : flags | RFLAGS.ZF);
    state.set64(CPU.data, segments.result, 0);
    return NEXT;
  };
  /** LLDT and LTR, which may be done. */
  const system = (ip: number, act: () => boolean): number => {
    m.current = ip;
    return act() ? NEXT : c.failed(ip);
  };

  return {
    /** Also of the task register and the LDTR. */
    readSreg(ip, segment) {
      if (segment >= SEG.tr && c.umip) return c.fault(ip, VECTOR.GP);
      state.set64(CPU.data, state.get(CPU.selector + segment * 4), 0);
      return NEXT;
    },

    writeSreg(ip, segment, selector) {
      if (segment === SEG.cs) return c.fault(ip, VECTOR.UD);
      const status = load(ip, segment, selector);
      if (status === NEXT && segment === SEG.ss) {
        m.syncNext(ip);
        m.debug.shadow(SHADOW.movSs);
      }
      return status;
    },

    /** LDS to LGS: LSS has no shadow, since it loads the stack pointer itself. */
    loadPointer: load,

    table(ip, which) {
      if (c.umip) return c.fault(ip, VECTOR.GP);
      m.current = ip;
      const base = which === 0 ? CPU.gdtBase : CPU.idtBase;
      const limit = state.get(which === 0 ? CPU.gdtLimit : CPU.idtLimit);
      const [lo, hi] = [state.get(CPU.data), state.high(CPU.data)];
      // 10 bytes in 64-bit mode, 6 otherwise, checked as one access.
      state.set64(
        CPU.bounce,
        ((limit & 0xffff) | (state.get(base) << 16)) >>> 0,
        ((state.get(base) >>> 16) | (state.high(base) << 16)) >>> 0,
      );
      state.set64(CPU.bounce + 8, state.high(base) >>> 16, 0);
      if (m.memory.writeBytes(lo, hi, isCode64() ? 10 : 6, m.memory.dataAccess)) return NEXT;
      return c.operandFault(ip);
    },

    loadTable(ip, which, size) {
      if (c.cpl !== 0) return c.fault(ip, VECTOR.GP);
      m.current = ip;
      const [lo, hi] = [state.get(CPU.data), state.high(CPU.data)];
      const long = isCode64();
      if (!m.memory.readBytes(lo, hi, long ? 10 : 6, 0)) return c.operandFault(ip);
      const [w0, w1, w2] = [state.get(CPU.bounce), state.high(CPU.bounce), state.get(CPU.bounce + 8)];
      let base = ((w0 >>> 16) | (w1 << 16)) >>> 0;
      if (size === 16) base &= 0xff_ffff;
      const high = long ? ((w1 >>> 16) | (w2 << 16)) >>> 0 : 0;
      if (long && !canonicalHigh(high)) return c.fault(ip, VECTOR.GP);
      state.set64(which === 0 ? CPU.gdtBase : CPU.idtBase, base, high);
      state.set(which === 0 ? CPU.gdtLimit : CPU.idtLimit, w0 & 0xffff);
      return NEXT;
    },

    /** For instructions that selectors mean nothing to elsewhere. */
    protectedMode: (ip) => (segments.protectedMode ? NEXT : c.fault(ip, VECTOR.UD)),

    lldt: (ip, selector) => system(ip, () => segments.loadLdt(selector & 0xffff)),
    ltr: (ip, selector) => system(ip, () => segments.loadTask(selector & 0xffff)),
    lar: (ip, selector) => answer(ip, segments.rights(selector & 0xffff)),
    lsl: (ip, selector) => answer(ip, segments.limitOf(selector & 0xffff)),
    verify: (ip, selector, write) => answer(ip, segments.verify(selector & 0xffff, write !== 0)),
  };
}
