/**
 * Model-specific registers: one row each.
 * Document: SDM volume 4, table 2-2; the set that KVM_GET_MSR_INDEX_LIST would name for this CPU model.
 * Left out: what some of them are about: memory types (all RAM is coherent), machine checks (there are no banks), last-branch
 *           records (IA32_DEBUGCTL.LBR is a bit that does nothing), the local APIC (irqchip/). Those registers are state.
 */

import type { CpuFeature } from "../../shared/cpu-features.ts";
import { EFER, EFER_WRITABLE, PHYSICAL_BITS } from "./control.ts";
import { gateOf } from "./features.ts";
import { FPU } from "./fpu-state.ts";
import { CPU } from "./state.ts";

interface MsrRow {
  readonly name: string;
  readonly index: number;
  /** Bits that may be written; others give #GP. Default: all. */
  readonly writable?: bigint;
  /** Of the writable bits, which values may be; others give #GP. */
  readonly valid?: (value: bigint) => boolean;
  /** WRMSR gives #GP; the host may write what the others allow, since it restores what it saved. */
  readonly readOnly?: true;
  /** A guest without this feature has no such MSR (#GP); the host has. */
  readonly feature?: CpuFeature;
  /** The value must be a canonical address. */
  readonly canonical?: true;
  readonly reset?: bigint;
  /** Field of the state that holds it, if not a row of CPU.msrs. */
  readonly field?: number;
}

const LOW32 = 0xffff_ffffn;

/** Memory types of the MTRRs: UC, WC, WT, WP, WB. PAT has UC- too. */
const MTRR_TYPES = 0b0111_0011n;
const PAT_TYPES = 0b1111_0011n;
const isType = (types: bigint, value: bigint): boolean => ((types >> (value & 7n)) & 1n ? value < 8n : false);
const eachType =
  (types: bigint) =>
  (value: bigint): boolean =>
    Array.from({ length: 8 }, (_, i) => (value >> BigInt(i * 8)) & 0xffn).every((byte) => isType(types, byte));
const PHYSICAL = (1n << BigInt(PHYSICAL_BITS)) - 1n;

/** Variable ranges of the MTRRs, as IA32_MTRRCAP counts them; FIX and WC. */
const MTRR_COUNT = 8;
const MTRR_CAP = BigInt(MTRR_COUNT) | 0x500n;
const variableMtrr = (i: number): MsrRow[] => [
  {
    name: `IA32_MTRR_PHYSBASE${i}`,
    index: 0x200 + i * 2,
    writable: PHYSICAL & ~0xf00n,
    valid: (value) => isType(MTRR_TYPES, value & 0xffn),
  },
  { name: `IA32_MTRR_PHYSMASK${i}`, index: 0x201 + i * 2, writable: PHYSICAL & ~0x7ffn },
];
const fixedMtrr = (index: number): MsrRow => {
  return { name: `IA32_MTRR_FIX_${index.toString(16)}`, index, valid: eachType(MTRR_TYPES) };
};
const FIXED_MTRRS = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];

/** x2APIC mode needs the APIC enabled. Which changes of mode there are: irqchip/lapic-access.ts. */
const validApicBase = (value: bigint): boolean => (value & 0xc00n) !== 0x400n;

/**
 * IA32_ARCH_CAPABILITIES (SDM volume 4, 2.1): attacks on speculation that this processor, which has none, is not open to. Guests
 * then leave out what would slow them for nothing.
 */
const NOT_VULNERABLE = {
  RDCL_NO: 0,
  SKIP_L1DFL_VMENTRY: 3,
  SSB_NO: 4,
  MDS_NO: 5,
  IF_PSCHANGE_MC_NO: 6,
  TAA_NO: 8,
  SBDR_SSDP_NO: 13,
  FBSDP_NO: 14,
  PSDP_NO: 15,
  BHI_NO: 20,
  PBRSB_NO: 24,
  GDS_NO: 26,
  RFDS_NO: 27,
  ITS_NO: 62,
} as const;
const ARCH_CAPABILITIES = Object.values(NOT_VULNERABLE).reduce((bits, bit) => bits | (1n << BigInt(bit)), 0n);

