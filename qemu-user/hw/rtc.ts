/**
 * Real-time clock and CMOS memory: ports 0x70 (index, NMI mask) and 0x71 (data).
 * Follows: Motorola's MC146818A data sheet; the PC's century at 0x32, and what QEMU's `pc` keeps in the memory.
 * Left out: square wave output, daylight saving, the NMI mask's effect, the second bank. The day of the week follows the date.
 *
 * The time is the wall clock's plus an offset, which setting the time changes. Flags that nobody waits for by interrupt are
 * worked out when they are read: a timer is armed only for what can still change.
 */
import type {
  BusDevice,
  Clock,
  Device,
  DeviceState,
  IrqLine,
  StateValue,
  Timer,
  Timers,
  Width,
} from "../bus/interfaces.ts";
import { expectList, expectUnsigned, expectVersion } from "../bus/state.ts";

/** Milliseconds since 1970 on the clock that the guest is to see, fractions and all. */
export type WallClock = () => number;

const CMOS_SIZE = 128;

const SECONDS = 0;
const SECONDS_ALARM = 1;
const MINUTES = 2;
const MINUTES_ALARM = 3;
const HOURS = 4;
const HOURS_ALARM = 5;
const WEEKDAY = 6;
const DAY = 7;
const MONTH = 8;
const YEAR = 9;
const CENTURY = 0x32;
const A = 10;
const B = 11;
const C = 12;
const D = 13;
const RESET_CODE = 0x0f;

/** Register A: update in progress; divider (6 and 7 hold it in reset); rate. */
const UIP = 0x80;
const DIVIDER_RESET = 0x60;
const RATE = 0x0f;
/** Register B. */
const SET = 0x80;
const PIE = 0x40;
const AIE = 0x20;
const UIE = 0x10;
const SQWE = 0x08;
const BINARY = 0x04;
const HOURS_24 = 0x02;
/** Register C: the flags lie where their enable bits lie in B. */
const IRQF = 0x80;
const PF = 0x40;
const AF = 0x20;
const UF = 0x10;
/** Register D: the battery is good. */
const VRT = 0x80;

const PM = 0x80;
/** An alarm byte with these two bits set matches everything. */
const ANY = 0xc0;

const SECOND_MS = 1_000;
const DAY_S = 86_400;
/** UIP rises 244 us before the update. */
const UIP_MS = 0.244;
/** The first update comes half a second after the divider leaves reset. */
const DIVIDER_PHASE_MS = 500;
const CRYSTAL_HZ = 32_768;
const NEVER = Number.POSITIVE_INFINITY;
/** Year 9999 and its negative, in ms: further off no time that four digits give can be. */
const OFFSET_MAX = 4e14;

export interface RtcWiring {
  readonly irq: IrqLine;
  readonly wallClock: WallClock;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Bytes that firmware and board keep in the memory: [index, value]. */
  readonly contents: readonly (readonly [number, number])[];
}

/** What QEMU's pc writes for firmware: equipment, and the size of RAM below 4 GiB, `ramSize`. */
export function cmosMemorySize(ramSize: number): readonly (readonly [number, number])[] {
  const extended = Math.min(Math.max(Math.floor(ramSize / 1024) - 1024, 0), 0xffff);
  const above16M = Math.min(Math.max(Math.floor((ramSize - 16 * 1024 * 1024) / 65_536), 0), 0xffff);
  const base = 640;
  const word = (at: number, value: number) =>
    [
      [at, value & 0xff],
      [at + 1, value >> 8],
    ] as const;
  return [
    [0x14, 0x06], // a coprocessor and a PS/2 mouse
    ...word(0x15, base),
    ...word(0x17, extended),
    ...word(0x30, extended),
    ...word(0x34, above16M),
    [0x5b, 0], // nothing above 4 GiB, in units of 64 KiB
    [0x5c, 0],
    [0x5d, 0],
  ];
}

