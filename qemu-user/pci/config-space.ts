/**
 * Configuration space of one PCI function: header type 0, and what follows it (capabilities.ts).
 * Follows: PCI Local Bus Specification 3.0 section 6.1, figure 6-1; rows in its order.
 * Left out: MSI without X, expansion ROM, bridges (header type 1), error reporting.
 */
import type { Bus } from "../bus/bus.ts";
import {
  ALL_ONES,
  type IrqLine,
  type MsiSender,
  type PciBar,
  type PciDevice,
  type PciIdentity,
  type PciMsix,
  type PciSlot,
  type StateValue,
  type Width,
} from "../bus/interfaces.ts";
import { type RegisterDevice, regmap } from "../bus/regmap.ts";
import { expectUnsigned } from "../bus/state.ts";
import { BarDecoder } from "./bar.ts";
import { Capabilities, CONFIG_END, HEADER_END } from "./capabilities.ts";
import { Msix } from "./msix.ts";

/** Command register bits (table 6-1). */
export const PCI_COMMAND = { IO: 0x1, MEMORY: 0x2, MASTER: 0x4, SERR: 0x100, INTX_DISABLE: 0x400 } as const;
const COMMAND_WRITABLE = Object.values(PCI_COMMAND).reduce((mask, bit) => mask | bit, 0);
/** Status register: Interrupt Status, and the error bits, which are cleared by writing one (table 6-2). */
const STATUS_INTERRUPT = 0x0008;
const STATUS_CAPABILITIES = 0x0010;
const STATUS_ERRORS = 0xf900;

/** Header Type: the slot has functions other than 0. */
const MULTIFUNCTION = 0x80;

const BAR_COUNT = 6;
const ALL_BARS = (1 << BAR_COUNT) - 1;

const bar = (n: number) => ({
  at: 0x10 + 4 * n,
  width: 4 as const,
  write: (c: ConfigSpace, value: number) => c.writeBar(n, value),
});

const REGS = regmap<ConfigSpace>("pci-config", 256, {
  VENDOR_ID: { at: 0x00, width: 2, ro: 0xffff },
  DEVICE_ID: { at: 0x02, width: 2, ro: 0xffff },
  COMMAND: { at: 0x04, width: 2, rsvd: 0xffff & ~COMMAND_WRITABLE, write: (c) => c.writeCommand() },
  STATUS: { at: 0x06, width: 2, w1c: STATUS_ERRORS, ro: 0xffff & ~STATUS_ERRORS, read: (c, v) => c.readStatus(v) },
  REVISION_ID: { at: 0x08, ro: 0xff },
  PROG_IF: { at: 0x09, ro: 0xff },
  SUBCLASS: { at: 0x0a, ro: 0xff },
  BASE_CLASS: { at: 0x0b, ro: 0xff },
  CACHE_LINE_SIZE: { at: 0x0c },
  LATENCY_TIMER: { at: 0x0d },
  HEADER_TYPE: { at: 0x0e, ro: 0xff, read: (c, v) => (c.multifunction ? v | MULTIFUNCTION : v) },
  BIST: { at: 0x0f, ro: 0xff },
  BAR0: bar(0),
  BAR1: bar(1),
  BAR2: bar(2),
  BAR3: bar(3),
  BAR4: bar(4),
  BAR5: bar(5),
  SUBSYSTEM_VENDOR_ID: { at: 0x2c, width: 2, ro: 0xffff },
  SUBSYSTEM_ID: { at: 0x2e, width: 2, ro: 0xffff },
  CAPABILITIES: { at: 0x34, ro: 0xff },
  INTERRUPT_LINE: { at: 0x3c },
  INTERRUPT_PIN: { at: 0x3d, ro: 0xff },
});

/** Masks of registers that cannot be written at all. */
const READ_ONLY = { 1: 0xff, 2: 0xffff, 4: 0xffff_ffff } as const;

/** The registers' table, for the test of all maps and for documentation. */
export const CONFIG_REGISTERS = REGS;

const COMMAND_AT = REGS.index("COMMAND");
const BAR0_AT = REGS.index("BAR0");

/** What the board, as firmware, has put into the registers when the guest starts. */
export interface ConfigPresets {
  readonly command: number;
  /** Chooses an address for each BAR, in order. */
  place(kind: "io" | "memory", size: number): number;
  readonly interruptLine: number;
}

/** The buses that BARs are decoded on, and where messages go. */
export interface PciBuses {
  readonly ports: Bus;
  readonly mmio: Bus;
  /** True if RAM, or what is kvm-core's, lies in the range: no BAR is decoded over it. */
  readonly taken?: (base: number, size: number) => boolean;
  /** null or absent: messages vanish. */
  readonly msi?: MsiSender | null;
}

/** What a function says of itself when it is connected. */
export type PciFunction = Pick<PciDevice, "name" | "identity" | "bars" | "capabilities" | "msix" | "ownConfig">;

