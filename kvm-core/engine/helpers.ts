/**
 * Helpers: what instructions ask of TypeScript, one function each, the same in all engines. Those of control registers,
 * MSRs and the processor as a whole are here, the other families in helpers/.
 * Document: SDM volume 2, the instructions of the names; volume 3, 2.5 (control registers), 4.10.4 (what flushes TLBs).
 * Left out: nothing.
 */

import { canonicalHigh } from "../cpu/address.ts";
import {
  CR0,
  CR4,
  EFER,
  EFER_WRITABLE,
  fixCr0,
  PCID_MASK,
  updateFpuTraps,
  updateMode,
  usesPdptes,
  validCr0,
  validCr3,
  validCr4,
  validPcide,
} from "../cpu/control.ts";
import { findCpuid, invalidLevel } from "../cpu/cpuid.ts";
import { VECTOR } from "../cpu/fault.ts";
import { RFLAGS, readFlags, writeFlags } from "../cpu/flags.ts";
import { CLOCK_MSRS, MSR_EFER, MSR_KERNEL_GS_BASE, msrField, readMsr, writeMsr } from "../cpu/msr.ts";
import { CPU, GPR, SEG } from "../cpu/state.ts";
import { liveWords } from "../cpu/xstate-cpuid.ts";
import type { HelperName } from "../emit/helper-names.ts";
import { loadPdptes } from "../mmu/pdpte.ts";
import { operandVector } from "./canonical.ts";
import { type Helper, HelperContext, NEXT } from "./helpers/context.ts";
import { debugHelpers } from "./helpers/debug.ts";
import { flagHelpers } from "./helpers/flags.ts";
import { fpuHelpers } from "./helpers/fpu.ts";
import { ioHelpers } from "./helpers/io.ts";
import { processorHelpers } from "./helpers/processor.ts";
import { segmentHelpers } from "./helpers/segments.ts";
import { syscallHelpers } from "./helpers/syscall.ts";
import { transferHelpers } from "./helpers/transfers.ts";
import { x87Helpers } from "./helpers/x87.ts";
import { xsaveHelpers } from "./helpers/xsave.ts";
import { EngineExit } from "./host.ts";
import { KvmClock } from "./kvm-clock.ts";
import type { Machine } from "./machine.ts";

