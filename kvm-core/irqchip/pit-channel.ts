/**
 * One counter of the 8254: what it counts, what OUT is, when OUT rises; times are clockMonotonic() nanoseconds.
 * Spec: Intel 8254 data sheet (231164), "Mode Definitions"; the input clock is 1.193182 MHz.
 * Nothing runs: a counter is the time at which it was loaded, and everything else is computed from that, so that no
 * rounding adds up. As in KVM a new count in modes 2 and 3 takes effect at once and not at the end of the period.
 * Leaves out: the ports (pit.ts).
 */
import { layout } from "../../shared/layout.ts";

export const PIT_HZ = 1_193_182;
const SECOND = 1e9;

export const CHANNEL = layout({
  /** When the count was loaded, or STOPPED. */
  loaded: "f64",
  /** Gate low in modes 0, 2, 3 and 4: nanoseconds that were counted before, else -1. */
  held: "f64",
  /** The count in force, 1 to 65536, and the one that the next trigger loads (modes 1 and 5; 0 before it is written). */
  count: "u32",
  reload: "u32",
  latched: "u32",
  mode: "u8",
  bcd: "u8",
  gate: "u8",
  /** Access: 1 low byte, 2 high byte, 3 both. */
  access: "u8",
  /** The next byte of an access of both is the high one. */
  readHigh: "u8",
  writeHigh: "u8",
  writeLow: "u8",
  countLatched: "u8",
  statusLatched: "u8",
  status: "u8",
  /** A count was written, or asked for by the mode, that is not loaded yet. */
  nullCount: "u8",
});
type Field = Exclude<keyof typeof CHANNEL, "size">;

export const STOPPED = -1;
const NEVER = Number.POSITIVE_INFINITY;

/** Whole ticks in `ns`; exact, as both products stay below 2^53. */
export function ticksIn(ns: number): number {
  const seconds = Math.floor(ns / SECOND);
  return seconds * PIT_HZ + Math.floor(((ns - seconds * SECOND) * PIT_HZ) / SECOND);
}

/** The first nanosecond at which `ticks` are complete. */
export function nanosecondsOf(ticks: number): number {
  const seconds = Math.floor(ticks / PIT_HZ);
  return seconds * SECOND + Math.ceil(((ticks - seconds * PIT_HZ) * SECOND) / PIT_HZ);
}

export class PitChannel {
  readonly #view: DataView;

  constructor(buffer: ArrayBufferLike, at: number) {
    this.#view = new DataView(buffer, at, CHANNEL.size);
  }

  get(field: Field): number {
    const at = CHANNEL[field];
    if (at < CHANNEL.count) return this.#view.getFloat64(at, true);
    return at < CHANNEL.mode ? this.#view.getUint32(at, true) : this.#view.getUint8(at);
  }

  set(field: Field, value: number): void {
    const at = CHANNEL[field];
    if (at < CHANNEL.count) this.#view.setFloat64(at, value, true);
    else if (at < CHANNEL.mode) this.#view.setUint32(at, value, true);
    else this.#view.setUint8(at, value);
  }

  reset(gate: number): void {
    for (let at = 0; at < CHANNEL.size; at++) this.#view.setUint8(at, 0);
    this.set("loaded", STOPPED);
    this.set("held", -1);
    this.set("count", 0x1_0000);
    this.set("reload", 0x1_0000);
    this.set("access", 3);
    this.set("nullCount", 1);
    this.set("gate", gate);
  }

  /** A control word for this counter: it stops until a count is written. */
  control(access: number, mode: number, bcd: number): void {
    this.set("access", access);
    this.set("mode", mode > 5 ? mode - 4 : mode); // the top bit of modes 2 and 3 does not count
    this.set("bcd", bcd);
    this.set("readHigh", 0);
    this.set("writeHigh", 0);
    this.set("countLatched", 0);
    this.set("statusLatched", 0);
    this.set("nullCount", 1);
    this.set("reload", 0);
    this.set("loaded", STOPPED);
    this.set("held", -1);
  }

  /** A whole count was written, as the guest encodes it. */
  load(value: number, now: number): void {
    const count = this.get("bcd") ? fromBcd(value) || 10_000 : value || 0x1_0000;
    this.set("reload", count);
    this.set("nullCount", 1);
    const mode = this.get("mode");
    if (mode !== 1 && mode !== 5) this.#start(now);
  }

