/**
 * Helpers of fast system calls, and of the bases of FS and GS.
 * Document: SDM volume 2, SYSCALL SYSRET SYSENTER SYSEXIT RDFSBASE WRFSBASE; volume 3, 5.8.7 and 5.8.8. For a processor whose
 * vendor is AMD: AMD64 manual, volume 3, SYSCALL SYSRET SYSENTER, as to the modes in which they work.
 * Left out: nothing. The segments that they load come from no descriptor: only their selectors are the kernel's.
 */

import { canonicalHigh } from "../../cpu/address.ts";
import { CR0, CR4, EFER, MODE, updateMode } from "../../cpu/control.ts";
import { hasAmdSystemCalls } from "../../cpu/cpuid.ts";
import { VECTOR } from "../../cpu/fault.ts";
import { RFLAGS, readFlags, writeFlags } from "../../cpu/flags.ts";
import { msrField } from "../../cpu/msr.ts";
import { setFlatSegment } from "../../cpu/segment-register.ts";
import { CPU, GPR, SEG } from "../../cpu/state.ts";
import { type Helper, type HelperContext, NEXT, RESUME } from "./context.ts";

type Name = "syscall" | "sysret" | "sysenter" | "sysexit" | "readBase" | "writeBase";

const field = (index: number): number => msrField(index)!;
const SYSENTER_CS = field(0x174);
const SYSENTER_ESP = field(0x175);
const SYSENTER_EIP = field(0x176);
const STAR = field(0xc000_0081);
const LSTAR = field(0xc000_0082);
const CSTAR = field(0xc000_0083);
const FMASK = field(0xc000_0084);
const RCX = CPU.gpr + GPR.rcx * 8;
const RDX = CPU.gpr + GPR.rdx * 8;
const RSP = CPU.gpr + GPR.rsp * 8;
const R11 = CPU.gpr + GPR.r11 * 8;
/** What SYSRET takes of R11: neither RF nor VM. */
const SYSRET_FLAGS = 0x3c_7fd7;
/** From a code selector to that of the stack segment beside it. */
const NEXT_SELECTOR = 8;

export function syscallHelpers(c: HelperContext): Record<Name, Helper> {
  const { machine: m } = c;
  const { state } = m;
  const { zone } = state;

  const isLong = (): boolean => (state.get(CPU.efer) & EFER.LMA) !== 0;
  const isCode64 = (): boolean => (state.get(CPU.mode) & MODE.codeSize) === MODE.code64;
  const canonical = (at: number): boolean => canonicalHigh(state.high(at));
  const amd = (): boolean => hasAmdSystemCalls(state.u32, zone);
  /** SYSCALL and SYSRET: Intel's work in 64-bit mode alone, AMD's in all of protected mode. */
  const isUndefined = (): boolean => {
    if (!(state.get(CPU.efer) & EFER.SCE)) return true;
    if (isCode64()) return false;
    const isProtected = (state.get(CPU.cr0) & CR0.PE) !== 0 && !(state.get(CPU.eflags) & RFLAGS.VM);
    return !isProtected || !amd();
  };
  /** Flat CS and SS of a privilege level. */
  const load = (code: number, stack: number, level: number, wide: boolean): void => {
    setFlatSegment(state, SEG.cs, code & 0xffff, level, wide ? "code64" : "code32");
    setFlatSegment(state, SEG.ss, stack & 0xffff, level, "data");
    state.set(CPU.shadow, 0);
    updateMode(state.u32, zone);
  };
  const jump = (from: number, wide: boolean): void => {
    state.set64(CPU.rip, state.get(from), wide ? state.high(from) : 0);
  };

  return {
    syscall(ip) {
      if (isUndefined()) return c.fault(ip, VECTOR.UD);
      m.current = ip;
      m.syncNext(ip);
      const long = isLong();
      const target = isCode64() ? LSTAR : long ? CSTAR : STAR;
      const flags = readFlags(state.u32, zone) & ~RFLAGS.RF;
      state.copy64(RCX, CPU.rip);
      if (long) state.set64(R11, flags, 0);
      writeFlags(state.u32, zone, flags & ~(long ? state.get(FMASK) : RFLAGS.IF));
      const selector = state.high(STAR) & 0xfffc;
      load(selector, selector + NEXT_SELECTOR, 0, long);
      jump(target, long);
      m.step.flagsReplaced();
      return RESUME;
    },

    sysret(ip, size) {
      if (isUndefined()) return c.fault(ip, VECTOR.UD);
      const long = isLong();
      const wide = size === 64;
      if (c.cpl !== 0 || (wide && !canonical(RCX))) return c.fault(ip, VECTOR.GP);
      m.current = ip;
      const flags = long ? state.get(R11) & SYSRET_FLAGS : readFlags(state.u32, zone) | RFLAGS.IF;
      writeFlags(state.u32, zone, flags);
      const selector = state.high(STAR) >>> 16;
      load((wide ? selector + 2 * NEXT_SELECTOR : selector) | 3, (selector + NEXT_SELECTOR) | 3, 3, wide);
      jump(RCX, wide);
      m.step.flagsReplaced();
      return RESUME;
    },

    sysenter(ip) {
      if (isLong() && amd()) return c.fault(ip, VECTOR.UD);
      const selector = state.get(SYSENTER_CS) & 0xfffc;
      if (!(state.get(CPU.cr0) & CR0.PE) || selector === 0) return c.fault(ip, VECTOR.GP);
      m.current = ip;
      const wide = isLong();
      state.set(CPU.eflags, state.get(CPU.eflags) & ~(RFLAGS.VM | RFLAGS.IF));
      load(selector, selector + NEXT_SELECTOR, 0, wide);
      state.set64(RSP, state.get(SYSENTER_ESP), wide ? state.high(SYSENTER_ESP) : 0);
      jump(SYSENTER_EIP, wide);
      return RESUME;
    },

    sysexit(ip, size) {
      if (isLong() && amd()) return c.fault(ip, VECTOR.UD);
      const selector = state.get(SYSENTER_CS) & 0xfffc;
      const wide = size === 64;
      if (selector === 0 || !(state.get(CPU.cr0) & CR0.PE) || c.cpl !== 0) return c.fault(ip, VECTOR.GP);
      if (wide && !(canonical(RCX) && canonical(RDX))) return c.fault(ip, VECTOR.GP);
      m.current = ip;
      const code = selector + (wide ? 4 : 2) * NEXT_SELECTOR;
      load(code | 3, (code + NEXT_SELECTOR) | 3, 3, wide);
      state.set64(RSP, state.get(RCX), wide ? state.high(RCX) : 0);
      jump(RDX, wide);
      return RESUME;
    },

    readBase(ip, segment) {
      if (!(state.get(CPU.cr4) & CR4.FSGSBASE)) return c.fault(ip, VECTOR.UD);
      state.copy64(CPU.data, CPU.segBase + segment * 8);
      return NEXT;
    },

    writeBase(ip, segment) {
      if (!(state.get(CPU.cr4) & CR4.FSGSBASE)) return c.fault(ip, VECTOR.UD);
      if (!canonical(CPU.data)) return c.fault(ip, VECTOR.GP);
      state.copy64(CPU.segBase + segment * 8, CPU.data);
      return NEXT;
    },
  };
}
