/**
 * Helpers: what instructions ask of TypeScript, one function each, the same in all engines.
 * Document: SDM volume 2, the instructions of the names; volume 3, 2.5 (control registers), 4.10.4 (what flushes TLBs).
 * Left out: debug registers act on nothing; the I/O permission bitmap; what ends in internalError() by name.
 *
 * A helper gets (record, a, b) and returns 0 to go on behind the instruction's call, or 1: CPU.rip says where to go on,
 * or CPU.exit that run() is over.
 */

import { CR0, CR4, EFER, EFER_WRITABLE, fixCr0, updateMode, validCr0, validCr4 } from "../cpu/control.ts";
import { findCpuid } from "../cpu/cpuid.ts";
import { popFlags, VECTOR } from "../cpu/exception.ts";
import { RFLAGS, readFlags, writeFlags } from "../cpu/flags.ts";
import { getMsr, MSR_EFER, MSR_KERNEL_GS_BASE, msrField, setMsr, tscNow } from "../cpu/msr.ts";
import { CPU, GPR, SEG } from "../cpu/state.ts";
import type { HelperName } from "../emit/emitter.ts";
import type { Transfer } from "./far.ts";
import { EngineExit } from "./host.ts";
import type { Machine } from "./machine.ts";

const NEXT = 0;
const RESUME = 1;
type Helper = (ip: number, a: number, b: number) => number;

