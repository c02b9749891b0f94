/**
 * CPUID's topology: what a vCPU is told of its place, against the SDM's algorithm for leaf 0BH.
 */
import { expect, test } from "vitest";
import { SUPPORTED_CPUID } from "../../../kvm-core/cpu/cpuid.ts";
import { withTopology } from "../../../qemu-user/machine/cpu-topology.ts";

const leaves = (vcpu: number, vcpus: number, number: number) =>
  withTopology(SUPPORTED_CPUID, vcpu, vcpus).filter((entry) => entry.function === number);

test.each([
  [0, 1, 0],
  [1, 2, 1],
  [4, 5, 3],
  [7, 8, 3],
])("vCPU %i of %i", (vcpu, vcpus, shift) => {
  expect(leaves(vcpu, vcpus, 0xb)).toEqual([
    { function: 0xb, index: 0, flags: 1, eax: 0, ebx: 1, ecx: 0x100, edx: vcpu },
    { function: 0xb, index: 1, flags: 1, eax: shift, ebx: vcpus, ecx: 0x201, edx: vcpu },
  ]);
  const [one] = leaves(vcpu, vcpus, 1);
  expect([one!.ebx, one!.edx >>> 28]).toEqual([((vcpu << 24) | (vcpus << 16) | 0x800) >>> 0, vcpus > 1 ? 1 : 0]);
  // All of one package: behind the core level's shift nothing of the ID is left.
  expect(vcpu >> shift).toBe(0);
});

test("other leaves are what they were", () => {
  const others = withTopology(SUPPORTED_CPUID, 3, 4).filter((entry) => entry.function !== 1 && entry.function !== 0xb);
  expect(others).toEqual(SUPPORTED_CPUID.filter((entry) => entry.function !== 1));
});
