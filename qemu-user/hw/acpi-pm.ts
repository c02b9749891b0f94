/**
 * ACPI power management: the fixed PM1 registers, the PM timer, GPE0, and the command port that turns ACPI on.
 * Follows: ACPI 6.5 sections 4.8.3 (PM1, PM timer) and 4.8.4 (GPE); the PIIX4 data sheet for APMC and APMS.
 * Left out: sleep states but S5, the sleep button, RTC alarm and global lock events, sources of GPE0, SMIs. A guest that
 * has not enabled ACPI gets no SCI, and there is no firmware that could take an SMI.
 *
 * The timer is a function of the clock, not a count: it never drifts. TMR_STS follows from it when it is looked at.
 */
import type {
  BusDevice,
  Clock,
  Device,
  DeviceState,
  IrqLine,
  PowerRequest,
  Timer,
  Timers,
  Width,
} from "../bus/interfaces.ts";
import { type RegisterDevice, type RegMap, regmap } from "../bus/regmap.ts";
import { expectUnsigned, expectVersion } from "../bus/state.ts";

/** Bytes of the block: PM1a_EVT at 0, PM1a_CNT at 4, PM_TMR at 8, GPE0 at 0x20. */
export const PM_SIZE = 0x40;
/** What SMI_CMD takes, as FADT says. */
export const ACPI_ENABLE = 0xf1;
export const ACPI_DISABLE = 0xf0;
/** SLP_TYP of S5: QEMU's value, so that kernels that know only that turn this machine off too. */
export const S5_TYPE = 0;

const TMR_HZ = 3_579_545;
const SECOND = 1_000_000_000;
const TMR_MASK = 0xff_ffff;
/** TMR_STS is set whenever bit 23 changes. */
const TMR_HALF = 0x80_0000;

const PM1 = { TMR: 1 << 0, GBL: 1 << 5, PWRBTN: 1 << 8, SLPBTN: 1 << 9, RTC: 1 << 10, WAK: 1 << 15 } as const;
const STATUS_BITS = PM1.TMR | (1 << 4) | PM1.GBL | PM1.PWRBTN | PM1.SLPBTN | PM1.RTC | PM1.WAK;
const ENABLE_BITS = PM1.TMR | PM1.GBL | PM1.PWRBTN | PM1.SLPBTN | PM1.RTC;
const CNT = { SCI_EN: 1 << 0, BM_RLD: 1 << 1, GBL_RLS: 1 << 2, SLP_TYP: 7 << 10, SLP_EN: 1 << 13 } as const;

/** Ticks of the PM timer in `ns` nanoseconds. Exact: seconds and their rest are taken apart. */
function ticksOf(ns: number): number {
  const seconds = Math.floor(ns / SECOND);
  return seconds * TMR_HZ + Math.floor(((ns - seconds * SECOND) * TMR_HZ) / SECOND);
}

/** The first nanosecond at which so many ticks have passed. */
function timeOf(ticks: number): number {
  const seconds = Math.floor(ticks / TMR_HZ);
  return seconds * SECOND + Math.ceil(((ticks - seconds * TMR_HZ) * SECOND) / TMR_HZ);
}

export const ACPI_PM_REGISTERS: RegMap<AcpiPm> = regmap<AcpiPm>("acpi-pm", PM_SIZE, {
  PM1_STS: {
    at: 0x0,
    width: 2,
    w1c: STATUS_BITS,
    rsvd: 0xffff & ~STATUS_BITS,
    read: (pm) => pm.status(),
    write: (pm) => pm.acknowledged(),
  },
  PM1_EN: { at: 0x2, width: 2, rsvd: 0xffff & ~ENABLE_BITS, write: (pm) => pm.update() },
  PM1_CNT: {
    at: 0x4,
    width: 2,
    ro: CNT.SCI_EN,
    rsvd: 0xffff & ~(CNT.SCI_EN | CNT.BM_RLD | CNT.GBL_RLS | CNT.SLP_TYP | CNT.SLP_EN),
    write: (pm, value) => pm.control(value),
  },
  PM_TMR: { at: 0x8, width: 4, ro: 0xffff_ffff, read: (pm) => pm.timerValue() },
  GPE0_STS: { at: 0x20, width: 2, w1c: 0xffff, write: (pm) => pm.update() },
  GPE0_EN: { at: 0x22, width: 2, write: (pm) => pm.update() },
});

const R = {
  PM1_STS: ACPI_PM_REGISTERS.index("PM1_STS"),
  PM1_EN: ACPI_PM_REGISTERS.index("PM1_EN"),
  PM1_CNT: ACPI_PM_REGISTERS.index("PM1_CNT"),
  GPE0_STS: ACPI_PM_REGISTERS.index("GPE0_STS"),
  GPE0_EN: ACPI_PM_REGISTERS.index("GPE0_EN"),
} as const;

/** What the block is wired to. */
export interface AcpiPmWiring {
  readonly sci: IrqLine;
  readonly power: PowerRequest;
  readonly clock: Clock;
  readonly timers: Timers;
}

