/**
 * PCI host bridge: configuration mechanism 1 and ECAM, and bus 0 behind them, with the bridge itself at 00:00.0.
 * Follows: PCI Local Bus Specification 3.0 section 3.2.2.3.2; Intel 82441FX (i440FX) data sheet section 3.1 for ports and
 * identity; PCI Express Base Specification 3.0 section 7.2.2 for ECAM, which an i440FX has not: ACPI's MCFG names it.
 * Left out: further buses, functions other than 0, extended configuration space, and the bridge's own registers (PAM, SMRAM, DRAM rows).
 */
import {
  ALL_ONES,
  type BusDevice,
  type Device,
  type DeviceState,
  type IrqLine,
  type PciDevice,
  type PciIdentity,
  type PciSlot,
  type StateValue,
  type Width,
} from "../bus/interfaces.ts";
import { expectUnsigned, expectVersion } from "../bus/state.ts";
import { ConfigSpace, type PciBuses } from "./config-space.ts";

const SLOT_COUNT = 32;
const CONFIG_SIZE = 256;
/** CONFADD: enable, bus, device, function, register; the rest reads zero. */
const ENABLE = 0x8000_0000;
const ADDRESS_BITS = 0x80ff_fffc;
/** Registers up to here can move a region: command and the BARs. */
const DECODE_REGISTERS_END = 0x28;

const I440FX: PciIdentity = {
  vendor: 0x8086,
  device: 0x1237,
  revision: 2,
  classCode: 0x06_0000,
  subsystemVendor: 0x1af4,
  subsystem: 0x1100,
  interrupt: false,
  command: 0x0006, // memory access and bus mastering cannot be switched off
  status: 0x0280, // fast back-to-back, medium DEVSEL#
};

/** Nothing is wired to the bridge's own interrupt pin. */
const NO_LINE: IrqLine = { set: () => {} };

/** How the board wires a slot, and what it presets as firmware would. */
export interface SlotWiring {
  readonly line: IrqLine;
  readonly interruptLine: number;
  readonly command: number;
  /** Chooses an address for each BAR, in order. */
  place(kind: "io" | "memory", size: number): number;
}

export class PciHost implements Device {
  readonly name = "pci";
  /** Ports 0xcf8-0xcfb. Only a dword access at its first port reaches CONFADD; others belong to nobody (0xcf9 on a PC). */
  readonly address: BusDevice = {
    name: "pci-address",
    read: (offset, width) => (offset === 0 && width === 4 ? this.#address : ALL_ONES[width]),
    write: (offset, width, value) => {
      if (offset === 0 && width === 4) this.#address = (value & ADDRESS_BITS) >>> 0;
    },
  };
  /** Ports 0xcfc-0xcff: the dword that CONFADD names, or a part of it. */
  readonly data: BusDevice = {
    name: "pci-data",
    read: (offset, width) => this.#read(offset, width),
    write: (offset, width, value) => this.#write(offset, width, value),
  };

  /** The enhanced mechanism: 4 KiB a function, of which a conventional one has the first 256 bytes. */
  readonly ecam: BusDevice = {
    name: "pci-ecam",
    read: (offset, width) => this.#enhanced(offset)?.read(offset & 0xfff, width) ?? ALL_ONES[width],
    write: (offset, width, value) => {
      this.#enhanced(offset)?.write(offset & 0xfff, width, value);
      if ((offset & 0xfff) < DECODE_REGISTERS_END) this.#updateDecode();
    },
  };

  readonly #buses: PciBuses;
  readonly #functions: (ConfigSpace | undefined)[] = new Array(SLOT_COUNT).fill(undefined);
  #address = 0;

  constructor(buses: PciBuses) {
    this.#buses = buses;
    const bridge = new ConfigSpace(NO_LINE);
    bridge.connect(I440FX, [], buses, { command: 0, bars: [], interruptLine: 0 });
    this.#functions[0] = bridge;
  }

  /** The first slot with nothing in it. Throws an Error when all 32 are taken. */
  freeSlot(): number {
    const slot = this.#functions.indexOf(undefined);
    if (slot < 0) throw new Error("PCI bus 0 has no free slot");
    return slot;
  }

  /** Puts a device into a slot. `make` gets what the slot offers. Throws an Error if the slot is taken or none. */
  plug<D extends PciDevice>(slot: number, wiring: SlotWiring, make: (slot: PciSlot) => D): D {
    if (!Number.isInteger(slot) || slot < 0 || slot >= SLOT_COUNT) throw new Error(`PCI bus 0 has no slot ${slot}`);
    if (this.#functions[slot] !== undefined) throw new Error(`PCI slot ${slot} is already taken`);
    const config = new ConfigSpace(wiring.line);
    const device = make(config);
    const bars = device.bars.map((bar) => wiring.place(bar.kind, bar.size));
    const { command, interruptLine } = wiring;
    config.connect(device.identity, device.bars, this.#buses, { command, bars, interruptLine });
    this.#functions[slot] = config;
    return device;
  }

  reset(): void {
    this.#address = 0;
    for (const config of this.#functions) config?.reset();
    this.#updateDecode();
  }

  save(): DeviceState {
    const functions: Record<string, StateValue> = {};
    this.#functions.forEach((config, slot) => {
      if (config !== undefined) functions[slot] = config.save();
    });
    return { version: 1, address: this.#address, functions };
  }

  load(state: DeviceState): void {
    expectVersion(this.name, state, 1);
    const address = expectUnsigned(this.name, "address", state["address"], 0xffff_ffff);
    const functions = state["functions"];
    if (typeof functions !== "object" || functions === null) throw new Error("pci: saved functions are missing");
    const saved = functions as Readonly<Record<string, StateValue>>;
    const slots = this.#functions.flatMap((config, slot) => (config === undefined ? [] : [String(slot)]));
    if (Object.keys(saved).sort().join() !== slots.sort().join()) {
      throw new Error("pci: the saved machine has other devices in its slots");
    }
    this.#address = (address & ADDRESS_BITS) >>> 0;
    this.#functions.forEach((config, slot) => {
      config?.load(saved[slot]);
    });
    this.#updateDecode();
  }

  /** The function that CONFADD names; nobody's: undefined, and the bus reads as ones (master abort). */
  #selected(): ConfigSpace | undefined {
    const address = this.#address;
    const bus = (address >>> 16) & 0xff;
    const fn = (address >>> 8) & 7;
    if (address < ENABLE || bus !== 0 || fn !== 0) return undefined;
    return this.#functions[(address >>> 11) & 0x1f];
  }

  /** The function whose conventional registers are at an offset in ECAM's bus 0. */
  #enhanced(offset: number): ConfigSpace | undefined {
    if ((offset & 0xfff) >= CONFIG_SIZE || ((offset >>> 12) & 7) !== 0) return undefined;
    return this.#functions[(offset >>> 15) & 0x1f];
  }

  #read(offset: number, width: Width): number {
    return this.#selected()?.read((this.#address & 0xfc) + offset, width) ?? ALL_ONES[width];
  }

  #write(offset: number, width: Width, value: number): void {
    const register = (this.#address & 0xfc) + offset;
    this.#selected()?.write(register, width, value);
    if (register < DECODE_REGISTERS_END) this.#updateDecode();
  }

  /** A region that moved may have made room for one that was refused. */
  #updateDecode(): void {
    for (let slot = 0; slot < SLOT_COUNT; slot++) this.#functions[slot]?.updateDecode();
  }
}
