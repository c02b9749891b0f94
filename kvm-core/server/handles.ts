/**
 * What a session may name: handles on VMs and vCPUs, and the descriptors that it passed or may fetch. Both tables die
 * with the session. Handle 0 is the session itself ("system").
 */
import { KvmError } from "../../shared/errno.ts";
import { type Right, RIGHTS } from "../../shared/ioctls.ts";
import type { Vcpu } from "../vcpu/vcpu.ts";
import type { Descriptor } from "../vm/descriptor.ts";
import type { Vm } from "../vm/vm.ts";

export type VmHandle = { readonly kind: "vm"; readonly vm: Vm; readonly right: Right };
export type VcpuHandle = { readonly kind: "vcpu"; readonly vm: Vm; readonly vcpu: Vcpu; readonly right: Right };
export type Handle = VmHandle | VcpuHandle;

/** Handles and descriptors that one session can hold. */
const MAX_HANDLES = 1024;

export class Handles {
  readonly #handles = new Map<number, Handle>();
  #next = 1;

  add(handle: Handle): number {
    if (this.#handles.size >= MAX_HANDLES) throw new KvmError("ENFILE", `a session has at most ${MAX_HANDLES} handles`);
    const id = this.#next++;
    this.#handles.set(id, handle);
    return id;
  }

  /** The handle for a request: EBADF if there is none, ENOTTY if it is of another kind, EPERM if it may not. */
  get<K extends "vm" | "vcpu">(id: number, kind: K, needs: Right): Extract<Handle, { kind: K }> {
    const handle = this.#handles.get(id);
    if (!handle) throw new KvmError("EBADF", `there is no handle ${id}`);
    if (handle.kind !== kind) throw new KvmError("ENOTTY", `handle ${id} is a ${handle.kind}`);
    if (RIGHTS[handle.right] < RIGHTS[needs]) throw new KvmError("EPERM", `a ${handle.right}'s handle may not`);
    handle.vm.alive();
    return handle as Extract<Handle, { kind: K }>;
  }

  has(id: number): boolean {
    return this.#handles.has(id);
  }

  delete(id: number): Handle {
    const handle = this.#handles.get(id);
    if (!handle) throw new KvmError("EBADF", `there is no handle ${id}`);
    this.#handles.delete(id);
    return handle;
  }

  /** The VMs that any handle is on. */
  vms(): Set<Vm> {
    return new Set([...this.#handles.values()].map((handle) => handle.vm));
  }

  clear(): void {
    this.#handles.clear();
  }
}

/** Descriptors by id; 0 is none. */
export class Descriptors {
  readonly #descriptors = new Map<number, Descriptor>();
  #next = 1;

  /** Takes over the caller's hold. */
  add(descriptor: Descriptor): number {
    if (this.#descriptors.size >= MAX_HANDLES) {
      descriptor.release();
      throw new KvmError("ENFILE", `a session has at most ${MAX_HANDLES} descriptors`);
    }
    const id = this.#next++;
    this.#descriptors.set(id, descriptor);
    return id;
  }

  get(id: number): Descriptor {
    const descriptor = this.#descriptors.get(id);
    if (!descriptor) throw new KvmError("EBADF", `there is no descriptor ${id}`);
    return descriptor;
  }

  clear(): void {
    for (const descriptor of this.#descriptors.values()) descriptor.release();
    this.#descriptors.clear();
  }
}

