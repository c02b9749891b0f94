/**
 * The map of one VM's linear memory, as kvm-core lays it out: one table, and the parts of a vCPU's zone.
 * Document: architecture.md sections 3 and 5; the linear memory is a shared WebAssembly.Memory of 4 GiB.
 * Left out: guest RAM itself, whose slots the VM maps at GUEST_RAM and above.
 */

/** Pages (64 KiB) of the linear memory; initial == maximum, it never grows. */
export const MEMORY_PAGES = 65536;

export const PAGE_SIZE = 4096;

/** VM state: GSI words, 8259s. Address 0 and the pages below are never used: an access there is a bug. */
export const VM_STATE = 0x0001_0000;
export const VM_STATE_END = 0x0010_0000;
/** u32 in the VM state: taken while a locked access lies in two pages (mmu/locked.ts); on a line of its own. */
export const BUS_LOCK = 0x000f_f000;

/** f64 in the VM state: when the VM's clock (kvmclock) was 0, in nanoseconds of CLOCK_MONOTONIC. */
export const CLOCK_BASE = 0x000f_f040;

/** The map of code pages that device servers share (shared/code-map.ts). */
export const CODE_MAP = 0x0020_0000;
/** Dirty log: a bit per 4 KiB page of the guest-physical space (mmu/dirty-log.ts). */
export const DIRTY_MAP = 0x0028_0000;
/** Words of mmu/code-pages.ts, private to kvm-core. */
export const CODE_STATE = 0x002f_0000;

/** Guest-physical page table: a u32 per 4 KiB page of the 4 GiB guest-physical space. 0 is nobody's RAM, i.e. MMIO. */
export const GPA_TABLE = 0x0040_0000;
/** Bits 31..12 of an entry: linear address of the page. */
export const GPA_ADDRESS = 0xffff_f000;
export const GPA_PRESENT = 1;
export const GPA_READONLY = 2;
/** Some vCPU has decoded code of the page, or is about to: every write must be told to those who did. */
export const GPA_CODE = 4;
/** The page's next write has to be noted in the dirty log. */
export const GPA_LOGGED = 8;
/** Flags of an entry that keep its page out of the write tables of the TLBs. */
export const GPA_SLOW_WRITE = GPA_READONLY | GPA_CODE | GPA_LOGGED;

/** One area per device server, for its mapped memfds. */
export const SERVER_AREAS = 0x0080_0000;
export const SERVER_AREA_SIZE = 0x0008_0000;
export const SERVER_AREA_COUNT = 16;

/** One zone per vCPU; it belongs to the CPU engine, except its first two pages and `exits`. */
export const VCPU_ZONES = 0x0100_0000;
export const VCPU_ZONE_SIZE = 0x01c0_0000;
export const VCPU_ZONE_COUNT = 8;

export const GUEST_RAM = 0x1000_0000;

/** Offsets inside a vCPU's zone. */
export const ZONE = {
  /** The vCPU state struct (cpu/state.ts), private to kvm-core. */
  cpu: 0x0000,
  /** The page shared with device servers; u32 `kick` at its start. */
  kick: 0x1000,
  /** Record buffer of one instruction: the interpreter's, and the single-step buffer of `patch`. */
  buffer: 0x2000,
  /** What the exit path keeps for its generated half (vcpu/exit-cells.ts), private to kvm-core. */
  exits: 0x3000,
  /** Overwritten code that other threads tell this vCPU of (mmu/code-pages.ts). */
  codeQueue: 0x5000,
  /** x87, MMX and SSE state (cpu/fpu-state.ts), private to kvm-core. */
  fpu: 0x6000,
  /** u32: JUMP.user and a multiple of JUMP.generation: entries of the jump cache with another one do not count. It survives a reset. */
  jumpGeneration: 0x8000,
  /** The local APIC's registers, and what other threads post to it (irqchip/lapic.ts). */
  lapic: 0x9000,
  /** Software TLBs: TLB_SETS of three classes, each a read table and a write table. */
  tlb: 0x0001_0000,
  /** A class of TLB whose tables are always empty: in force while misaligned accesses of CPL 3 have to be found. */
  tlbNever: 0x000d_0000,
  /** Hash of block heads: guest-physical address and mode -> first record. */
  blocks: 0x0010_0000,
  /** RIP -> record, for indirect jumps and returns: see JUMP. */
  jumpCache: 0x0030_0000,
  /** Per guest-physical page: u32 first block whose bytes lie in it; PAGE_MARKED if none but the page is watched; else 0. */
  codePages: 0x0040_0000,
  /** The record cache. */
  records: 0x0080_0000,
  /** Per guest-physical page: u32 bitmap of the 128-byte granules that hold decoded bytes. */
  codeGranules: 0x0180_0000,
} as const;

/** In ZONE.codePages: the vCPU decodes, or has decoded, bytes of the page, and no block of it is left. */
export const PAGE_MARKED = 1;

/**
 * The jump cache's layout, here so that emitter and engine agree. An entry holds if it has the RIP and the generation in
 * force: what an RIP leads to changes with each TLB flush and mode change, and forgetting all is then an increment.
 */
export const JUMP = {
  entries: 0x1_0000,
  entrySize: 16,
  /** Fields of an entry: u64 RIP, u32 record, u32 generation | user | offset of the RIP in its linear page. */
  rip: 0,
  record: 8,
  check: 12,
  /** Set for CPL 3: what the one privilege level may execute the other may not. */
  user: 0x1000,
  /** The step from one generation to the next; generation 0 is never in force, so zeroed memory is an empty cache. */
  generation: 0x2000,
  /** Index: RIP ^ RIP >> hashShift, so that functions a multiple of 64 KiB apart do not meet. */
  hashShift: 16,
} as const;
export const BLOCK_HASH_ENTRIES = 0x4_0000;
export const RECORDS_SIZE = ZONE.codeGranules - ZONE.records;

/** TLB layout, here so that emitter and MMU agree without importing each other. */
export const TLB = {
  entries: 1024,
  entrySize: 16,
  /** Offset of the write table from the read table of the same class. */
  write: 0x4000,
  /** Bytes of one class: read table and write table. */
  classSize: 0x8000,
  /**
   * Fields of an entry: i64 tag (linear page address; odd is empty), u32 addend (linear memory - guest linear),
   * u32 guest-physical page, with bits of TLB_PAGE.
   */
  tag: 0,
  addend: 8,
  gpa: 12,
} as const;

/** What an entry's page is, in the low bits of its TLB.gpa; `user` only in CPU.walkPage: U/S is set on all levels. */
export const TLB_PAGE = { global: 1, large: 2, user: 4 } as const;

/** TLB classes, as multiples of TLB.classSize from their set. Supervisor with AC set has its own under SMAP. */
export const TLB_CLASS = { supervisor: 0, supervisorAc: 1, user: 2 } as const;
export const TLB_CLASS_COUNT = 3;
/** A set of the three classes for each PCID that was used last. All classes of all sets fit into the bits of a u32. */
export const TLB_SETS = 8;
export const TLB_SET_SIZE = TLB_CLASS_COUNT * TLB.classSize;
export const TLB_ALL_CLASSES = 2 ** (TLB_SETS * TLB_CLASS_COUNT) - 1;

/** Number of guest-physical pages that the tables cover. */
export const GPA_PAGES = 1 << 20;

/** Linear address of vCPU i's zone. */
export function vcpuZone(index: number): number {
  if (!Number.isInteger(index) || index < 0 || index >= VCPU_ZONE_COUNT) throw new Error(`no zone for vCPU ${index}`);
  return VCPU_ZONES + index * VCPU_ZONE_SIZE;
}
