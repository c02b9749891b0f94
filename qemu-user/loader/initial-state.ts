/**
 * The states of the boot CPU that a loader hands over in: 32-bit flat protected mode with paging off, or 64-bit mode.
 * Follows: Multiboot specification 0.6.96 section 3.2 "Machine state"; PVH boot ABI (xen/include/public/arch-x86/hvm/start_info.h).
 * Both ask for the same state. Linux: Documentation/arch/x86/boot.rst, its 32-bit and 64-bit boot protocols. Field names are those of Linux's struct kvm_regs and kvm_sregs.
 * Left out: real mode.
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
  readonly rsi: bigint;
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
  return { rip: BigInt(entry), rax: BigInt(eax), rbx: BigInt(ebx), rsi: 0n, rflags: RFLAGS };
}

/** At a Linux kernel's entry point: the zero page in RSI. */
export function linuxRegs(entry: number, zeroPage: number): InitialRegs {
  return { ...initialRegs(entry, 0, 0), rsi: BigInt(zeroPage) };
}

const CR0_PG = 0x8000_0000n;
const CR4_PAE = 0x20n;
const EFER_LONG = 0x500n; // LME and LMA

/** A GDT that lies in memory, __BOOT_CS 0x10 and __BOOT_DS 0x18; with `pageTables` the 64-bit entry's state. */
export function linuxSregs(gdt: number, gdtLimit: number, pageTables: number): InitialSregs {
  const long = pageTables !== 0;
  const data: Segment = { ...DATA, selector: 0x18 };
  return {
    ...FLAT_PROTECTED_MODE,
    cs: { ...CODE, selector: 0x10, l: long ? 1 : 0, db: long ? 0 : 1 },
    ds: data,
    es: data,
    fs: data,
    gs: data,
    ss: data,
    gdt: { base: BigInt(gdt), limit: gdtLimit },
    ...(long ? { cr0: CR0_PE | CR0_ET | CR0_PG, cr3: BigInt(pageTables), cr4: CR4_PAE, efer: EFER_LONG } : {}),
  };
}
