/**
 * The PCI transport of virtio: a modern virtio-pci function with a virtio device behind it.
 * Follows: VIRTIO 1.2 sections 2.1 (status), 3.1 (initialization) and 4.1 "Virtio Over PCI Bus".
 * Left out: the legacy interface, resetting single queues, notifications with data. MSI-X table and pending bits are the
 * PCI host's.
 *
 * What a driver does wrong before it runs has no effect; afterwards the device sets NEEDS_RESET and stops. While the
 * function may not master the bus, queues give nothing and take nothing.
 */
import type { GuestMemory } from "../../shared/guest-memory.ts";
import type {
  BusDevice,
  DeviceState,
  Log,
  PciBar,
  PciCapability,
  PciDevice,
  PciIdentity,
  PciSlot,
  PostedRange,
  StateValue,
  Width,
} from "../bus/interfaces.ts";
import type { PropertyTable, PropertyValues } from "../bus/property.ts";
import { expectBoolean, expectUnsigned, expectVersion } from "../bus/state.ts";
import { BANK, bankAddress, CommonConfig, type CommonConfigOwner, NO_VECTOR } from "./common-config.ts";
import { STATUS, VIRTIO_F } from "./features.ts";
import { PackedQueue } from "./packed-queue.ts";
import {
  AREA,
  AREA_SIZE,
  ConfigWindow,
  NOTIFY_MULTIPLIER,
  VIRTIO_BAR,
  VIRTIO_BAR_SIZE,
  virtioCapabilities,
} from "./pci-capabilities.ts";
import { NO_QUEUE, type QueueHost, type TransportQueue } from "./queue.ts";
import { SplitQueue } from "./split-queue.ts";
import type { VirtioDevice, VirtioHost } from "./virtio.ts";

/** As QEMU spells them. */
export const VIRTIO_PCI_PROPERTIES = {
  packed: { kind: "bool", default: true, help: "offer packed virtqueues" },
  event_idx: { kind: "bool", default: true, help: "offer event indices" },
  indirect_desc: { kind: "bool", default: true, help: "offer indirect descriptors" },
} as const satisfies PropertyTable;

const VENDOR = 0x1af4;
const FIRST_DEVICE = 0x1040;
/** QEMU's subsystem: drivers do not look at it. */
const SUBSYSTEM = 0x1100;
const MSIX_BAR = 1;

const ISR = { QUEUE: 1, CONFIG: 2 } as const;
/** Bits that a driver can set, and only a reset clears. */
const DRIVER_BITS = STATUS.ACKNOWLEDGE | STATUS.DRIVER | STATUS.DRIVER_OK | STATUS.FEATURES_OK | STATUS.FAILED;

/** Mistakes of drivers that are reported before the log falls silent: a guest must not fill a disk. */
const REPORTS = 16;

/** What the transport touches. */
export interface VirtioPciEnv {
  readonly slot: PciSlot;
  readonly memory: GuestMemory;
  readonly log: Log;
  /** Values of VIRTIO_PCI_PROPERTIES; one that is missing is on. */
  readonly properties: PropertyValues;
}

export class VirtioPci implements PciDevice, VirtioHost, CommonConfigOwner {
  readonly name: string;
  readonly identity: PciIdentity;
  readonly bars: readonly PciBar[];
  readonly capabilities: readonly PciCapability[];
  readonly msix: { readonly vectors: number; readonly bar: number };
  readonly memory: GuestMemory;
  readonly offered: bigint;
  readonly queueSizes: readonly number[];
  /** The registers, for the test of all maps. */
  readonly config: CommonConfig;

  readonly #env: VirtioPciEnv;
  readonly #device: VirtioDevice;
  readonly #window: ConfigWindow;
  #queues: readonly TransportQueue[] = [];
  /** DRIVER_OK is set, and the driver has made no mistake since. */
  #running = false;
  #isr = 0;
  #reports = 0;

