/**
 * Model-specific registers: which values each takes, what it holds after RESET, and those that move together.
 * Document: SDM volume 4, table 2-2; volume 3, 11.11 (MTRRs), 11.12 (PAT), 17.17 (TSC).
 * Left out: what they do: syscall.test.ts, debug.test.ts and the vectors.
 */

import { describe, expect, it } from "vitest";
import { getMsr, setMsr, writeMsr } from "../../../kvm-core/cpu/msr.ts";
import { resetVcpu } from "../../../kvm-core/cpu/reset.ts";
import { MEMORY_PAGES, vcpuZone } from "../../../kvm-core/cpu/zones.ts";

const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES, shared: true });
const zone = vcpuZone(0);
const WB = 0x0606_0606_0606_0606n;

describe("WRMSR", () => {
  /** name; index; values that it takes; values that are #GP. */
  const ROWS: readonly (readonly [string, number, readonly bigint[], readonly bigint[]])[] = [
    ["IA32_MTRR_PHYSBASE0", 0x200, [0n, 6n, 0xff_ffff_f001n], [2n, 7n, 0x106n, 1n << 40n]],
    ["IA32_MTRR_PHYSMASK7", 0x20f, [0n, 0x800n, 0xff_ffff_f800n], [1n, 0x400n, 1n << 40n]],
    ["IA32_MTRR_FIX64K_00000", 0x250, [0n, WB, 0x0105_0406n], [2n, 3n << 56n, 0x16n]],
    ["IA32_MTRR_FIX4K_F8000", 0x26f, [WB], [7n << 8n]],
    ["IA32_MTRR_DEF_TYPE", 0x2ff, [0xc06n, 0x800n, 0n], [2n, 0x100n, 0x1000n]],
    ["IA32_MTRRCAP", 0xfe, [], [1n, 0x508n]],
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