export class Rtc implements BusDevice, Device {
  readonly name = "rtc";
  readonly #w: RtcWiring;
  readonly #cmos = new Uint8Array(CMOS_SIZE);
  readonly #updateTimer: Timer;
  readonly #periodicTimer: Timer;
  #index = 0;
  /** Guest's time less the wall clock's, in ms; of no meaning while stopped. */
  #offset = 0;
  /** The guest's second, and the period, up to which flags are worked out. */
  #second = 0;
  #period = 0;
  /** How far into its second the clock was stopped by SET, in ms: setting the time leaves the divider alone. */
  #phase = 0;

  constructor(wiring: RtcWiring) {
    this.#w = wiring;
    this.#updateTimer = wiring.timers.create(() => this.#settle());
    this.#periodicTimer = wiring.timers.create(() => this.#settle());
    this.reset();
  }

  /** A word at the index's port is two accesses of a byte, as on the ISA bus. */
  read(offset: number, width: Width): number {
    if (width === 2) return 0xff | (this.read(1, 1) << 8);
    if (offset === 0) return 0xff; // the index cannot be read
    const at = this.#index;
    if (at === C) return this.#readFlags();
    if (at === A) return this.#cmos[A]! | (this.#updating() ? UIP : 0);
    if (isTime(at) && !this.#stopped()) this.#showTime();
    return this.#cmos[at]!;
  }

  write(offset: number, width: Width, value: number): void {
    if (width === 2) {
      this.write(0, 1, value & 0xff);
      this.write(1, 1, value >>> 8);
      return;
    }
    if (offset === 0) {
      this.#index = value & 0x7f; // bit 7 masks NMI, of which this machine has none
      return;
    }
    const at = this.#index;
    if (at === C || at === D) return;
    if (at === A || at === B) this.#writeControl(at, value);
    else if (isTime(at)) this.#writeTime(at, value);
    else this.#cmos[at] = value;
    this.#settle();
  }

  /** Time and memory are the battery's and stay; interrupts are off, and the memory says again what the board has. */
  reset(): void {
    const cmos = this.#cmos;
    if (this.#stopped()) this.#start(this.#phase);
    this.#index = 0;
    cmos[A] = 0x26;
    cmos[B] = cmos[D] === VRT ? (cmos[B]! & ~(SET | PIE | AIE | UIE | SQWE)) | HOURS_24 : HOURS_24;
    cmos[C] = 0;
    cmos[D] = VRT;
    cmos[RESET_CODE] = 0;
    for (const [at, value] of this.#w.contents) cmos[at] = value;
    this.#synchronize();
    this.#settle();
  }

  save(): DeviceState {
    return { version: 1, index: this.#index, cmos: [...this.#cmos], offset: this.#offset, phase: this.#phase };
  }

  load(state: DeviceState): void {
    expectVersion(this.name, state, 1);
    const index = expectUnsigned(this.name, "index", state["index"], CMOS_SIZE - 1);
    const offset = expectOffset(this.name, state["offset"]);
    const phase = expectOffset(this.name, state["phase"]);
    const cmos = expectList(this.name, "cmos", state["cmos"], CMOS_SIZE, 0xff);
    if (cmos.length !== CMOS_SIZE) throw new Error(`${this.name}: saved cmos has ${cmos.length} bytes`);
    this.#index = index;
    this.#offset = offset;
    this.#phase = positive(phase, SECOND_MS);
    this.#cmos.set(cmos);
    this.#synchronize();
    this.#settle();
  }

  #stopped(): boolean {
    return (this.#cmos[B]! & SET) !== 0 || (this.#cmos[A]! & DIVIDER_RESET) === DIVIDER_RESET;
  }

  /** The guest's time in ms. */
  #now(): number {
    return this.#w.wallClock() + this.#offset;
  }

  #updating(): boolean {
    if (this.#stopped()) return false;
    const now = this.#now();
    return (Math.floor(now / SECOND_MS) + 1) * SECOND_MS - now <= UIP_MS;
  }

  #writeControl(at: number, value: number): void {
    const stopped = this.#stopped();
    const held = (this.#cmos[A]! & DIVIDER_RESET) === DIVIDER_RESET;
    if (!stopped) this.#showTime(); // stops with what it shows, in the format of before
    const phase = stopped ? 0 : positive(this.#now(), SECOND_MS);
    if (at === A) this.#cmos[A] = value & ~UIP;
    else this.#cmos[B] = (value & SET) !== 0 ? value & ~UIE : value;
    if (!stopped) {
      // A new format shows the same time in another way; nothing to set.
      if (!this.#stopped()) this.#showTime();
      else this.#phase = phase;
    } else if (!this.#stopped()) {
      this.#start(held ? DIVIDER_PHASE_MS : this.#phase);
    }
    this.#period = this.#periods();
  }

  /** A time register: while running, the time changes at once. */
  #writeTime(at: number, value: number): void {
    const stopped = this.#stopped();
    const phase = stopped ? 0 : positive(this.#now(), SECOND_MS);
    if (!stopped) this.#showTime();
    this.#cmos[at] = value;
    if (!stopped && !isAlarm(at) && at !== WEEKDAY) this.#start(phase);
  }

  /** Runs from the time in the registers, so far into its second. */
  #start(phaseMs: number): void {
    this.#offset = this.#shownTime() + phaseMs - this.#w.wallClock();
    this.#synchronize();
  }

  /** Flags count from now. */
  #synchronize(): void {
    this.#second = Math.floor(this.#now() / SECOND_MS);
    this.#period = this.#periods();
  }

  // The registers as a time, and back.

  #encode(value: number): number {
    return (this.#cmos[B]! & BINARY) !== 0 ? value : (Math.floor(value / 10) << 4) | (value % 10);
  }

  #decode(value: number): number {
    return (this.#cmos[B]! & BINARY) !== 0 ? value : (value >> 4) * 10 + (value & 15);
  }

  #decodeHours(value: number): number {
    if ((this.#cmos[B]! & HOURS_24) !== 0) return this.#decode(value);
    return (this.#decode(value & ~PM) % 12) + ((value & PM) !== 0 ? 12 : 0);
  }

  #showTime(): void {
    const cmos = this.#cmos;
    const date = new Date(this.#now());
    const hours = date.getUTCHours();
    const year = date.getUTCFullYear();
    cmos[SECONDS] = this.#encode(date.getUTCSeconds());
    cmos[MINUTES] = this.#encode(date.getUTCMinutes());
    if ((cmos[B]! & HOURS_24) !== 0) cmos[HOURS] = this.#encode(hours);
    else cmos[HOURS] = this.#encode(hours % 12 === 0 ? 12 : hours % 12) | (hours >= 12 ? PM : 0);
    cmos[WEEKDAY] = this.#encode(date.getUTCDay() + 1);
    cmos[DAY] = this.#encode(date.getUTCDate());
    cmos[MONTH] = this.#encode(date.getUTCMonth() + 1);
    cmos[YEAR] = this.#encode(positive(year, 100));
    cmos[CENTURY] = this.#encode(positive(Math.floor(year / 100), 100));
  }

  /** Whatever the bytes are, they make some time: fields that are too large run over into the next. */
  #shownTime(): number {
    const cmos = this.#cmos;
    const year = Math.min(this.#decode(cmos[CENTURY]!) * 100 + this.#decode(cmos[YEAR]!), 9999);
    const date = new Date(0);
    date.setUTCFullYear(year, this.#decode(cmos[MONTH]!) - 1, this.#decode(cmos[DAY]!));
    date.setUTCHours(this.#decodeHours(cmos[HOURS]!), this.#decode(cmos[MINUTES]!), this.#decode(cmos[SECONDS]!));
    return date.getTime();
  }

  // Interrupts.

  #readFlags(): number {
    this.#settle();
    const flags = this.#cmos[C]!;
    this.#cmos[C] = 0;
    this.#w.irq.set(false);
    this.#settle(); // what was not waited for is again
    return flags;
  }

  /** Sets the flags of what has happened, raises the line if it is wanted, and arms the timers for what comes. */
  #settle(): void {
    const cmos = this.#cmos;
    if (!this.#stopped()) {
      const now = Math.floor(this.#now() / SECOND_MS);
      if (now < this.#second) this.#second = now; // somebody set the host's clock back
      if (now > this.#second) {
        cmos[C] = cmos[C]! | UF | (this.#nextAlarm() <= now ? AF : 0);
        this.#second = now;
      }
    }
    const periods = this.#periods();
    if (periods > this.#period) cmos[C] = cmos[C]! | PF;
    this.#period = periods;
    if ((cmos[C]! & cmos[B]! & (PF | AF | UF)) !== 0) cmos[C] = cmos[C]! | IRQF;
    this.#w.irq.set((cmos[C]! & IRQF) !== 0);
    this.#arm();
  }

  #arm(): void {
    const flags = this.#cmos[C]!;
    const enabled = this.#cmos[B]!;
    let second = NEVER;
    if (!this.#stopped()) {
      if ((enabled & UIE) !== 0 && (flags & UF) === 0) second = this.#second + 1;
      else if ((enabled & AIE) !== 0 && (flags & AF) === 0) second = this.#nextAlarm();
    }
    const { clock } = this.#w;
    if (second === NEVER) this.#updateTimer.disarm();
    else this.#updateTimer.arm(clock.now() + Math.max(Math.ceil((second * SECOND_MS - this.#now()) * 1e6), 1));
    const length = this.#periodNs();
    if (length === 0 || (enabled & PIE) === 0 || (flags & PF) !== 0) this.#periodicTimer.disarm();
    else this.#periodicTimer.arm(Math.ceil((this.#period + 1) * length));
  }

  /** Length of a period in nanoseconds; 0: none. Rates 1 and 2 are those of 8 and 9 with this crystal. */
  #periodNs(): number {
    const rate = this.#cmos[A]! & RATE;
    if (rate === 0 || (this.#cmos[A]! & DIVIDER_RESET) === DIVIDER_RESET) return 0;
    return (1e9 * 2 ** ((rate < 3 ? rate + 7 : rate) - 1)) / CRYSTAL_HZ;
  }

  #periods(): number {
    const length = this.#periodNs();
    return length === 0 ? 0 : Math.floor(this.#w.clock.now() / length);
  }

  /** The first second after `#second` that the alarm matches; NEVER if its bytes are no time. Skips whole hours and minutes. */
  #nextAlarm(): number {
    const cmos = this.#cmos;
    const seconds = this.#alarm(cmos[SECONDS_ALARM]!, 60);
    const minutes = this.#alarm(cmos[MINUTES_ALARM]!, 60);
    const raw = cmos[HOURS_ALARM]!;
    const hours = (raw & ANY) === ANY ? -1 : this.#decodeHours(raw);
    if (seconds >= 60 || minutes >= 60 || hours >= 24) return NEVER;
    for (let at = this.#second + 1; at <= this.#second + DAY_S; ) {
      const ofDay = positive(at, DAY_S);
      if (hours >= 0 && Math.floor(ofDay / 3600) !== hours) at += 3600 - (ofDay % 3600);
      else if (minutes >= 0 && Math.floor(ofDay / 60) % 60 !== minutes) at += 60 - (ofDay % 60);
      else if (seconds >= 0 && ofDay % 60 !== seconds) at++;
      else return at;
    }
    return NEVER;
  }

  /** -1: any. */
  #alarm(raw: number, limit: number): number {
    return (raw & ANY) === ANY ? -1 : Math.min(this.#decode(raw), limit);
  }
}

function isAlarm(at: number): boolean {
  return at === SECONDS_ALARM || at === MINUTES_ALARM || at === HOURS_ALARM;
}

function isTime(at: number): boolean {
  return at <= YEAR || at === CENTURY;
}

/** The remainder that is never negative. */
function positive(value: number, unit: number): number {
  return ((value % unit) + unit) % unit;
}

function expectOffset(device: string, value: StateValue | undefined): number {
  if (typeof value === "number" && Math.abs(value) <= OFFSET_MAX) return value;
  throw new Error(`${device}: saved offset is not a time in milliseconds`);
}
