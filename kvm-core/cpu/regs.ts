/**
 * KVM_GET/SET_REGS and SREGS on the vCPU state.
 * Document: KVM API 4.11 to 4.14; validity of special registers as SDM volume 3, 2.5 and 9.8.5.
 * Left out: FPU, XSAVE and XCRS: fpu-regs.ts. Debug registers and events; they come with what they describe.
 */

import type { KvmRegs, KvmSregs } from "../../shared/ioctls.ts";
import { CR0, CR4, EFER, PHYSICAL_BITS, updateMode, validCr0, validCr4, validPcide } from "./control.ts";
import { RFLAGS, readFlags, writeFlags } from "./flags.ts";
import { readSegment, writeSegment } from "./segment.ts";
import { CPU, GPR, SEG } from "./state.ts";

export { getMsr, setMsr } from "./msr.ts";

type GprName = keyof typeof GPR;
type SegmentName = keyof typeof SEG;

const GPR_NAMES = Object.keys(GPR) as GprName[];
const SEGMENT_NAMES = Object.keys(SEG) as SegmentName[];
const APIC_BASE_MSR = CPU.msrs + 8;

export function getRegs(memory: WebAssembly.Memory, zone: number): KvmRegs {
  const view = new DataView(memory.buffer);
  const regs: Partial<KvmRegs> = {};
  for (const name of GPR_NAMES) regs[name] = view.getBigUint64(zone + CPU.gpr + GPR[name] * 8, true);
  regs.rip = view.getBigUint64(zone + CPU.rip, true);
  regs.rflags = BigInt(readFlags(new Uint32Array(memory.buffer), zone));
  return regs as KvmRegs;
}

export function setRegs(memory: WebAssembly.Memory, zone: number, regs: KvmRegs): void {
  const view = new DataView(memory.buffer);
  for (const name of GPR_NAMES) {
    view.setBigUint64(zone + CPU.gpr + GPR[name] * 8, BigInt.asUintN(64, regs[name]), true);
  }
  view.setBigUint64(zone + CPU.rip, BigInt.asUintN(64, regs.rip), true);
  const flags = Number(BigInt.asUintN(32, regs.rflags));
  // Virtual-8086 mode has operand rules of its own: the engine takes up the mode before it runs.
  if ((view.getUint32(zone + CPU.eflags, true) ^ flags) & RFLAGS.VM) view.setUint32(zone + CPU.stale, 1, true);
  writeFlags(new Uint32Array(memory.buffer), zone, flags);
  updateMode(new Uint32Array(memory.buffer), zone);
  view.setUint32(zone + CPU.shadow, 0, true);
  view.setUint32(zone + CPU.resumeRecord, 0, true);
}

export function getSregs(memory: WebAssembly.Memory, zone: number): KvmSregs {
  const view = new DataView(memory.buffer);
  const word = (field: number): bigint => view.getBigUint64(zone + field, true);
  const sregs = {
    gdt: { base: word(CPU.gdtBase), limit: view.getUint32(zone + CPU.gdtLimit, true) },
    idt: { base: word(CPU.idtBase), limit: view.getUint32(zone + CPU.idtLimit, true) },
    cr0: word(CPU.cr0),
    cr2: word(CPU.cr2),
    cr3: word(CPU.cr3),
    cr4: word(CPU.cr4),
    cr8: word(CPU.cr8),
    efer: word(CPU.efer),
    apic_base: word(APIC_BASE_MSR),
    interrupt_bitmap: [0, 1, 2, 3].map((i) => word(CPU.interruptBitmap + i * 8)),
  } as KvmSregs;
  for (const name of SEGMENT_NAMES) sregs[name] = readSegment(view, zone, SEG[name]);
  return sregs;
}

/** False, with nothing changed, on a state that cannot be (errno EINVAL). */
export function setSregs(memory: WebAssembly.Memory, zone: number, sregs: KvmSregs): boolean {
  const view = new DataView(memory.buffer);
  if (!validSregs(sregs) || Number(sregs.cr4) & view.getUint32(zone + CPU.deniedCr4, true)) return false;
  const set = (field: number, value: bigint): void => view.setBigUint64(zone + field, value, true);
  for (const name of SEGMENT_NAMES) writeSegment(view, zone, SEG[name], sregs[name]);
  set(CPU.gdtBase, sregs.gdt.base);
  set(CPU.idtBase, sregs.idt.base);
  view.setUint32(zone + CPU.gdtLimit, sregs.gdt.limit & 0xffff, true);
  view.setUint32(zone + CPU.idtLimit, sregs.idt.limit & 0xffff, true);
  set(CPU.cr0, sregs.cr0 | BigInt(CR0.ET));
  set(CPU.cr2, sregs.cr2);
  set(CPU.cr3, sregs.cr3);
  set(CPU.cr4, sregs.cr4);
  set(CPU.cr8, sregs.cr8);
  set(CPU.efer, sregs.efer);
  set(APIC_BASE_MSR, sregs.apic_base);
  sregs.interrupt_bitmap.forEach((word, i) => {
    set(CPU.interruptBitmap + i * 8, word);
  });
  updateMode(new Uint32Array(memory.buffer), zone);
  view.setUint32(zone + CPU.resumeRecord, 0, true);
  view.setUint32(zone + CPU.stale, 1, true);
  return true;
}

function validSregs(sregs: KvmSregs): boolean {
  const half = (value: bigint): [number, number] => [Number(value & 0xffff_ffffn), Number(value >> 32n)];
  if (!validCr0(...half(sregs.cr0)) || !validCr4(...half(sregs.cr4)) || sregs.cr8 > 15n) return false;
  const efer = Number(sregs.efer);
  if (efer & ~(EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE) || sregs.efer >> 32n !== 0n) return false;
  if (!validPcide(Number(sregs.cr0), Number(sregs.cr4), efer)) return false;
  const paging = (sregs.cr0 & BigInt(CR0.PG >>> 0)) !== 0n;
  if (efer & EFER.LME && paging) {
    return (sregs.cr4 & BigInt(CR4.PAE)) !== 0n && (efer & EFER.LMA) !== 0 && sregs.cr3 >> BigInt(PHYSICAL_BITS) === 0n;
  }
  return (efer & EFER.LMA) === 0 && sregs.cs.l === 0;
}
