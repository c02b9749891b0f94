/**
 * CPUID features: what each is called and where its bit is. kvm-core says with them what it has, qemu-user what a CPU
 * model has, and an instruction's description which one it needs.
 * Document: SDM volume 2A, CPUID; AMD's manual volume 3, appendix E; names as QEMU's -cpu spells them.
 * Left out: features whose bit is no constant: OSXSAVE and OSPKE follow CR4. Leaves that describe topology and caches.
 */
import type { CpuidEntry } from "./ioctls.ts";

export type CpuidRegister = "eax" | "ebx" | "ecx" | "edx";

/** One register of one leaf. `index` is -1 where ECX does not count. */
interface Word {
  readonly leaf: number;
  readonly index: number;
  readonly register: CpuidRegister;
  readonly bits: Readonly<Record<string, number>>;
}

// biome-ignore format: a word's bits are read as one block
const WORDS = [
  { leaf: 1, index: -1, register: "edx", bits: {
    fpu: 0, vme: 1, de: 2, pse: 3, tsc: 4, msr: 5, pae: 6, mce: 7, cx8: 8, apic: 9, sep: 11, mtrr: 12, pge: 13, mca: 14,
    cmov: 15, pat: 16, pse36: 17, pn: 18, clflush: 19, ds: 21, acpi: 22, mmx: 23, fxsr: 24, sse: 25, sse2: 26, ss: 27,
    ht: 28, tm: 29, pbe: 31 } },
  { leaf: 1, index: -1, register: "ecx", bits: {
    pni: 0, pclmulqdq: 1, dtes64: 2, monitor: 3, "ds-cpl": 4, vmx: 5, smx: 6, est: 7, tm2: 8, ssse3: 9, cid: 10, fma: 12,
    cx16: 13, xtpr: 14, pdcm: 15, pcid: 17, dca: 18, "sse4.1": 19, "sse4.2": 20, x2apic: 21, movbe: 22, popcnt: 23,
    "tsc-deadline": 24, aes: 25, xsave: 26, avx: 28, f16c: 29, rdrand: 30, hypervisor: 31 } },
  { leaf: 7, index: 0, register: "ebx", bits: {
    fsgsbase: 0, "tsc-adjust": 1, sgx: 2, bmi1: 3, hle: 4, avx2: 5, "fdp-excptn-only": 6, smep: 7, bmi2: 8, erms: 9,
    invpcid: 10, rtm: 11, "zero-fcs-fds": 13, mpx: 14, avx512f: 16, avx512dq: 17, rdseed: 18, adx: 19, smap: 20,
    avx512ifma: 21, clflushopt: 23, clwb: 24, "intel-pt": 25, avx512cd: 28, "sha-ni": 29, avx512bw: 30, avx512vl: 31 } },
  { leaf: 7, index: 0, register: "ecx", bits: {
    avx512vbmi: 1, umip: 2, pku: 3, waitpkg: 5, avx512vbmi2: 6, gfni: 8, vaes: 9, vpclmulqdq: 10, avx512vnni: 11,
    avx512bitalg: 12, "avx512-vpopcntdq": 14, la57: 16, rdpid: 22, "bus-lock-detect": 24, cldemote: 25, movdiri: 27,
    movdir64b: 28, pks: 31 } },
  { leaf: 7, index: 0, register: "edx", bits: {
    fsrm: 4, "avx512-vp2intersect": 8, "md-clear": 10, serialize: 14, tsxldtrk: 16, "arch-lbr": 19, "amx-bf16": 22,
    "avx512-fp16": 23, "amx-tile": 24, "amx-int8": 25, "spec-ctrl": 26, stibp: 27, "flush-l1d": 28,
    "arch-capabilities": 29, "core-capability": 30, ssbd: 31 } },
  { leaf: 7, index: 1, register: "eax", bits: {
    "avx-vnni": 4, "avx512-bf16": 5, fzrm: 10, fsrs: 11, fsrc: 12, fred: 17, lkgs: 18, "avx-ifma": 23 } },
  { leaf: 0xd, index: 1, register: "eax", bits: { xsaveopt: 0, xsavec: 1, xgetbv1: 2, xsaves: 3, xfd: 4 } },
  { leaf: 0x8000_0001, index: -1, register: "edx", bits: {
    syscall: 11, nx: 20, mmxext: 22, "fxsr-opt": 25, pdpe1gb: 26, rdtscp: 27, lm: 29, "3dnowext": 30, "3dnow": 31 } },
  { leaf: 0x8000_0001, index: -1, register: "ecx", bits: {
    "lahf-lm": 0, "cmp-legacy": 1, svm: 2, extapic: 3, cr8legacy: 4, abm: 5, sse4a: 6, misalignsse: 7,
    "3dnowprefetch": 8, osvw: 9, ibs: 10, xop: 11, skinit: 12, wdt: 13, lwp: 15, fma4: 16, tce: 17, tbm: 21,
    topoext: 22, "perfctr-core": 23, "perfctr-nb": 24 } },
  { leaf: 0x8000_0007, index: -1, register: "edx", bits: { invtsc: 8 } },
  { leaf: 0x8000_0008, index: -1, register: "ebx", bits: { clzero: 0, xsaveerptr: 2, wbnoinvd: 9 } },
] as const satisfies readonly Word[];