export function helperImports(m: Machine): Record<HelperName, Helper> {
  const { state, far, host } = m;

  const fault = (ip: number, vector: number, code = 0): number => {
    m.raise(ip, vector, code);
    return RESUME;
  };
  const unbuilt = (ip: number, what: string): number => {
    m.sync(ip);
    m.internalError(`not implemented: ${what}`);
    return RESUME;
  };
  const privileged = (): boolean => state.get(CPU.cpl) === 0;
  const leave = (ip: number, exit: number): number => {
    m.syncNext(ip);
    state.set(CPU.exit, exit);
    return RESUME;
  };
  /** IF may have become set: if somebody waits for that, look before the next instruction. */
  const afterFlags = (ip: number): number => {
    if (state.get(CPU.window) === 0 || !(state.get(CPU.eflags) & RFLAGS.IF)) return NEXT;
    m.syncNext(ip);
    return RESUME;
  };
  const singleStep = (ip: number): number | undefined =>
    state.get(CPU.eflags) & RFLAGS.TF ? unbuilt(ip, "single step (RFLAGS.TF)") : undefined;
  const transfer = (ip: number, mode: number, base: number, result: Transfer): number => {
    if (result === "fault") return fault(ip, far.faultVector, far.faultCode);
    if (result === "unbuilt") return unbuilt(ip, far.unbuilt);
    if (mode !== state.get(CPU.mode) || base !== state.get(CPU.segBase + SEG.cs * 8)) m.modeChanged();
    return RESUME;
  };
  const farTransfer = (ip: number, act: () => Transfer): number => {
    m.current = ip;
    m.sync(ip);
    return transfer(ip, state.get(CPU.mode), state.get(CPU.segBase + SEG.cs * 8), act());
  };
  const ioAllowed = (): boolean => state.get(CPU.cpl) <= (state.get(CPU.eflags) & RFLAGS.IOPL) >>> 12;

  const memory = m.memoryObject;
  const { zone } = state;

  return {
    cpuid() {
      const at = findCpuid(state.u32, zone, state.gpr(GPR.rax), state.gpr(GPR.rcx)) >>> 2;
      const word = (i: number): number => (at === 0 ? 0 : state.u32[at + i]!);
      [GPR.rax, GPR.rbx, GPR.rcx, GPR.rdx].forEach((register, i) => {
        state.setGpr(register, word(i));
      });
      return NEXT;
    },

    rdtsc(ip) {
      if (state.get(CPU.cr4) & CR4.TSD && !privileged()) return fault(ip, VECTOR.GP);
      const field = msrField(0x10)!;
      const now = BigInt.asUintN(64, tscNow() + state.view.getBigUint64(zone + field, true));
      state.setGpr(GPR.rax, Number(now & 0xffff_ffffn));
      state.setGpr(GPR.rdx, Number(now >> 32n));
      return NEXT;
    },

    rdmsr(ip) {
      const value = privileged() ? getMsr(memory, zone, state.gpr(GPR.rcx)) : undefined;
      if (value === undefined) return fault(ip, VECTOR.GP);
      state.setGpr(GPR.rax, Number(value & 0xffff_ffffn));
      state.setGpr(GPR.rdx, Number(value >> 32n));
      return NEXT;
    },

    wrmsr(ip) {
      if (!privileged()) return fault(ip, VECTOR.GP);
      const index = state.gpr(GPR.rcx);
      let lo = state.gpr(GPR.rax);
      const hi = state.gpr(GPR.rdx);
      if (index === MSR_EFER) {
        const old = state.get(CPU.efer);
        // LME cannot change while paging is on; LMA is the processor's.
        if (hi !== 0 || lo & ~(EFER_WRITABLE | EFER.LMA)) return fault(ip, VECTOR.GP);
        if (state.get(CPU.cr0) & CR0.PG && (old ^ lo) & EFER.LME) return fault(ip, VECTOR.GP);
        lo = (lo & ~EFER.LMA) | (old & EFER.LMA);
      }
      if (!setMsr(memory, zone, index, (BigInt(hi) << 32n) | BigInt(lo))) return fault(ip, VECTOR.GP);
      if (index === MSR_EFER) {
        state.set(CPU.stale, 0);
        m.flushTlb();
      }
      return NEXT;
    },

    hlt(ip) {
      if (!privileged()) return fault(ip, VECTOR.GP);
      state.set(CPU.shadow, 0);
      return leave(ip, EngineExit.HLT);
    },

    cli(ip) {
      if (!ioAllowed()) return fault(ip, VECTOR.GP);
      state.set(CPU.eflags, state.get(CPU.eflags) & ~RFLAGS.IF);
      return NEXT;
    },

    sti(ip) {
      if (!ioAllowed()) return fault(ip, VECTOR.GP);
      const before = state.get(CPU.eflags);
      if (before & RFLAGS.IF) return NEXT;
      state.set(CPU.eflags, before | RFLAGS.IF);
      m.syncNext(ip);
      state.set(CPU.shadow, 1);
      state.copy64(CPU.shadowRip, CPU.rip);
      return state.get(CPU.window) === 0 ? NEXT : RESUME;
    },

    pushf() {
      // The image never has RF or VM set (SDM volume 2, PUSHF).
      state.set64(CPU.data, readFlags(state.u32, zone) & ~(RFLAGS.RF | RFLAGS.VM), 0);
      return NEXT;
    },

    popf(ip, size) {
      popFlags(state, state.get(CPU.data), size, false);
      return singleStep(ip) ?? afterFlags(ip);
    },

    int(ip, vector) {
      // The return address is behind the instruction; a fault on the way there is reported at it.
      m.current = ip;
      m.syncNext(ip);
      m.deliver(vector, 0, "software", state.u32[(ip + 4) >>> 2]! >>> 24);
      return RESUME;
    },

    iret(ip, size) {
      const result = farTransfer(ip, () => far.interruptReturn(size));
      return singleStep(ip) ?? result;
    },

    in(ip, port, size) {
      if (!ioAllowed()) return unbuilt(ip, "I/O permission bitmap");
      m.current = ip;
      state.set64(CPU.data, host.portIn(port & 0xffff, size as 1 | 2 | 4), 0);
      return NEXT;
    },

    out(ip, port, size) {
      if (!ioAllowed()) return unbuilt(ip, "I/O permission bitmap");
      m.current = ip;
      const value = state.get(CPU.data);
      host.portOut(port & 0xffff, size as 1 | 2 | 4, size === 4 ? value : value & ((1 << (size * 8)) - 1));
      return NEXT;
    },

    readCr(ip, register) {
      if (!privileged()) return fault(ip, VECTOR.GP);
      state.copy64(CPU.data, CONTROL[register]!);
      return NEXT;
    },

    writeCr(ip, register) {
      if (!privileged()) return fault(ip, VECTOR.GP);
      const lo = state.get(CPU.data);
      const hi = state.high(CPU.data);
      return writeControl(m, register, lo, hi) ? NEXT : fault(ip, VECTOR.GP);
    },

    readDr(ip, register) {
      if (!privileged()) return fault(ip, VECTOR.GP);
      state.copy64(CPU.data, debugField(register));
      return NEXT;
    },

    writeDr(ip, register) {
      if (!privileged()) return fault(ip, VECTOR.GP);
      const value = state.get(CPU.data);
      if (state.high(CPU.data) !== 0 && register >= 4) return fault(ip, VECTOR.GP);
      const isControl = register === 5 || register === 7;
      if (isControl && value & 0xff) return unbuilt(ip, "hardware breakpoints");
      const fixed = isControl ? value | 0x400 : register === 4 || register === 6 ? value | 0xffff_0ff0 : value;
      state.set64(debugField(register), fixed, state.high(CPU.data));
      return NEXT;
    },

    readSreg(_ip, segment) {
      state.set64(CPU.data, state.get(CPU.selector + segment * 4), 0);
      return NEXT;
    },

    writeSreg(ip, segment, selector) {
      if (segment === SEG.cs) return fault(ip, VECTOR.UD);
      const mode = state.get(CPU.mode);
      m.current = ip;
      const result = far.loadData(segment, selector & 0xffff);
      if (result === "fault") return fault(ip, far.faultVector, far.faultCode);
      if (result === "unbuilt") return unbuilt(ip, far.unbuilt);
      if (mode !== state.get(CPU.mode)) m.modeChanged();
      if (segment === SEG.ss) {
        m.syncNext(ip);
        state.set(CPU.shadow, 1);
        state.copy64(CPU.shadowRip, CPU.rip);
      }
      return NEXT;
    },

    enter(ip, frame, level) {
      m.current = ip;
      const unit = m.frames;
      return unit.enter(frame >>> 19, frame & 0xffff, level) ? NEXT : fault(ip, unit.faultVector, unit.faultCode);
    },

    table(ip, which) {
      m.current = ip;
      const base = which === 0 ? CPU.gdtBase : CPU.idtBase;
      const limit = state.get(which === 0 ? CPU.gdtLimit : CPU.idtLimit);
      const [lo, hi] = [state.get(CPU.data), state.high(CPU.data)];
      const long = (state.get(CPU.mode) & 3) === 2;
      // 10 bytes in 64-bit mode, 6 otherwise, checked as one access.
      state.set64(
        CPU.bounce,
        ((limit & 0xffff) | (state.get(base) << 16)) >>> 0,
        ((state.get(base) >>> 16) | (state.high(base) << 16)) >>> 0,
      );
      state.set64(CPU.bounce + 8, state.high(base) >>> 16, 0);
      if (m.memory.writeBytes(lo, hi, long ? 10 : 6, m.memory.userBit)) return NEXT;
      return fault(ip, m.memory.faultVector, m.memory.faultCode);
    },

    loadTable(ip, which, size) {
      if (!privileged()) return fault(ip, VECTOR.GP);
      m.current = ip;
      const [lo, hi] = [state.get(CPU.data), state.high(CPU.data)];
      const long = (state.get(CPU.mode) & 3) === 2;
      if (!m.memory.readBytes(lo, hi, long ? 10 : 6, 0)) return fault(ip, m.memory.faultVector, m.memory.faultCode);
      const [w0, w1, w2] = [state.get(CPU.bounce), state.high(CPU.bounce), state.get(CPU.bounce + 8)];
      let base = ((w0 >>> 16) | (w1 << 16)) >>> 0;
      if (size === 16) base &= 0xff_ffff;
      state.set64(which === 0 ? CPU.gdtBase : CPU.idtBase, base, long ? ((w1 >>> 16) | (w2 << 16)) >>> 0 : 0);
      state.set(which === 0 ? CPU.gdtLimit : CPU.idtLimit, w0 & 0xffff);
      return NEXT;
    },

    farJump(ip, selector) {
      const [lo, hi] = [state.get(CPU.data), state.high(CPU.data)];
      return farTransfer(ip, () => far.loadCode(selector & 0xffff, lo, hi, false));
    },

    farRet: (ip, size, extra) => farTransfer(ip, () => far.farReturn(size, extra)),

    invlpg(ip) {
      if (!privileged()) return fault(ip, VECTOR.GP);
      m.memory.flushPage(state.get(CPU.data));
      m.modeChanged();
      return NEXT;
    },

    swapgs(ip) {
      if (!privileged()) return fault(ip, VECTOR.GP);
      const kernel = msrField(MSR_KERNEL_GS_BASE)!;
      const gs = CPU.segBase + SEG.gs * 8;
      const [lo, hi] = [state.get(gs), state.high(gs)];
      state.copy64(gs, kernel);
      state.set64(kernel, lo, hi);
      return NEXT;
    },

    clts(ip) {
      if (!privileged()) return fault(ip, VECTOR.GP);
      state.set(CPU.cr0, state.get(CPU.cr0) & ~CR0.TS);
      return NEXT;
    },

    cmpxchg16b(ip) {
      m.current = ip;
      const found = m.locked.compareExchange16();
      if (found < 0) return fault(ip, m.locked.faultVector, m.locked.faultCode);
      const flags = readFlags(state.u32, zone) & ~RFLAGS.ZF;
      writeFlags(state.u32, zone, found === 1 ? flags | RFLAGS.ZF : flags);
      return NEXT;
    },

    /** A 128-bit dividend; rare enough for BigInt. */
    divide(ip, isSigned) {
      const word = (field: number): bigint => state.view.getBigUint64(zone + field, true);
      const rax = CPU.gpr + GPR.rax * 8;
      const rdx = CPU.gpr + GPR.rdx * 8;
      const wide = (word(rdx) << 64n) | word(rax);
      const dividend = isSigned ? BigInt.asIntN(128, wide) : wide;
      const divisor = isSigned ? BigInt.asIntN(64, word(CPU.data)) : word(CPU.data);
      const quotient = dividend / divisor;
      const fits = isSigned ? BigInt.asIntN(64, quotient) : BigInt.asUintN(64, quotient);
      if (quotient !== fits) return fault(ip, VECTOR.DE);
      state.view.setBigUint64(zone + rax, BigInt.asUintN(64, quotient), true);
      state.view.setBigUint64(zone + rdx, BigInt.asUintN(64, dividend % divisor), true);
      return NEXT;
    },

    privileged: (ip) => (privileged() ? NEXT : fault(ip, VECTOR.GP)),
  };
}

