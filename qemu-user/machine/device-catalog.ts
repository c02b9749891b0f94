/**
 * The devices that `-device` can add: name, properties, and how one is made.
 * Follows: QEMU's `-device NAME[,prop=value...]`, its generic properties `id` and (on PCI) `addr`.
 * Left out: devices that every board has; those are in pc.ts.
 */
import type { GuestMemory } from "../../shared/guest-memory.ts";
import type { BlockBackend } from "../block/block.ts";
import type {
  BusDevice,
  CharBackend,
  Clock,
  Device,
  ExitRequest,
  IrqLine,
  Log,
  PciDevice,
  PciSlot,
  RunState,
  Timers,
} from "../bus/interfaces.ts";
import type { PropertyTable, PropertyValue, PropertyValues } from "../bus/property.ts";
import { ISA_DEBUG_EXIT_PROPERTIES, IsaDebugExit } from "../hw/isa-debug-exit.ts";
import { PcTestdev, TESTDEV_LINES } from "../hw/pc-testdev.ts";
import { PciTestdev } from "../hw/pci-testdev.ts";
import { PVPANIC_PROPERTIES, Pvpanic } from "../hw/pvpanic.ts";
import { SPLITVM_TEST_PROPERTIES, SplitvmTest } from "../hw/splitvm-test.ts";
import { VirtioConsole } from "../virtio/console.ts";
import { VIRTIO_PCI_PROPERTIES, VirtioPci } from "../virtio/pci.ts";
import { VirtioRng } from "../virtio/rng.ts";
import { VIRTIO_BLK_PROPERTIES, virtioBlkPci } from "./virtio-blk.ts";

/** One `-device NAME,prop=value`, parsed: every property of the device's table is present. */
export interface DeviceOption {
  readonly name: string;
  readonly id: string | undefined;
  readonly properties: PropertyValues;
}

/** What the board can offer to a device; each takes from it what it touches. */
export interface DeviceEnv {
  /** The new device's name on this board. */
  readonly name: string;
  readonly memory: GuestMemory;
  readonly exit: ExitRequest;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly runState: RunState;
  /** Every drive by its id. */
  readonly drives: ReadonlyMap<string, BlockBackend>;
  /** Fills with random bytes; undefined: with the host's own. */
  readonly entropy: ((into: Uint8Array) => void) | undefined;
  /** Exits served for this VM so far. */
  readonly exits: () => number;
  /** The character back end with this id; null: output vanishes; undefined: there is none of that id. */
  readonly chars: (id: string) => CharBackend | null | undefined;
}

interface CatalogRow {
  readonly description: string;
  readonly properties: PropertyTable;
}

export interface PciRow extends CatalogRow {
  readonly bus: "PCI";
  create(env: DeviceEnv, slot: PciSlot, properties: PropertyValues): PciDevice;
}

export interface IsaRow extends CatalogRow {
  readonly bus: "ISA";
  /** The ports that these properties ask for. */
  ports(properties: PropertyValues): { readonly base: number; readonly size: number };
  create(env: DeviceEnv, properties: PropertyValues): Device & BusDevice;
}

/** A device that is in several places, which are the same wherever it is, and has lines of its own. */
export interface BoardRow extends CatalogRow {
  readonly bus: "board";
  create(env: DeviceEnv, gsi: (number: number) => IrqLine): BoardParts;
}

export interface BoardParts {
  readonly device: Device;
  readonly ports: readonly (readonly [base: number, size: number, device: BusDevice])[];
  readonly memory: readonly (readonly [base: number, size: number, device: BusDevice])[];
}

/** Slot 0 is the host bridge's, so 0 can mean that the board chooses. */
const PCI_PROPERTIES = {
  addr: { kind: "pci-slot", default: 0, help: "PCI slot, hexadecimal; 0: the first that is free" },
} as const satisfies PropertyTable;

