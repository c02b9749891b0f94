/**
 * A small virtio driver for tests: it finds the structures by the capabilities, sets up queues in guest memory, and
 * speaks either ring, honest or not.
 * Follows: VIRTIO 1.2 sections 2.7, 2.8, 3.1 and 4.1.
 * Left out: everything that a test does not need; a test writes the rings by hand for what a driver must not do.
 */
import type { Bus } from "../../../qemu-user/bus/bus.ts";
import type { BusDevice, PciBar, PciSlot, Width } from "../../../qemu-user/bus/interfaces.ts";
import type { Pc } from "../../../qemu-user/machine/pc.ts";
import { VIRTIO_F } from "../../../qemu-user/virtio/features.ts";
import { AREA } from "../../../qemu-user/virtio/pci-capabilities.ts";
import { GuestMemory } from "../../../shared/guest-memory.ts";
import { FakeLine, PciDriver } from "../support/fakes.ts";

export const REG = {
  DEVICE_FEATURE_SELECT: 0x00,
  DEVICE_FEATURE: 0x04,
  DRIVER_FEATURE_SELECT: 0x08,
  DRIVER_FEATURE: 0x0c,
  CONFIG_MSIX_VECTOR: 0x10,
  NUM_QUEUES: 0x12,
  STATUS: 0x14,
  GENERATION: 0x15,
  QUEUE_SELECT: 0x16,
  QUEUE_SIZE: 0x18,
  QUEUE_MSIX_VECTOR: 0x1a,
  QUEUE_ENABLE: 0x1c,
  QUEUE_NOTIFY_OFF: 0x1e,
  QUEUE_DESC: 0x20,
  QUEUE_DRIVER: 0x28,
  QUEUE_DEVICE: 0x30,
} as const;

export const RAM = 2 * 1024 * 1024;

/** INTA, which is off while MSI-X is on. */
class SlotLine extends FakeLine {
  readonly #off: () => boolean;

  constructor(off: () => boolean) {
    super();
    this.#off = off;
  }

  override set(level: boolean): void {
    super.set(level && !this.#off());
  }
}

/** What the PCI host would give a function; it remembers what was sent. */
export class FakeSlot implements PciSlot {
  readonly intx = new SlotLine(() => this.msix.enabled);
  master = true;
  readonly vectors: number[] = [];
  readonly msix: { enabled: boolean; notify(vector: number): void } = {
    enabled: false,
    notify: (vector: number) => void this.vectors.push(vector),
  };

  busMaster(): boolean {
    return this.master;
  }
}

export function testMemory(): GuestMemory {
  return new GuestMemory(new SharedArrayBuffer(RAM), [{ gpa: 0, size: RAM, at: 0 }]);
}

export interface Buffer {
  readonly at: number;
  readonly length: number;
  readonly writable?: boolean;
  /** Flags besides NEXT and WRITE, and a `next` of the test's own. */
  readonly flags?: number;
  readonly next?: number;
}

export const INDIRECT = 4;

/** A queue's places in memory. Data may lie from 0x80000 on. */
export function queueAt(n: number): { readonly desc: number; readonly driver: number; readonly device: number } {
  const base = 0x10000 * (n + 1);
  return { desc: base, driver: base + 0x8000, device: base + 0xc000 };
}

/** A BAR, as far as a driver knows it. */
export type Reached = Pick<PciBar, "region">;

export class TestDriver {
  readonly memory: GuestMemory;
  readonly bar: Reached;
  #features = 0n;
  readonly #queues = new Map<number, DriverQueue>();

  constructor(device: { readonly bars: readonly Reached[] }, memory: GuestMemory) {
    this.memory = memory;
    this.bar = device.bars[0]!;
  }

  get(register: number, width: Width): number {
    return this.bar.region.read(AREA.COMMON + register, width);
  }

  set(register: number, width: Width, value: number): void {
    this.bar.region.write(AREA.COMMON + register, width, value);
  }

  get status(): number {
    return this.get(REG.STATUS, 1);
  }

  set status(value: number) {
    this.set(REG.STATUS, 1, value);
  }

  offered(): bigint {
    let features = 0n;
    for (const select of [0, 1]) {
      this.set(REG.DEVICE_FEATURE_SELECT, 4, select);
      features |= BigInt(this.get(REG.DEVICE_FEATURE, 4)) << BigInt(32 * select);
    }
    return features;
  }

