/**
 * The 8254 programmable interval timer of a PC, with the speaker's port: counters 0 to 2 at 0x40, control at 0x43, port 0x61.
 * Document: Intel 8254 data sheet ("Mode Definitions", "Read-Back Command"); port 61h as in the 82371SB.
 * Output and count are computed from the time at which the counter was loaded, so nothing runs while nobody looks and no
 * error adds up. Counter 0's output is GSI 0: a rise for each tick.
 * Ticks that were lost while the vCPU did not run follow a policy (PIT_POLICY): KVM's are catchUp (reinject) and discard.
 * Not modelled: gates of counters 0 and 1, which a PC ties high; a sound.
 */
import { layout } from "../../shared/layout.ts";
import { VM_STATE } from "../vm/vm-state.ts";

/** Of the PC's crystal: 14.31818 MHz / 12. */
const HZ = 1_193_182;
const NS = 1e9;

const COUNTER = layout({
  /** When the counter was loaded, or its gate rose, in nanoseconds. */
  start: "f64",
  /** Ticks of the output that were raised since then. */
  raised: "f64",
  /** While the gate is low: the input clocks that were counted before it fell. */
  held: "f64",
  /** 1 to 0x10000. */
  count: "u32",
  latched: "u16",
  mode: "u8",
  bcd: "u8",
  /** How bytes go: 1 low, 2 high, 3 low then high. */
  access: "u8",
  /** 0: the next byte is the low one (of access 3). */
  writeHigh: "u8",
  readHigh: "u8",
  writeLow: "u8",
  countLatched: "u8",
  statusLatched: "u8",
  status: "u8",
  gate: "u8",
  /** Set from the control word until a count is written: nothing counts. */
  nullCount: "u8",
});
const SPEAKER = VM_STATE.pit + 3 * COUNTER.size;
const POLICY = SPEAKER + 1;
const REFRESH = SPEAKER + 2;
if (3 * COUNTER.size + 3 > 256) throw new Error("the PIT's state overflows its place");

/** What becomes of ticks that came while the last one was not delivered yet. */
export const PIT_POLICY = {
  /** Each is raised, as soon as the one before was taken (KVM's reinject). */
  catchUp: 0,
  /** They are forgotten; the next tick comes at its time. */
  discard: 1,
  /** They are one tick, at once; the next comes at its time. */
  merge: 2,
  /** As merge, and the ticks behind it are later by what was lost. */
  delay: 3,
} as const;
/** Behind by more than this, catching up gives up: a guest that was stopped for an hour must not get an hour of ticks. */
const CATCH_UP_LIMIT = 1000;

const GATE2 = 1;
const SPEAKER_DATA = 2;
const REFRESH_BIT = 0x10;
const OUT2 = 0x20;
const CONTROL = 0x43;
const SPEAKER_PORT = 0x61;
const READ_BACK = 3;

type Field = Exclude<keyof typeof COUNTER, "size">;
const WIDE: ReadonlySet<Field> = new Set<Field>(["start", "raised", "held"]);

export class Pit {
  readonly #view: DataView;
  readonly #raise: () => void;

  /** `raise` makes a rising edge on GSI 0. */
  constructor(memory: WebAssembly.Memory, raise: () => void) {
    this.#view = new DataView(memory.buffer);
    this.#raise = raise;
  }

  static readonly PORTS: readonly number[] = [0x40, 0x41, 0x42, CONTROL, SPEAKER_PORT];

  static owns(port: number): boolean {
    return (port >= 0x40 && port <= CONTROL) || port === SPEAKER_PORT;
  }

