/**
 * A VM as its owner makes it, or takes it over from a dead owner: RAM, irqchip, one vCPU, the memory that kvm-core
 * shares, and in page mode that of the first device server.
 * Leaves out: the board (device-thread.ts) and what the guest is to run (loader/).
 */
import { closeSync } from "node:fs";
import { KVM_PIT_SPEAKER_DUMMY } from "../../shared/ioctls.ts";
import { JOURNAL_BYTES } from "../../shared/journal.ts";
import { AREA_BYTES } from "../../shared/server-area.ts";
import type { Kvm, Vcpu, Vm } from "../kvm/kvm.ts";
import { type CpuOption, cpuidEntries, DEFAULT_MODEL } from "../machine/cpu-models.ts";
import { withTopology } from "../machine/cpu-topology.ts";
import { DeviceMemory, sealedMemfd } from "./device-memory.ts";

export type OwnedVm = { readonly vm: Vm; readonly vcpu: Vcpu; readonly memory: DeviceMemory };

/** The boards have one vCPU for now. */
export const VCPUS = 1;
const RAM_SLOT = 0;

const DEFAULT_CPU: CpuOption = { model: DEFAULT_MODEL, changes: new Map() };

/** Creates the VM `name`, its RAM, irqchip and vCPU; in page mode its server area and journal too. */
export async function createOwnedVm(
  kvm: Kvm,
  name: string,
  ramSize: number,
  mode: "page" | "message",
  cpu: CpuOption = DEFAULT_CPU,
): Promise<OwnedVm> {
  const vm = await kvm.createVm(name);
  const memory = new DeviceMemory(ramSize);
  const ram = sealedMemfd("splitvm-ram", ramSize);
  memory.mapRam(ram);
  await vm.setMemory(RAM_SLOT, 0, ramSize, ram);
  closeSync(ram);
  await vm.request("KVM_CREATE_IRQCHIP", {});
  await vm.request("KVM_CREATE_PIT2", { flags: KVM_PIT_SPEAKER_DUMMY });
  const vcpu = await vm.createVcpu(0);
  const { entries } = await kvm.request("KVM_GET_SUPPORTED_CPUID", {});
  await vcpu.request("KVM_SET_CPUID2", { entries: withTopology(cpuidEntries(cpu, entries), 0, VCPUS) });
  if (mode === "page") {
    const area = sealedMemfd("splitvm-area", AREA_BYTES);
    const journal = sealedMemfd("splitvm-journal", JOURNAL_BYTES);
    memory.mapArea(area);
    memory.mapJournal(journal);
    const [areaId, journalId] = vm.session.pass([area, journal]);
    closeSync(area);
    closeSync(journal);
    await vm.request("SPLITVM_SET_SERVER_AREA", { memfd: areaId! });
    await vm.request("SPLITVM_SET_JOURNAL", { memfd: journalId! });
  }
  await mapCoreMemory(vm, memory);
  return { vm, vcpu, memory };
}

/** Takes over the VM `name`, whose owner is dead, with everything that it left. It was in page mode. */
export async function takeOverVm(kvm: Kvm, name: string): Promise<OwnedVm> {
  const vm = await kvm.openVm(name, "owner");
  const left = await vm.request("SPLITVM_TAKE_OVER", { server: 0 });
  const slot = left.slots.find((candidate) => candidate.slot === RAM_SLOT);
  if (!slot) throw new Error(`${name}: its owner died before it had memory; destroy it and start again`);
  const memory = new DeviceMemory(Number(slot.memory_size));
  vm.withDescriptor(slot.memfd, (fd) => memory.mapRam(fd));
  vm.withDescriptor(left.area, (fd) => memory.mapArea(fd));
  if (left.journal !== 0) vm.withDescriptor(left.journal, (fd) => memory.mapJournal(fd));
  await mapCoreMemory(vm, memory);
  return { vm, vcpu: await vm.openVcpu(0), memory };
}

/** What kvm-core makes and shares: the vCPUs' KICK pages and the code map. */
async function mapCoreMemory(vm: Vm, memory: DeviceMemory): Promise<void> {
  for (let id = 0; id < VCPUS; id++) {
    const kick = await vm.request("SPLITVM_GET_KICK", { id });
    vm.withDescriptor(kick.memfd, (fd) => memory.mapKick(id, fd));
  }
  const { memfd } = await vm.request("SPLITVM_GET_CODE_MAP", {});
  vm.withDescriptor(memfd, (fd) => memory.mapCodeMap(fd));
}