const ROWS: readonly MsrRow[] = [
  { name: "IA32_TSC", index: 0x10 },
  { name: "IA32_APIC_BASE", index: 0x1b, writable: 0xf_ffff_fd00n, valid: validApicBase, reset: 0xfee0_0900n },
  { name: "IA32_TSC_ADJUST", index: 0x3b },
  { name: "IA32_BIOS_SIGN_ID", index: 0x8b },
  { name: "IA32_MTRRCAP", index: 0xfe, readOnly: true, valid: (value) => value === MTRR_CAP, reset: MTRR_CAP },
  {
    name: "IA32_ARCH_CAPABILITIES",
    index: 0x10a,
    readOnly: true,
    // The host may show a guest less, as in Linux.
    writable: ARCH_CAPABILITIES,
    feature: "arch-capabilities",
    reset: ARCH_CAPABILITIES,
  },
  { name: "IA32_SYSENTER_CS", index: 0x174, writable: LOW32 },
  { name: "IA32_SYSENTER_ESP", index: 0x175, canonical: true },
  { name: "IA32_SYSENTER_EIP", index: 0x176, canonical: true },
  { name: "IA32_MCG_CAP", index: 0x179, readOnly: true, writable: 0n },
  { name: "IA32_MCG_STATUS", index: 0x17a, writable: 7n },
  { name: "IA32_MISC_ENABLE", index: 0x1a0, reset: 1n },
  { name: "IA32_DEBUGCTL", index: 0x1d9, writable: 3n },
  ...Array.from({ length: MTRR_COUNT }, (_, i) => variableMtrr(i)).flat(),
  ...FIXED_MTRRS.map(fixedMtrr),
  { name: "IA32_PAT", index: 0x277, valid: eachType(PAT_TYPES), reset: 0x0007_0406_0007_0406n },
  {
    name: "IA32_MTRR_DEF_TYPE",
    index: 0x2ff,
    writable: 0xcffn,
    valid: (value) => isType(MTRR_TYPES, value & 0xffn),
  },
  { name: "IA32_TSC_DEADLINE", index: 0x6e0 },
  // No supervisor state component is built.
  { name: "IA32_XSS", index: 0xda0, writable: 0n, feature: "xsaves", field: FPU.xss },
  // Their effect is engine/kvm-clock.ts's.
  { name: "MSR_KVM_WALL_CLOCK", index: 0x11 },
  { name: "MSR_KVM_SYSTEM_TIME", index: 0x12 },
  { name: "MSR_KVM_WALL_CLOCK_NEW", index: 0x4b56_4d00 },
  { name: "MSR_KVM_SYSTEM_TIME_NEW", index: 0x4b56_4d01 },
  { name: "IA32_EFER", index: 0xc000_0080, writable: BigInt(EFER_WRITABLE | EFER.LMA), field: CPU.efer },
  { name: "IA32_STAR", index: 0xc000_0081 },
  { name: "IA32_LSTAR", index: 0xc000_0082, canonical: true },
  { name: "IA32_CSTAR", index: 0xc000_0083, canonical: true },
  { name: "IA32_FMASK", index: 0xc000_0084, writable: LOW32 },
  { name: "IA32_FS_BASE", index: 0xc000_0100, canonical: true, field: CPU.segBase + 4 * 8 },
  { name: "IA32_GS_BASE", index: 0xc000_0101, canonical: true, field: CPU.segBase + 5 * 8 },
  { name: "IA32_KERNEL_GS_BASE", index: 0xc000_0102, canonical: true },
  { name: "IA32_TSC_AUX", index: 0xc000_0103, writable: LOW32 },
];

/** Linux Documentation/virt/kvm/x86/msr.rst */
export const MSR_KVM = {
  WALL_CLOCK: 0x11,
  SYSTEM_TIME: 0x12,
  WALL_CLOCK_NEW: 0x4b56_4d00,
  SYSTEM_TIME_NEW: 0x4b56_4d01,
} as const;
/** MSRs after whose writing the paravirtual clock has something to do. */
export const CLOCK_MSRS: readonly number[] = [...Object.values(MSR_KVM), 0x10, 0x3b];
export const MSR_EFER = 0xc000_0080;
export const MSR_TSC = 0x10;
export const MSR_TSC_ADJUST = 0x3b;
export const MSR_DEBUGCTL = 0x1d9;
export const MSR_KERNEL_GS_BASE = 0xc000_0102;