export class AcpiPm implements BusDevice, Device, RegisterDevice {
  readonly name = "acpi-pm";
  readonly regs: Uint32Array = ACPI_PM_REGISTERS.storage();
  /** SMI_CMD and the status byte behind it. */
  readonly command: BusDevice = {
    name: "acpi-smi",
    read: (offset) => (offset === 0 ? this.#command | (this.#commandStatus << 8) : this.#commandStatus),
    write: (offset, width, value) => {
      if (offset !== 0 || width > 1) this.#commandStatus = (offset === 0 ? value >>> 8 : value) & 0xff;
      if (offset === 0) this.#writeCommand(value & 0xff);
    },
  };
  readonly #w: AcpiPmWiring;
  readonly #timer: Timer;
  /** The clock when the timer stood at zero. */
  #zero: number;
  /** Changes of bit 23 that TMR_STS has told of. */
  #halves = 0;
  #command = 0;
  #commandStatus = 0;

  constructor(wiring: AcpiPmWiring) {
    this.#w = wiring;
    this.#zero = wiring.clock.now();
    this.#timer = wiring.timers.create(() => this.update());
  }

  read(offset: number, width: Width): number {
    return ACPI_PM_REGISTERS.read(this, offset, width);
  }

  write(offset: number, width: Width, value: number): void {
    this.#look(); // a write of one to TMR_STS clears what has happened so far
    ACPI_PM_REGISTERS.write(this, offset, width, value);
  }

  /** Someone presses the power button. */
  powerButton(): void {
    this.regs[R.PM1_STS]! |= PM1.PWRBTN;
    this.update();
  }

  /** True if the guest has said that it wants to hear of the power button. */
  get powerButtonEnabled(): boolean {
    return (this.regs[R.PM1_CNT]! & CNT.SCI_EN) !== 0 && (this.regs[R.PM1_EN]! & PM1.PWRBTN) !== 0;
  }

  timerValue(): number {
    return this.#ticks() & TMR_MASK;
  }

  status(): number {
    this.#look();
    return this.regs[R.PM1_STS]!;
  }

  acknowledged(): void {
    this.update();
  }

  control(value: number): void {
    this.regs[R.PM1_CNT]! &= ~(CNT.SLP_EN | CNT.GBL_RLS); // write-only
    if ((value & CNT.SLP_EN) !== 0 && (value & CNT.SLP_TYP) >>> 10 === S5_TYPE) this.#w.power("shutdown");
  }

  /** SCI follows status, enable and SCI_EN; the timer is armed while its event is wanted and has not come. */
  update(): void {
    this.#look();
    const { regs } = this;
    const enable = regs[R.PM1_EN]!;
    const pending = (regs[R.PM1_STS]! & enable) !== 0 || (regs[R.GPE0_STS]! & regs[R.GPE0_EN]!) !== 0;
    this.#w.sci.set(pending && (regs[R.PM1_CNT]! & CNT.SCI_EN) !== 0);
    if ((enable & PM1.TMR) !== 0 && (regs[R.PM1_STS]! & PM1.TMR) === 0) {
      this.#timer.arm(this.#zero + timeOf((this.#halves + 1) * TMR_HALF));
    } else this.#timer.disarm();
  }

  reset(): void {
    ACPI_PM_REGISTERS.reset(this);
    this.#command = 0;
    this.#commandStatus = 0;
    this.#zero = this.#w.clock.now();
    this.#halves = 0;
    this.update();
  }

  save(): DeviceState {
    this.#look();
    return {
      version: 1,
      registers: ACPI_PM_REGISTERS.save(this),
      elapsed: this.#w.clock.now() - this.#zero,
      command: this.#command,
      commandStatus: this.#commandStatus,
    };
  }

  load(state: DeviceState): void {
    expectVersion(this.name, state, 1);
    const elapsed = expectUnsigned(this.name, "elapsed", state["elapsed"], Number.MAX_SAFE_INTEGER);
    const command = expectUnsigned(this.name, "command", state["command"], 0xff);
    const commandStatus = expectUnsigned(this.name, "commandStatus", state["commandStatus"], 0xff);
    ACPI_PM_REGISTERS.load(this, state["registers"]);
    this.#zero = this.#w.clock.now() - elapsed;
    this.#halves = Math.floor(ticksOf(elapsed) / TMR_HALF);
    this.#command = command;
    this.#commandStatus = commandStatus;
    this.update();
  }

  #writeCommand(value: number): void {
    this.#command = value;
    if (value === ACPI_ENABLE) this.regs[R.PM1_CNT]! |= CNT.SCI_EN;
    else if (value === ACPI_DISABLE) this.regs[R.PM1_CNT]! &= ~CNT.SCI_EN;
    this.update();
  }

  #ticks(): number {
    return ticksOf(this.#w.clock.now() - this.#zero);
  }

  /** Sets TMR_STS if bit 23 has changed since it was last looked at. */
  #look(): void {
    const halves = Math.floor(this.#ticks() / TMR_HALF);
    if (halves === this.#halves) return;
    this.#halves = halves;
    this.regs[R.PM1_STS]! |= PM1.TMR;
  }
}