const CONTROL: Readonly<Record<number, number>> = { 0: CPU.cr0, 2: CPU.cr2, 3: CPU.cr3, 4: CPU.cr4, 8: CPU.cr8 };

/** DR4 and DR5 are aliases of DR6 and DR7 while CR4.DE is clear. */
function debugField(register: number): number {
  return CPU.dr + (register === 4 || register === 5 ? register + 2 : register) * 8;
}

/** MOV to a control register; false for #GP. */
function writeControl(m: Machine, register: number, lo: number, hi: number): boolean {
  const { state } = m;
  switch (register) {
    case 0: {
      if (!validCr0(lo, hi)) return false;
      const old = state.get(CPU.cr0);
      const next = fixCr0(lo);
      const efer = state.get(CPU.efer);
      if ((old ^ next) & CR0.PG && efer & EFER.LME) {
        // SDM volume 3, 9.8.5: PG with LME enters IA-32e mode; it needs PAE, and neither way may be taken in 64-bit code.
        if ((state.get(CPU.mode) & 3) === 2) return false;
        if (next & CR0.PG && !(state.get(CPU.cr4) & CR4.PAE)) return false;
        state.set(CPU.efer, next & CR0.PG ? efer | EFER.LMA : efer & ~EFER.LMA);
      }
      state.set(CPU.cr0, next);
      const flushes = CR0.PE | CR0.PG | CR0.WP;
      updateMode(state.u32, state.zone);
      if ((old ^ next) & flushes) m.flushTlb();
      return true;
    }
    case 2:
      state.set64(CPU.cr2, lo, hi);
      return true;
    case 3:
      if (hi >>> 20) return false;
      state.set64(CPU.cr3, lo, hi);
      m.flushTlb();
      return true;
    case 4:
      if (!validCr4(lo, hi)) return false;
      if (state.get(CPU.efer) & EFER.LMA && !(lo & CR4.PAE)) return false;
      state.set(CPU.cr4, lo);
      m.flushTlb();
      return true;
    default:
      if (hi !== 0 || lo > 15) return false;
      state.set64(CPU.cr8, lo, 0);
      return true;
  }
}
