/**
 * Helpers of FXSAVE and FXRSTOR, the XSAVE feature set and the extended control register.
 * Document: SDM volume 1, chapter 13; volume 2, FXSAVE FXRSTOR XSAVE XSAVEOPT XSAVEC XSAVES XRSTOR XRSTORS XGETBV XSETBV.
 * Left out: the modified optimization, which a processor need not have; #AC in the place of #GP.
 */

import { CR0, CR4, MODE, updateFpuTraps } from "../../cpu/control.ts";
import { allowedXcr0 } from "../../cpu/cpuid.ts";
import { VECTOR } from "../../cpu/fault.ts";
import { type Gate, gateOf } from "../../cpu/features.ts";
import { FPU } from "../../cpu/fpu-state.ts";
import { CPU, GPR } from "../../cpu/state.ts";
import {
  AREA,
  areaSize,
  COMPACTED,
  FXSAVE_SIZE,
  fileOffset,
  HEADER,
  initFile,
  initX87,
  inUse,
  loadFile,
  loadX87,
  MXCSR_INIT,
  MXCSR_MASK,
  REGISTER_FILES,
  SSE_FILE,
  saveFile,
  saveX87,
  validXcr0,
  XFEATURE,
} from "../../cpu/xstate.ts";
import { MemoryArea } from "../../mmu/area.ts";
import { type Helper, type HelperContext, NEXT } from "./context.ts";

/** What is before the registers of x87, and they. */
const X87_HEAD = [0, AREA.mxcsr] as const;
const X87_REGISTERS = [AREA.st, AREA.xmm] as const;
const MXCSR_WORD = AREA.mxcsr / 4;
const NEEDS_MXCSR = XFEATURE.sse | XFEATURE.avx;
/** Features that an instruction has with other operands, too. */
const COMPACTING = gateOf("xsavec");
const READS_IN_USE = gateOf("xgetbv1");

type Name =
  | "fxsave"
  | "fxrstor"
  | "xsave"
  | "xsaveopt"
  | "xsavec"
  | "xsaves"
  | "xrstor"
  | "xrstors"
  | "xgetbv"
  | "xsetbv";

