/**
 * CPU models: what `-cpu` can name, and the CPUID entries that a model, changes to it, and a kvm-core make.
 * Follows: QEMU's builtin_x86_defs (names, vendor, family, model, stepping, features), x86-64-v2 is the level of the psABI.
 * Left out: model versions; properties that are no features. What kvm-core has not is left out of a model, as QEMU
 * leaves out what its accelerator has not; asked for by name it is an error.
 */
import {
  type CpuFeature,
  type CpuidRegister,
  featureNamed,
  featuresOf,
  featureWord,
} from "../../shared/cpu-features.ts";
import type { CpuidEntry } from "../../shared/ioctls.ts";

export interface CpuModel {
  readonly description: string;
  /** Undefined: as kvm-core has it. */
  readonly identity?: {
    readonly vendor: "GenuineIntel" | "AuthenticAMD";
    readonly family: number;
    readonly model: number;
    readonly stepping: number;
    readonly brand: string;
  };
  /** "all": all that kvm-core has, but NOT_IN_MAX. */
  readonly features: "all" | string;
}

/** `-cpu MODEL,+feature,-feature`. */
export interface CpuOption {
  readonly model: string;
  readonly changes: ReadonlyMap<CpuFeature, boolean>;
}

/** What a Pentium Pro has in QEMU, and what all 64-bit models add. */
const PPRO = "fpu de pse tsc msr mce cx8 pge cmov pat fxsr mmx sse sse2 pae sep apic";
const LONG = `${PPRO} mtrr clflush mca pse36 pni cx16 lm syscall nx`;
const INTEL = { vendor: "GenuineIntel", family: 6, brand: "QEMU Virtual CPU version 2.5+" } as const;
const QEMU64 = {
  vendor: "AuthenticAMD",
  family: 15,
  model: 107,
  stepping: 1,
  brand: "QEMU Virtual CPU version 2.5+",
} as const;

/** MWAIT returns at once, so a guest that idles by it would spin: QEMU leaves it out as well. */
const NOT_IN_MAX: readonly CpuFeature[] = ["monitor"];

export const DEFAULT_MODEL = "max";
export const CPU_MODELS: Readonly<Record<string, CpuModel>> = {
  max: { description: "everything that kvm-core has but MONITOR (unless said otherwise)", features: "all" },
  base: { description: "no feature at all, to add some to", identity: QEMU64, features: "" },
  qemu64: { description: "QEMU's virtual CPU, 64 bits", identity: QEMU64, features: `${LONG} lahf-lm svm` },
  qemu32: {
    description: "QEMU's virtual CPU, 32 bits",
    identity: { ...INTEL, model: 6, stepping: 3 },
    features: `${PPRO} pni`,
  },
  kvm64: {
    description: "common KVM processor",
    identity: { ...INTEL, family: 15, model: 6, stepping: 1, brand: "Common KVM processor" },
    features: `${LONG} vme`,
  },
  "x86-64-v2": {
    description: "level 2 of x86-64: also CMPXCHG16B, POPCNT, SSE4.2",
    identity: QEMU64,
    features: `${LONG} lahf-lm popcnt ssse3 sse4.1 sse4.2`,
  },
};

/** Models of QEMU that a script may well name. */
export const ABSENT_MODELS = (
  "486 athlon Broadwell Cascadelake-Server Conroe Cooperlake core2duo coreduo Denverton Dhyana EPYC EPYC-Genoa EPYC-Milan " +
  "EPYC-Rome GraniteRapids Haswell host Icelake-Server IvyBridge KnightsMill kvm32 n270 Nehalem Opteron_G1 Opteron_G2 " +
  "Opteron_G3 Opteron_G4 Opteron_G5 Penryn pentium pentium2 pentium3 phenom SandyBridge SapphireRapids Skylake-Client " +
  "Skylake-Server Snowridge Westmere x86-64-v3 x86-64-v4"
).split(" ");

