/**
 * Where a virtio device's structures lie in its BAR, and the vendor capabilities that say so.
 * Follows: VIRTIO 1.2 sections 4.1.4 "Virtio Structure PCI Capabilities" and 4.1.4.9 "PCI configuration access capability".
 * Left out: shared memory regions, notifications with data, structures in other BARs.
 */
import type { BusDevice, PciCapability, StateValue, Width } from "../bus/interfaces.ts";
import { expectList } from "../bus/state.ts";

/** The BAR of all structures, as QEMU has it. */
export const VIRTIO_BAR = 4;
export const VIRTIO_BAR_SIZE = 0x4000;
/** Each structure has a page. */
export const AREA = { COMMON: 0x0000, ISR: 0x1000, DEVICE: 0x2000, NOTIFY: 0x3000 } as const;
export const AREA_SIZE = 0x1000;
/** struct virtio_pci_common_cfg without what is not offered (queue_notify_data, queue_reset). */
export const COMMON_SIZE = 0x38;
/** Each queue has its own address for notifications. */
export const NOTIFY_MULTIPLIER = 4;

const VENDOR_SPECIFIC = 0x09;
const CFG_TYPE = { COMMON: 1, NOTIFY: 2, ISR: 3, DEVICE: 4, PCI: 5 } as const;
/** struct virtio_pci_cap: offsets from the capability's first byte. */
const CAP = { LEN: 2, TYPE: 3, BAR: 4, OFFSET: 8, LENGTH: 12, END: 16 } as const;
/** What follows struct virtio_pci_cap in a notification and in a PCI_CFG capability. */
const TAIL = 4;
const DATA = CAP.END;
/** The first two bytes belong to the PCI host. */
const HEAD = 2;

/** A capability's bytes, its first two included. */
function capability(type: number, offset: number, length: number, tail?: number): Uint8Array {
  const bytes = new Uint8Array(CAP.END + (tail === undefined ? 0 : TAIL));
  const view = new DataView(bytes.buffer);
  bytes[CAP.LEN] = bytes.length;
  bytes[CAP.TYPE] = type;
  bytes[CAP.BAR] = VIRTIO_BAR;
  view.setUint32(CAP.OFFSET, offset, true);
  view.setUint32(CAP.LENGTH, length, true);
  if (tail !== undefined) view.setUint32(CAP.END, tail, true);
  return bytes;
}

/** A device's capabilities, that of PCI_CFG last. `configSize` 0: there is no device-specific structure. */
export function virtioCapabilities(configSize: number, queues: number, window: ConfigWindow): PciCapability[] {
  const structures = [
    capability(CFG_TYPE.COMMON, AREA.COMMON, COMMON_SIZE),
    capability(CFG_TYPE.NOTIFY, AREA.NOTIFY, NOTIFY_MULTIPLIER * queues, NOTIFY_MULTIPLIER),
    capability(CFG_TYPE.ISR, AREA.ISR, 1),
    ...(configSize > 0 ? [capability(CFG_TYPE.DEVICE, AREA.DEVICE, configSize)] : []),
  ];
  return [...structures.map((bytes) => ({ id: VENDOR_SPECIFIC, bytes: bytes.subarray(HEAD) })), window];
}

/** PCI_CFG: a window through which firmware accesses the BAR before it is mapped. */
export class ConfigWindow implements PciCapability {
  readonly id = VENDOR_SPECIFIC;
  readonly bytes: Uint8Array;
  readonly #region: BusDevice;
  readonly #all = capability(CFG_TYPE.PCI, 0, 0, 0);
  readonly #view = new DataView(this.#all.buffer);

  constructor(region: BusDevice) {
    this.#region = region;
    this.bytes = this.#all.subarray(HEAD);
    this.reset();
  }

  /** A read that touches the data reads from the BAR first. */
  read(offset: number, width: Width): number {
    const size = this.#accessSize();
    if (size !== 0 && offset + width > DATA && offset < DATA + TAIL) {
      const value = this.#region.read(this.#view.getUint32(CAP.OFFSET, true), size);
      for (let i = 0; i < size; i++) this.#all[DATA + i] = value >>> (8 * i);
    }
    let value = 0;
    for (let i = 0; i < width; i++) value |= (this.#all[offset + i] ?? 0) << (8 * i);
    return value >>> 0;
  }

  /** BAR, offset, length and data are the driver's; a write that touches the data then writes to the BAR. */
  write(offset: number, width: Width, value: number): void {
    for (let i = 0; i < width; i++) {
      const at = offset + i;
      if (at === CAP.BAR || (at >= CAP.OFFSET && at < DATA + TAIL)) this.#all[at] = value >>> (8 * i);
    }
    const size = this.#accessSize();
    if (size === 0 || offset + width <= DATA || offset >= DATA + TAIL) return;
    const data = this.#view.getUint32(DATA, true);
    const written = size === 4 ? data : data & ((1 << (8 * size)) - 1);
    this.#region.write(this.#view.getUint32(CAP.OFFSET, true), size, written);
  }

  reset(): void {
    this.#all.fill(0, CAP.OFFSET);
    this.#all[CAP.BAR] = 0;
  }

  save(): StateValue {
    return [...this.#all.subarray(CAP.BAR)];
  }

  load(name: string, state: StateValue | undefined): void {
    const bytes = expectList(name, "window", state, DATA + TAIL - CAP.BAR, 0xff);
    this.reset();
    this.#all.set(bytes, CAP.BAR);
  }

  /** 1, 2 or 4 if the window is on an aligned place of the BAR, else 0: then the data is just bytes. */
  #accessSize(): Width | 0 {
    const offset = this.#view.getUint32(CAP.OFFSET, true);
    const length = this.#view.getUint32(CAP.LENGTH, true);
    if (length !== 1 && length !== 2 && length !== 4) return 0;
    const inside = this.#all[CAP.BAR] === VIRTIO_BAR && offset % length === 0 && offset + length <= VIRTIO_BAR_SIZE;
    return inside ? length : 0;
  }
}
