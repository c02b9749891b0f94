/**
 * A client's handles, as the KVM API has them: Kvm (the connection), Vm, Vcpu. One method a request, errors are
 * KvmError with the errno's name. The smallest virtual machine monitor is: Kvm.connect, createVm, setMemory,
 * createVcpu, setSregs, setRegs, and run until it returns an exit that ends it.
 * Leaves out: page mode's shared memory (server-side.ts).
 */
import { closeSync } from "node:fs";
import type { KvmError } from "../../shared/errno.ts";
import type { RunResult } from "../../shared/exits.ts";
import { Session } from "../../shared/hello.ts";
import type { Arg, IOCTLS, IoctlName, KvmRegs, KvmSregs, Ret } from "../../shared/ioctls.ts";

type NamesOn<K> = { [N in IoctlName]: (typeof IOCTLS)[N]["on"] extends K ? N : never }[IoctlName];

/** The connection to a kvm-core. */
export class Kvm {
  readonly session: Session;

  private constructor(session: Session) {
    this.session = session;
  }

  /** Connects to the kvm-core that listens at `path`; throws ENOENT or ECONNREFUSED where there is none. */
  static connect(path: string): Kvm {
    return new Kvm(Session.connect(path));
  }

  request<N extends NamesOn<"system">>(name: N, arg: Arg<N>): Promise<Ret<N>> {
    return this.session.channel.request(name, 0, arg);
  }

  /** KVM_CREATE_VM. EEXIST: the name is taken. */
  async createVm(name: string): Promise<Vm> {
    const { vm } = await this.request("KVM_CREATE_VM", { type: 0, name });
    return new Vm(this.session, vm);
  }

  /** SPLITVM_OPEN_VM: see shared/ioctls.ts for who may. */
  async openVm(name: string, right: "viewer" | "server" | "owner"): Promise<Vm> {
    const number = { viewer: 0, server: 1, owner: 2 }[right];
    const { vm } = await this.request("SPLITVM_OPEN_VM", { name, right: number });
    return new Vm(this.session, vm);
  }

  onClose(listener: (reason: KvmError) => void): void {
    this.session.channel.onClose = listener;
  }

  close(): void {
    this.session.close();
  }
}

export class Vm {
  readonly session: Session;
  readonly handle: number;

  constructor(session: Session, handle: number) {
    this.session = session;
    this.handle = handle;
  }

  request<N extends NamesOn<"vm">>(name: N, arg: Arg<N>): Promise<Ret<N>> {
    return this.session.channel.request(name, this.handle, arg);
  }

  /** Makes slot `slot` of `size` bytes at `gpa` from a sealed memfd, which stays the caller's. */
  async setMemory(slot: number, gpa: number, size: number, fd: number, offset = 0): Promise<void> {
    const memfd = this.session.pass([fd])[0]!;
    await this.request("KVM_SET_USER_MEMORY_REGION", {
      slot,
      flags: 0,
      guest_phys_addr: BigInt(gpa),
      memory_size: BigInt(size),
      memfd,
      memfd_offset: BigInt(offset),
    });
    await this.session.channel.request("SPLITVM_CLOSE_DESCRIPTOR", 0, { descriptor: memfd });
  }

  async createVcpu(id: number): Promise<Vcpu> {
    const { vcpu } = await this.request("KVM_CREATE_VCPU", { id });
    return new Vcpu(this.session, vcpu);
  }

  async openVcpu(id: number): Promise<Vcpu> {
    const { vcpu } = await this.request("SPLITVM_OPEN_VCPU", { id });
    return new Vcpu(this.session, vcpu);
  }

  /** Fetches a descriptor for the time of `use`. */
  withDescriptor<T>(id: number, use: (fd: number) => T): T {
    const fd = this.session.fetch(id);
    try {
      return use(fd);
    } finally {
      closeSync(fd);
    }
  }
}

export class Vcpu {
  readonly session: Session;
  readonly handle: number;

  constructor(session: Session, handle: number) {
    this.session = session;
    this.handle = handle;
  }

  request<N extends NamesOn<"vcpu">>(name: N, arg: Arg<N>): Promise<Ret<N>> {
    return this.session.channel.request(name, this.handle, arg);
  }

  /** KVM_RUN: completes the access before with `data`, then runs to the next exit. EINTR after a kick. */
  run(data: Uint8Array = EMPTY): Promise<RunResult> {
    return this.request("KVM_RUN", { immediate_exit: 0, request_interrupt_window: 0, data });
  }

  getRegs(): Promise<KvmRegs> {
    return this.request("KVM_GET_REGS", {});
  }

  async setRegs(regs: KvmRegs): Promise<void> {
    await this.request("KVM_SET_REGS", regs);
  }

  getSregs(): Promise<KvmSregs> {
    return this.request("KVM_GET_SREGS", {});
  }

  async setSregs(sregs: KvmSregs): Promise<void> {
    await this.request("KVM_SET_SREGS", sregs);
  }

  async kick(): Promise<void> {
    await this.request("SPLITVM_KICK", {});
  }
}

const EMPTY = new Uint8Array(0);
