/**
 * CPU models: the CPUID entries that they make of what kvm-core supports, and that a guest sees them.
 * Follows: QEMU's definitions of the models; SDM volume 2A, CPUID.
 * Left out: what kvm-core does with the entries: test/kvm-core/engine/features.test.ts.
 */
import { describe, expect, test } from "vitest";
import { SUPPORTED_CPUID } from "../../../kvm-core/cpu/cpuid.ts";
import { BUILT_FEATURES } from "../../../kvm-core/cpu/features.ts";
import { parseCpu } from "../../../qemu-user/cli/cpu-option.ts";
import { CPU_MODELS, cpuidEntries, modelFeatures } from "../../../qemu-user/machine/cpu-models.ts";
import { type CpuFeature, featuresOf } from "../../../shared/cpu-features.ts";
import type { CpuidEntry } from "../../../shared/ioctls.ts";
import { guest, qemuUser } from "../../support/qemu-user.ts";

const entries = (text: string, supported: readonly CpuidEntry[] = SUPPORTED_CPUID): CpuidEntry[] =>
  cpuidEntries(parseCpu(text), supported);
const features = (text: string): Set<CpuFeature> => featuresOf(entries(text));
const leaf = (text: string, number: number): CpuidEntry => entries(text).find((entry) => entry.function === number)!;
const ascii = (...words: readonly number[]): string => {
  const bytes = Buffer.alloc(words.length * 4);
  words.forEach((word, i) => {
    bytes.writeUInt32LE(word, i * 4);
  });
  return bytes.toString("latin1").replace(/\0*$/, "");
};

describe("models", () => {
  test("max is what kvm-core supports, MONITOR apart, which can be added", () => {
    expect(entries("max,+monitor")).toEqual(SUPPORTED_CPUID);
    expect(features("max")).toEqual(new Set([...BUILT_FEATURES].filter((feature) => feature !== "monitor")));
  });

  test.each(Object.keys(CPU_MODELS))("%s has nothing that kvm-core has not", (name) => {
    for (const feature of features(name)) expect(BUILT_FEATURES).toContain(feature);
    expect(features(name)).toContain("hypervisor");
  });

  test("base has nothing but that", () => {
    expect(features("base")).toEqual(new Set(["hypervisor"]));
  });

  test("a model has its own features, and no others", () => {
    const has = features("qemu64");
    for (const name of ["pae", "cmov", "cx16", "nx", "lm", "lahf-lm"] as const) expect(has).toContain(name);
    for (const name of ["popcnt", "smep", "pcid", "pdpe1gb"] as const) expect(has).not.toContain(name);
    expect(features("x86-64-v2")).toContain("popcnt");
    expect(features("qemu32")).not.toContain("lm");
    expect([...modelFeatures(CPU_MODELS["qemu64"]!, new Set())]).toEqual(expect.arrayContaining(["sse2", "svm"]));
  });

  test("a feature can be added and taken away", () => {
    expect(features("qemu64,+popcnt,-nx")).toContain("popcnt");
    expect(features("qemu64,+popcnt,-nx")).not.toContain("nx");
    expect(features("max,-hypervisor")).not.toContain("hypervisor");
  });

  test("one that kvm-core has not is an error that names it", () => {
    expect(() => entries("qemu64,+svm,+popcnt")).toThrow("-cpu qemu64: svm: kvm-core does not have this yet");
    expect(entries("qemu64,-svm")).toEqual(entries("qemu64"));
  });

  test("vendor, signature and brand", () => {
    const vendor = ({ ebx, ecx, edx }: CpuidEntry): string => ascii(ebx, edx, ecx);
    expect(vendor(leaf("qemu64", 0))).toBe("AuthenticAMD");
    expect(vendor(leaf("qemu64", 0x8000_0000))).toBe("AuthenticAMD");
    expect(vendor(leaf("kvm64", 0))).toBe("GenuineIntel");
    expect(vendor(leaf("kvm64", 0x8000_0000))).toBe("");
    // Family 15, model 107, stepping 1: the upper half of the model is in bits 19 to 16.
    expect(leaf("qemu64", 1).eax).toBe(0x0006_0fb1);
    expect(leaf("qemu64", 0x8000_0001).eax).toBe(0x0006_0fb1);
    expect(leaf("kvm64", 1).eax).toBe(0x0f61);
    const brand = [2, 3, 4].flatMap((n) => {
      const { eax, ebx, ecx, edx } = leaf("kvm64", 0x8000_0000 + n);
      return [eax, ebx, ecx, edx];
    });
    expect(ascii(...brand)).toBe("Common KVM processor");
  });

  test("AMD's extended leaf repeats bits of leaf 1, Intel's does not", () => {
    expect(leaf("qemu64", 0x8000_0001).edx & (1 << 15)).toBe(1 << 15);
    expect(leaf("qemu64,-cmov", 0x8000_0001).edx & (1 << 15)).toBe(0);
    expect(leaf("kvm64", 0x8000_0001).edx & (1 << 15)).toBe(0);
  });
});

describe("the command line", { timeout: 30_000 }, () => {
  test("-cpu help lists models and features", async () => {
    const { status, stdout } = await qemuUser("-cpu", "help");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ {2}qemu64 /m);
    expect(stdout).toMatch(/has:\n(.*\n)*?.* popcnt /);
  });

  test("a feature that is not built ends the run by name", async () => {
    const { status, stderr } = await qemuUser("-kernel", guest("demo64"), "-cpu", "qemu64,+svm");
    expect(status).toBe(1);
    expect(stderr).toContain("-cpu qemu64: svm: kvm-core does not have this yet");
  });

  test("a guest runs on each 64-bit model", async () => {
    for (const cpu of ["qemu64", "kvm64", "x86-64-v2", "max,-popcnt"]) {
      const args = ["-nographic", "-no-reboot", "-device", "splitvm-test", "-append", "x", "-cpu", cpu];
      const { status, stderr } = await qemuUser("run", "-kernel", guest("demo64"), ...args);
      expect(`${cpu}: ${status} ${stderr}`).toBe(`${cpu}: 33 `);
    }
  });
});
