/**
 * What a session may name: handles on VMs and vCPUs, and the descriptors that it passed or may fetch. Both tables die
 * with the session. Handle 0 is the session itself ("system").
 */
import { KvmError } from "../../shared/errno.ts";
import { RIGHTS, type Right } from "../../shared/ioctls.ts";
import type { Vcpu } from "../vcpu/vcpu.ts";
import type { Descriptor } from "../vm/descriptor.ts";
import type { Vm } from "../vm/vm.ts";

export type VmHandle = { readonly kind: "vm"; readonly vm: Vm; readonly right: Right };
export type VcpuHandle = { readonly kind: "vcpu"; readonly vm: Vm; readonly vcpu: Vcpu; readonly right: Right };
export type Handle = VmHandle | VcpuHandle;

/** Handles and descriptors that one session can hold. */
export const MAX_HANDLES = 1024;

export class Handles {
  readonly #handles = new Map<number, Handle>();
  #next = 1;

  /** ENFILE unless one more handle fits: to be asked before a request makes what the handle is for. */
  reserve(): void {
    if (this.#handles.size < MAX_HANDLES) return;
    for (const [id, handle] of this.#handles) if (handle.vm.dead) this.#handles.delete(id);
    if (this.#handles.size >= MAX_HANDLES) throw new KvmError("ENFILE", `a session has at most ${MAX_HANDLES} handles`);
  }

  add(handle: Handle): number {
    this.reserve();
    const id = this.#next++;
    this.#handles.set(id, handle);
    return id;
  }

  /** The handle for a request: EBADF if there is none or it is dead, ENOTTY if it is of another kind, EPERM if it may not. */
  get<K extends "vm" | "vcpu">(id: number, kind: K, needs: Right): Extract<Handle, { kind: K }> {
    if (id === 0) throw new KvmError("ENOTTY", "handle 0 is the system's");
    const handle = this.#handles.get(id);
    if (!handle) throw new KvmError("EBADF", `there is no handle ${id}`);
    if (handle.kind !== kind) throw new KvmError("ENOTTY", `handle ${id} is a ${handle.kind}`);
    if (handle.vm.dead) throw new KvmError("EBADF", `the VM "${handle.vm.name}" was destroyed`);
    if (RIGHTS[handle.right] < RIGHTS[needs]) throw new KvmError("EPERM", `a ${handle.right}'s handle may not`);
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
  readonly #ids = new Map<Descriptor, number>();
  #next = 1;

  /** ENFILE unless `count` more descriptors fit. */
  reserve(count: number): void {
    if (this.#descriptors.size + count > MAX_HANDLES)
      throw new KvmError("ENFILE", `a session has at most ${MAX_HANDLES} descriptors`);
  }

  /** Takes over the caller's hold; a descriptor that the session knows already keeps its id. */
  add(descriptor: Descriptor): number {
    const known = this.#ids.get(descriptor);
    if (known !== undefined) {
      descriptor.release();
      return known;
    }
    try {
      this.reserve(1);
    } catch (error) {
      descriptor.release();
      throw error;
    }
    const id = this.#next++;
    this.#descriptors.set(id, descriptor);
    this.#ids.set(descriptor, id);
    return id;
  }

  get(id: number): Descriptor {
    const descriptor = this.#descriptors.get(id);
    if (!descriptor) throw new KvmError("EBADF", `there is no descriptor ${id}`);
    return descriptor;
  }

  /** Lets go of a descriptor; what was made from it stays. */
  delete(id: number): void {
    const descriptor = this.get(id);
    this.#descriptors.delete(id);
    this.#ids.delete(descriptor);
    descriptor.release();
  }

  clear(): void {
    for (const descriptor of this.#descriptors.values()) descriptor.release();
    this.#descriptors.clear();
    this.#ids.clear();
  }
}
