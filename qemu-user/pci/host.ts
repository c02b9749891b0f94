/**
 * PCI host bridge: configuration mechanism 1 and ECAM, and bus 0 behind it, with the bridge itself at 00:00.0.
 * Follows: PCI Local Bus Specification 3.0 section 3.2.2.3.2; Intel 82441FX (i440FX) data sheet section 3.1 for ports and
 * identity; PCI Express Base Specification section 7.2.2 for ECAM.
 * Left out: further buses, and the bridge's own registers (PAM, SMRAM, DRAM rows).
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
import { type ConfigPresets, ConfigSpace, type PciBuses } from "./config-space.ts";

const SLOT_COUNT = 32;
/** Functions of a slot; function n of slot s is number 8s + n of the bus. */
const FUNCTIONS = 8;
/** Bytes of bus 0 in ECAM. */
export const ECAM_BYTES = 0x10_0000;
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
export interface SlotWiring extends ConfigPresets {
  readonly line: IrqLine;
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
  /** ECAM_BYTES of memory: 4 KiB a function. */
  readonly ecam: BusDevice = {
    name: "pci-ecam",
    read: (offset, width) => this.#functions[offset >>> 12]?.read(offset & 0xfff, width) ?? ALL_ONES[width],
    write: (offset, width, value) => this.#configure(this.#functions[offset >>> 12], offset & 0xfff, width, value),
  };

  readonly #buses: PciBuses;
  readonly #functions: (ConfigSpace | undefined)[] = new Array(SLOT_COUNT * FUNCTIONS).fill(undefined);
  #address = 0;

  constructor(buses: PciBuses) {
    this.#buses = buses;
    const bridge = new ConfigSpace(NO_LINE);
    const nothing = { command: 0, interruptLine: 0, place: () => 0 };
    bridge.connect({ name: "i440fx", identity: I440FX, bars: [] }, buses, nothing);
    this.#functions[0] = bridge;
  }

  /** The first slot with nothing in it. Throws an Error when all 32 are taken. */
  freeSlot(): number {
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      if (this.#slot(slot).every((config) => config === undefined)) return slot;
    }
    throw new Error("PCI bus 0 has no free slot");
  }

  /** Puts a device into a slot. `make` gets what the slot offers. Throws an Error if the place is taken or none. */
  plug<D extends PciDevice>(slot: number, wiring: SlotWiring, make: (slot: PciSlot) => D, fn = 0): D {
    if (!Number.isInteger(slot) || slot < 0 || slot >= SLOT_COUNT) throw new Error(`PCI bus 0 has no slot ${slot}`);
    if (this.#functions[slot * FUNCTIONS + fn] !== undefined) throw new Error(`PCI slot ${slot} is already taken`);
    const config = new ConfigSpace(wiring.line);
    const device = make(config);
    config.connect(device, this.#buses, wiring);
    this.#functions[slot * FUNCTIONS + fn] = config;
    const functions = this.#slot(slot);
    const multifunction = functions.some((other, n) => n > 0 && other !== undefined);
    for (const other of functions) if (other !== undefined) other.multifunction = multifunction;
    return device;
  }

  reset(): void {
    this.#address = 0;
    for (const config of this.#functions) config?.reset();
    this.#updateDecode();
  }

  save(): DeviceState {
    const functions: Record<string, StateValue> = {};
    this.#functions.forEach((config, number) => {
      if (config !== undefined) functions[number] = config.save();
    });
    return { version: 3, address: this.#address, functions };
  }

  load(state: DeviceState): void {
    expectVersion(this.name, state, 3);
    const address = expectUnsigned(this.name, "address", state["address"], 0xffff_ffff);
    const functions = state["functions"];
    if (typeof functions !== "object" || functions === null) throw new Error("pci: saved functions are missing");
    const saved = functions as Readonly<Record<string, StateValue>>;
    const numbers = this.#functions.flatMap((config, number) => (config === undefined ? [] : [String(number)]));
    if (Object.keys(saved).sort().join() !== numbers.sort().join()) {
      throw new Error("pci: the saved machine has other devices in its slots");
    }
    this.#address = (address & ADDRESS_BITS) >>> 0;
    const decoded = this.#functions.map((config, number) => config?.load(this.name, saved[number]));
    // First what was decoded: of two BARs with one address, the one that had it has it.
    for (const [number, which] of decoded.entries()) this.#functions[number]?.updateDecode(which);
    this.#updateDecode();
  }

  #slot(slot: number): (ConfigSpace | undefined)[] {
    return this.#functions.slice(slot * FUNCTIONS, (slot + 1) * FUNCTIONS);
  }

  /** The function that CONFADD names; nobody's: undefined, and the bus reads as ones (master abort). */
  #selected(): ConfigSpace | undefined {
    const address = this.#address;
    const bus = (address >>> 16) & 0xff;
    if (address < ENABLE || bus !== 0) return undefined;
    return this.#functions[(address >>> 8) & 0xff];
  }

  #read(offset: number, width: Width): number {
    return this.#selected()?.read((this.#address & 0xfc) + offset, width) ?? ALL_ONES[width];
  }

  #write(offset: number, width: Width, value: number): void {
    this.#configure(this.#selected(), (this.#address & 0xfc) + offset, width, value);
  }

  #configure(config: ConfigSpace | undefined, register: number, width: Width, value: number): void {
    if (config === undefined) return;
    config.write(register, width, value);
    if (register < DECODE_REGISTERS_END) this.#updateDecode();
  }

  /** A region that moved may have made room for one that was refused. */
  #updateDecode(): void {
    for (let i = 0; i < this.#functions.length; i++) this.#functions[i]?.updateDecode();
  }
}
