/**
 * The vCPU state struct: one layout table, the only place with offsets.
 * Document: architecture.md section 5 (records carry pre-scaled u8 offsets into the first 256 bytes).
 * Left out: x87 and SSE; their fields come with their instructions.
 */
import { CPU_FEATURE_NAMES } from "../../shared/cpu-features.ts";
import { layout } from "../../shared/layout.ts";
import { PAGE_SIZE, TLB_SETS } from "./zones.ts";

/** CPUID entries that fit (KVM_MAX_CPUID_ENTRIES is 256 on Linux; a PC needs about 30). */
export const MAX_CPUID_ENTRIES = 64;
export const CPUID_ENTRY_SIZE = 28;
/** A bit for each feature that CPUID can report. */
export const DENIED_WORDS = Math.ceil(CPU_FEATURE_NAMES.length / 32);

export const CPU = layout({
  // --- slots: what a u8 offset in a record can name
  /** RAX RCX RDX RBX RSP RBP RSI RDI R8..R15. */
  gpr: ["u64", 16],
  /** Always 0: the base or index that an address does not have. */
  zero: "u64",
  /** RIP of offset 0 of the linear page that is being executed; RIP of a record = ripBase + its page offset. */
  ripBase: "u64",
  /** Linear address made by an address record for the record that follows. */
  ea: "u64",
  /** ES CS SS DS FS GS. */
  segBase: ["u64", 6],
  slotsEnd: ["u64", 7],
  // --- the rest of the architectural state
  rip: "u64",
  /** Lazy arithmetic flags, see flags.ts. */
  flagResult: "u64",
  flagAux: "u64",
  /** RFLAGS without CF PF AF ZF SF OF. */
  eflags: "u32",
  // --- between engine and vCPU thread
  /** Set by kvm-core's threads with Atomics.or (requests.ts); with the kick word, makes run() leave. Bit 31 is the engine's own. */
  pending: "u32",
  /** Linear address of the read table of the TLB class in force. */
  tlbBase: "u32",
  /** Bits of ACCESS for a data access of the program's: user or ac. */
  dataAccess: "u32",
  /** Decode mode, MODE in control.ts. */
  mode: "u32",
  /** Data of an MMIO access, little endian. */
  mmioData: "u64",
  /** Bit 0: host.trace gets a line for each instruction decoded. */
  traceMask: "u32",
  /** The EngineExit that run() returns. */
  exit: "u32",
  // --- between generated code and helpers
  address: "u64",
  data: ["u64", 2],
  bounce: ["u64", 2],
  // --- MMU: what a walk gives (mmu/walker.ts), and which TLBs are in use (mmu/tlb.ts)
  /** Guest-physical address, below 2^PHYSICAL_BITS. */
  walkGpa: "u64",
  /** TLB_PAGE bits of the page. */
  walkPage: "u32",
  /** Error code of the page fault. */
  walkError: "u32",
  /** The four PDPTE registers of PAE paging. */
  pdpte: ["u64", 4],
  /** Bit (address >> 30) modulo 64: its GiB has entries of pages larger than 4 KiB. */
  tlbLarge: "u64",
  /** Linear address of the TLB set in force. */
  tlbSet: "u32",
  /** Bit set * 3 + class: the class has entries; has entries of global pages. */
  tlbUsed: "u32",
  tlbGlobal: "u32",
  /** The set that is taken next when a PCID has none. */
  tlbVictim: "u32",
  /** Per set: its PCID, or NO_PCID. */
  tlbPcid: ["u32", TLB_SETS],
  /** Data breakpoints (engine/watch.ts): how many, and the linear pages that have to stay out of the TLBs. */
  watched: "u32",
  watchPages: ["u64", 4],
  // --- interrupts
  cpl: "u32",
  /** Non-zero: interrupts are held off while RIP is shadowRip, by STI (1) or by MOV SS and POP SS (2), which hold off #DB, too. */
  shadow: "u32",
  shadowRip: "u64",
  /** Non-zero: leave as soon as an interrupt could be taken. */
  window: "u32",
  /** GUEST_MODE in requests.ts; written by the vCPU's thread alone. */
  guestMode: "u32",
  /** Non-zero while the engine reads bytes to make records of them (mmu/code-pages.ts). */
  decoding: "u32",
  /** Non-zero: paging state was changed from outside; the engine flushes before it runs. */
  stale: "u32",
  /** Record at which to go on, valid while RIP is resumeRip; 0: none. */
  resumeRecord: "u32",
  /** Non-zero: an NMI was delivered, and no IRET has been executed since. */
  nmiBlocked: "u32",
  resumeRip: "u64",
  // --- segments: ES CS SS DS FS GS TR LDTR
  selector: ["u32", 8],
  /** Bytes, after granularity. */
  limit: ["u32", 8],
  /** Descriptor bits 40..55 in bits 0..15, bit 16 unusable; see segment.ts. */
  attributes: ["u32", 8],
  /** Offsets that may be accessed, rows of bounds.ts: made by updateMode() from limits and attributes. */
  bounds: ["u64", 26],
  trBase: "u64",
  ldtBase: "u64",
  gdtBase: "u64",
  idtBase: "u64",
  gdtLimit: "u32",
  idtLimit: "u32",
  // --- control, debug and model-specific registers
  cr0: "u64",
  cr2: "u64",
  cr3: "u64",
  cr4: "u64",
  cr8: "u64",
  efer: "u64",
  dr: ["u64", 8],
  /** KVM_SET_GUEST_DEBUG: KVM_GUESTDBG_* bits and the debug registers of whoever debugs from outside. */
  guestDebug: "u32",
  guestDr: ["u64", 8],
  interruptBitmap: ["u64", 4],
  /** Rows of msr.ts, one u64 each. */
  msrs: ["u64", 64],
  vcpuId: "u32",
  /** What CPUID denies, made when it is set (features.ts): features by number; bits that are reserved in CR4 and EFER then. */
  denied: ["u32", DENIED_WORDS],
  deniedCr4: "u32",
  deniedEfer: "u32",
  cpuidCount: "u32",
  cpuid: ["u8", MAX_CPUID_ENTRIES * CPUID_ENTRY_SIZE],
});
if (CPU.size > PAGE_SIZE) throw new Error(`the vCPU state takes ${CPU.size} bytes, its page has ${PAGE_SIZE}`);

/** Register numbers, as ModRM and REX give them. */
export const GPR = {
  rax: 0,
  rcx: 1,
  rdx: 2,
  rbx: 3,
  rsp: 4,
  rbp: 5,
  rsi: 6,
  rdi: 7,
  r8: 8,
  r9: 9,
  r10: 10,
  r11: 11,
  r12: 12,
  r13: 13,
  r14: 14,
  r15: 15,
} as const;

/** Segment register numbers, as MOV Sreg gives them; then the two system segments. */
export const SEG = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5, tr: 6, ldt: 7 } as const;