export const DEVICE_CATALOG: Readonly<Record<string, PciRow | IsaRow | BoardRow>> = {
  "isa-debug-exit": {
    bus: "ISA",
    description: "port that ends the run with a status of the guest's choice",
    properties: ISA_DEBUG_EXIT_PROPERTIES,
    ports: (p) => ({ base: number(p["iobase"]), size: Math.max(1, number(p["iosize"])) }),
    create: (env) => new IsaDebugExit(env.exit),
  },
  "pc-testdev": {
    bus: "board",
    description: "test device of kvm-unit-tests: ports, memory, interrupt lines",
    properties: {},
    create: (_env, gsi) => {
      const device = new PcTestdev(gsi);
      return {
        device,
        ports: [
          [0xe0, 4, device.ports],
          [0xe4, 4, device.ports],
          [0xe8, 1, device.flush],
          [0x2000, TESTDEV_LINES, device.irqs],
        ],
        memory: [[0xff00_0000, 0x1_0000, device.memory]],
      };
    },
  },
  "pci-testdev": {
    bus: "PCI",
    description: "test device of kvm-unit-tests: writes to memory and ports, plain and posted",
    properties: PCI_PROPERTIES,
    create: ({ name }) => new PciTestdev(name),
  },
  pvpanic: {
    bus: "ISA",
    description: "port through which a guest reports that it has crashed",
    properties: PVPANIC_PROPERTIES,
    ports: (p) => ({ base: number(p["ioport"]), size: 1 }),
    create: (env, p) => new Pvpanic(number(p["events"]), env.log),
  },
  "splitvm-test": {
    bus: "PCI",
    description: "test device: ports, memory, doorbell, DMA, interrupt",
    properties: { ...SPLITVM_TEST_PROPERTIES, ...PCI_PROPERTIES },
    create: ({ name, memory, exits }, slot, p) =>
      new SplitvmTest({ name, slot, memory, exits, journal: p["journal"] === true }),
  },
  "virtio-console-pci": {
    bus: "PCI",
    description: "virtio console with one port",
    properties: {
      chardev: { kind: "string", default: "", help: "id of the character back end; none: output vanishes" },
      ...VIRTIO_PCI_PROPERTIES,
      ...PCI_PROPERTIES,
    },
    create: ({ name, memory, log, chars }, slot, p) => {
      const backend = charBackend("virtio-console-pci", chars, p["chardev"]);
      return new VirtioPci({ slot, memory, log, properties: p }, (host) => new VirtioConsole(name, host, backend));
    },
  },
  "virtio-rng-pci": {
    bus: "PCI",
    description: "virtio entropy device: random bytes of the host",
    properties: { ...VIRTIO_PCI_PROPERTIES, ...PCI_PROPERTIES },
    create: ({ name, memory, log, entropy }, slot, p) =>
      new VirtioPci({ slot, memory, log, properties: p }, () => new VirtioRng(name, entropy)),
  },
  "virtio-blk-pci": {
    bus: "PCI",
    description: "disk",
    properties: { ...VIRTIO_BLK_PROPERTIES, ...PCI_PROPERTIES },
    create: virtioBlkPci,
  },
};

/** The values of a device's table that nobody set. Throws an Error on a name that is not in the catalog. */
export function defaultProperties(name: string): PropertyValues {
  const row = DEVICE_CATALOG[name];
  if (row === undefined) throw new Error(`no device ${name}`);
  return Object.fromEntries(Object.entries(row.properties).map(([key, property]) => [key, property.default]));
}

/** The back end that `chardev=` names, null without the property. Throws an Error if there is none of that id. */
function charBackend(device: string, chars: DeviceEnv["chars"], id: PropertyValue | undefined): CharBackend | null {
  if (typeof id !== "string" || id === "") return null;
  const backend = chars(id);
  if (backend === undefined) throw new Error(`-device ${device}: there is no -chardev with id=${id}`);
  return backend;
}

/** A property whose kind is a number: parsing made sure of it. */
function number(value: PropertyValue | undefined): number {
  return typeof value === "number" ? value : 0;
}