  accept(features: bigint): void {
    this.#features = features;
    for (const select of [0, 1]) {
      this.set(REG.DRIVER_FEATURE_SELECT, 4, select);
      this.set(REG.DRIVER_FEATURE, 4, Number((features >> BigInt(32 * select)) & 0xffff_ffffn));
    }
  }

  /** Reset, features, FEATURES_OK. */
  begin(features: bigint): void {
    this.status = 0;
    this.#queues.clear();
    this.status = 1;
    this.status = 3;
    this.accept(features | VIRTIO_F.VERSION_1);
    this.status = 11;
  }

  address(register: number, at: number): void {
    this.set(register, 4, at % 2 ** 32);
    this.set(register + 4, 4, Math.floor(at / 2 ** 32));
  }

  /** Sets up queue n, with MSI-X vector n. */
  queue(n: number, size: number, at: Partial<ReturnType<typeof queueAt>> = {}): DriverQueue {
    const { desc, driver, device } = { ...queueAt(n), ...at };
    this.set(REG.QUEUE_SELECT, 2, n);
    this.set(REG.QUEUE_SIZE, 2, size);
    this.set(REG.QUEUE_MSIX_VECTOR, 2, n);
    this.address(REG.QUEUE_DESC, desc);
    this.address(REG.QUEUE_DRIVER, driver);
    this.address(REG.QUEUE_DEVICE, device);
    this.set(REG.QUEUE_ENABLE, 2, 1);
    for (const [part, bytes] of [
      [desc, 16 * size],
      [driver, 6 + 2 * size],
      [device, 6 + 8 * size],
    ] as const) {
      this.memory.fill(part, bytes, 0);
    }
    const packed = (this.#features & VIRTIO_F.RING_PACKED) !== 0n;
    const queue = packed
      ? new PackedDriver(this.memory, n, size, { desc, driver, device })
      : new SplitDriver(this.memory, n, size, { desc, driver, device });
    this.#queues.set(n, queue);
    return queue;
  }

  go(): void {
    this.status = 15;
  }

  kick(n: number): void {
    this.bar.region.write(AREA.NOTIFY + 4 * n, 2, n);
  }

  isr(): number {
    return this.bar.region.read(AREA.ISR, 1);
  }
}

/** A driver of the function in a slot of a board: it reaches BAR 4 through the bus, wherever that BAR is. */
export function boardDriver(pc: Pc, slot: number, memory: GuestMemory): TestDriver {
  const pci = new PciDriver(pc);
  const base = () => (pci.read(slot, 0x20) & ~0xf) >>> 0;
  return new TestDriver({ bars: [{ region: throughBus(pc, base) }] }, memory);
}

/** A region as the bus shows it. */
export function throughBus({ mmio }: { readonly mmio: Pick<Bus, "read" | "write"> }, base: () => number): BusDevice {
  return {
    name: "bar4",
    read: (offset, width) => mmio.read(base() + offset, width),
    write: (offset, width, value) => mmio.write(base() + offset, width, value),
  };
}

/** Both rings, as a driver. */
export interface DriverQueue {
  readonly n: number;
  /** Makes one chain available. */
  add(...buffers: Buffer[]): void;
  /** Returned chains since the last call: [head or id, length]. */
  used(): [number, number][];
  /** Wants no interrupts, or after so many more. */
  suppress(): void;
  interruptAfter(more: number): void;
}

type Places = ReturnType<typeof queueAt>;

export class SplitDriver implements DriverQueue {
  readonly n: number;
  readonly memory: GuestMemory;
  readonly size: number;
  readonly at: Places;
  availIdx = 0;
  #free = 0;
  #seen = 0;

  constructor(memory: GuestMemory, n: number, size: number, at: Places) {
    this.memory = memory;
    this.n = n;
    this.size = size;
    this.at = at;
  }

