/**
 * Requests on the connection itself. KVM API document, "System ioctls"; SPLITVM_*: shared/ioctls.ts.
 */

import { CAPABILITIES } from "../../shared/capabilities.ts";
import { KvmError } from "../../shared/errno.ts";
import { type Handlers, KVM_API_VERSION, type Right } from "../../shared/ioctls.ts";
import { SUPPORTED_CPUID } from "../cpu/cpuid.ts";
import { MSR_INDICES } from "../cpu/msr.ts";
import type { ServerSession } from "./session.ts";

/** The capability's value, 0 for one that is unknown, as Linux answers. */
export function checkExtension(cap: number): number {
  return Object.values(CAPABILITIES).find((row) => row.nr === cap)?.value ?? 0;
}

/** SPLITVM_OPEN_VM's `right`, by number. */
const OPEN_RIGHTS: readonly Right[] = ["viewer", "server", "owner"];
const NAME = /^[\w.-]{1,64}$/;

export const SYSTEM_IOCTLS: Handlers<"system", ServerSession> = {
  KVM_GET_API_VERSION: () => ({ version: KVM_API_VERSION }),
  KVM_CHECK_EXTENSION: (_session, { cap }) => ({ value: checkExtension(cap) }),
  KVM_GET_MSR_INDEX_LIST: () => ({ indices: [...MSR_INDICES] }),
  KVM_GET_SUPPORTED_CPUID: () => ({ entries: SUPPORTED_CPUID.map((entry) => ({ ...entry })) }),

  KVM_CREATE_VM: (session, { type, name }) => {
    if (type !== 0) throw new KvmError("EINVAL", `VM type ${type}: only 0 exists`);
    if (!NAME.test(name)) throw new KvmError("EINVAL", "name: 1 to 64 letters, digits, dots, dashes and underscores");
    session.handles.reserve();
    const vm = session.server.createVm(name, session);
    return { vm: session.handles.add({ kind: "vm", vm, right: "owner" }) };
  },

  SPLITVM_LIST_VMS: ({ server }) => ({
    vms: [...server.vms.values()].map((vm) => ({
      name: vm.name,
      state: vm.parked ? 1 : 0,
      vcpus: vm.vcpus.size,
      owner_pid: vm.ownerPid,
    })),
  }),

  SPLITVM_OPEN_VM: (session, { name, right: number }) => {
    const right = OPEN_RIGHTS[number];
    if (!right) throw new KvmError("EINVAL", `right ${number}`);
    const vm = session.server.vms.get(name);
    if (!vm || vm.dead) throw new KvmError("ENOENT", `there is no VM "${name}"`);
    session.handles.reserve();
    if (right === "owner") vm.takeOwnership(session, session.peer);
    return { vm: session.handles.add({ kind: "vm", vm, right }) };
  },

  SPLITVM_CLOSE: (session, { handle }) => {
    session.close(handle);
    return {};
  },

  SPLITVM_CLOSE_DESCRIPTOR: (session, { descriptor }) => {
    session.descriptors.delete(descriptor);
    return {};
  },
};