type BitsOf<W> = W extends { readonly bits: infer B } ? keyof B & string : never;
export type CpuFeature = BitsOf<(typeof WORDS)[number]>;

export interface FeaturePlace {
  /** Its number: features have bits of their own where kvm-core keeps those that a vCPU has not. */
  readonly number: number;
  readonly leaf: number;
  /** -1: whatever ECX is. */
  readonly index: number;
  readonly register: CpuidRegister;
  /** The bit, as an unsigned number. */
  readonly mask: number;
}

/** Feature -> where its bit is. */
export const CPU_FEATURES: Readonly<Record<CpuFeature, FeaturePlace>> = Object.fromEntries(
  WORDS.flatMap(({ leaf, index, register, bits }) =>
    Object.entries(bits).map(([name, bit]) => [name, { leaf, index, register, mask: 2 ** bit }] as const),
  ).map(([name, place], number) => [name, { number, ...place }]),
) as Record<CpuFeature, FeaturePlace>;

export const CPU_FEATURE_NAMES = Object.keys(CPU_FEATURES) as readonly CpuFeature[];

/** Other spellings that QEMU takes. */
const ALIASES: Readonly<Record<string, CpuFeature>> = {
  sse3: "pni",
  pclmuldq: "pclmulqdq",
  "sse4-1": "sse4.1",
  "sse4-2": "sse4.2",
  xd: "nx",
  i64: "lm",
  ffxsr: "fxsr-opt",
  "tsc-deadline-timer": "tsc-deadline",
  lzcnt: "abm",
};

/** The feature that a word names, with underscores or dashes; undefined if none is called so. */
export function featureNamed(word: string): CpuFeature | undefined {
  const name = word.replaceAll("_", "-");
  if (Object.hasOwn(CPU_FEATURES, name)) return name as CpuFeature;
  return Object.hasOwn(ALIASES, name) ? ALIASES[name] : undefined;
}

/** The features whose bits are set in these entries. */
export function featuresOf(entries: readonly CpuidEntry[]): Set<CpuFeature> {
  const has = ({ leaf, index, register, mask }: FeaturePlace): boolean =>
    entries.some(
      (entry) => entry.function === leaf && (index < 0 || entry.index === index) && (entry[register] & mask) !== 0,
    );
  return new Set(CPU_FEATURE_NAMES.filter((name) => has(CPU_FEATURES[name])));
}

/** The register of a leaf with the bits of those of `features` that have theirs there. */
export function featureWord(
  features: ReadonlySet<CpuFeature>,
  leaf: number,
  index: number,
  register: CpuidRegister,
): number {
  let word = 0;
  for (const name of features) {
    const place = CPU_FEATURES[name];
    if (place.leaf !== leaf || place.register !== register || (place.index >= 0 && place.index !== index)) continue;
    word += place.mask;
  }
  return word;
}
