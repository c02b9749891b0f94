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

/** One zone per vCPU; it belongs to the CPU engine, except its first two pages. */
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
  /** Overwritten code that other threads tell this vCPU of (mmu/code-pages.ts). */
  codeQueue: 0x5000,
  /** Software TLBs: three classes, each a read table and a write table. */
  tlb: 0x0001_0000,
  /** RIP -> record, for indirect jumps and returns. */
  jumpCache: 0x0004_0000,
  /** Hash of block heads: guest-physical address and mode -> first record. */
  blocks: 0x0010_0000,
  /** Per guest-physical page: u32 first block whose bytes lie in it; PAGE_MARKED if none but the page is watched; else 0. */
  codePages: 0x0040_0000,
  /** The record cache. */
  records: 0x0080_0000,
  /** Per guest-physical page: u32 bitmap of the 128-byte granules that hold decoded bytes. */
  codeGranules: 0x0180_0000,
} as const;

/** In ZONE.codePages: the vCPU decodes, or has decoded, bytes of the page, and no block of it is left. */
export const PAGE_MARKED = 1;

export const JUMP_CACHE_ENTRIES = 4096;
export const JUMP_CACHE_ENTRY_SIZE = 16;
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
  /** Fields of an entry: i64 tag (linear page address; odd is empty), u32 addend (linear memory - guest linear), u32 guest-physical page. */
  tag: 0,
  addend: 8,
  gpa: 12,
} as const;

/** TLB classes, as multiples of TLB.classSize from ZONE.tlb. Supervisor with AC set differs once SMAP is on. */
export const TLB_CLASS = { supervisor: 0, supervisorAc: 1, user: 2 } as const;
export const TLB_CLASS_COUNT = 3;

/** Number of guest-physical pages that the tables cover. */
export const GPA_PAGES = 1 << 20;

/** Linear address of vCPU i's zone. */
export function vcpuZone(index: number): number {
  if (!Number.isInteger(index) || index < 0 || index >= VCPU_ZONE_COUNT) throw new Error(`no zone for vCPU ${index}`);
  return VCPU_ZONES + index * VCPU_ZONE_SIZE;
}
