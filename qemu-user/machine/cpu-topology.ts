/**
 * What CPUID says of where a vCPU is: one package, a core a vCPU, a thread a core; the APIC ID is the vCPU's number.
 * Document: SDM volume 2A, CPUID leaves 1 and 0BH; QEMU has the same (target/i386/cpu.c). KVM_GET_SUPPORTED_CPUID knows no vCPU.
 * Left out: leaf 4 (caches, and cores as older systems count them), leaf 1FH, topologies of `-smp`.
 */
import type { CpuidEntry } from "../../shared/ioctls.ts";

const IDENTITY_LEAF = 1;
/** Leaf 1: several logical processors. */
const HTT = 1 << 28;
const TOPOLOGY_LEAF = 0xb;
const SIGNIFICANT_INDEX = 1;
/** Kinds of levels, ECX bits 15..8. */
const LEVEL = { thread: 1, core: 2 } as const;

/** The entries for KVM_SET_CPUID2 of vCPU `vcpu` of `vcpus`. */
export function withTopology(entries: readonly CpuidEntry[], vcpu: number, vcpus: number): CpuidEntry[] {
  const level = (index: number, kind: number, shift: number, logical: number): CpuidEntry => ({
    ...{ function: TOPOLOGY_LEAF, index, flags: SIGNIFICANT_INDEX },
    ...{ eax: shift, ebx: logical, ecx: index | (kind << 8), edx: vcpu },
  });
  return [
    ...entries.map((entry) => (entry.function === IDENTITY_LEAF ? identity(entry, vcpu, vcpus) : entry)),
    level(0, LEVEL.thread, 0, 1),
    level(1, LEVEL.core, Math.ceil(Math.log2(vcpus)), vcpus),
  ];
}

function identity(entry: CpuidEntry, vcpu: number, vcpus: number): CpuidEntry {
  const ebx = ((entry.ebx & 0xffff) | (vcpus << 16) | (vcpu << 24)) >>> 0;
  return { ...entry, ebx, edx: vcpus > 1 ? (entry.edx | HTT) >>> 0 : entry.edx };
}
