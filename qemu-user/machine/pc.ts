/**
 * The board: a PC with an i440FX host bridge. Every port, address, GSI and PCI slot is in this file, and only here.
 * Follows: the IBM PC/AT's port assignments; QEMU's `pc` machine for the rest.
 * Left out: IDE and USB of the PIIX, DMA controllers, VGA, firmware. The interrupt controllers and the PIT are kvm-core's.
 */
import { alignUp } from "../../shared/bits.ts";
import type { GuestMemory } from "../../shared/guest-memory.ts";
import type { AcpiInfo } from "../acpi/tables.ts";
import type { BlockBackend } from "../block/block.ts";
import { Bus } from "../bus/bus.ts";
import type {
  BusDevice,
  CharBackend,
  Clock,
  Device,
  DeviceState,
  ExitRequest,
  IrqLine,
  Journalled,
  Log,
  MsiSender,
  PowerRequest,
  RunState,
  StateValue,
  Timers,
} from "../bus/interfaces.ts";
import { SharedIrq } from "../bus/irq.ts";
import { expectUnsigned, expectVersion } from "../bus/state.ts";
import { ACPI_DISABLE, ACPI_ENABLE, AcpiPm, PM_SIZE, S5_TYPE } from "../hw/acpi-pm.ts";
import { DebugConsole } from "../hw/debugcon.ts";
import { DmaPage } from "../hw/dma-page.ts";
import { FW_CFG_SIZE } from "../hw/fw-cfg.ts";
import { I8042 } from "../hw/i8042.ts";
import { piix3, piix4Pm } from "../hw/piix.ts";
import { Port92 } from "../hw/port92.ts";
import { ResetControl } from "../hw/reset-control.ts";
import { cmosMemorySize, Rtc, type WallClock } from "../hw/rtc.ts";
import { Uart16550 } from "../hw/serial.ts";
import { PCI_COMMAND } from "../pci/config-space.ts";
import { ECAM_BYTES, PciHost, type SlotWiring } from "../pci/host.ts";
import { DEVICE_CATALOG, type DeviceEnv, type DeviceOption, defaultProperties } from "./device-catalog.ts";
import { boardFwCfg, type FwCfgContents, NO_FW_CFG } from "./fw-cfg-items.ts";
import { PCI_HOLE, PCI_HOLE_END } from "./memory-map.ts";

/** Devices that every board has. */
const BOARD = {
  DEBUGCON: { port: 0xe9, size: 1 },
  COM1: { port: 0x3f8, size: 8, gsi: 4 },
  RTC: { port: 0x70, size: 2, gsi: 8 },
  DMA_PAGE: { port: 0x80, size: 16 },
  I8042_DATA: { port: 0x60, size: 1, gsi: 1 },
  I8042_COMMAND: { port: 0x64, size: 1, gsi: 12 },
  PORT92: { port: 0x92, size: 1 },
  ACPI_PM: { port: 0x600, size: PM_SIZE, gsi: 9 },
  FW_CFG: { port: 0x510, size: FW_CFG_SIZE },
  SMI_CMD: { port: 0xb2, size: 2 },
  PCI_ADDRESS: { port: 0xcf8, size: 4 },
  /** The reset control register's byte of PCI_ADDRESS. */
  RESET_CONTROL: { port: 0xcf9 },
  PCI_DATA: { port: 0xcfc, size: 4 },
} as const;

/** Slot and functions of the PIIX; devices come after it. */
const PIIX = { slot: 1, isa: 0, pm: 3 } as const;

/** What answers in kvm-core before any region: the IOAPIC's page and the local APICs' megabyte. */
const CORE_MEMORY = [
  { base: 0xfec0_0000, size: 0x1000 },
  { base: 0xfee0_0000, size: 0x10_0000 },
] as const;

/** Added as if by `-device`, unless the command line says where it wants its own. */
const DEFAULT_DEVICES = ["isa-debug-exit"] as const;

