/**
 * Configuration space of one PCI function: header type 0.
 * Follows: PCI Local Bus Specification 3.0 section 6.1, figure 6-1; rows in its order.
 * Left out: capabilities, expansion ROM, bridges (header type 1), error reporting.
 */
import type { Bus } from "../bus/bus.ts";
import type { IrqLine, PciBar, PciIdentity, PciMsix, PciSlot, StateValue, Width } from "../bus/interfaces.ts";
import { type RegisterDevice, regmap } from "../bus/regmap.ts";
import { BarDecoder } from "./bar.ts";

/** Command register bits (table 6-1). */
export const PCI_COMMAND = { IO: 0x1, MEMORY: 0x2, MASTER: 0x4, SERR: 0x100, INTX_DISABLE: 0x400 } as const;
const COMMAND_WRITABLE = Object.values(PCI_COMMAND).reduce((mask, bit) => mask | bit, 0);
/** Status register: Interrupt Status, and the error bits, which are cleared by writing one (table 6-2). */
const STATUS_INTERRUPT = 0x0008;
const STATUS_ERRORS = 0xf900;

const BAR_COUNT = 6;

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
  HEADER_TYPE: { at: 0x0e, ro: 0xff },
  BIST: { at: 0x0f, ro: 0xff },
  BAR0: bar(0),
  BAR1: bar(1),
  BAR2: bar(2),
  BAR3: bar(3),
  BAR4: bar(4),
  BAR5: bar(5),
  SUBSYSTEM_VENDOR_ID: { at: 0x2c, width: 2, ro: 0xffff },
  SUBSYSTEM_ID: { at: 0x2e, width: 2, ro: 0xffff },
  INTERRUPT_LINE: { at: 0x3c },
  INTERRUPT_PIN: { at: 0x3d, ro: 0xff },
});

/** The registers' table, for the test of all maps and for documentation. */
export const CONFIG_REGISTERS = REGS;

const COMMAND_AT = REGS.index("COMMAND");
const BAR0_AT = REGS.index("BAR0");

/** What the board, as firmware, has put into the registers when the guest starts. */
export interface ConfigPresets {
  readonly command: number;
  /** Address of each BAR, in order. */
  readonly bars: readonly number[];
  readonly interruptLine: number;
}

/** The buses that BARs are decoded on. */
export interface PciBuses {
  readonly ports: Bus;
  readonly mmio: Bus;
}

export class ConfigSpace implements RegisterDevice, PciSlot {
  readonly regs: Uint32Array = REGS.storage();
  trace?: ((line: string) => void) | undefined;
  /** INTA as the device drives it; Interrupt Disable cuts it off from the board's line. */
  readonly intx: IrqLine = { set: (level) => this.#setInterrupt(level) };
  readonly msix: PciMsix = { enabled: false, notify: () => {} };

  readonly #line: IrqLine;
  #interrupt = false;
  #asserted = false;
  #identity: PciIdentity | undefined;
  #presets: ConfigPresets | undefined;
  #bars: readonly BarDecoder[] = [];

  /** An empty function; `connect` says what it is. In between, the device may already take its `PciSlot`. */
  constructor(line: IrqLine) {
    this.#line = line;
  }

  /** Throws an Error on more than six BARs, or on a size that is none. */
  connect(identity: PciIdentity, bars: readonly PciBar[], buses: PciBuses, presets: ConfigPresets): void {
    if (bars.length > BAR_COUNT) throw new Error(`PCI function has ${bars.length} BARs, at most ${BAR_COUNT} fit`);
    this.#identity = identity;
    this.#presets = presets;
    this.#bars = bars.map((bar) => new BarDecoder(bar, bar.kind === "io" ? buses.ports : buses.mmio));
    this.reset();
  }

  read(register: number, width: Width): number {
    return REGS.read(this, register, width);
  }

  write(register: number, width: Width, value: number): void {
    REGS.write(this, register, width, value);
  }

  busMaster(): boolean {
    return (this.regs[COMMAND_AT]! & PCI_COMMAND.MASTER) !== 0;
  }

  /** COMMAND: decoding and the interrupt's gate may have changed. */
  writeCommand(): void {
    this.regs[COMMAND_AT]! |= this.#identity?.command ?? 0;
    this.updateDecode();
    this.#updateLine();
  }

  readStatus(stored: number): number {
    return this.#interrupt ? stored | STATUS_INTERRUPT : stored;
  }

  /** BARn. One that the device does not have is hardwired to zero. */
  writeBar(n: number, value: number): void {
    this.regs[BAR0_AT + n] = this.#bars[n]?.latch(value) ?? 0;
    this.updateDecode();
  }

  /** Brings the buses in line with all BARs. Also tries again where another device was in the way. */
  updateDecode(): void {
    const command = this.regs[COMMAND_AT]!;
    for (let n = 0; n < this.#bars.length; n++) {
      const decoder = this.#bars[n]!;
      const enable = decoder.kind === "io" ? PCI_COMMAND.IO : PCI_COMMAND.MEMORY;
      decoder.update(this.regs[BAR0_AT + n]!, (command & enable) !== 0);
    }
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
    set("STATUS", identity.status ?? 0);
    set("REVISION_ID", identity.revision);
    set("PROG_IF", identity.classCode & 0xff);
    set("SUBCLASS", (identity.classCode >>> 8) & 0xff);
    set("BASE_CLASS", identity.classCode >>> 16);
    set("SUBSYSTEM_VENDOR_ID", identity.subsystemVendor);
    set("SUBSYSTEM_ID", identity.subsystem);
    set("INTERRUPT_LINE", presets.interruptLine);
    set("INTERRUPT_PIN", identity.interrupt ? 1 : 0);
    this.#bars.forEach((decoder, n) => {
      this.regs[BAR0_AT + n] = decoder.latch(presets.bars[n] ?? 0);
    });
    this.updateDecode();
    this.#updateLine();
  }

  save(): StateValue {
    return REGS.save(this);
  }

  load(state: StateValue | undefined): void {
    REGS.load(this, state);
    this.#bars.forEach((decoder, n) => {
      this.regs[BAR0_AT + n] = decoder.latch(this.regs[BAR0_AT + n]!);
    });
    this.updateDecode();
    this.#updateLine();
  }

  #setInterrupt(level: boolean): void {
    this.#interrupt = level;
    this.#updateLine();
  }

  #updateLine(): void {
    const level = this.#interrupt && (this.regs[COMMAND_AT]! & PCI_COMMAND.INTX_DISABLE) === 0;
    if (level === this.#asserted) return;
    this.#asserted = level;
    this.#line.set(level);
  }
}
