/**
 * RFLAGS as POPF and IRET set them: which bits they may change, and what follows from AC.
 * Document: SDM volume 2, POPF/POPFD/POPFQ and IRET/IRETD/IRETQ.
 * Left out: VM, which only a return to virtual-8086 mode sets.
 */

import { CR0, updateMode } from "./control.ts";
import { ARITHMETIC, RFLAGS, readFlags, writeFlags } from "./flags.ts";
import { CPU } from "./state.ts";
import type { VcpuState } from "./vcpu-state.ts";

/** POPF and IRET of virtual-8086 code with IOPL below 3 (CR4.VME): IF goes to VIF. */
export function popVirtualFlags(state: VcpuState, value: number): void {
  const old = readFlags(state.u32, state.zone);
  const writable = ARITHMETIC | RFLAGS.DF | RFLAGS.NT;
  const kept = old & ~writable & ~(RFLAGS.VIF | RFLAGS.RF | RFLAGS.TF);
  writeFlags(state.u32, state.zone, kept | (value & writable) | (value & RFLAGS.IF ? RFLAGS.VIF : 0));
}

/** Sets RFLAGS bits that POPF and IRET may change at this privilege level. */
export function popFlags(state: VcpuState, value: number, width: number, fromIret: boolean): void {
  const old = readFlags(state.u32, state.zone);
  const cpl = state.get(CPU.cpl);
  const isVirtual = (old & RFLAGS.VM) !== 0;
  let writable: number = ARITHMETIC | RFLAGS.TF | RFLAGS.DF | RFLAGS.NT | RFLAGS.AC | RFLAGS.ID;
  if (fromIret) writable |= RFLAGS.RF;
  if (fromIret && cpl === 0 && state.get(CPU.cr0) & CR0.PE) writable |= RFLAGS.VIF | RFLAGS.VIP;
  if (cpl <= (old & RFLAGS.IOPL) >>> 12) writable |= RFLAGS.IF;
  if (cpl === 0) writable |= RFLAGS.IOPL;
  if (width === 16) writable &= 0xffff;
  let result: number = (old & ~writable) | (value & writable);
  if (!fromIret) result &= ~RFLAGS.RF;
  if (!fromIret && width !== 16 && !isVirtual) result &= ~(RFLAGS.VIF | RFLAGS.VIP);
  writeFlags(state.u32, state.zone, result);
  // SMAP: AC decides which TLBs serve.
  if ((old ^ result) & RFLAGS.AC) updateMode(state.u32, state.zone);
}