/** INTA of PCI slot n is wired to this GSI. */
const pciGsi = (slot: number) => [10, 11, 10, 11][slot & 3]!;

/** GSIs that the board wires as level-triggered: preset in the ELCR. */
export const LEVEL_GSIS: readonly number[] = [BOARD.ACPI_PM.gsi, 10, 11];

/** Configuration space of bus 0 as memory. */
const ECAM = { base: PCI_HOLE, size: ECAM_BYTES } as const;

/** Where BARs may lie. The board presets them from the bottom, as firmware does. */
const PCI_WINDOW = {
  io: { from: 0xc000, to: 0x1_0000 },
  memory: { from: ECAM.base + ECAM.size, to: PCI_HOLE_END },
} as const;

/** What the ACPI tables say of this board. */
export function acpiInfo(cpus: number): AcpiInfo {
  return {
    cpus,
    pciGsi,
    levelGsis: LEVEL_GSIS,
    sciGsi: BOARD.ACPI_PM.gsi,
    pmBase: BOARD.ACPI_PM.port,
    pmSize: BOARD.ACPI_PM.size,
    smiCommand: BOARD.SMI_CMD.port,
    acpiEnable: ACPI_ENABLE,
    acpiDisable: ACPI_DISABLE,
    s5Type: S5_TYPE,
    fwCfgBase: BOARD.FW_CFG.port,
    fwCfgSize: BOARD.FW_CFG.size,
    ecamBase: ECAM.base,
    ecamSize: ECAM.size,
    pciMemory: { base: PCI_WINDOW.memory.from, end: PCI_WINDOW.memory.to },
  };
}

const PORTS = 0x1_0000;
const ADDRESSES = 2 ** 32;

/** What a board needs from the outside. */
export interface PcEnv {
  readonly memory: GuestMemory;
  /** The input of the interrupt controllers with this number. Called once per GSI. */
  readonly irq: (gsi: number) => IrqLine;
  /** COM1; null: a port with nothing plugged in. */
  readonly serial: CharBackend | null;
  /** Port 0xe9; null: writes vanish. */
  readonly debugcon: CharBackend | null;
  /** What fw_cfg says beside the size of the memory; absent: one CPU and no more. */
  readonly fwCfg?: FwCfgContents;
  readonly exit: ExitRequest;
  readonly power: PowerRequest;
  /** Message-signalled interrupts; null: they vanish. */
  readonly msi: MsiSender | null;
  /** What the RTC is to show: ms since 1970, in the guest's time zone. */
  readonly wallClock: WallClock;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Back ends that `-device NAME,chardev=ID` can name; absent: there are none. */
  readonly chars?: DeviceEnv["chars"];
  readonly runState: RunState;
  /** Every drive by its id. */
  readonly drives: ReadonlyMap<string, BlockBackend>;
  /** Random bytes for the guest; absent: the host's own. */
  readonly entropy?: DeviceEnv["entropy"];
  /** `-device`, in order. */
  readonly devices: readonly DeviceOption[];
  readonly log: Log;
  /** Hears of accesses to addresses where nothing is; absent: nobody does. */
  readonly unclaimed?: Log | undefined;
}

export interface Pc {
  readonly ports: Bus;
  readonly mmio: Bus;
  /** Every device by its name on this board: "serial", "pci", "splitvm-test.0", or the option's id. */
  readonly devices: ReadonlyMap<string, Device>;
  /** Those of them that keep a journal. */
  readonly journalled: readonly (Device & Journalled)[];
  /** Puts every device into its state after power-on, and BARs where firmware would. */
  reset(): void;
  /** Presses the power button; true if the guest has said that it wants to hear of it. */
  powerButton(): boolean;
  save(): DeviceState;
  /** Throws an Error naming the device whose state cannot be taken; the machine must then be reset or given up. */
  load(state: DeviceState): void;
}

