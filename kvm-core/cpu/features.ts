/**
 * CPUID features of this engine: which are built, and what a vCPU that was given no bit for one of them may not use.
 * Document: SDM volume 2A, CPUID; volume 3, 2.5 (CR4) and 2.2.1 (EFER).
 * Left out: names and bits: shared/cpu-features.ts. What each instruction needs: its description.
 *
 * A feature that is not built denies nothing: what is described of it can be tried out before the whole is announced.
 */

import { CPU_FEATURES, type CpuFeature, featuresOf, featureWord } from "../../shared/cpu-features.ts";
import type { CpuidEntry } from "../../shared/ioctls.ts";
import { CR4, EFER } from "./control.ts";
import { CPU, DENIED_WORDS } from "./state.ts";

/** In the order of shared/cpu-features.ts. */
// biome-ignore format: a register's features are read as one line
const BUILT_NAMES = [
  "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", "sep", "mtrr", "pge", "mca", "cmov", "pat", "pse36",
  "clflush", "mmx", "fxsr", "sse", "sse2",
  "pni", "pclmulqdq", "monitor", "ssse3", "cx16", "pcid", "sse4.1", "sse4.2", "x2apic", "movbe", "popcnt",
  "tsc-deadline", "aes", "xsave", "rdrand",
  "hypervisor",
  "fsgsbase", "tsc-adjust", "bmi1", "smep", "bmi2", "erms", "invpcid", "rdseed", "adx", "smap", "clflushopt", "clwb",
  "sha-ni",
  "umip", "rdpid",
  "arch-capabilities",
  "xsaveopt", "xsavec", "xgetbv1", "xsaves",
  "syscall", "nx", "pdpe1gb", "rdtscp", "lm",
  "lahf-lm", "abm", "3dnowprefetch",
] satisfies readonly CpuFeature[];

export const BUILT_FEATURES: ReadonlySet<CpuFeature> = new Set<CpuFeature>(BUILT_NAMES);

/** The register of a leaf of KVM_GET_SUPPORTED_CPUID, as far as it is features. */
export const builtWord = (leaf: number, index: number, register: "eax" | "ebx" | "ecx" | "edx"): number =>
  featureWord(BUILT_FEATURES, leaf, index, register);

/** Bits that are reserved without the feature: writing a 1 gives #GP. */
const CONTROL_BITS: readonly (readonly [field: "deniedCr4" | "deniedEfer", bit: number, feature: CpuFeature])[] = [
  ["deniedCr4", CR4.VME, "vme"],
  ["deniedCr4", CR4.PVI, "vme"],
  ["deniedCr4", CR4.TSD, "tsc"],
  ["deniedCr4", CR4.DE, "de"],
  ["deniedCr4", CR4.PSE, "pse"],
  ["deniedCr4", CR4.PAE, "pae"],
  ["deniedCr4", CR4.MCE, "mce"],
  ["deniedCr4", CR4.PGE, "pge"],
  ["deniedCr4", CR4.OSFXSR, "fxsr"],
  ["deniedCr4", CR4.OSXMMEXCPT, "sse"],
  ["deniedCr4", CR4.UMIP, "umip"],
  ["deniedCr4", CR4.FSGSBASE, "fsgsbase"],
  ["deniedCr4", CR4.PCIDE, "pcid"],
  ["deniedCr4", CR4.OSXSAVE, "xsave"],
  ["deniedCr4", CR4.SMEP, "smep"],
  ["deniedCr4", CR4.SMAP, "smap"],
  ["deniedEfer", EFER.SCE, "syscall"],
  ["deniedEfer", EFER.LME, "lm"],
  ["deniedEfer", EFER.NXE, "nx"],
];

/** Where a feature is denied: word of CPU.denied, and bit. Descriptions and the decoder share it. */
export interface Gate {
  readonly word: number;
  readonly mask: number;
}

export function gateOf(feature: CpuFeature): Gate {
  const { number } = CPU_FEATURES[feature];
  return { word: number >>> 5, mask: 1 << (number & 31) };
}

/** After KVM_SET_CPUID2: CPU.denied and the bits that control registers may not have. */
export function updateDenied(view: DataView, zone: number, entries: readonly CpuidEntry[]): void {
  const given = featuresOf(entries);
  const denied = (feature: CpuFeature): boolean => BUILT_FEATURES.has(feature) && !given.has(feature);
  const words = new Uint32Array(DENIED_WORDS);
  for (const feature of BUILT_FEATURES) {
    const { word, mask } = gateOf(feature);
    if (denied(feature)) words[word]! |= mask;
  }
  words.forEach((word, i) => {
    view.setUint32(zone + CPU.denied + i * 4, word, true);
  });
  for (const field of ["deniedCr4", "deniedEfer"] as const) {
    const bits = CONTROL_BITS.filter(([its, , feature]) => its === field && denied(feature));
    view.setUint32(
      zone + CPU[field],
      bits.reduce((all, [, bit]) => all | bit, 0),
      true,
    );
  }
}