  /** `make` gets what the transport offers; it must not call it before `start`. */
  constructor(env: VirtioPciEnv, make: (host: VirtioHost) => VirtioDevice) {
    this.#env = env;
    this.memory = env.memory;
    const device = make(this);
    this.#device = device;
    this.name = device.name;
    this.identity = {
      vendor: VENDOR,
      device: FIRST_DEVICE + device.deviceId,
      revision: 1,
      classCode: device.classCode,
      subsystemVendor: VENDOR,
      subsystem: SUBSYSTEM,
      interrupt: true,
    };
    this.offered = device.features | VIRTIO_F.VERSION_1 | ringFeatures(env.properties);
    this.queueSizes = device.queueSizes;
    this.config = new CommonConfig(this);
    this.msix = { vectors: device.queueSizes.length + 1, bar: MSIX_BAR };
    const region: BusDevice = {
      name: `${device.name}.bar${VIRTIO_BAR}`,
      read: (offset, width) => this.#read(offset, width),
      write: (offset, width, value) => this.#write(offset, width, value),
    };
    const posted = device.queueSizes.map(
      (_, n): PostedRange => ({ offset: AREA.NOTIFY + NOTIFY_MULTIPLIER * n, size: 2, kind: "ioeventfd" }),
    );
    const bar = { kind: "memory" as const, size: VIRTIO_BAR_SIZE, region, posted, at: VIRTIO_BAR };
    this.bars = [bar];
    this.#window = new ConfigWindow(region);
    this.capabilities = virtioCapabilities(device.configSize, device.queueSizes.length, this.#window);
  }

  needsReset(reason: string): void {
    const status = this.config.status;
    if ((status & STATUS.NEEDS_RESET) !== 0) return;
    this.config.status = status | STATUS.NEEDS_RESET;
    this.#stop();
    if (this.#reports++ < REPORTS) this.#env.log(`${this.name}: stopped until the driver resets it: ${reason}`);
    if ((status & STATUS.DRIVER_OK) !== 0) this.#interruptConfig();
  }

  configChanged(): void {
    this.config.nextGeneration();
    if ((this.config.status & STATUS.DRIVER_OK) !== 0) this.#interruptConfig();
  }

  /** DEVICE_STATUS (section 3.1.1). Zero resets; no other bit can be cleared. */
  statusWritten(value: number, old: number): void {
    if (value === 0) {
      this.#resetDevice();
      return;
    }
    let status = old | (value & DRIVER_BITS);
    const risen = status & ~old;
    if ((risen & STATUS.FEATURES_OK) !== 0 && !this.#featuresFit()) status &= ~STATUS.FEATURES_OK;
    this.config.status = status;
    if ((risen & STATUS.DRIVER_OK) === 0) return;
    if ((status & STATUS.FEATURES_OK) === 0) this.needsReset("DRIVER_OK without FEATURES_OK");
    else if (this.#start()) this.#notifyAll();
  }

  reset(): void {
    this.#window.reset();
    this.#resetDevice();
  }

  save(): DeviceState {
    // The device first: it waits for what is under way, and returns those chains.
    const device = this.#device.save();
    return {
      version: 1,
      config: this.config.save(),
      window: this.#window.save(),
      isr: this.#isr,
      running: this.#running,
      // Of a device that has stopped, nothing comes back but by a reset, which makes them anew.
      queues: this.#running ? this.#queues.map((queue) => queue.save()) : [],
      device,
    };
  }

  /** Throws an Error on what it cannot take. Chains that the device had not returned yet are given to it again. */
  load(state: DeviceState): void {
    expectVersion(this.name, state, 1);
    const isr = expectUnsigned(this.name, "isr", state["isr"], ISR.QUEUE | ISR.CONFIG);
    const running = expectBoolean(this.name, "running", state["running"]);
    const queues = state["queues"];
    if (!Array.isArray(queues)) throw new Error(`${this.name}: saved queues are missing`);
    this.reset();
    this.#window.load(this.name, state["window"]);
    this.config.load(this.name, state["config"]);
    this.#isr = isr;
    if (running && this.#start()) {
      for (const [n, queue] of this.#queues.entries()) queue.load(this.name, (queues[n] as StateValue) ?? false);
    }
    this.#device.load(state["device"] ?? false);
    this.#updateLine();
    this.#notifyAll();
  }

  /** Makes the queues and starts the device. False if the driver has set up a queue wrongly. */
  #start(): boolean {
    const { accepted, banks } = this.config;
    const packed = (accepted & VIRTIO_F.RING_PACKED) !== 0n;
    this.#queues = banks.map((bank, n) => {
      if (bank[BANK.ENABLE] === 0) return NO_QUEUE;
      const setup = {
        size: bank[BANK.SIZE]!,
        maxSize: this.queueSizes[n]!,
        desc: bankAddress(bank, BANK.DESC),
        driver: bankAddress(bank, BANK.DRIVER),
        device: bankAddress(bank, BANK.DEVICE),
        eventIdx: (accepted & VIRTIO_F.RING_EVENT_IDX) !== 0n,
        indirect: (accepted & VIRTIO_F.RING_INDIRECT_DESC) !== 0n,
      };
      return packed ? new PackedQueue(this.#queueHost(n), setup) : new SplitQueue(this.#queueHost(n), setup);
    });
    if ((this.config.status & STATUS.NEEDS_RESET) !== 0) {
      this.#stop();
      return false;
    }
    this.#running = true;
    this.#device.start(accepted, this.#queues);
    return true;
  }

  /** What was made available before the device ran. */
  #notifyAll(): void {
    for (let n = 0; n < this.#queues.length && this.#running; n++) this.#device.notify(n);
  }

  #stop(): void {
    this.#running = false;
    for (const queue of this.#queues) queue.stop();
  }

  /** The device's reset by its driver: all but the PCI function. */
  #resetDevice(): void {
    this.#stop();
    this.#queues = [];
    this.#device.reset();
    this.config.reset();
    this.#isr = 0;
    this.#updateLine();
  }

  #featuresFit(): boolean {
    const accepted = this.config.accepted;
    return (accepted & ~this.offered) === 0n && (accepted & VIRTIO_F.VERSION_1) !== 0n;
  }

  #queueHost(n: number): QueueHost {
    return {
      memory: this.memory,
      busMaster: () => this.#env.slot.busMaster(),
      needsReset: (reason) => this.needsReset(`queue ${n} has ${reason}`),
      interrupt: () => this.#interruptQueue(n),
    };
  }