/** Builds the board. Throws an Error, fit for the user, if the devices asked for do not fit on it. */
export function createPc(env: PcEnv): Pc {
  const ports = new Bus("port", PORTS, env.unclaimed);
  const mmio = new Bus("memory", ADDRESSES, env.unclaimed);
  const devices = new Map<string, Device>();
  const wires = new Map<number, SharedIrq>();
  const charsTaken = new Set<string>();

  const gsi = (number: number): IrqLine => {
    let wire = wires.get(number);
    if (wire === undefined) {
      wire = new SharedIrq(env.irq(number));
      wires.set(number, wire);
    }
    return wire.source();
  };
  const add = <D extends Device>(name: string, device: D): D => {
    if (devices.has(name)) throw new Error(`-device: there is already a device with id=${name}`);
    devices.set(name, device);
    return device;
  };
  const atPort = (place: { readonly port: number; readonly size: number }, device: BusDevice) =>
    ports.map(place.port, place.size, device);

  atPort(BOARD.DEBUGCON, add("debugcon", new DebugConsole(env.debugcon)));
  atPort(BOARD.COM1, add("serial", new Uart16550(gsi(BOARD.COM1.gsi), env.serial)));
  const { wallClock, clock, timers, power } = env;
  const contents = cmosMemorySize(env.memory.slots.reduce((end, { gpa, size }) => Math.max(end, gpa + size), 0));
  atPort(BOARD.RTC, add("rtc", new Rtc({ irq: gsi(BOARD.RTC.gsi), wallClock, clock, timers, contents })));
  atPort(BOARD.DMA_PAGE, add("dma-page", new DmaPage()));
  const a20 = { enabled: true };
  const keyboardIrq = gsi(BOARD.I8042_DATA.gsi);
  const i8042 = add("i8042", new I8042({ keyboardIrq, auxIrq: gsi(BOARD.I8042_COMMAND.gsi), a20, power }));
  atPort(BOARD.I8042_DATA, i8042.data);
  atPort(BOARD.I8042_COMMAND, i8042.command);
  atPort(BOARD.PORT92, add("port92", new Port92(a20, power)));
  const pm = add(
    "acpi-pm",
    new AcpiPm({ sci: gsi(BOARD.ACPI_PM.gsi), power: env.power, clock: env.clock, timers: env.timers }),
  );
  atPort(BOARD.ACPI_PM, pm);
  atPort(BOARD.SMI_CMD, pm.command);
  atPort(BOARD.FW_CFG, add("fw_cfg", boardFwCfg(env.memory, env.fwCfg ?? NO_FW_CFG)));
  const occupied = [...env.memory.slots.map(({ gpa, size }) => ({ base: gpa, size })), ...CORE_MEMORY];
  const taken = (base: number, size: number) =>
    occupied.some((other) => base < other.base + other.size && other.base < base + size);
  const pci = add("pci", new PciHost({ ports, mmio, taken, msi: env.msi }));
  const resetControl = add("reset-control", new ResetControl(power));
  atPort(BOARD.PCI_ADDRESS, resetControl.inside(pci.address, BOARD.RESET_CONTROL.port - BOARD.PCI_ADDRESS.port));
  atPort(BOARD.PCI_DATA, pci.data);
  mmio.map(ECAM.base, ECAM.size, pci.ecam);

  const placeBar = barPlacer();
  const wiring = (slot: number): SlotWiring => ({
    line: gsi(pciGsi(slot)),
    interruptLine: pciGsi(slot),
    command: PCI_COMMAND.IO | PCI_COMMAND.MEMORY,
    place: placeBar,
  });

  const piix: SlotWiring = { ...wiring(PIIX.slot), line: { set: () => {} }, interruptLine: 0 };
  const pmWiring = { ...piix, interruptLine: BOARD.ACPI_PM.gsi };
  const isa = add("piix3", piix3());
  const power4 = add("piix4-pm", piix4Pm(BOARD.ACPI_PM.port));
  pci.plug(PIIX.slot, piix, () => isa, PIIX.isa);
  pci.plug(PIIX.slot, pmWiring, () => power4, PIIX.pm);

  const plug = (option: DeviceOption, name: string) => {
    const { properties } = option;
    const row = DEVICE_CATALOG[option.name];
    if (row === undefined) throw new Error(`-device: no device ${option.name}`);
    const { memory, exit, clock, timers, log, runState, drives } = env;
    const deviceEnv: DeviceEnv = {
      name,
      memory,
      exit,
      clock,
      timers,
      log,
      runState,
      drives,
      entropy: env.entropy,
      exits: () => ports.accesses + mmio.accesses,
      chars: (id) => {
        if (charsTaken.has(id)) throw new Error(`-device: the -chardev with id=${id} has a device already`);
        charsTaken.add(id);
        return env.chars?.(id);
      },
    };
    if (row.bus === "ISA") {
      const { base, size } = row.ports(properties);
      ports.map(base, size, add(name, row.create(deviceEnv, properties)));
    } else if (row.bus === "board") {
      const parts = row.create(deviceEnv, gsi);
      add(name, parts.device);
      for (const [base, size, device] of parts.ports) ports.map(base, size, device);
      for (const [base, size, device] of parts.memory) mmio.map(base, size, device);
    } else {
      const slot = Number(properties["addr"]) || pci.freeSlot();
      add(
        name,
        pci.plug(slot, wiring(slot), (offered) => row.create(deviceEnv, offered, properties)),
      );
    }
  };
  withDefaults(env.devices).forEach((option, index, all) => {
    const nth = all.slice(0, index).filter((earlier) => earlier.name === option.name).length;
    plug(option, option.id ?? `${option.name}.${nth}`);
  });

  return {
    ports,
    mmio,
    devices,
    journalled: [...devices.values()].filter(isJournalled),
    reset() {
      for (const device of devices.values()) device.reset();
    },
    powerButton() {
      pm.powerButton();
      return pm.powerButtonEnabled;
    },
    save() {
      const states: Record<string, StateValue> = {};
      for (const [name, device] of devices) states[name] = { ...device.save() };
      return { version: 1, portAccesses: ports.accesses, memoryAccesses: mmio.accesses, devices: states };
    },
    load(state) {
      expectVersion("pc", state, 1);
      const portAccesses = expectUnsigned("pc", "portAccesses", state["portAccesses"], Number.MAX_SAFE_INTEGER);
      const memoryAccesses = expectUnsigned("pc", "memoryAccesses", state["memoryAccesses"], Number.MAX_SAFE_INTEGER);
      const states = (state["devices"] ?? {}) as Readonly<Record<string, DeviceState>>;
      const missing = [...devices.keys()].find((name) => states[name] === undefined);
      const extra = Object.keys(states).find((name) => !devices.has(name));
      if (missing !== undefined) throw new Error(`pc: the saved machine has no device ${missing}`);
      if (extra !== undefined) throw new Error(`pc: this machine has no device ${extra}`);
      for (const [name, device] of devices) device.load(states[name]!);
      ports.restoreAccesses(portAccesses);
      mmio.restoreAccesses(memoryAccesses);
    },
  };
}

function withDefaults(asked: readonly DeviceOption[]): readonly DeviceOption[] {
  const defaults = DEFAULT_DEVICES.filter((name) => !asked.some((option) => option.name === name));
  return [...defaults.map((name) => ({ name, id: undefined, properties: defaultProperties(name) })), ...asked];
}

/** Gives out the windows from the bottom, each BAR aligned to its size. */
function barPlacer(): SlotWiring["place"] {
  const next: Record<"io" | "memory", number> = { io: PCI_WINDOW.io.from, memory: PCI_WINDOW.memory.from };
  return (kind, size) => {
    const base = alignUp(next[kind], size);
    if (base + size > PCI_WINDOW[kind].to) throw new Error(`-device: no room left in the PCI ${kind} window`);
    next[kind] = base + size;
    return base;
  };
}

function isJournalled(device: Device): device is Device & Journalled {
  return ((device as Partial<Journalled>).journalBytes ?? 0) > 0;
}