export function helperImports(m: Machine): Record<HelperName, Helper> {
  const { state, host } = m;
  const clock = new KvmClock(m);
  const c = new HelperContext(m);
  const fault = (ip: number, vector: number, code = 0): number => c.fault(ip, vector, code);
  const privileged = (): boolean => c.cpl === 0;
  const memory = m.memoryObject;
  const { zone } = state;
  const words = new Uint32Array(4);

  return {
    ...flagHelpers(c),
    ...ioHelpers(c),
    ...debugHelpers(c),
    ...fpuHelpers(c),
    ...x87Helpers(c),
    ...segmentHelpers(c),
    ...processorHelpers(c),
    ...syscallHelpers(c),
    ...transferHelpers(c),
    ...xsaveHelpers(c),

    cpuid() {
      const at = findCpuid(state.u32, zone, state.gpr(GPR.rax), state.gpr(GPR.rcx)) >>> 2;
      words.fill(0);
      if (at !== 0) {
        words.set(state.u32.subarray(at, at + 4));
        // In front of the words the entry has its leaf, its subleaf and flags.
        liveWords(state, state.u32[at - 3]!, state.u32[at - 2]!, words);
      } else {
        invalidLevel(state.u32, zone, state.gpr(GPR.rax), state.gpr(GPR.rcx), words);
      }
      [GPR.rax, GPR.rbx, GPR.rcx, GPR.rdx].forEach((register, i) => {
        state.setGpr(register, words[i]!);
      });
      return NEXT;
    },

    rdmsr(ip) {
      const index = state.gpr(GPR.rcx);
      if (privileged() && host.msrs?.owns(index)) {
        m.current = ip;
        if (!host.msrs.read(index)) return fault(ip, VECTOR.GP);
        state.setGpr(GPR.rax, state.get(CPU.data));
        state.setGpr(GPR.rdx, state.high(CPU.data));
        return NEXT;
      }
      const value = privileged() ? readMsr(memory, zone, index) : undefined;
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
      if (host.msrs?.owns(index)) {
        m.current = ip;
        state.set64(CPU.data, lo, hi);
        return host.msrs.write(index) ? NEXT : fault(ip, VECTOR.GP);
      }
      if (index === MSR_EFER) {
        const old = state.get(CPU.efer);
        // LME cannot change while paging is on; LMA is the processor's.
        if (hi !== 0 || lo & (~(EFER_WRITABLE | EFER.LMA) | state.get(CPU.deniedEfer))) return fault(ip, VECTOR.GP);
        if (state.get(CPU.cr0) & CR0.PG && (old ^ lo) & EFER.LME) return fault(ip, VECTOR.GP);
        lo = (lo & ~EFER.LMA) | (old & EFER.LMA);
      }
      if (!writeMsr(memory, zone, index, (BigInt(hi) << 32n) | BigInt(lo))) return fault(ip, VECTOR.GP);
      if (CLOCK_MSRS.includes(index)) clock.written(index);
      if (index === MSR_EFER) {
        state.set(CPU.stale, 0);
        m.flushTlb();
      }
      return NEXT;
    },

    hlt(ip) {
      if (!privileged()) return fault(ip, VECTOR.GP);
      state.set(CPU.shadow, 0);
      return c.leave(ip, EngineExit.HLT);
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
      if (!writeControl(m, register, lo, hi)) return fault(ip, VECTOR.GP);
      if (register === 8) host.taskPriorityChanged?.();
      return NEXT;
    },

    /** CR0's lower half: any privilege level may read it, unless UMIP says otherwise. */
    smsw(ip) {
      if (c.umip) return fault(ip, VECTOR.GP);
      state.copy64(CPU.data, CPU.cr0);
      return NEXT;
    },

    /** MP, EM and TS, and PE, which it can set only. */
    lmsw(ip, value) {
      const old = state.get(CPU.cr0);
      const next = (old & ~LMSW_BITS) | (value & LMSW_BITS) | (old & CR0.PE);
      return writeControl(m, 0, next >>> 0, 0) ? NEXT : fault(ip, VECTOR.GP);
    },

    enter(ip, frame, level) {
      m.current = ip;
      const unit = m.frames;
      return unit.enter(frame >>> 19, frame & 0xffff, level) ? NEXT : fault(ip, unit.faultVector, unit.faultCode);
    },

    invlpg(ip) {
      if (!privileged()) return fault(ip, VECTOR.GP);
      const [lo, hi] = [state.get(CPU.data), state.high(CPU.data)];
      m.memory.tlb.flushPage(lo, hi);
      m.pageInvalidated(lo, hi);
      return NEXT;
    },

    invpcid(ip, type, typeHigh) {
      if (!privileged()) return fault(ip, VECTOR.GP);
      m.current = ip;
      const { memory: unit } = m;
      const [lo, hi] = [state.get(CPU.data), state.high(CPU.data)];
      if (!unit.readBytes(lo, hi, 16, unit.dataAccess)) return fault(ip, unit.faultVector, unit.faultCode);
      if (typeHigh !== 0 || !invalidatePcid(m, type)) return fault(ip, VECTOR.GP);
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
      updateFpuTraps(state.u32, zone);
      return NEXT;
    },

    cmpxchg16b(ip) {
      m.current = ip;
      const found = m.locked.compareExchange16();
      if (found < 0) {
        const { faultVector, faultCode } = m.locked;
        // A misaligned operand is #GP in the stack segment, too.
        const canonical = canonicalHigh(state.high(CPU.data));
        return fault(ip, canonical ? faultVector : operandVector(state, ip, faultVector), faultCode);
      }
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

const LMSW_BITS = CR0.PE | CR0.MP | CR0.EM | CR0.TS;

/** INVPCID with the descriptor in CPU.bounce: PCID, then linear address. False for #GP. */
function invalidatePcid({ state, memory }: Machine, type: number): boolean {
  const pcid = state.get(CPU.bounce);
  if (pcid & ~PCID_MASK || state.high(CPU.bounce) !== 0) return false;
  const named = type === 0 || type === 1;
  if (named && pcid !== 0 && !(state.get(CPU.cr4) & CR4.PCIDE)) return false;
  const [lo, hi] = [state.get(CPU.bounce + 8), state.high(CPU.bounce + 8)];
  switch (type) {
    case 0:
      if (hi !== ((hi << 16) >> 16) >>> 0) return false;
      memory.tlb.flushPage(lo, hi);
      return true;
    case 1:
      memory.tlb.flushPcid(pcid);
      return true;
    case 2:
      memory.tlb.flush();
      return true;
    case 3:
      memory.tlb.flushAllPcids();
      return true;
    default:
      return false;
  }
}

/** PAE paging loads its PDPTEs when one of these changes (SDM volume 3, 4.4.1). */
const PDPTE_CR0 = CR0.CD | CR0.NW | CR0.PG;
const PDPTE_CR4 = CR4.PAE | CR4.PGE | CR4.PSE | CR4.SMEP;
/** What entries of the TLBs depend on. */
const TLB_CR0 = CR0.PE | CR0.PG | CR0.WP;
const TLB_CR4 = CR4.PSE | CR4.PAE | CR4.PGE | CR4.PCIDE | CR4.SMEP | CR4.SMAP;

/** MOV to a control register; false for #GP. */
function writeControl(m: Machine, register: number, lo: number, hi: number): boolean {
  const { state } = m;
  switch (register) {
    case 0: {
      if (!validCr0(lo, hi)) return false;
      const old = state.get(CPU.cr0);
      const next = fixCr0(lo);
      const cr4 = state.get(CPU.cr4);
      let efer = state.get(CPU.efer);
      if ((old ^ next) & CR0.PG && efer & EFER.LME) {
        // SDM volume 3, 9.8.5: PG with LME enters IA-32e mode; it needs PAE, and neither way may be taken in 64-bit code.
        if ((state.get(CPU.mode) & 3) === 2) return false;
        if (next & CR0.PG && !(cr4 & CR4.PAE)) return false;
        efer = next & CR0.PG ? efer | EFER.LMA : efer & ~EFER.LMA;
      }
      if (!validPcide(next, cr4, efer)) return false;
      const loads = usesPdptes(next, cr4, efer) && ((old ^ next) & PDPTE_CR0) !== 0;
      if (loads && !loadPdptes(state, state.get(CPU.cr3))) return false;
      state.set(CPU.efer, efer);
      state.set(CPU.cr0, next);
      updateMode(state.u32, state.zone);
      if (loads || (old ^ next) & TLB_CR0) m.flushTlb();
      return true;
    }
    case 2:
      state.set64(CPU.cr2, lo, hi);
      return true;
    case 3: {
      const [cr0, cr4] = [state.get(CPU.cr0), state.get(CPU.cr4)];
      // Bit 63 is no bit of CR3: with PCIDs it asks to keep the TLB entries.
      const keep = (cr4 & CR4.PCIDE) !== 0 && hi >>> 31 === 1;
      const high = keep ? hi & 0x7fff_ffff : hi;
      if (!validCr3(high)) return false;
      if (usesPdptes(cr0, cr4, state.get(CPU.efer)) && !loadPdptes(state, lo)) return false;
      state.set64(CPU.cr3, lo, high);
      m.memory.tlb.loadCr3(keep);
      m.modeChanged();
      return true;
    }
    case 4: {
      const [old, cr0, efer] = [state.get(CPU.cr4), state.get(CPU.cr0), state.get(CPU.efer)];
      if (!validCr4(lo, hi) || lo & state.get(CPU.deniedCr4) || !validPcide(cr0, lo, efer)) return false;
      if (efer & EFER.LMA && !(lo & CR4.PAE)) return false;
      // PCIDs are enabled while the current one is 0.
      if (lo & ~old & CR4.PCIDE && state.get(CPU.cr3) & PCID_MASK) return false;
      const loads = usesPdptes(cr0, lo, efer) && ((old ^ lo) & PDPTE_CR4) !== 0;
      if (loads && !loadPdptes(state, state.get(CPU.cr3))) return false;
      state.set(CPU.cr4, lo);
      updateMode(state.u32, state.zone);
      if ((old ^ lo) & TLB_CR4) m.flushTlb();
      return true;
    }
    default:
      if (hi !== 0 || lo > 15) return false;
      state.set64(CPU.cr8, lo, 0);
      return true;
  }
}
