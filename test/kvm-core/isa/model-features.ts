/**
 * The model's features by iced-x86's names: what is not here is not of this CPU model, and its encodings are undefined.
 * Document: the issue of x86-64-v2 and what comes with it; enum CpuidFeature of iced-x86.
 * Left out: which of them kvm-core announces: kvm-core/cpu/features.ts.
 */

import { CpuidFeature, type Instruction } from "iced-x86";
import type { CpuFeature } from "../../../shared/cpu-features.ts";

/** "always": what every processor of 64 bits has, whether CPUID has a bit for it or not. */
const MODEL: Readonly<Record<string, CpuFeature | "always">> = {
  INTEL8086: "always",
  INTEL186: "always",
  INTEL286: "always",
  INTEL386: "always",
  INTEL486: "always",
  X64: "lm",
  CPUID: "always",
  MULTIBYTENOP: "always",
  PAUSE: "always",
  RDPMC: "always",
  SMM: "always",
  FPU: "fpu",
  FPU287: "fpu",
  FPU387: "fpu",
  CMOV: "cmov",
  CX8: "cx8",
  CMPXCHG16B: "cx16",
  MSR: "msr",
  TSC: "tsc",
  SEP: "sep",
  SYSCALL: "syscall",
  RDTSCP: "rdtscp",
  RDPID: "rdpid",
  RDRAND: "rdrand",
  RDSEED: "rdseed",
  FSGSBASE: "fsgsbase",
  SMAP: "smap",
  INVPCID: "invpcid",
  MONITOR: "monitor",
  PREFETCHW: "3dnowprefetch",
  PREFETCHWT1: "3dnowprefetch",
  CLFSH: "clflush",
  CLFLUSHOPT: "clflushopt",
  CLWB: "clwb",
  FXSR: "fxsr",
  XSAVE: "xsave",
  XSAVEOPT: "xsaveopt",
  MMX: "mmx",
  SSE: "sse",
  SSE2: "sse2",
  SSE3: "pni",
  SSSE3: "ssse3",
  SSE4_1: "sse4.1",
  SSE4_2: "sse4.2",
  AES: "aes",
  PCLMULQDQ: "pclmulqdq",
  SHA: "sha-ni",
  POPCNT: "popcnt",
  LZCNT: "abm",
  MOVBE: "movbe",
  BMI1: "bmi1",
  BMI2: "bmi2",
  ADX: "adx",
};

/** Names of the features that an instruction needs. */
export function featureNames(instruction: Instruction): string[] {
  return [...instruction.cpuidFeatures()].map((feature) => CpuidFeature[feature]!);
}

/** Has the model all features that an instruction needs? */
export const ofModel = (names: readonly string[]): boolean => names.every((name) => Object.hasOwn(MODEL, name));
