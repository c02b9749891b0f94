/**
 * `-device virtio-blk-pci`: its properties, and the disk that they and a drive make.
 * Follows: QEMU's virtio-blk-pci.
 * Left out: share-rw, write-cache, block sizes other than 512; config-wce, discard and write-zeroes are always on.
 */
import type { PciDevice, PciSlot } from "../bus/interfaces.ts";
import type { PropertyTable, PropertyValues } from "../bus/property.ts";
import { VirtioBlk } from "../virtio/blk.ts";
import { ID_BYTES } from "../virtio/blk-config.ts";
import { VIRTIO_PCI_PROPERTIES, VirtioPci } from "../virtio/pci.ts";
import type { VirtioDevice, VirtioHost } from "../virtio/virtio.ts";
import type { DeviceEnv } from "./device-catalog.ts";

export const VIRTIO_BLK_PROPERTIES = {
  drive: { kind: "string", default: "", help: "id of its -drive, or node-name of its -blockdev" },
  serial: { kind: "string", default: "", help: `serial number, up to ${ID_BYTES} characters` },
  "num-queues": { kind: "u16", default: 1, help: "request queues" },
  "queue-size": { kind: "u16", default: 256, help: "requests in a queue, a power of two up to 1024" },
  iothread: { kind: "string", default: "", help: "id of the -object iothread that serves its drive" },
  werror: { kind: "string", default: "auto", help: "report|ignore|stop|enospc: when the host fails a write" },
  rerror: { kind: "string", default: "auto", help: "report|ignore|stop: when the host fails a read" },
  ...VIRTIO_PCI_PROPERTIES,
} as const satisfies PropertyTable;

/** Queues that one device may have: more than a guest has processors are of no use. */
const MAX_QUEUES = 64;
/** Section 2.7 allows more; QEMU does not. */
const MAX_QUEUE_SIZE = 1024;

/** Makes the device when its transport is there. Throws an Error, fit for the user, on properties that it cannot have. */
export function virtioBlk(env: DeviceEnv, properties: PropertyValues): (host: VirtioHost) => VirtioDevice {
  const { name, runState, drives } = env;
  const { drive, serial, "num-queues": numQueues, "queue-size": queueSize } = properties as Values;
  const wrong = (what: string) => new Error(`-device virtio-blk-pci: ${what}`);
  if (drive === "") throw wrong("drive=ID is needed: the disk's -drive or -blockdev");
  const backend = drives.get(drive);
  if (backend === undefined) throw wrong(`there is no drive ${drive}`);
  if (serial.length > ID_BYTES) throw wrong(`serial=${serial} is longer than ${ID_BYTES} characters`);
  if (!/^[ -~]*$/.test(serial)) throw wrong("serial= may have ASCII characters only");
  if (numQueues < 1 || numQueues > MAX_QUEUES) throw wrong(`num-queues=${numQueues} is not 1..${MAX_QUEUES}`);
  if (queueSize < 4 || queueSize > MAX_QUEUE_SIZE || (queueSize & (queueSize - 1)) !== 0) {
    throw wrong(`queue-size=${queueSize} is not a power of two from 4 to ${MAX_QUEUE_SIZE}`);
  }
  return (host) => new VirtioBlk({ name, backend, host, runState, serial, numQueues, queueSize });
}

/** The disk behind its transport. Throws an Error, fit for the user, on properties that it cannot have. */
export function virtioBlkPci(env: DeviceEnv, slot: PciSlot, properties: PropertyValues): PciDevice {
  const { memory, log } = env;
  return new VirtioPci({ slot, memory, log, properties }, virtioBlk(env, properties));
}

type Values = {
  readonly drive: string;
  readonly serial: string;
  readonly "num-queues": number;
  readonly "queue-size": number;
};
