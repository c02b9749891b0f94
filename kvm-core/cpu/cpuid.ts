/**
 * CPUID as data: what this engine supports, and the entries that a vCPU was given.
 * Document: SDM volume 2A, CPUID; KVM_SET_CPUID2 and KVM_GET_SUPPORTED_CPUID of the KVM API.
 * Left out: which features there are: features.ts.
 */

import type { CpuidEntry } from "../../shared/ioctls.ts";
import { PHYSICAL_BITS } from "./control.ts";
import { builtWord, updateDenied } from "./features.ts";
import { CPU, CPUID_ENTRY_SIZE, MAX_CPUID_ENTRIES } from "./state.ts";
import { XSTATE_LEAF, XSTATE_LEAVES } from "./xstate-cpuid.ts";

const SIGNIFICANT_INDEX = 1;
const TOPOLOGY_LEAF = 0xb;

/** Four ASCII characters as CPUID puts them into a register. */
const text = (s: string): number => Buffer.from(s.padEnd(4, "\0"), "latin1").readUInt32LE(0);

/** A leaf whose data are these numbers, and the features that are built. */
const leaf = (func: number, eax: number, ebx = 0, ecx = 0, edx = 0): CpuidEntry => {
  const word = (register: "eax" | "ebx" | "ecx" | "edx", other: number): number =>
    (other | builtWord(func, 0, register)) >>> 0;
  const registers = { eax: word("eax", eax), ebx: word("ebx", ebx), ecx: word("ecx", ecx), edx: word("edx", edx) };
  return { function: func, index: 0, flags: func === 7 ? SIGNIFICANT_INDEX : 0, ...registers };
};

/** EBX of leaf 0 of those whose system calls are AMD's: AuthenticAMD, HygonGenuine. */
const OTHER_VENDORS = [text("Auth"), text("Hygo")];

const BRAND = "splitvm virtual CPU".padEnd(48, "\0");
const brand = (at: number): CpuidEntry => {
  const part = (i: number): number => text(BRAND.slice(at * 16 + i * 4, at * 16 + i * 4 + 4));
  return leaf(0x8000_0002 + at, part(0), part(1), part(2), part(3));
};

/** Leaves of a hypervisor: Linux Documentation/virt/kvm/x86/cpuid.rst. */
const KVM_SIGNATURE = 0x4000_0000;
const KVM_FEATURES = 0x4000_0001;
/** The clock in both sets of MSRs, and stable; and port I/O needs no delay. */
const KVM_FEATURE = { CLOCKSOURCE: 1, NOP_IO_DELAY: 2, CLOCKSOURCE2: 8, CLOCKSOURCE_STABLE: 1 << 24 } as const;

/** KVM_GET_SUPPORTED_CPUID. */
export const SUPPORTED_CPUID: readonly CpuidEntry[] = [
  leaf(0, XSTATE_LEAF, text("Genu"), text("ntel"), text("ineI")),
  // Family 6, model 15, stepping 1; one logical processor, CLFLUSH line of 64 bytes.
  leaf(1, 0x0000_06f1, 0x0001_0800),
  leaf(7, 0),
  ...XSTATE_LEAVES,
  leaf(KVM_SIGNATURE, KVM_FEATURES, text("KVMK"), text("VMKV"), text("M")),
  leaf(
    KVM_FEATURES,
    KVM_FEATURE.CLOCKSOURCE | KVM_FEATURE.NOP_IO_DELAY | KVM_FEATURE.CLOCKSOURCE2 | KVM_FEATURE.CLOCKSOURCE_STABLE,
  ),
  leaf(0x8000_0000, 0x8000_0008),
  leaf(0x8000_0001, 0),
  brand(0),
  brand(1),
  brand(2),
  // Physical and linear address bits.
  leaf(0x8000_0008, PHYSICAL_BITS | (48 << 8)),
];