export function xsaveHelpers(c: HelperContext): Record<Name, Helper> {
  const { machine: m } = c;
  const { state } = m;
  const area = new MemoryArea(state, m.memory);
  const image = new Uint32Array(areaSize(~0, false) / 4);
  const isCode64 = (): boolean => (state.get(CPU.mode) & MODE.codeSize) === MODE.code64;
  /** Registers of each file that the program has. */
  const registers = (): number => (isCode64() ? 16 : 8);
  const operand = (): [lo: number, hi: number] => [state.get(CPU.data), state.high(CPU.data)];

  /** The vector of what FXSAVE and FXRSTOR raise before they touch memory, or -1. */
  const fxFault = (): number => {
    const cr0 = state.get(CPU.cr0);
    if (cr0 & CR0.EM) return VECTOR.UD;
    if (cr0 & CR0.TS) return VECTOR.NM;
    return state.get(CPU.data) & 15 ? VECTOR.GP : -1;
  };
  /** The same of the XSAVE feature set, to which CR0.EM means nothing. */
  const xsaveFault = (privileged: boolean): number => {
    if (!(state.get(CPU.cr4) & CR4.OSXSAVE)) return VECTOR.UD;
    if (state.get(CPU.cr0) & CR0.TS) return VECTOR.NM;
    if (privileged && c.cpl !== 0) return VECTOR.GP;
    return state.get(CPU.data) & 63 ? VECTOR.GP : -1;
  };
  /** RFBM: what is asked for and enabled. No component has a bit above 31. */
  const requested = (supervisor: boolean): number =>
    state.gpr(GPR.rax) & (state.get(FPU.xcr0) | (supervisor ? state.get(FPU.xss) : 0));
  const saveMxcsr = (): void => {
    image[MXCSR_WORD] = state.get(FPU.mxcsr);
    image[MXCSR_WORD + 1] = MXCSR_MASK;
  };
  const mxcsrReserved = (): boolean => (image[MXCSR_WORD]! & ~MXCSR_MASK) !== 0;
  const hasFxsr = (): boolean => (state.get(CPU.cr4) & CR4.OSFXSR) !== 0;
  const denied = ({ word, mask }: Gate): boolean => (state.get(CPU.denied + word * 4) & mask) !== 0;
  /** Something of the image is in the state now. */
  const loaded = (): number => {
    updateFpuTraps(state.u32, state.zone);
    return NEXT;
  };

  /** Components that are written, by the instruction; `compacted` has another header too. */
  const save = (ip: number, wide: boolean, compacted: boolean, supervisor: boolean, optimized: boolean): number => {
    const vector = xsaveFault(supervisor);
    if (vector >= 0) return c.fault(ip, vector);
    m.current = ip;
    const rfbm = requested(supervisor);
    const count = registers();
    let used = inUse(state, count);
    // An MXCSR of its own makes SSE state worth saving where the header says what was saved.
    if (compacted && state.get(FPU.mxcsr) !== MXCSR_INIT) used |= XFEATURE.sse;
    const saved = optimized ? rfbm & used : rfbm;
    if (!area.open(...operand(), areaSize(compacted ? rfbm : saved, compacted), true)) return c.operandFault(ip);
    if (!compacted && !area.read(AREA.header, AREA.header + 8, image)) return c.operandFault(ip);
    const parts: (readonly [from: number, to: number])[] = [];
    if (saved & XFEATURE.x87) {
      saveX87(state, image, wide);
      parts.push(X87_HEAD, X87_REGISTERS);
    }
    if ((compacted ? saved & XFEATURE.sse : rfbm & NEEDS_MXCSR) !== 0) {
      saveMxcsr();
      parts.push([AREA.mxcsr, AREA.st]);
    }
    for (const file of REGISTER_FILES) {
      if (!(saved & file.feature)) continue;
      const at = fileOffset(file, rfbm, compacted);
      saveFile(state, file, image, at, count);
      parts.push([at, at + count * 16]);
    }
    if (compacted) {
      image.set([saved, 0, rfbm, COMPACTED], HEADER.xstateBv);
      parts.push([AREA.header, AREA.header + 16]);
    } else {
      image[HEADER.xstateBv] = (image[HEADER.xstateBv]! & ~rfbm) | (rfbm & used);
      parts.push([AREA.header, AREA.header + 8]);
    }
    for (const [from, to] of parts) if (!area.write(from, to, image)) return c.operandFault(ip);
    return NEXT;
  };

  /** What the header has that it may not; `enabled`: components that there may be. */
  const badHeader = (enabled: number, supervisor: boolean): boolean => {
    const word = (n: number): number => image[HEADER.xstateBv + n]!;
    const anyFrom = (n: number): boolean =>
      image.subarray(HEADER.xstateBv + n, HEADER.end).some((value) => value !== 0);
    const compacted = (word(3) & COMPACTED) !== 0 && (supervisor || !denied(COMPACTING));
    if (supervisor && !compacted) return true;
    if (!compacted) {
      // Bytes 23 to 8 are zero, and those behind them do not matter.
      return word(1) !== 0 || (word(0) & ~enabled) !== 0 || (word(2) | word(3) | word(4) | word(5)) !== 0;
    }
    if (word(3) !== COMPACTED || word(2) & ~enabled) return true;
    return word(1) !== 0 || (word(0) & ~word(2)) !== 0 || anyFrom(4);
  };

  const restore = (ip: number, wide: boolean, supervisor: boolean): number => {
    const vector = xsaveFault(supervisor);
    if (vector >= 0) return c.fault(ip, vector);
    m.current = ip;
    const rfbm = requested(supervisor);
    const enabled = state.get(FPU.xcr0) | (supervisor ? state.get(FPU.xss) : 0);
    if (!area.open(...operand(), AREA.extended, false)) return c.operandFault(ip);
    if (!area.read(0, AREA.extended, image)) return c.operandFault(ip);
    if (badHeader(enabled, supervisor)) return c.fault(ip, VECTOR.GP);
    const compacted = (image[HEADER.xcompBv + 1]! & COMPACTED) !== 0;
    const there = image[HEADER.xstateBv]!;
    const format = compacted ? image[HEADER.xcompBv]! : there;
    const count = registers();
    const files = REGISTER_FILES.filter(({ feature }) => feature & rfbm & there);
    for (const file of files) {
      const at = fileOffset(file, format, compacted);
      if (at < AREA.extended) continue;
      if (!area.open(...operand(), at + count * 16, false)) return c.operandFault(ip);
      if (!area.read(at, at + count * 16, image)) return c.operandFault(ip);
    }
    // The standard format has MXCSR whether or not the header says so, and YMM brings it along.
    const mxcsr = compacted ? rfbm & there & XFEATURE.sse : rfbm & NEEDS_MXCSR;
    if (mxcsr && mxcsrReserved()) return c.fault(ip, VECTOR.GP);
    if (mxcsr) state.set(FPU.mxcsr, image[MXCSR_WORD]!);
    else if (rfbm & XFEATURE.sse) state.set(FPU.mxcsr, MXCSR_INIT);
    if (rfbm & there & XFEATURE.x87) loadX87(state, image, wide);
    else if (rfbm & XFEATURE.x87) initX87(state);
    for (const file of REGISTER_FILES) {
      if (files.includes(file)) loadFile(state, file, image, fileOffset(file, format, compacted), count);
      else if (rfbm & file.feature) initFile(state, file, count);
    }
    return loaded();
  };

  return {
    /** `wide`: with REX.W. Without CR4.OSFXSR the image's SSE state is left alone. */
    fxsave(ip, wide) {
      const vector = fxFault();
      if (vector >= 0) return c.fault(ip, vector);
      m.current = ip;
      if (!area.open(...operand(), FXSAVE_SIZE, true)) return c.operandFault(ip);
      saveX87(state, image, wide !== 0);
      saveMxcsr();
      const sse = hasFxsr();
      const count = registers();
      if (sse) saveFile(state, SSE_FILE, image, AREA.xmm, count);
      if (!area.write(0, sse ? AREA.xmm + count * 16 : AREA.xmm, image)) return c.operandFault(ip);
      return NEXT;
    },

    fxrstor(ip, wide) {
      const vector = fxFault();
      if (vector >= 0) return c.fault(ip, vector);
      m.current = ip;
      if (!area.open(...operand(), FXSAVE_SIZE, false)) return c.operandFault(ip);
      if (!area.read(0, FXSAVE_SIZE, image)) return c.operandFault(ip);
      if (mxcsrReserved()) return c.fault(ip, VECTOR.GP);
      state.set(FPU.mxcsr, image[MXCSR_WORD]!);
      if (hasFxsr()) loadFile(state, SSE_FILE, image, AREA.xmm, registers());
      loadX87(state, image, wide !== 0);
      return loaded();
    },

    xsave: (ip, wide) => save(ip, wide !== 0, false, false, false),
    xsaveopt: (ip, wide) => save(ip, wide !== 0, false, false, true),
    xsavec: (ip, wide) => save(ip, wide !== 0, true, false, true),
    xsaves: (ip, wide) => save(ip, wide !== 0, true, true, true),
    xrstor: (ip, wide) => restore(ip, wide !== 0, false),
    xrstors: (ip, wide) => restore(ip, wide !== 0, true),

    /** XCR0, and as register 1 what of it is in use. */
    xgetbv(ip) {
      if (!(state.get(CPU.cr4) & CR4.OSXSAVE)) return c.fault(ip, VECTOR.UD);
      const register = state.gpr(GPR.rcx);
      if (register > 1 || (register === 1 && denied(READS_IN_USE))) return c.fault(ip, VECTOR.GP);
      const xcr0 = state.get(FPU.xcr0);
      state.setGpr(GPR.rax, register === 0 ? xcr0 : xcr0 & inUse(state, registers()));
      state.setGpr(GPR.rdx, 0);
      return NEXT;
    },

    xsetbv(ip) {
      if (!(state.get(CPU.cr4) & CR4.OSXSAVE)) return c.fault(ip, VECTOR.UD);
      const [lo, hi] = [state.gpr(GPR.rax), state.gpr(GPR.rdx)];
      if (c.cpl !== 0 || state.gpr(GPR.rcx) !== 0) return c.fault(ip, VECTOR.GP);
      if (!validXcr0(lo, hi) || lo & ~allowedXcr0(state.u32, state.zone)) return c.fault(ip, VECTOR.GP);
      state.set(FPU.xcr0, lo);
      return NEXT;
    },
  };
}
