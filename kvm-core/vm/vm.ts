/**
 * A virtual machine: its linear memory, slots, regions, device servers, interrupt lines and vCPUs, on the main thread.
 * It lives as long as a handle of its owner's, and where it was kept (SPLITVM_KEEP_VM) a while longer, parked.
 * Leaves out: the requests' arguments (server/vm-ioctls.ts).
 */
import { setImmediate } from "node:timers/promises";
import { CODE_MAP_BYTES } from "../../shared/code-map.ts";
import { KvmError } from "../../shared/errno.ts";
import type { Arg } from "../../shared/ioctls.ts";
import { clockMonotonic } from "../../shared/native.ts";
import { MAX_VCPUS } from "../../shared/server-area.ts";
import { initRow, STATS_REASONS } from "../../shared/stats-page.ts";
import { PENDING_PROTECT } from "../cpu/requests.ts";
import { CLOCK_BASE, CODE_MAP } from "../cpu/zones.ts";
import { LapicDelivery } from "../irqchip/lapic-delivery.ts";
import { Vcpu } from "../vcpu/vcpu.ts";
import { Descriptor } from "./descriptor.ts";
import { DeviceServers, isGone, type Peer } from "./device-servers.ts";
import type { MemoryPool } from "./memory-pool.ts";
import { MemSlots } from "./memslots.ts";
import { RegionTable } from "./regions.ts";
import { VmIrqchip } from "./vm-irqchip.ts";
import { statsAt } from "./vm-state.ts";

/** Seconds of SPLITVM_KEEP_VM: a day. (setTimeout takes at most 2^31 ms, and fires at once for more.) */
export const MAX_LINGER = 86_400;

export class Vm {
  readonly name: string;
  readonly memory: WebAssembly.Memory;
  readonly slots: MemSlots;
  readonly regions: RegionTable;
  readonly servers: DeviceServers;
  readonly irqchip: VmIrqchip;
  /** What device servers and vCPUs tell each other of code pages (shared/code-map.ts). */
  readonly codeMap: Descriptor;
  readonly vcpus = new Map<number, Vcpu>();
  /** Places and names of the regions, by id: their rows in the statistics. */
  readonly #names = new Map<number, { space: number; base: number; length: number; name: string }>();
  readonly #pool: MemoryPool;
  readonly #module: WebAssembly.Module;
  #owner: object | undefined;
  #ownerPeer: Peer;
  #linger = 0;
  #lingering: NodeJS.Timeout | undefined;
  #destroyed: Promise<void> | undefined;
  /** Called once when the VM has ended. */
  onDestroyed: () => void = () => {};
  /** Something that the person who runs kvm-core should read. */
  onReport: (line: string) => void = () => {};

  constructor(name: string, owner: object, peer: Peer, pool: MemoryPool, module: WebAssembly.Module) {
    this.name = name;
    this.#owner = owner;
    this.#ownerPeer = peer;
    this.#pool = pool;
    this.#module = module;
    this.memory = pool.take();
    new DataView(this.memory.buffer).setFloat64(CLOCK_BASE, clockMonotonic(), true);
    this.codeMap = Descriptor.create("splitvm-code-map", CODE_MAP_BYTES);
    this.codeMap.map(new Uint8Array(this.memory.buffer), CODE_MAP, CODE_MAP_BYTES, 0, "the code map");
    this.slots = new MemSlots(this.memory);
    this.regions = new RegionTable(this.memory);
    this.servers = new DeviceServers(this.memory);
    this.irqchip = new VmIrqchip(this.memory, () => this.vcpus.get(0)?.interruptsChanged());
    this.irqchip.delivery = new LapicDelivery(this.memory);
    this.servers.place(owner, peer, true);
  }

  get parked(): boolean {
    return this.#owner === undefined;
  }

  get ownerPid(): number {
    return this.#ownerPeer.pid;
  }

  isOwner(session: object): boolean {
    return this.#owner === session;
  }

  /** True once the VM is being destroyed: its handles are dead with it. */
  get dead(): boolean {
    return this.#destroyed !== undefined;
  }