  #interruptQueue(n: number): void {
    if (this.#env.slot.msix.enabled) {
      this.#message(this.config.banks[n]![BANK.VECTOR]!);
      return;
    }
    this.#isr |= ISR.QUEUE;
    this.#updateLine();
  }

  /** The ISR's bit is set also with MSI-X (section 4.1.4.5.1). */
  #interruptConfig(): void {
    this.#isr |= ISR.CONFIG;
    if (this.#env.slot.msix.enabled) this.#message(this.config.configVector);
    this.#updateLine();
  }

  #message(vector: number): void {
    if (vector !== NO_VECTOR) this.#env.slot.msix.notify(vector);
  }

  /** Without effect while MSI-X is on, which is the slot's to know. */
  #updateLine(): void {
    this.#env.slot.intx.set(this.#isr !== 0);
  }

  #read(offset: number, width: Width): number {
    const at = offset % AREA_SIZE;
    switch (offset - at) {
      case AREA.COMMON:
        return this.config.read(at, width);
      case AREA.ISR:
        return at === 0 ? this.#takeIsr() : 0;
      case AREA.DEVICE:
        return this.#readDevice(at, width);
      default:
        return 0;
    }
  }

  #write(offset: number, width: Width, value: number): void {
    const at = offset % AREA_SIZE;
    switch (offset - at) {
      case AREA.COMMON:
        this.config.write(at, width, value);
        break;
      case AREA.DEVICE:
        this.#writeDevice(at, width, value);
        break;
      case AREA.NOTIFY:
        if (at % NOTIFY_MULTIPLIER === 0) this.#notified(at / NOTIFY_MULTIPLIER);
        break;
    }
  }

  /** The address says which queue; what is written is its number once more. */
  #notified(queue: number): void {
    if (this.#running && queue < this.#queues.length) this.#device.notify(queue);
  }

  /** Reading the ISR acknowledges the interrupt. */
  #takeIsr(): number {
    const isr = this.#isr;
    this.#isr = 0;
    this.#updateLine();
    return isr;
  }

  /** An access that leaves the structure is one of the bytes inside. */
  #readDevice(at: number, width: Width): number {
    const size = this.#device.configSize;
    if (at + width <= size) return this.#device.readConfig(at, width) >>> 0;
    let value = 0;
    for (let i = 0; i < width && at + i < size; i++) value |= (this.#device.readConfig(at + i, 1) & 0xff) << (8 * i);
    return value >>> 0;
  }

  #writeDevice(at: number, width: Width, value: number): void {
    const size = this.#device.configSize;
    if (at + width <= size) {
      this.#device.writeConfig(at, width, value);
      return;
    }
    for (let i = 0; i < width && at + i < size; i++) this.#device.writeConfig(at + i, 1, (value >>> (8 * i)) & 0xff);
  }
}

function ringFeatures(properties: PropertyValues): bigint {
  const on = (name: keyof typeof VIRTIO_PCI_PROPERTIES, bit: bigint) => (properties[name] === false ? 0n : bit);
  return (
    on("packed", VIRTIO_F.RING_PACKED) |
    on("event_idx", VIRTIO_F.RING_EVENT_IDX) |
    on("indirect_desc", VIRTIO_F.RING_INDIRECT_DESC)
  );
}