  /** As firmware's predecessor, the power supply, leaves it: no counter runs; those of a PC are gated on, but for 2. */
  reset(): void {
    const policy = this.policy;
    new Uint8Array(this.#view.buffer, VM_STATE.pit, 256).fill(0);
    for (let n = 0; n < 3; n++) {
      this.#set(n, "count", 0x1_0000);
      this.#set(n, "access", 3);
      this.#set(n, "gate", n === 2 ? 0 : 1);
      this.#set(n, "nullCount", 1);
    }
    this.policy = policy;
  }

  get policy(): number {
    return this.#view.getUint8(POLICY);
  }
  set policy(policy: number) {
    this.#view.setUint8(POLICY, policy);
  }

  read(port: number, now: number): number {
    if (port === CONTROL) return 0xff; // write-only
    if (port === SPEAKER_PORT) return this.#readSpeaker(now);
    const n = port & 3;
    if (this.#get(n, "statusLatched") !== 0) {
      this.#set(n, "statusLatched", 0);
      return this.#get(n, "status");
    }
    const latched = this.#get(n, "countLatched") !== 0;
    const value = latched ? this.#get(n, "latched") : this.#current(n, now);
    const access = this.#get(n, "access");
    const high = access === 3 ? this.#get(n, "readHigh") !== 0 : access === 2;
    if (access === 3) this.#set(n, "readHigh", high ? 0 : 1);
    if (latched && (access !== 3 || high)) this.#set(n, "countLatched", 0);
    return high ? value >>> 8 : value & 0xff;
  }

  write(port: number, value: number, now: number): void {
    if (port === SPEAKER_PORT) this.#writeSpeaker(value, now);
    else if (port === CONTROL) this.#writeControl(value, now);
    else this.#writeCount(port & 3, value, now);
  }

  /** Raises what counter 0's output owes at `now`. `taken`: the tick before was delivered. */
  service(now: number, taken: boolean): void {
    const due = this.#ticks(0, now);
    let raised = this.#get(0, "raised");
    if (due <= raised) return;
    const policy = this.policy;
    const lost = due - raised - 1;
    if (policy === PIT_POLICY.catchUp) {
      if (!taken) return;
      if (lost > CATCH_UP_LIMIT) raised = due - 1;
      this.#set(0, "raised", raised + 1);
    } else {
      this.#set(0, "raised", due);
      if (policy === PIT_POLICY.delay && lost > 0) {
        this.#set(0, "start", now);
        this.#set(0, "raised", 0);
      }
      if (policy === PIT_POLICY.discard && lost > 0) return;
    }
    this.#raise();
  }

  /** When service() has something to do, in nanoseconds; Infinity: never by itself. */
  nextDeadline(): number {
    if (this.#get(0, "nullCount") !== 0 || this.#get(0, "gate") === 0) return Number.POSITIVE_INFINITY;
    const raised = this.#get(0, "raised");
    const count = this.#get(0, "count");
    const start = this.#get(0, "start");
    switch (this.#mode(0)) {
      case 2:
      case 3:
        return start + ((raised + 1) * count * NS) / HZ;
      case 1:
      case 5: // they begin with a rise of the gate, which counter 0 does not get
        return Number.POSITIVE_INFINITY;
      default:
        return raised > 0 ? Number.POSITIVE_INFINITY : start + ((count + 1) * NS) / HZ;
    }
  }

  /** Rises of the output since the counter was loaded. */
  #ticks(n: number, now: number): number {
    if (this.#get(n, "nullCount") !== 0 || this.#get(n, "gate") === 0) return 0;
    const elapsed = this.#elapsed(n, now);
    const count = this.#get(n, "count");
    switch (this.#mode(n)) {
      case 2:
      case 3:
        return Math.floor(elapsed / count);
      case 1:
      case 5:
        return 0;
      default:
        return elapsed > count ? 1 : 0;
    }
  }

  /** Input clocks since the counter was loaded. */
  #elapsed(n: number, now: number): number {
    if (this.#get(n, "gate") === 0) return this.#get(n, "held");
    return Math.floor(((now - this.#get(n, "start")) * HZ) / NS);
  }

  /** The counting element, as two bytes. */
  #current(n: number, now: number): number {
    const count = this.#get(n, "count");
    if (this.#get(n, "nullCount") !== 0) return this.#encoded(n, count);
    const elapsed = this.#elapsed(n, now);
    const modulus = this.#get(n, "bcd") !== 0 ? 10_000 : 0x1_0000;
    switch (this.#mode(n)) {
      case 2:
        return this.#encoded(n, count - (elapsed % count));
      case 3: // it counts by two
        return this.#encoded(n, count - ((2 * elapsed) % count));
      default:
        return this.#encoded(n, (((count - elapsed) % modulus) + modulus) % modulus);
    }
  }

  #output(n: number, now: number): boolean {
    const elapsed = this.#elapsed(n, now);
    const count = this.#get(n, "count");
    const idle = this.#get(n, "nullCount") !== 0;
    switch (this.#mode(n)) {
      case 0:
      case 1:
        return !idle && elapsed >= count;
      case 2:
        return idle || this.#get(n, "gate") === 0 || elapsed % count !== count - 1;
      case 3:
        return idle || this.#get(n, "gate") === 0 || elapsed % count < Math.ceil(count / 2);
      default:
        return idle || elapsed !== count;
    }
  }

  #encoded(n: number, value: number): number {
    if (this.#get(n, "bcd") === 0) return value & 0xffff;
    let digits = 0;
    for (let at = 0, rest = value % 10_000; at < 16; at += 4, rest = Math.floor(rest / 10)) digits |= (rest % 10) << at;
    return digits;
  }

  #writeControl(value: number, now: number): void {
    const n = value >>> 6;
    if (n === READ_BACK) {
      for (let i = 0; i < 3; i++) {
        if ((value & (2 << i)) === 0) continue;
        if ((value & 0x20) === 0) this.#latch(i, now);
        if ((value & 0x10) === 0) this.#latchStatus(i, now);
      }
      return;
    }
    const access = (value >>> 4) & 3;
    if (access === 0) {
      this.#latch(n, now);
      return;
    }
    this.#set(n, "access", access);
    this.#set(n, "mode", (value >>> 1) & 7);
    this.#set(n, "bcd", value & 1);
    for (const field of ["writeHigh", "readHigh", "countLatched", "statusLatched", "raised"] as const)
      this.#set(n, field, 0);
    this.#set(n, "nullCount", 1);
  }

  #writeCount(n: number, byte: number, now: number): void {
    const access = this.#get(n, "access");
    if (access === 3 && this.#get(n, "writeHigh") === 0) {
      this.#set(n, "writeLow", byte);
      this.#set(n, "writeHigh", 1);
      return;
    }
    this.#set(n, "writeHigh", 0);
    const word = access === 1 ? byte : access === 2 ? byte << 8 : this.#get(n, "writeLow") | (byte << 8);
    this.#set(n, "count", this.#decoded(n, word));
    this.#set(n, "start", now);
    this.#set(n, "held", 0);
    this.#set(n, "raised", 0);
    this.#set(n, "nullCount", 0);
  }

  /** 0 is the largest count. */
  #decoded(n: number, word: number): number {
    if (this.#get(n, "bcd") === 0) return word === 0 ? 0x1_0000 : word;
    let value = 0;
    for (let at = 12; at >= 0; at -= 4) value = value * 10 + Math.min((word >>> at) & 15, 9);
    return value === 0 ? 10_000 : value;
  }

  #latch(n: number, now: number): void {
    if (this.#get(n, "countLatched") !== 0) return; // held until it is read
    this.#set(n, "latched", this.#current(n, now));
    this.#set(n, "countLatched", 1);
  }

  #latchStatus(n: number, now: number): void {
    if (this.#get(n, "statusLatched") !== 0) return;
    const output = this.#output(n, now) ? 0x80 : 0;
    const empty = this.#get(n, "nullCount") !== 0 ? 0x40 : 0;
    const { access, mode, bcd } = {
      access: this.#get(n, "access"),
      mode: this.#get(n, "mode"),
      bcd: this.#get(n, "bcd"),
    };
    this.#set(n, "status", output | empty | (access << 4) | (mode << 1) | bcd);
    this.#set(n, "statusLatched", 1);
  }

  /** Bit 4 toggles with each refresh request, every 15 us on a PC: software only waits for it to change. */
  #readSpeaker(now: number): number {
    const refresh = this.#view.getUint8(REFRESH) ^ REFRESH_BIT;
    this.#view.setUint8(REFRESH, refresh);
    return this.#view.getUint8(SPEAKER) | refresh | (this.#output(2, now) ? OUT2 : 0);
  }

  #writeSpeaker(value: number, now: number): void {
    this.#view.setUint8(SPEAKER, value & (GATE2 | SPEAKER_DATA));
    const gate = value & GATE2;
    if (gate === this.#get(2, "gate")) return;
    if (gate === 0) {
      this.#set(2, "held", this.#elapsed(2, now));
    } else {
      // A rise goes on counting in modes 0 and 4, and starts the others anew.
      const mode = this.#mode(2);
      const counted = mode === 0 || mode === 4 ? this.#get(2, "held") : 0;
      this.#set(2, "start", now - (counted * NS) / HZ);
    }
    this.#set(2, "gate", gate);
  }

  /** Modes 6 and 7 are 2 and 3. */
  #mode(n: number): number {
    const mode = this.#get(n, "mode");
    return mode > 5 ? mode - 4 : mode;
  }

  #get(n: number, field: Field): number {
    const at = VM_STATE.pit + n * COUNTER.size + COUNTER[field];
    if (WIDE.has(field)) return this.#view.getFloat64(at, true);
    if (field === "count") return this.#view.getUint32(at, true);
    return field === "latched" ? this.#view.getUint16(at, true) : this.#view.getUint8(at);
  }

  #set(n: number, field: Field, value: number): void {
    const at = VM_STATE.pit + n * COUNTER.size + COUNTER[field];
    if (WIDE.has(field)) this.#view.setFloat64(at, value, true);
    else if (field === "count") this.#view.setUint32(at, value, true);
    else if (field === "latched") this.#view.setUint16(at, value, true);
    else this.#view.setUint8(at, value);
  }
}
