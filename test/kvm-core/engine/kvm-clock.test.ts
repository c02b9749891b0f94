/**
 * kvmclock: the structures that its MSRs make appear in guest memory, against the TSC that the guest reads.
 * Document: Linux Documentation/virt/kvm/x86/msr.rst; struct pvclock_vcpu_time_info, struct pvclock_wall_clock.
 * Left out: how precise the host's clock is.
 */

import { beforeEach, describe, expect, it } from "vitest";
import { CLOCK_BASE } from "../../../kvm-core/cpu/zones.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { clockMonotonic } from "../../../shared/native.ts";
import { assemble } from "../support/asm.ts";
import { ENGINES, TestMachine } from "../support/machine.ts";

const INFO = 0x30_0ff0; // crosses a page
const SECOND = 1_000_000_000n;

let machine: TestMachine;

function run(text: string): void {
  expect(machine.run(assemble(`${text}; hlt`, 64)), machine.engine.errorDetail).toBe(EngineExit.HLT);
}
const wrmsr = (index: number, value: number): string => `mov ecx, ${index}; mov eax, ${value}; xor edx, edx; wrmsr`;

/** What the guest computes: system time at the TSC that it reads. */
function clock(): { now: bigint; version: number; flags: number } {
  run("rdtsc; shl rdx, 32; or rax, rdx; mov rbx, rax");
  const info = new DataView(machine.read(INFO, 32).slice().buffer);
  const delta = machine.regs.rbx - info.getBigUint64(8, true);
  const shift = BigInt(info.getInt8(28));
  const scaled = ((delta << shift) * BigInt(info.getUint32(24, true))) >> 32n;
  return { now: info.getBigUint64(16, true) + scaled, version: info.getUint32(0, true), flags: info.getUint8(29) };
}

describe.each(ENGINES)("%s", (engine) => {
  beforeEach(() => {
    machine = new TestMachine(engine, 64, 8 << 20);
    machine.view.setFloat64(CLOCK_BASE, clockMonotonic() - 5e9, true);
  });

  it.each([0x12, 0x4b564d01])("system time (MSR %i) counts from when the VM was made, with the TSC", (msr) => {
    run(wrmsr(msr, INFO | 1));
    const before = BigInt(Math.floor(clockMonotonic()));
    const first = clock();
    const after = BigInt(Math.ceil(clockMonotonic()));
    const base = BigInt(Math.floor(machine.view.getFloat64(CLOCK_BASE, true)));
    expect(first.now).toBeGreaterThanOrEqual(before - base - 1000n);
    expect(first.now).toBeLessThanOrEqual(after - base + 1000n);
    expect(first.version & 1).toBe(0);
    expect(first.flags).toBe(1);
    expect(clock().now).toBeGreaterThan(first.now);
  });

  it("does not jump when the guest writes its TSC", () => {
    run(wrmsr(0x12, INFO | 1));
    const { now, version } = clock();
    run("mov ecx, 0x10; xor eax, eax; mov edx, 0x1000; wrmsr");
    const later = clock();
    expect(later.version).not.toBe(version);
    expect(later.now).toBeGreaterThan(now);
    expect(later.now).toBeLessThan(now + 60n * SECOND);
  });

  it("writes nothing while bit 0 is clear, and where there is no RAM", () => {
    run(wrmsr(0x12, INFO));
    run("mov ecx, 0x10; xor eax, eax; xor edx, edx; wrmsr");
    expect([...machine.read(INFO, 32)].every((byte) => byte === 0)).toBe(true);
    run(wrmsr(0x12, 0xf000_0001));
    run("mov ecx, 0x12; mov eax, -1; mov edx, -1; wrmsr; rdmsr");
    expect(Number(machine.regs.rax)).toBe(0xffff_ffff);
  });

  it.each([0x11, 0x4b564d00])("wall clock (MSR %i) is the time at which system time was 0", (msr) => {
    run(wrmsr(msr, INFO));
    const wall = new DataView(machine.read(INFO, 12).slice().buffer);
    const started = wall.getUint32(4, true) * 1000 + wall.getUint32(8, true) / 1e6;
    const since = (clockMonotonic() - machine.view.getFloat64(CLOCK_BASE, true)) / 1e6;
    expect(Math.abs(Date.now() - since - started)).toBeLessThan(60_000);
    expect(wall.getUint32(0, true) & 1).toBe(0);
  });
});