  /** KVM_CREATE_VCPU. EINVAL: no such id; EEXIST: it exists. */
  createVcpu(id: number): Vcpu {
    if (id >= MAX_VCPUS) throw new KvmError("EINVAL", `vCPU ${id}: ids are below ${MAX_VCPUS}`);
    if (this.vcpus.has(id)) throw new KvmError("EEXIST", `vCPU ${id} exists`);
    const vcpu = new Vcpu(this.memory, this.#module, id);
    vcpu.onFailure = (error) => this.onReport(`vCPU ${id} of "${this.name}" failed: ${error.stack}`);
    this.vcpus.set(id, vcpu);
    for (const region of this.#names.keys()) this.#nameRegion(vcpu, region);
    return vcpu;
  }

  /** KVM_CREATE_IRQCHIP. EEXIST: it exists; EINVAL: a vCPU exists already, as in Linux. */
  createIrqchip(): void {
    if (!this.hasIrqchip && this.vcpus.size > 0)
      throw new KvmError("EINVAL", "KVM_CREATE_IRQCHIP comes before the first KVM_CREATE_VCPU");
    this.irqchip.create();
  }

  /** KVM_ENABLE_CAP of KVM_CAP_SPLIT_IRQCHIP. */
  splitIrqchip(reserved: bigint): void {
    this.irqchip.split(reserved, this.vcpus.size);
  }

  /** Work on the interrupt controllers' state while the thread that drives them has vCPU 0 at rest. */
  async withIrqchip<T>(work: (irqchip: VmIrqchip) => T): Promise<T> {
    return this.vcpus.get(0)?.whenIdle(() => work(this.irqchip)) ?? work(this.irqchip);
  }

  get hasIrqchip(): boolean {
    return this.irqchip.exists;
  }

  /** Adds a region and its rows in the statistics; returns its id. */
  registerRegion(server: number, space: number, base: bigint, length: bigint, name: string): number {
    const region = this.regions.register(server, space, base, length);
    this.#names.set(region, { space, base: Number(base), length: Number(length), name });
    for (const vcpu of this.vcpus.values()) this.#nameRegion(vcpu, region);
    return region;
  }

  /** Ends a region of a server's; its exits are the owner's from then on. ENOENT if it is none of the server's. */
  unregisterRegion(server: number, region: number): void {
    this.regions.unregister(server, region);
    this.#names.delete(region);
  }

  /** KVM_SET_USER_MEMORY_REGION (memslots.ts). Resolves when no vCPU uses what was before any more. */
  async setMemory(arg: Arg<"KVM_SET_USER_MEMORY_REGION">, memfd: Descriptor | undefined): Promise<void> {
    if ([...this.vcpus.values()].every((vcpu) => vcpu.tlbIsFlushed)) this.slots.flushed();
    const { slot, flags, guest_phys_addr, memory_size, memfd_offset } = arg;
    const request = this.slots.set(slot, flags, guest_phys_addr, memory_size, memfd, memfd_offset);
    if (request !== 0) await this.#allAnswer(request);
  }

  /** KVM_GET_DIRTY_LOG: the slot's bitmap, when every write before is in it or will be in the next one. */
  async dirtyLog(slot: number): Promise<Uint8Array> {
    const bitmap = this.slots.dirtyLog(slot);
    await this.#allAnswer(PENDING_PROTECT);
    return bitmap;
  }

  /** Makes a request of every vCPU; resolves when each has done it, or will before it does anything of the guest's. */
  async #allAnswer(request: number): Promise<void> {
    const vcpus = [...this.vcpus.values()];
    for (const vcpu of vcpus) vcpu.request(request);
    // A running vCPU answers within microseconds; while it does not, other clients are served.
    while (!vcpus.every((vcpu) => vcpu.answered(request))) await setImmediate();
  }

  /** SPLITVM_KEEP_VM. EINVAL: longer than a timer can be. */
  keep(linger: number): void {
    if (linger > MAX_LINGER) throw new KvmError("EINVAL", `linger ${linger}: at most ${MAX_LINGER} s`);
    this.#linger = linger;
  }

  /** Makes a session the owner. EBUSY: there is one, or its process still lives. */
  takeOwnership(session: object, peer: Peer): void {
    if (this.#owner !== undefined)
      throw new KvmError("EBUSY", `"${this.name}" has an owner: process ${this.#ownerPeer.pid}`);
    if (!isGone(this.#ownerPeer)) throw new KvmError("EBUSY", `process ${this.#ownerPeer.pid} still lives`);
    this.servers.takeOver(0, session, peer);
    clearTimeout(this.#lingering);
    this.#lingering = undefined;
    this.#owner = session;
    this.#ownerPeer = peer;
    this.onReport(`"${this.name}" was taken over by process ${peer.pid}`);
  }

  /** A session that had a handle on this VM ended. */
  sessionEnded(session: object): void {
    const place = this.servers.sessionEnded(session);
    if (this.#owner === session) {
      this.#owner = undefined;
      for (const vcpu of this.vcpus.values()) {
        vcpu.orphan();
        vcpu.onTrace = (_line, taken) => taken();
      }
      if (this.#linger === 0 || this.#destroyed) {
        void this.destroy();
        return;
      }
      this.onReport(`"${this.name}" is parked: process ${this.#ownerPeer.pid} is gone; kept for ${this.#linger} s`);
      this.#lingering = setTimeout(() => {
        this.onReport(`"${this.name}" was parked for ${this.#linger} s and nobody took it over: destroyed`);
        void this.destroy();
      }, this.#linger * 1000);
    } else if (place > 0) {
      this.onReport(`device server ${place} of "${this.name}" is gone: its exits wait for a successor`);
    }
  }

  /** Stops the vCPUs, unmaps everything, gives the memory back. Safe to call again. */
  destroy(): Promise<void> {
    this.#destroyed ??= this.#tearDown();
    return this.#destroyed;
  }

  async #tearDown(): Promise<void> {
    clearTimeout(this.#lingering);
    await Promise.all([...this.vcpus.values()].map((vcpu) => vcpu.stop()));
    this.vcpus.clear();
    this.slots.releaseAll();
    this.servers.releaseAll();
    this.codeMap.release();
    this.#pool.give(this.memory);
    this.onDestroyed();
  }

  #nameRegion(vcpu: Vcpu, region: number): void {
    initRow(this.memory.buffer, statsAt(vcpu.id), STATS_REASONS + region, { kind: 2, ...this.#names.get(region)! });
  }
}
