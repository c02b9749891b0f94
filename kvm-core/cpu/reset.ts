/**
 * The state of a vCPU after RESET.
 * Document: SDM volume 3, table 9-1 (10-1 in newer editions).
 * Left out: BIST; INIT, which keeps some of it.
 */

import type { CpuidEntry, KvmSegment } from "../../shared/ioctls.ts";
import { updateMode } from "./control.ts";
import { SUPPORTED_CPUID, setCpuid } from "./cpuid.ts";
import { writeFlags } from "./flags.ts";
import { FPU } from "./fpu-state.ts";
import { resetMsrs } from "./msr.ts";
import { writeSegment } from "./segment.ts";
import { CPU, GPR, SEG } from "./state.ts";
import { PAGE_SIZE, TLB_ALL_CLASSES, ZONE } from "./zones.ts";

const REAL_MODE: KvmSegment = {
  base: 0n,
  limit: 0xffff,
  selector: 0,
  type: 3,
  present: 1,
  dpl: 0,
  db: 0,
  s: 1,
  l: 0,
  g: 0,
  avl: 0,
  unusable: 0,
};

/** Puts the vCPU whose zone begins at `zone` into the architectural reset state. */
export function resetVcpu(memory: WebAssembly.Memory, zone: number, vcpuId: number): void {
  for (const page of [ZONE.cpu, ZONE.fpu]) new Uint8Array(memory.buffer, zone + page, PAGE_SIZE).fill(0);
  const view = new DataView(memory.buffer);
  const u32 = new Uint32Array(memory.buffer);
  for (const segment of [SEG.es, SEG.ss, SEG.ds, SEG.fs, SEG.gs]) writeSegment(view, zone, segment, REAL_MODE);
  writeSegment(view, zone, SEG.cs, { ...REAL_MODE, base: 0xffff_0000n, selector: 0xf000, type: 11 });
  writeSegment(view, zone, SEG.tr, { ...REAL_MODE, type: 11, s: 0 });
  writeSegment(view, zone, SEG.ldt, { ...REAL_MODE, type: 2, s: 0 });
  view.setUint32(zone + CPU.gdtLimit, 0xffff, true);
  view.setUint32(zone + CPU.idtLimit, 0xffff, true);
  view.setBigUint64(zone + CPU.rip, 0xfff0n, true);
  // EDX holds family, model and stepping.
  view.setBigUint64(zone + CPU.gpr + GPR.rdx * 8, BigInt(SUPPORTED_CPUID[1]!.eax), true);
  view.setUint32(zone + CPU.cr0, 0x6000_0010, true);
  resetDebugRegisters(view, zone);
  view.setUint32(zone + CPU.vcpuId, vcpuId, true);
  view.setUint32(zone + CPU.stale, 1, true);
  // The TLBs have not been reset, so all of them have to be taken for used.
  view.setUint32(zone + CPU.tlbSet, zone + ZONE.tlb, true);
  view.setUint32(zone + CPU.tlbUsed, TLB_ALL_CLASSES, true);
  writeFlags(u32, zone, 0);
  resetMsrs(view, zone);
  // EBX of leaf 1 has the initial APIC ID in its high byte.
  const withId = (entry: CpuidEntry): CpuidEntry =>
    entry.function === 1 ? { ...entry, ebx: (entry.ebx | (vcpuId << 24)) >>> 0 } : entry;
  setCpuid(memory, zone, SUPPORTED_CPUID.map(withId));
  // SDM volume 3, table 9-1, after power-up: all x87 registers are +0.0 and none is empty.
  view.setUint32(zone + FPU.fcw, 0x40, true);
  view.setUint32(zone + FPU.tags, 0xff, true);
  view.setUint32(zone + FPU.mxcsr, 0x1f80, true);
  view.setBigUint64(zone + FPU.xcr0, 1n, true);
  updateMode(u32, zone);
}

/** RESET and INIT do the same to them. */
export function resetDebugRegisters(view: DataView, zone: number): void {
  for (let register = 0; register < 8; register++) view.setBigUint64(zone + CPU.dr + register * 8, 0n, true);
  view.setUint32(zone + CPU.dr + 6 * 8, 0xffff_0ff0, true);
  view.setUint32(zone + CPU.dr + 7 * 8, 0x0000_0400, true);
}
