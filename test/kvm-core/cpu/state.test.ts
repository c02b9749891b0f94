/**
 * The vCPU state through the ioctls' accessors: what is set is what is got, and what cannot be is refused.
 * Document: KVM API 4.11 to 4.14, 4.18, 4.20; SDM volume 3, table 9-1.
 * Left out: FPU state.
 */

import { describe, expect, it } from "vitest";
import { CR0, CR4, EFER } from "../../../kvm-core/cpu/control.ts";
import { findCpuid, getCpuid, SUPPORTED_CPUID, setCpuid } from "../../../kvm-core/cpu/cpuid.ts";
import { readFlags, writeFlags } from "../../../kvm-core/cpu/flags.ts";
import { getMsr, MSR_INDICES, setMsr } from "../../../kvm-core/cpu/msr.ts";
import { getRegs, getSregs, setRegs, setSregs } from "../../../kvm-core/cpu/regs.ts";
import { resetVcpu } from "../../../kvm-core/cpu/reset.ts";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { MEMORY_PAGES, vcpuZone } from "../../../kvm-core/cpu/zones.ts";

const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES, shared: true });
const zone = vcpuZone(0);
const u32 = new Uint32Array(memory.buffer);

describe("flags", () => {
  it("keeps every combination of the arithmetic flags", () => {
    const bits = [0x001, 0x004, 0x010, 0x040, 0x080, 0x800];
    for (let n = 0; n < 64; n++) {
      const flags = bits.reduce((all, bit, i) => all | (n & (1 << i) ? bit : 0), 0x202);
      writeFlags(u32, zone, flags);
      expect(readFlags(u32, zone)).toBe(flags);
    }
  });

  it("drops bits that do not exist and keeps bit 1 set", () => {
    writeFlags(u32, zone, 0xffff_ffff);
    expect(readFlags(u32, zone)).toBe(0x003f_7fd7);
    writeFlags(u32, zone, 0);
    expect(readFlags(u32, zone)).toBe(2);
  });
});

describe("reset", () => {
  it("starts at 0xfffffff0 in real mode", () => {
    resetVcpu(memory, zone, 0);
    expect(getRegs(memory, zone)).toMatchObject({ rip: 0xfff0n, rflags: 2n });
    expect(getSregs(memory, zone)).toMatchObject({
      cr0: 0x6000_0010n,
      cs: { selector: 0xf000, base: 0xffff_0000n, limit: 0xffff },
    });
  });
});

describe("registers", () => {
  it("come back as they were set", () => {
    resetVcpu(memory, zone, 0);
    const regs = {
      ...getRegs(memory, zone),
      rax: 0xffff_ffff_ffff_ffffn,
      r15: 1n << 63n,
      rip: 0x1234n,
      rflags: 0xad7n,
    };
    setRegs(memory, zone, regs);
    expect(getRegs(memory, zone)).toEqual(regs);
    const sregs = getSregs(memory, zone);
    sregs.fs = {
      base: 0x7fff_0000_0000n,
      limit: 0xffff_ffff,
      selector: 0x2b,
      type: 3,
      present: 1,
      dpl: 3,
      db: 1,
      s: 1,
      l: 0,
      g: 1,
      avl: 1,
      unusable: 0,
    };
    sregs.gdt = { base: 0x1000n, limit: 0x7f };
    expect(setSregs(memory, zone, sregs)).toBe(true);
    expect(getSregs(memory, zone)).toEqual(sregs);
  });

  it.each([
    ["paging without protection", { cr0: BigInt(CR0.PG >>> 0) }],
    ["NW without CD", { cr0: BigInt(CR0.NW | CR0.PE) }],
    ["an unknown bit of CR4", { cr4: 1n << 30n }],
    ["LMA without LME", { efer: BigInt(EFER.LMA) }],
    ["long mode without PAE", { cr0: BigInt((CR0.PG | CR0.PE) >>> 0), efer: BigInt(EFER.LME | EFER.LMA) }],
    [
      "long mode paging without LMA",
      { cr0: BigInt((CR0.PG | CR0.PE) >>> 0), cr4: BigInt(CR4.PAE), efer: BigInt(EFER.LME) },
    ],
    ["CR8 above 15", { cr8: 16n }],
  ])("refuses %s, and changes nothing", (_name, change) => {
    resetVcpu(memory, zone, 0);
    const before = getSregs(memory, zone);
    expect(setSregs(memory, zone, { ...before, ...change })).toBe(false);
    expect(getSregs(memory, zone)).toEqual(before);
  });
});

describe("MSRs", () => {
  it("exist or do not", () => {
    resetVcpu(memory, zone, 0);
    for (const index of MSR_INDICES) expect(getMsr(memory, zone, index), index.toString(16)).toBeDefined();
    expect(getMsr(memory, zone, 0x12345)).toBeUndefined();
    expect(setMsr(memory, zone, 0x12345, 0n)).toBe(false);
  });

  it("refuse reserved bits and addresses that are not canonical", () => {
    expect(setMsr(memory, zone, 0xc000_0080, 1n << 20n)).toBe(false);
    expect(setMsr(memory, zone, 0xc000_0101, 1n << 50n)).toBe(false);
    expect(setMsr(memory, zone, 0xc000_0101, 0xffff_8000_0000_0000n)).toBe(true);
    expect(getMsr(memory, zone, 0xc000_0101)).toBe(0xffff_8000_0000_0000n);
  });

  it("let the TSC be set, and it goes on from there", () => {
    expect(setMsr(memory, zone, 0x10, 1n << 40n)).toBe(true);
    const value = getMsr(memory, zone, 0x10)!;
    expect(value >= 1n << 40n && value < (1n << 40n) + 60_000_000_000n).toBe(true);
  });
});

describe("CPUID", () => {
  it("keeps its entries, and finds them by leaf and index", () => {
    const entries = [...SUPPORTED_CPUID, { function: 4, index: 1, flags: 1, eax: 1, ebx: 2, ecx: 3, edx: 4 }];
    expect(setCpuid(memory, zone, entries)).toBe(true);
    expect(getCpuid(memory, zone)).toEqual(entries);
    expect(u32[findCpuid(u32, zone, 4, 1) >>> 2]).toBe(1);
    expect(findCpuid(u32, zone, 4, 0)).toBe(0);
  });

  it("gives the highest basic leaf above it", () => {
    setCpuid(memory, zone, SUPPORTED_CPUID);
    expect(findCpuid(u32, zone, 0x1000, 0)).toBe(findCpuid(u32, zone, 0xd, 0));
  });

  it("takes no more entries than fit", () => {
    expect(setCpuid(memory, zone, new Array(65).fill(SUPPORTED_CPUID[0]))).toBe(false);
  });

  it("has its struct in one page", () => {
    expect(CPU.cpuid).toBeLessThan(4096 - 64 * 28);
  });
});