const NO_MESSAGES: MsiSender = { vector: () => ({ set: () => {}, send: () => {}, withdraw: () => false }) };
const NO_MSIX: PciMsix = { enabled: false, notify: () => {} };

export class ConfigSpace implements RegisterDevice, PciSlot {
  readonly regs: Uint32Array = REGS.storage();
  trace?: ((line: string) => void) | undefined;
  /** INTA as the device drives it; Interrupt Disable cuts it off from the board's line. */
  readonly intx: IrqLine = { set: (level) => this.#setInterrupt(level) };
  /** MSI-X of a function that has it; nothing before it is connected. */
  readonly msix: PciMsix;
  /** The slot has functions other than 0. */
  multifunction = false;

  readonly #line: IrqLine;
  #interrupt = false;
  #asserted = false;
  #identity: PciIdentity | undefined;
  #presets: { readonly command: number; readonly interruptLine: number } | undefined;
  /** By register; the high half of a 64-bit BAR has none. */
  readonly #bars: (BarDecoder | undefined)[] = new Array(BAR_COUNT).fill(undefined);
  /** Where firmware puts them. */
  readonly #places: number[] = new Array(BAR_COUNT).fill(0);
  #capabilities = new Capabilities([]);
  #msix: Msix | undefined;

  /** An empty function; `connect` says what it is. In between, the device may already take its `PciSlot`. */
  constructor(line: IrqLine) {
    this.#line = line;
    const current = () => this.#msix ?? NO_MSIX;
    this.msix = {
      get enabled() {
        return current().enabled;
      },
      notify: (vector) => current().notify(vector),
    };
  }

  /** Throws an Error on BARs that have no room, or on a size that is none. */
  connect(device: PciFunction, buses: PciBuses, presets: ConfigPresets): void {
    const { identity, bars, capabilities = [], msix } = device;
    this.#identity = identity;
    this.#presets = presets;
    if (msix !== undefined) {
      const { vectors, bar } = msix;
      this.#msix = new Msix(device.name, vectors, bar, buses.msi ?? NO_MESSAGES, () => this.busMaster());
    }
    const msixBar: PciBar[] = [];
    if (msix !== undefined && this.#msix !== undefined) {
      const { size, region } = this.#msix;
      msixBar.push({ kind: "memory", size, region, at: msix.bar });
    }
    this.#layOut(bars, msixBar, buses);
    for (const [n, decoder] of this.#bars.entries()) {
      if (decoder !== undefined) this.#places[n] = presets.place(decoder.kind, decoder.size);
    }
    const all = this.#msix === undefined ? capabilities : [...capabilities, this.#msix.capability];
    this.#capabilities = new Capabilities(all, device.ownConfig);
    this.reset();
  }

  /** Registers of 256 bytes; what is beyond reads as ones, by which Linux knows that there are no extended capabilities. */
  read(register: number, width: Width): number {
    if (register + width <= HEADER_END) return REGS.read(this, register, width);
    if (register >= CONFIG_END) return ALL_ONES[width];
    if (register >= HEADER_END && (register & 3) + width <= 4) return this.#capabilities.read(register, width);
    let value = 0;
    for (let i = 0; i < width; i++) value |= this.read(register + i, 1) << (8 * i);
    return value >>> 0;
  }

  write(register: number, width: Width, value: number): void {
    if (register + width <= HEADER_END) REGS.write(this, register, width, value);
    else if (register >= CONFIG_END) return;
    else if (register >= HEADER_END && (register & 3) + width <= 4) {
      this.#capabilities.write(register, width, value);
      this.#updateLine(); // MSI-X may have been switched on or off
    } else for (let i = 0; i < width; i++) this.write(register + i, 1, (value >>> (8 * i)) & 0xff);
  }

  busMaster(): boolean {
    return (this.regs[COMMAND_AT]! & PCI_COMMAND.MASTER) !== 0;
  }

  /** COMMAND: decoding and the interrupt's gate may have changed. */
  writeCommand(): void {
    this.regs[COMMAND_AT]! |= this.#identity?.command ?? 0;
    this.updateDecode();
    this.#updateLine();
    this.#msix?.update();
  }

  readStatus(stored: number): number {
    return this.#interrupt ? stored | STATUS_INTERRUPT : stored;
  }

  /** BARn. One that the device does not have is hardwired to zero. */
  writeBar(n: number, value: number): void {
    this.regs[BAR0_AT + n] = this.#latch(n, value);
    this.updateDecode();
  }

  /**
   * Brings the buses in line with all BARs, or those of `which`, a bit for each. Also tries again where another device was
   * in the way.
   */
  updateDecode(which: number = ALL_BARS): void {
    const command = this.regs[COMMAND_AT]!;
    for (let n = 0; n < this.#bars.length; n++) {
      const decoder = this.#bars[n];
      if (decoder === undefined || (which & (1 << n)) === 0) continue;
      const enable = decoder.kind === "io" ? PCI_COMMAND.IO : PCI_COMMAND.MEMORY;
      const high = decoder.wide ? this.regs[BAR0_AT + n + 1]! : 0;
      decoder.update(this.regs[BAR0_AT + n]!, high, (command & enable) !== 0);
    }
  }

  /** The BARs that are decoded, a bit for each: of two that hold the same address, the first that did. */
  get decoded(): number {
    return this.#bars.reduce((bits, decoder, n) => (decoder?.mappedAt === undefined ? bits : bits | (1 << n)), 0);
  }

  /** To what firmware leaves behind: identity, and the board's presets. */
  reset(): void {
    const identity = this.#identity;
    const presets = this.#presets;
    if (identity === undefined || presets === undefined)
      throw new Error("PCI function is reset before it is connected");
    REGS.reset(this);
    const set = (name: string, value: number) => {
      this.regs[REGS.index(name)] = value;
    };
    set("VENDOR_ID", identity.vendor);
    set("DEVICE_ID", identity.device);
    set("COMMAND", (presets.command & COMMAND_WRITABLE) | (identity.command ?? 0));
    set("STATUS", (identity.status ?? 0) | (this.#capabilities.first === 0 ? 0 : STATUS_CAPABILITIES));
    set("CAPABILITIES", this.#capabilities.first);
    set("REVISION_ID", identity.revision);
    set("PROG_IF", identity.classCode & 0xff);
    set("SUBCLASS", (identity.classCode >>> 8) & 0xff);
    set("BASE_CLASS", identity.classCode >>> 16);
    set("SUBSYSTEM_VENDOR_ID", identity.subsystemVendor);
    set("SUBSYSTEM_ID", identity.subsystem);
    set("INTERRUPT_LINE", presets.interruptLine);
    set("INTERRUPT_PIN", identity.interrupt ? 1 : 0);
    for (let n = 0; n < BAR_COUNT; n++) this.regs[BAR0_AT + n] = this.#latch(n, this.#places[n]!);
    this.#msix?.reset();
    this.updateDecode();
    this.#updateLine();
  }

  save(): StateValue {
    const regs = REGS.save(this);
    const { decoded } = this;
    return this.#msix === undefined ? { regs, decoded } : { regs, decoded, msix: this.#msix.save() };
  }

  /** Decodes nothing yet: gives what updateDecode() is to begin with once all functions are loaded. */
  load(name: string, state: StateValue | undefined): number {
    const { regs, decoded, msix } = (state ?? {}) as Readonly<Record<string, StateValue>>;
    const which = expectUnsigned(name, "decoded BARs", decoded, ALL_BARS);
    const identity = this.regs.slice();
    REGS.load(this, regs);
    for (const decoder of this.#bars) decoder?.update(0, 0, false);
    for (const row of REGS.rows) {
      if (row.ro === READ_ONLY[row.width]) this.regs[row.id] = identity[row.id]!;
    }
    for (let n = 0; n < BAR_COUNT; n++) this.regs[BAR0_AT + n] = this.#latch(n, this.regs[BAR0_AT + n]!);
    this.#msix?.load(msix);
    this.#updateLine();
    return which;
  }

  /** Gives each BAR its register, or two. */
  #layOut(bars: readonly PciBar[], fixed: readonly PciBar[], buses: PciBuses): void {
    const taken = new Set<number>();
    const put = (bar: PciBar, at: number) => {
      const bus = bar.kind === "io" ? buses.ports : buses.mmio;
      const decoder = new BarDecoder(bar, bus, buses.taken);
      const last = decoder.wide ? at + 1 : at;
      if (at < 0 || last >= BAR_COUNT) {
        throw new Error(`${bar.region.name}: PCI function has no BAR ${last}, at most ${BAR_COUNT} fit`);
      }
      for (let n = at; n <= last; n++) {
        if (taken.has(n)) throw new Error(`${bar.region.name}: BAR ${n} is already taken`);
        taken.add(n);
      }
      this.#bars[at] = decoder;
      return last + 1;
    };
    for (const bar of fixed) put(bar, bar.at ?? 0);
    let next = 0;
    for (const bar of bars) {
      while (bar.at === undefined && (taken.has(next) || (bar.wide && taken.has(next + 1)))) next++;
      next = put(bar, bar.at ?? next);
    }
  }

  /** What BARn holds after `value` was written. */
  #latch(n: number, value: number): number {
    const decoder = this.#bars[n];
    if (decoder !== undefined) return decoder.latch(value);
    return n > 0 && this.#bars[n - 1]?.wide ? value >>> 0 : 0;
  }

  #setInterrupt(level: boolean): void {
    this.#interrupt = level;
    this.#updateLine();
  }

  /** A function that has MSI-X enabled may not use INTA (PCI 3.0 section 6.8.2.1). */
  #updateLine(): void {
    const off = (this.regs[COMMAND_AT]! & PCI_COMMAND.INTX_DISABLE) !== 0 || this.msix.enabled;
    const level = this.#interrupt && !off;
    if (level === this.#asserted) return;
    this.#asserted = level;
    this.#line.set(level);
  }
}
