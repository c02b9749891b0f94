/**
 * Requests on a VM's handle. KVM API document, "VM ioctls"; SPLITVM_*: shared/ioctls.ts.
 */

import { CAPABILITIES } from "../../shared/capabilities.ts";
import { KvmError } from "../../shared/errno.ts";
import { MAX_BYTES } from "../../shared/fields.ts";
import {
  type Handlers,
  KVM_IOEVENTFD_FLAG_DATAMATCH,
  KVM_IOEVENTFD_FLAG_DEASSIGN,
  KVM_IOEVENTFD_FLAG_PIO,
  KVM_IRQFD_FLAG_DEASSIGN,
  KVM_IRQFD_FLAG_RESAMPLE,
  SPACE_MMIO,
  SPACE_PIO,
} from "../../shared/ioctls.ts";
import { JOURNAL_BYTES } from "../../shared/journal.ts";
import { MAILBOX_EVENTS, MAILBOX_GSIS } from "../../shared/mailbox.ts";
import type { Slot } from "../vm/memslots.ts";
import type { Vm } from "../vm/vm.ts";
import { MAX_GSIS, NO_GSI } from "../vm/vm-state.ts";
import type { VmHandle } from "./handles.ts";
import type { ServerSession } from "./session.ts";

export type VmCall = { readonly session: ServerSession; readonly handle: VmHandle };

function placeOf({ session, handle: { vm } }: VmCall): number {
  return vm.servers.place(session, session.peer, vm.isOwner(session));
}

function vcpuOf(vm: Vm, id: number) {
  const vcpu = vm.vcpus.get(id);
  if (!vcpu) throw new KvmError("ENOENT", `there is no vCPU ${id}`);
  return vcpu;
}

function slotFields(session: ServerSession, slot: Slot) {
  return {
    guest_phys_addr: BigInt(slot.gpa),
    memory_size: BigInt(slot.size),
    memfd: session.descriptors.add(slot.memfd.hold()),
    memfd_offset: BigInt(slot.offset),
  };
}