/** The features of a model, whether kvm-core has them or not. */
export function modelFeatures(model: CpuModel, supported: ReadonlySet<CpuFeature>): Set<CpuFeature> {
  if (model.features === "all") return new Set([...supported].filter((feature) => !NOT_IN_MAX.includes(feature)));
  const names = model.features.split(" ").filter((name) => name !== "");
  return new Set(
    names.map((name) => {
      const feature = featureNamed(name);
      if (feature === undefined) throw new Error(`CPU model: no feature ${name}`);
      return feature;
    }),
  );
}

/**
 * The entries for KVM_SET_CPUID2, of those that kvm-core supports. Throws an Error, fit for the user, if a feature is asked
 * for that it has not.
 */
export function cpuidEntries({ model: name, changes }: CpuOption, supported: readonly CpuidEntry[]): CpuidEntry[] {
  const model = CPU_MODELS[name]!;
  const has = featuresOf(supported);
  const missing = [...changes].flatMap(([feature, on]) => (on && !has.has(feature) ? [feature] : []));
  if (missing.length > 0) {
    throw new Error(
      `-cpu ${name}: ${missing.join(", ")}: kvm-core does not have this yet; -cpu help lists what it has`,
    );
  }
  // Virtual machines say so, whatever the model is.
  const wanted = modelFeatures(model, has).add("hypervisor");
  for (const [feature, on] of changes) {
    if (on) wanted.add(feature);
    else wanted.delete(feature);
  }
  const features = new Set([...wanted].filter((feature) => has.has(feature)));
  const there = supported.filter((entry) => entry.function !== XSTATE_LEAF || features.has("xsave"));
  return there.map((entry) => identified(reduced(entry, has, features), model, features));
}

/** Sizes of XSAVE areas: all 0 without the feature. */
const XSTATE_LEAF = 0xd;
const REGISTERS = ["eax", "ebx", "ecx", "edx"] as const;

/** The leaf without the features that are not wanted. What is no feature stays. */
function reduced(entry: CpuidEntry, has: ReadonlySet<CpuFeature>, wanted: ReadonlySet<CpuFeature>): CpuidEntry {
  const word = (register: CpuidRegister): number => {
    const bits = (features: ReadonlySet<CpuFeature>) => featureWord(features, entry.function, entry.index, register);
    return (entry[register] & ~bits(has)) | bits(wanted);
  };
  const [eax, ebx, ecx, edx] = REGISTERS.map((register) => word(register) >>> 0) as [number, number, number, number];
  return { ...entry, eax, ebx, ecx, edx };
}

/** Leaf 8000_0001h EDX of AMD's processors repeats these bits of leaf 1. */
const AMD_COPIES = 0x0183_f3ff;
const BRAND_LEAF = 0x8000_0002;

const text = (s: string, at: number): number => Buffer.from(s.padEnd(48, "\0"), "latin1").readUInt32LE(at);

/** The leaf with the model's vendor, signature and brand. */
function identified(entry: CpuidEntry, { identity }: CpuModel, features: ReadonlySet<CpuFeature>): CpuidEntry {
  if (identity === undefined) return entry;
  const { vendor, family, model, stepping, brand } = identity;
  const extended = family > 15 ? family - 15 : 0;
  const signature =
    stepping | ((model & 15) << 4) | (Math.min(family, 15) << 8) | ((model >> 4) << 16) | (extended << 20);
  const isAmd = vendor === "AuthenticAMD";
  switch (entry.function) {
    case 0:
    case 0x8000_0000: {
      // Of the extended leaves Intel's processors name no vendor.
      if (entry.function !== 0 && !isAmd) return entry;
      return { ...entry, ebx: text(vendor, 0), edx: text(vendor, 4), ecx: text(vendor, 8) };
    }
    case 1:
      return { ...entry, eax: signature };
    case 0x8000_0001: {
      if (!isAmd) return entry;
      const copies = featureWord(features, 1, 0, "edx") & AMD_COPIES;
      return { ...entry, eax: signature, edx: (entry.edx | copies) >>> 0 };
    }
    case BRAND_LEAF:
    case BRAND_LEAF + 1:
    case BRAND_LEAF + 2: {
      const word = (i: number): number => text(brand, (entry.function - BRAND_LEAF) * 16 + i * 4);
      return { ...entry, eax: word(0), ebx: word(1), ecx: word(2), edx: word(3) };
    }
    default:
      return entry;
  }
}