/** KVM_SET_CPUID2. False if there are more entries than fit. */
export function setCpuid(memory: WebAssembly.Memory, zone: number, entries: readonly CpuidEntry[]): boolean {
  if (entries.length > MAX_CPUID_ENTRIES) return false;
  const view = new DataView(memory.buffer);
  updateDenied(view, zone, entries);
  view.setUint32(zone + CPU.cpuidCount, entries.length, true);
  entries.forEach((entry, i) => {
    const at = zone + CPU.cpuid + i * CPUID_ENTRY_SIZE;
    [entry.function, entry.index, entry.flags, entry.eax, entry.ebx, entry.ecx, entry.edx].forEach((word, j) => {
      view.setUint32(at + j * 4, word, true);
    });
  });
  return true;
}

/** KVM_GET_CPUID2. */
export function getCpuid(memory: WebAssembly.Memory, zone: number): CpuidEntry[] {
  const view = new DataView(memory.buffer);
  return Array.from({ length: view.getUint32(zone + CPU.cpuidCount, true) }, (_, i) => {
    const word = (j: number): number => view.getUint32(zone + CPU.cpuid + i * CPUID_ENTRY_SIZE + j * 4, true);
    return {
      function: word(0),
      index: word(1),
      flags: word(2),
      eax: word(3),
      ebx: word(4),
      ecx: word(5),
      edx: word(6),
    };
  });
}

/** Offset in linear memory of the four result words for leaf EAX, ECX; 0 if the leaf reads as zeros. */
export function findCpuid(u32: Uint32Array, zone: number, func: number, index: number): number {
  const count = u32[(zone + CPU.cpuidCount) >>> 2]!;
  const find = (wanted: number): number => {
    for (let i = 0; i < count; i++) {
      const at = (zone + CPU.cpuid + i * CPUID_ENTRY_SIZE) >>> 2;
      if (u32[at] !== wanted) continue;
      if (u32[at + 2]! & SIGNIFICANT_INDEX && u32[at + 1] !== index) continue;
      return (at + 3) * 4;
    }
    return 0;
  };
  const exact = find(func);
  if (exact !== 0) return exact;
  // SDM: a leaf above the highest of its range gives the data of the highest basic leaf.
  const range = find((func & 0x8000_0000) >>> 0);
  if (range !== 0 && func <= u32[range >>> 2]!) return 0;
  const basic = find(0);
  return basic === 0 ? 0 : find(u32[basic >>> 2]!);
}

/**
 * A subleaf of leaf 0BH that is none, where the leaf has a topology (as KVM decides that: a subleaf 1): ECX's low byte is the
 * subleaf that was asked for, EDX the x2APIC ID (SDM volume 2A). Other leaves' read as zeros, as they are in `words`.
 */
export function invalidLevel(u32: Uint32Array, zone: number, func: number, index: number, words: Uint32Array): void {
  if (func !== TOPOLOGY_LEAF) return;
  const at = findCpuid(u32, zone, func, 1) >>> 2;
  if (at === 0 || u32[at - 3] !== func) return;
  words[2] = index & 0xff;
  words[3] = u32[at + 3]!;
}

/**
 * The vendor is not Intel: then SYSCALL and SYSRET work outside 64-bit mode too, and SYSENTER and SYSEXIT not in IA-32e mode
 * (AMD's manual, volume 3; system software chooses by the vendor).
 */
export function hasAmdSystemCalls(u32: Uint32Array, zone: number): boolean {
  const at = findCpuid(u32, zone, 0, 0);
  return at !== 0 && OTHER_VENDORS.includes(u32[(at >>> 2) + 1]!);
}

/** What XCR0 may have on a processor with the entries that the vCPU was given. */
export function allowedXcr0(u32: Uint32Array, zone: number): number {
  const at = findCpuid(u32, zone, XSTATE_LEAF, 0) >>> 2;
  // Above the highest leaf another one answers. In front of the words the entry has its leaf, its subleaf and flags.
  return at === 0 || u32[at - 3] !== XSTATE_LEAF ? 0 : u32[at]!;
}