  /** The first byte of two in mode 0 stops the counter. */
  pause(): void {
    this.set("loaded", STOPPED);
    this.set("held", -1);
  }

  setGate(gate: number, now: number): void {
    const before = this.get("gate");
    this.set("gate", gate);
    if (before === gate) return;
    const mode = this.get("mode");
    const triggers = mode === 1 || mode === 5;
    if (!gate) {
      if (!triggers && this.get("loaded") !== STOPPED) this.set("held", now - this.get("loaded"));
    } else if (triggers) {
      if (this.get("reload") !== 0) this.#start(now);
    } else if (this.get("held") >= 0) {
      if (mode === 2 || mode === 3) this.#start(now);
      else this.set("loaded", now - this.get("held"));
      this.set("held", -1);
    }
  }

  /** Ticks since the count was loaded, or STOPPED. */
  elapsed(now: number): number {
    const loaded = this.get("loaded");
    if (loaded === STOPPED) return STOPPED;
    const held = this.get("held");
    return ticksIn(held >= 0 ? held : Math.max(now - loaded, 0));
  }

  /** What the counting element holds, as the guest reads it. */
  value(now: number): number {
    const count = this.get("count");
    const modulus = this.get("bcd") ? 10_000 : 0x1_0000;
    const ticks = this.elapsed(now);
    let value = count;
    if (ticks !== STOPPED) {
      const phase = ticks % count;
      const high = (count + 1) >> 1;
      switch (this.get("mode")) {
        case 2:
          value = count - phase;
          break;
        case 3: // by two; an odd count is loaded less one
          value = (count & ~1) - 2 * (phase < high ? phase : phase - high);
          break;
        default: // counts on past zero
          value = count - ticks;
      }
    }
    value = ((value % modulus) + modulus) % modulus;
    return this.get("bcd") ? toBcd(value) : value;
  }

  out(now: number): number {
    const mode = this.get("mode");
    const ticks = this.elapsed(now);
    if (ticks === STOPPED) return mode === 0 ? 0 : 1;
    const count = this.get("count");
    switch (mode) {
      case 0:
      case 1:
        return ticks >= count ? 1 : 0;
      case 2:
        return this.get("held") >= 0 || ticks % count !== count - 1 ? 1 : 0;
      case 3:
        return this.get("held") >= 0 || ticks % count < (count + 1) >> 1 ? 1 : 0;
      default:
        return ticks === count ? 0 : 1;
    }
  }

  /** How often OUT rose since the count was loaded. */
  rises(now: number): number {
    const ticks = this.elapsed(now);
    if (ticks === STOPPED) return 0;
    const count = this.get("count");
    const mode = this.get("mode");
    if (mode === 2 || mode === 3) return Math.floor(ticks / count);
    return ticks >= (mode >= 4 ? count + 1 : count) ? 1 : 0;
  }

  /** When OUT rises for the `n`th time since the count was loaded (from 1), or Infinity. */
  riseAt(n: number): number {
    const loaded = this.get("loaded");
    if (loaded === STOPPED || this.get("held") >= 0) return NEVER;
    const count = this.get("count");
    const mode = this.get("mode");
    if (mode === 2 || mode === 3) return loaded + nanosecondsOf(n * count);
    return n === 1 ? loaded + nanosecondsOf(mode >= 4 ? count + 1 : count) : NEVER;
  }

  #start(now: number): void {
    const mode = this.get("mode");
    this.set("count", this.get("reload"));
    this.set("nullCount", 0);
    this.set("loaded", now);
    this.set("held", this.get("gate") || mode === 1 || mode === 5 ? -1 : 0);
  }
}

function fromBcd(value: number): number {
  return (value >> 12) * 1000 + ((value >> 8) & 15) * 100 + ((value >> 4) & 15) * 10 + (value & 15);
}

function toBcd(value: number): number {
  const digit = (scale: number) => Math.floor(value / scale) % 10;
  return (digit(1000) << 12) | (digit(100) << 8) | (digit(10) << 4) | digit(1);
}