  add(...buffers: Buffer[]): void {
    const head = this.#free % this.size;
    buffers.forEach((buffer, i) => {
      const last = i === buffers.length - 1;
      this.describe(this.#free++ % this.size, buffer, last ? undefined : this.#free % this.size);
    });
    this.publish(head);
  }

  /** Writes one descriptor. */
  describe(index: number, buffer: Buffer, next?: number): void {
    writeDescriptor(this.memory, this.at.desc + 16 * index, buffer, next);
  }

  /** Puts a head into the available ring. */
  publish(head: number): void {
    this.memory.writeU16(this.at.driver + 4 + 2 * (this.availIdx % this.size), head);
    this.availIdx = (this.availIdx + 1) & 0xffff;
    this.memory.writeU16(this.at.driver + 2, this.availIdx);
  }

  used(): [number, number][] {
    const found: [number, number][] = [];
    for (
      const end = this.memory.readU16(this.at.device + 2);
      this.#seen !== end;
      this.#seen = (this.#seen + 1) & 0xffff
    ) {
      const element = this.at.device + 4 + 8 * (this.#seen % this.size);
      found.push([this.memory.readU32(element), this.memory.readU32(element + 4)]);
    }
    return found;
  }

  suppress(): void {
    this.memory.writeU16(this.at.driver, 1);
  }

  interruptAfter(more: number): void {
    this.memory.writeU16(this.at.driver + 4 + 2 * this.size, this.#seen + more - 1);
  }

  get availEvent(): number {
    return this.memory.readU16(this.at.device + 4 + 8 * this.size);
  }
}

export function writeDescriptor(memory: GuestMemory, at: number, buffer: Buffer, next?: number): void {
  memory.writeU32(at, buffer.at % 2 ** 32);
  memory.writeU32(at + 4, Math.floor(buffer.at / 2 ** 32));
  memory.writeU32(at + 8, buffer.length);
  memory.writeU16(at + 12, (buffer.flags ?? 0) | (buffer.writable === true ? 2 : 0) | (next === undefined ? 0 : 1));
  memory.writeU16(at + 14, buffer.next ?? next ?? 0);
}

export class PackedDriver implements DriverQueue {
  readonly n: number;
  readonly memory: GuestMemory;
  readonly size: number;
  readonly at: Places;
  #avail = 0;
  #availWrap = true;
  #used = 0;
  #usedWrap = true;
  #id = 0;
  readonly #lengths = new Map<number, number>();

  constructor(memory: GuestMemory, n: number, size: number, at: Places) {
    this.memory = memory;
    this.n = n;
    this.size = size;
    this.at = at;
  }

  /** The first descriptor's flags come last. */
  add(...buffers: Buffer[]): void {
    const id = this.#id++ & 0xffff;
    this.#lengths.set(id, buffers.length);
    let first = () => {};
    buffers.forEach((buffer, i) => {
      const at = this.at.desc + 16 * this.#avail;
      const flags =
        (buffer.flags ?? 0) |
        (buffer.writable === true ? 2 : 0) |
        (i < buffers.length - 1 ? 1 : 0) |
        (this.#availWrap ? 0x80 : 0x8000);
      this.memory.writeU32(at, buffer.at % 2 ** 32);
      this.memory.writeU32(at + 4, Math.floor(buffer.at / 2 ** 32));
      this.memory.writeU32(at + 8, buffer.length);
      this.memory.writeU16(at + 12, id);
      if (i === 0) first = () => this.memory.writeU16(at + 14, flags);
      else this.memory.writeU16(at + 14, flags);
      if (++this.#avail === this.size) {
        this.#avail = 0;
        this.#availWrap = !this.#availWrap;
      }
    });
    first();
  }

  used(): [number, number][] {
    const found: [number, number][] = [];
    for (;;) {
      const at = this.at.desc + 16 * this.#used;
      const flags = this.memory.readU16(at + 14);
      const want = this.#usedWrap ? 0x8080 : 0;
      if ((flags & 0x8080) !== want) return found;
      const id = this.memory.readU16(at + 12);
      const length = this.#lengths.get(id);
      if (length === undefined) return found;
      this.#lengths.delete(id);
      found.push([id, this.memory.readU32(at + 8)]);
      this.#used += length;
      if (this.#used >= this.size) {
        this.#used -= this.size;
        this.#usedWrap = !this.#usedWrap;
      }
    }
  }

  suppress(): void {
    this.memory.writeU16(this.at.driver + 2, 1);
  }

  /** Counts entries of the ring. */
  interruptAfter(more: number): void {
    const at = this.#used + more - 1;
    const wrap = at >= this.size ? !this.#usedWrap : this.#usedWrap;
    this.memory.writeU16(this.at.driver, (at % this.size) | (wrap ? 0x8000 : 0));
    this.memory.writeU16(this.at.driver + 2, 2);
  }
}
