/**
 * Model-specific registers: which values each takes, what it holds after RESET, and those that move together.
 * Document: SDM volume 4, table 2-2; volume 3, 11.11 (MTRRs), 11.12 (PAT), 17.17 (TSC).
 * Left out: what they do: syscall.test.ts, debug.test.ts and the vectors.
 */

import { describe, expect, it } from "vitest";
import { SUPPORTED_CPUID, setCpuid } from "../../../kvm-core/cpu/cpuid.ts";
import { getMsr, MSR_INDICES, readMsr, setMsr, writeMsr } from "../../../kvm-core/cpu/msr.ts";
import { resetVcpu } from "../../../kvm-core/cpu/reset.ts";
import { MEMORY_PAGES, vcpuZone } from "../../../kvm-core/cpu/zones.ts";

const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES, shared: true });
const zone = vcpuZone(0);
const WB = 0x0606_0606_0606_0606n;

describe("KVM_SET_MSRS", () => {
  /** name; index; values that it takes; values that it refuses. */
  const ROWS: readonly (readonly [string, number, readonly bigint[], readonly bigint[]])[] = [
    ["IA32_MTRR_PHYSBASE0", 0x200, [0n, 6n, 0xff_ffff_f001n], [2n, 7n, 0x106n, 1n << 40n]],
    ["IA32_MTRR_PHYSMASK7", 0x20f, [0n, 0x800n, 0xff_ffff_f800n], [1n, 0x400n, 1n << 40n]],
    ["IA32_MTRR_FIX64K_00000", 0x250, [0n, WB, 0x0105_0406n], [2n, 3n << 56n, 0x16n]],
    ["IA32_MTRR_FIX4K_F8000", 0x26f, [WB], [7n << 8n]],
    ["IA32_MTRR_DEF_TYPE", 0x2ff, [0xc06n, 0x800n, 0n], [2n, 0x100n, 0x1000n]],
    ["IA32_MTRRCAP", 0xfe, [0x508n], [0n, 1n]],
    ["IA32_ARCH_CAPABILITIES", 0x10a, [0n, 1n, 1n << 62n], [2n, 1n << 63n]],
    ["IA32_PAT", 0x277, [0x0007_0406_0007_0406n, 0x0107_0406_0007_0406n], [2n, 3n << 8n, 8n, 0x86n]],
    ["IA32_DEBUGCTL", 0x1d9, [0n, 1n, 2n], [4n, 1n << 63n]],
    ["IA32_MCG_STATUS", 0x17a, [0n, 4n], [8n]],
    ["IA32_SYSENTER_EIP", 0x176, [0x7fff_ffff_ffffn, 0xffff_8000_0000_0000n], [0x8000_0000_0000n]],
    ["IA32_EFER", 0xc000_0080, [1n, 0x801n], [2n, 0x4000n]],
    ["IA32_TSC_AUX", 0xc000_0103, [0xffff_ffffn], [1n << 32n]],
  ];
  it.each(ROWS)("%s", (_name, index, right, wrong) => {
    resetVcpu(memory, zone, 0);
    for (const value of right) {
      expect([value, setMsr(memory, zone, index, value)]).toEqual([value, true]);
      expect(getMsr(memory, zone, index)).toBe(value);
    }
    const before = getMsr(memory, zone, index);
    for (const value of wrong) expect([value, setMsr(memory, zone, index, value)]).toEqual([value, false]);
    expect(getMsr(memory, zone, index)).toBe(before);
  });

  it("of none that exists", () => {
    expect(setMsr(memory, zone, 0x12345, 0n)).toBe(false);
    expect(getMsr(memory, zone, 0x210)).toBe(undefined);
  });

  it("takes what KVM_GET_MSRS gave, of every MSR of the list", () => {
    resetVcpu(memory, zone, 0);
    const refused = MSR_INDICES.filter((index) => !setMsr(memory, zone, index, getMsr(memory, zone, index)!));
    expect(refused).toEqual([]);
  });
});

describe("WRMSR", () => {
  it.each([0xfe, 0x10a, 0x179])("of the read-only MSR %i is #GP, whatever the value", (index) => {
    resetVcpu(memory, zone, 0);
    const before = getMsr(memory, zone, index)!;
    for (const value of [0n, before]) expect(writeMsr(memory, zone, index, value)).toBe(false);
    expect(readMsr(memory, zone, index)).toBe(before);
  });

  it.each([
    ["arch-capabilities", 0x10a, 7, "edx", 29],
    ["xsaves", 0xda0, 0xd, "eax", 3],
  ] as const)("and RDMSR of what needs %s are #GP without it", (_feature, index, leaf, register, bit) => {
    resetVcpu(memory, zone, 0);
    setCpuid(memory, zone, SUPPORTED_CPUID);
    expect(readMsr(memory, zone, index)).toBe(getMsr(memory, zone, index));
    setCpuid(
      memory,
      zone,
      SUPPORTED_CPUID.map((entry) =>
        entry.function === leaf ? { ...entry, [register]: (entry[register] & ~(1 << bit)) >>> 0 } : entry,
      ),
    );
    expect([readMsr(memory, zone, index), writeMsr(memory, zone, index, 0n)]).toEqual([undefined, false]);
    const saved = getMsr(memory, zone, index)!;
    expect(setMsr(memory, zone, index, saved)).toBe(true);
  });

  it("moves the TSC and IA32_TSC_ADJUST together", () => {
    resetVcpu(memory, zone, 0);
    const far = 1n << 50n;
    const near = (value: bigint, to: bigint): boolean => value >= to && value < to + 1_000_000_000n;
    expect(writeMsr(memory, zone, 0x3b, far)).toBe(true);
    expect(near(getMsr(memory, zone, 0x10)!, far)).toBe(true);
    expect(writeMsr(memory, zone, 0x10, 0n)).toBe(true);
    expect(near(getMsr(memory, zone, 0x10)!, 0n)).toBe(true);
    const adjust = BigInt.asIntN(64, getMsr(memory, zone, 0x3b)!);
    expect(adjust <= 0n && adjust > -1_000_000_000n).toBe(true);
    // From outside each is set alone.
    setMsr(memory, zone, 0x3b, 5n);
    expect(near(getMsr(memory, zone, 0x10)!, 0n)).toBe(true);
  });
});

it("RESET gives them the manual's values", () => {
  resetVcpu(memory, zone, 0);
  for (const [index, value] of [
    [0xfe, 0x508n],
    [0x2ff, 0n],
    [0x277, 0x0007_0406_0007_0406n],
    [0x1d9, 0n],
    [0x179, 0n],
  ] as const) {
    expect(getMsr(memory, zone, index)).toBe(value);
  }
});