export const VM_IOCTLS: Handlers<"vm", VmCall> = {
  KVM_CREATE_VCPU: ({ session, handle: { vm, right } }, { id }) => {
    session.handles.reserve();
    const vcpu = vm.createVcpu(id);
    session.listenToTrace(vcpu);
    return { vcpu: session.handles.add({ kind: "vcpu", vm, vcpu, right }) };
  },

  SPLITVM_OPEN_VCPU: ({ session, handle: { vm, right } }, { id }) => {
    session.handles.reserve();
    const vcpu = vcpuOf(vm, id);
    session.listenToTrace(vcpu);
    return { vcpu: session.handles.add({ kind: "vcpu", vm, vcpu, right }) };
  },

  KVM_SET_USER_MEMORY_REGION: async ({ session, handle: { vm } }, arg) => {
    await vm.setMemory(arg, arg.memory_size === 0n ? undefined : session.descriptors.get(arg.memfd));
    return {};
  },

  KVM_GET_DIRTY_LOG: async ({ handle: { vm } }, { slot }) => ({ dirty_bitmap: await vm.dirtyLog(slot) }),

  KVM_ENABLE_CAP: ({ handle: { vm } }, { cap, flags, args }) => {
    if (flags !== 0) throw new KvmError("EINVAL", `flags ${flags}`);
    if (cap !== CAPABILITIES.KVM_CAP_SPLIT_IRQCHIP.nr)
      throw new KvmError("EINVAL", `capability ${cap} cannot be enabled: only KVM_CAP_SPLIT_IRQCHIP`);
    vm.splitIrqchip(args[0] ?? 0n);
    return {};
  },

  KVM_CREATE_IRQCHIP: ({ handle: { vm } }) => {
    vm.createIrqchip();
    return {};
  },

  KVM_GET_IRQCHIP: ({ handle: { vm } }, { chip_id }) => vm.withIrqchip((irqchip) => irqchip.save(chip_id)),

  KVM_SET_IRQCHIP: ({ handle: { vm } }, state) =>
    vm.withIrqchip((irqchip) => {
      irqchip.load(state);
      return {};
    }),

  KVM_IRQ_LINE: ({ handle: { vm } }, { irq, level }) => {
    vm.irqchip.setLine(irq, level !== 0);
    return {};
  },

  KVM_SET_GSI_ROUTING: ({ handle: { vm } }, arg) => {
    vm.irqchip.setRouting(arg);
    return {};
  },

  KVM_SIGNAL_MSI: ({ handle: { vm } }, arg) => ({ delivered: vm.irqchip.signalMsi(arg) }),

  KVM_CREATE_PIT2: ({ handle: { vm } }, { flags }) => {
    vm.irqchip.createPit(flags);
    return {};
  },

  KVM_GET_PIT2: ({ handle: { vm } }) => vm.withIrqchip((irqchip) => irqchip.savePit()),

  KVM_SET_PIT2: ({ handle: { vm } }, state) =>
    vm.withIrqchip((irqchip) => {
      irqchip.loadPit(state);
      return {};
    }),

  KVM_REINJECT_CONTROL: ({ handle: { vm } }, { pit_reinject }) => {
    vm.irqchip.reinject(pit_reinject !== 0);
    return {};
  },

  KVM_IRQFD: (call, { event, gsi, flags, resample_event }) => {
    const { vm } = call.handle;
    if (flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE)) throw new KvmError("EINVAL", `flags ${flags}`);
    if (event >= MAILBOX_EVENTS) throw new KvmError("EINVAL", `event ${event}: a mailbox has ${MAILBOX_EVENTS}`);
    if (gsi >= MAX_GSIS) throw new KvmError("EINVAL", `GSI ${gsi}: GSIs are below ${MAX_GSIS}`);
    const place = placeOf(call);
    if (flags & KVM_IRQFD_FLAG_DEASSIGN) {
      if (vm.servers.tied(place, event) !== gsi)
        throw new KvmError("ENOENT", `event ${event} is not tied to GSI ${gsi}`);
      vm.servers.untie(place, event);
      vm.irqchip.changed();
      return {};
    }
    if (!vm.hasIrqchip) throw new KvmError("EINVAL", "there is no irqchip: KVM_CREATE_IRQCHIP comes first");
    if (vm.servers.tied(place, event) !== NO_GSI) throw new KvmError("EBUSY", `event ${event} is tied already`);
    if ((flags & KVM_IRQFD_FLAG_RESAMPLE) === 0) {
      vm.servers.tie(place, event, gsi);
      return {};
    }
    if (!vm.irqchip.whole) throw new KvmError("EINVAL", "a split irqchip's ends of interrupts are the user's");
    if (gsi >= MAILBOX_GSIS) throw new KvmError("EINVAL", `GSI ${gsi}: 0 to ${MAILBOX_GSIS - 1} have lines`);
    if (resample_event >= MAILBOX_EVENTS)
      throw new KvmError("EINVAL", `resample_event ${resample_event}: a mailbox has ${MAILBOX_EVENTS}`);
    vm.servers.tieResampled(place, event, gsi, resample_event);
    return {};
  },

  KVM_IOEVENTFD: (call, { datamatch, addr, len, event, flags }) => {
    const known = KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN;
    if (flags & ~known) throw new KvmError("EINVAL", `flags ${flags}`);
    const space = flags & KVM_IOEVENTFD_FLAG_PIO ? SPACE_PIO : SPACE_MMIO;
    const match = flags & KVM_IOEVENTFD_FLAG_DATAMATCH ? datamatch : undefined;
    const { regions } = call.handle.vm;
    if (flags & KVM_IOEVENTFD_FLAG_DEASSIGN) regions.deassignIoeventfd(placeOf(call), space, addr, len, event, match);
    else regions.assignIoeventfd(placeOf(call), space, addr, len, event, match);
    return {};
  },

  KVM_REGISTER_COALESCED_MMIO: (call, { addr, size, pio }) => {
    call.handle.vm.regions.addCoalesced(placeOf(call), pio ? SPACE_PIO : SPACE_MMIO, addr, BigInt(size));
    return {};
  },

  KVM_UNREGISTER_COALESCED_MMIO: (call, { addr, size, pio }) => {
    call.handle.vm.regions.removeCoalesced(placeOf(call), pio ? SPACE_PIO : SPACE_MMIO, addr, BigInt(size));
    return {};
  },

  KVM_GET_STATS_FD: ({ session, handle: { vm } }, { id }) => ({
    memfd: session.descriptors.add(vcpuOf(vm, id).stats.hold()),
  }),

  SPLITVM_KEEP_VM: ({ handle: { vm } }, { linger }) => {
    vm.keep(linger);
    return {};
  },

  SPLITVM_DESTROY_VM: async ({ handle: { vm } }) => {
    await vm.destroy();
    return {};
  },

  SPLITVM_SET_SERVER_AREA: (call, { memfd }) => {
    const { session, handle } = call;
    const descriptor = session.descriptors.get(memfd);
    const server = placeOf(call);
    handle.vm.servers.setArea(server, descriptor);
    return { server };
  },

  SPLITVM_REGISTER_REGION: (call, { space, address, length, name }) => ({
    region: call.handle.vm.registerRegion(placeOf(call), space, address, length, name),
  }),

  SPLITVM_UNREGISTER_REGION: (call, { region }) => {
    call.handle.vm.unregisterRegion(placeOf(call), region);
    return {};
  },

  SPLITVM_READ_GUEST: ({ handle: { vm } }, { address, length }) => {
    if (length > MAX_BYTES) throw new KvmError("E2BIG", `length: at most ${MAX_BYTES}`);
    const data = new Uint8Array(length);
    vm.slots.copy(address, data, false);
    return { data };
  },

  SPLITVM_WRITE_GUEST: ({ handle: { vm } }, { address, data }) => {
    vm.slots.copy(address, data, true);
    return {};
  },

  SPLITVM_GET_KICK: ({ session, handle: { vm } }, { id }) => ({
    memfd: session.descriptors.add(vcpuOf(vm, id).kickPage.hold()),
  }),

  SPLITVM_GET_CODE_MAP: ({ session, handle: { vm } }) => ({ memfd: session.descriptors.add(vm.codeMap.hold()) }),

  SPLITVM_SET_JOURNAL: (call, { memfd }) => {
    const descriptor = call.session.descriptors.get(memfd);
    descriptor.requireMemory(JOURNAL_BYTES, "the journal");
    call.handle.vm.servers.setJournal(placeOf(call), descriptor);
    return {};
  },

  SPLITVM_TAKE_OVER: ({ session, handle: { vm } }, { server }) => {
    if (server === 0 && !vm.isOwner(session))
      throw new KvmError("EPERM", "server 0 is the owner's: SPLITVM_OPEN_VM first");
    const { area, journal } = vm.servers.left(server);
    if (!area) throw new KvmError("ENOENT", `there is no device server ${server} in page mode`);
    session.descriptors.reserve(vm.slots.count + 2);
    vm.servers.takeOver(server, session, session.peer);
    return {
      area: session.descriptors.add(area.hold()),
      journal: journal ? session.descriptors.add(journal.hold()) : 0,
      slots: [...vm.slots.slots].map((slot) => ({ slot: slot.slot, flags: slot.flags, ...slotFields(session, slot) })),
      vcpus: [...vm.vcpus.keys()],
    };
  },

  SPLITVM_GET_MEMORY: ({ session, handle: { vm } }) => {
    session.descriptors.reserve(vm.slots.count);
    return { slots: [...vm.slots.slots].map((slot) => slotFields(session, slot)) };
  },
};
