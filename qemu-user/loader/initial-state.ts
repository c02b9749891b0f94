/**
 * The state of the boot CPU that a loader hands over in: 32-bit flat protected mode, paging off.
 * Follows: Multiboot specification 0.6.96 section 3.2 "Machine state"; PVH boot ABI (xen/include/public/arch-x86/hvm/start_info.h).
 * Both ask for the same state. Field names are those of Linux's struct kvm_regs and kvm_sregs.
 * Left out: other ways to start (real mode, 64-bit).
 */

export interface Segment {
  readonly base: bigint;
  readonly limit: number;
  readonly selector: number;
  readonly type: number;
  readonly present: number;
  readonly dpl: number;
  readonly db: number;
  readonly s: number;
  readonly l: number;
  readonly g: number;
  readonly avl: number;
  readonly unusable: number;
}

/** General registers that differ from zero, for KVM_SET_REGS. */
export interface InitialRegs {
  readonly rip: bigint;
  readonly rax: bigint;
  readonly rbx: bigint;
  readonly rflags: bigint;
}

/** The part of kvm_sregs that a loader decides, for KVM_SET_SREGS; the rest stays as at reset. */
export interface InitialSregs {
  readonly cs: Segment;
  readonly ds: Segment;
  readonly es: Segment;
  readonly fs: Segment;
  readonly gs: Segment;
  readonly ss: Segment;
  readonly tr: Segment;
  readonly ldt: Segment;
  readonly gdt: { readonly base: bigint; readonly limit: number };
  readonly idt: { readonly base: bigint; readonly limit: number };
  readonly cr0: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly efer: bigint;
}

const NO_SEGMENT: Segment = {
  base: 0n,
  limit: 0,
  selector: 0,
  type: 0,
  present: 0,
  dpl: 0,
  db: 0,
  s: 0,
  l: 0,
  g: 0,
  avl: 0,
  unusable: 1,
};

/** 4 GiB from 0, ring 0, 32-bit. Limits are in bytes after granularity, as KVM has them. */
const FLAT: Segment = { ...NO_SEGMENT, limit: 0xffff_ffff, present: 1, db: 1, s: 1, g: 1, unusable: 0 };
/** Type 0xb: execute/read, accessed (SDM vol. 3 table 3-1). */
const CODE: Segment = { ...FLAT, selector: 0x08, type: 0xb };
/** Type 0x3: read/write, accessed. */
const DATA: Segment = { ...FLAT, selector: 0x10, type: 0x3 };
/** PVH: a 32-bit TSS, base 0, limit 0x67. Type 0xb: busy (table 3-2). */
const TSS: Segment = { ...NO_SEGMENT, limit: 0x67, type: 0xb, present: 1, unusable: 0 };

const CR0_PE = 0x01n;
const CR0_ET = 0x10n;

/** What a PC's firmware leaves in IDTR: a kernel that goes back to real mode finds the 256 vectors at 0 without LIDT. */
const REAL_MODE_VECTORS = { base: 0n, limit: 256 * 4 - 1 } as const;

/** The descriptor tables are the guest's to load: it must not reload a segment register before it has done so. */
export const FLAT_PROTECTED_MODE: InitialSregs = {
  cs: CODE,
  ds: DATA,
  es: DATA,
  fs: DATA,
  gs: DATA,
  ss: DATA,
  tr: TSS,
  ldt: NO_SEGMENT,
  gdt: { base: 0n, limit: 0 },
  idt: REAL_MODE_VECTORS,
  cr0: CR0_PE | CR0_ET,
  cr3: 0n,
  cr4: 0n,
  efer: 0n,
};

/** RFLAGS with all flags clear: bit 1 is always one. IF and VM are clear, as both documents ask. */
const RFLAGS = 2n;

/** Registers at the entry point: a magic number or zero in EAX, the address of the information structure in EBX. */
export function initialRegs(entry: number, eax: number, ebx: number): InitialRegs {
  return { rip: BigInt(entry), rax: BigInt(eax), rbx: BigInt(ebx), rflags: RFLAGS };
}