/** The indices that exist, in the table's order. */
export const MSR_INDICES: readonly number[] = ROWS.map((row) => row.index);

/** Fields of CPU.msrs. */
const ROOM = 64;
if (ROWS.length > ROOM) throw new Error(`${ROWS.length} MSRs, and room for ${ROOM}`);

const BY_INDEX = new Map(
  ROWS.map((row, at) => {
    const gate = row.feature === undefined ? undefined : gateOf(row.feature);
    return [row.index, { row, gate, field: row.field ?? CPU.msrs + at * 8 }] as const;
  }),
);

/** Offset in the vCPU state of MSR `index`; undefined if there is no such MSR. */
export function msrField(index: number): number | undefined {
  return BY_INDEX.get(index)?.field;
}

function canonical(value: bigint): boolean {
  return BigInt.asIntN(48, value) === BigInt.asIntN(64, value);
}

/** Nanoseconds of the monotonic clock: the TSC counts at 1 GHz, and the MSR's field holds its offset. */
export function tscNow(): bigint {
  return process.hrtime.bigint();
}

/** KVM_GET_MSRS: undefined if there is no such MSR. */
export function getMsr(memory: WebAssembly.Memory, zone: number, index: number): bigint | undefined {
  const field = msrField(index);
  if (field === undefined) return undefined;
  const value = new DataView(memory.buffer).getBigUint64(zone + field, true);
  return index === MSR_TSC ? BigInt.asUintN(64, value + tscNow()) : value;
}

/** KVM_SET_MSRS: false where WRMSR would give #GP. The host may set EFER.LMA too, a guest may not change it. */
export function setMsr(memory: WebAssembly.Memory, zone: number, index: number, value: bigint): boolean {
  const entry = BY_INDEX.get(index);
  if (entry === undefined || value < 0n || value >> 64n !== 0n) return false;
  const { row, field } = entry;
  if (row.writable !== undefined && (value & ~row.writable) !== 0n) return false;
  if (row.valid?.(value) === false) return false;
  if (row.canonical && !canonical(value)) return false;
  const stored = index === MSR_TSC ? BigInt.asUintN(64, value - tscNow()) : value;
  const view = new DataView(memory.buffer);
  view.setBigUint64(zone + field, stored, true);
  if (index === MSR_EFER) view.setUint32(zone + CPU.stale, 1, true);
  return true;
}

/** RDMSR of the guest's: undefined for #GP. */
export function readMsr(memory: WebAssembly.Memory, zone: number, index: number): bigint | undefined {
  return guestHas(memory, zone, index) ? getMsr(memory, zone, index) : undefined;
}

/** The MSR exists for a guest with the vCPU's CPUID. */
function guestHas(memory: WebAssembly.Memory, zone: number, index: number): boolean {
  const gate = BY_INDEX.get(index)?.gate;
  if (gate === undefined) return true;
  return (new DataView(memory.buffer).getUint32(zone + CPU.denied + gate.word * 4, true) & gate.mask) === 0;
}

/** WRMSR of the guest's. The TSC and IA32_TSC_ADJUST move together (SDM volume 3, 17.17.3). False for #GP. */
export function writeMsr(memory: WebAssembly.Memory, zone: number, index: number, value: bigint): boolean {
  if (BY_INDEX.get(index)?.row.readOnly || !guestHas(memory, zone, index)) return false;
  if (index === MSR_TSC || index === MSR_TSC_ADJUST) {
    const delta = value - getMsr(memory, zone, index)!;
    const other = index === MSR_TSC ? MSR_TSC_ADJUST : MSR_TSC;
    setMsr(memory, zone, other, BigInt.asUintN(64, getMsr(memory, zone, other)! + delta));
  }
  return setMsr(memory, zone, index, value);
}

export function resetMsrs(view: DataView, zone: number): void {
  ROWS.forEach((row, at) => {
    if (row.field === undefined) view.setBigUint64(zone + CPU.msrs + at * 8, row.reset ?? 0n, true);
  });
  view.setBigUint64(zone + msrField(MSR_TSC)!, BigInt.asUintN(64, -tscNow()), true);
}
