/**
 * Two functions of the PIIX4 as a PC's firmware and kernel look for them: the ISA bridge 00:01.0, and power management
 * 00:01.3. What they do lies elsewhere on the board; here are their configuration registers, as state.
 * Follows: Intel 82371AB (PIIX4) data sheet sections 4.1 and 7.1; the ISA bridge's identity is the PIIX3's, as QEMU's pc
 * board has it, and values after reset are those that SeaBIOS leaves on it.
 * Left out: any effect. PIRQ routing does not move interrupts (INTA to INTD are wired to their GSIs), PMBA does not move
 * the ACPI block; there are no DMA, SMBus or device monitor registers. IDE and USB (functions 1 and 2).
 */
import type { DeviceState, PciDevice, PciIdentity, Width } from "../bus/interfaces.ts";
import { type RegisterDevice, type RegMap, regmap } from "../bus/regmap.ts";
import { expectVersion } from "../bus/state.ts";

const CONFIG_BYTES = 256;
const MEDIUM_DEVSEL = 0x0200;
const FAST_BACK_TO_BACK = 0x0080;
/** PIRQx Route Control: bit 7 set, not routed. */
const NOT_ROUTED = 0x80;

/** Offsets in configuration space. */
export const PIIX3_REGISTERS = regmap<PiixFunction>("piix3", CONFIG_BYTES, {
  IORT: { at: 0x4c, reset: 0x4d },
  XBCS: { at: 0x4e, width: 2, reset: 0x0003 },
  PIRQRCA: { at: 0x60, reset: NOT_ROUTED },
  PIRQRCB: { at: 0x61, reset: NOT_ROUTED },
  PIRQRCC: { at: 0x62, reset: NOT_ROUTED },
  PIRQRCD: { at: 0x63, reset: NOT_ROUTED },
  TOM: { at: 0x69, reset: 0x02 },
});

/** The block's place is the board's: bits 15 to 6 are preset, bit 0 says that it is in I/O space. */
export const PIIX4_PM_REGISTERS = regmap<PiixFunction>("piix4-pm", CONFIG_BYTES, {
  PMBA: { at: 0x40, width: 4, reset: 0x0000_0001, ro: 0xffff_003f },
  DEVACTA: { at: 0x54, width: 4 },
  DEVACTB: { at: 0x58, width: 4 },
  PMREGMISC: { at: 0x80, ro: 0xfe },
  SMBBA: { at: 0x90, width: 4, reset: 0x0000_0001, ro: 0xffff_000f },
});

const PMIOSE = 1;

export class PiixFunction implements PciDevice, RegisterDevice {
  readonly name: string;
  readonly identity: PciIdentity;
  readonly bars = [];
  readonly regs: Uint32Array;
  trace?: ((line: string) => void) | undefined;
  readonly ownConfig = {
    read: (register: number, width: Width) => this.#map.read(this, register, width),
    write: (register: number, width: Width, value: number) => this.#map.write(this, register, width, value),
  };

  readonly #map: RegMap<PiixFunction>;
  readonly #presets: Readonly<Record<string, number>>;

  constructor(
    name: string,
    map: RegMap<PiixFunction>,
    identity: PciIdentity,
    presets: Readonly<Record<string, number>> = {},
  ) {
    this.name = name;
    this.identity = identity;
    this.#map = map;
    this.#presets = presets;
    this.regs = map.storage();
    this.reset();
  }

  reset(): void {
    this.#map.reset(this);
    for (const [register, value] of Object.entries(this.#presets)) this.regs[this.#map.index(register)] = value;
  }

  save(): DeviceState {
    return { version: 1, regs: this.#map.save(this) };
  }

  load(state: DeviceState): void {
    expectVersion(this.name, state, 1);
    this.#map.load(this, state["regs"]);
  }
}

const QEMU = { subsystemVendor: 0x1af4, subsystem: 0x1100 } as const;

/** PCI-to-ISA bridge. I/O, memory and mastering cannot be switched off. */
export function piix3(): PiixFunction {
  return new PiixFunction("piix3", PIIX3_REGISTERS, {
    ...QEMU,
    vendor: 0x8086,
    device: 0x7000,
    revision: 0,
    classCode: 0x06_0100,
    interrupt: false,
    command: 0x0007,
    status: MEDIUM_DEVSEL,
  });
}

/** Power management, with the ACPI block at `pmBase`. */
export function piix4Pm(pmBase: number): PiixFunction {
  const identity = {
    ...QEMU,
    vendor: 0x8086,
    device: 0x7113,
    revision: 3,
    classCode: 0x06_8000,
    interrupt: true,
    status: MEDIUM_DEVSEL | FAST_BACK_TO_BACK,
  };
  return new PiixFunction("piix4-pm", PIIX4_PM_REGISTERS, identity, { PMBA: pmBase | 1, PMREGMISC: PMIOSE });
}
