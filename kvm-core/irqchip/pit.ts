/**
 * The 8254 of a PC at 0x40 to 0x43 and the bits of port 0x61 that go with it: counter 0 is GSI 0, 2 the speaker's.
 * Spec: Intel 8254 data sheet (231164), "Programming the 8254", "Read-Back Command"; port 0x61 as KVM has it.
 * State lies in VM state and is touched under the irqchip lock (lock.ts). GSI 0 gets a pulse for each rise of OUT 0;
 * whoever owns the Pit calls service(now) no later than nextDeadline().
 * Ticks that were missed because nobody looked: see LOST_TICKS.
 * Left out: NMI bits of port 0x61; counter 1's refresh, of which only the toggling bit is there.
 */
import { KVM_PIT_FLAGS, type KvmPitChannelState, type KvmPitState2 } from "../../shared/ioctls.ts";
import { layout } from "../../shared/layout.ts";
import { VM_STATE } from "../vm/vm-state.ts";
import { CHANNEL, PitChannel, STOPPED } from "./pit-channel.ts";

const STATE = layout({
  /** Rises of OUT 0 since its load that were looked at. */
  served: "f64",
  /** Missed ticks that GSI 0 still gets. */
  owed: "f64",
  /** When the last of them was given. */
  gave: "f64",
  /** 0: there is no PIT (KVM_CREATE_PIT2). */
  exists: "u32",
  /** Port 0x61 is here. */
  speaker: "u32",
  policy: "u32",
  flags: "u32",
  channels: ["f64", (3 * CHANNEL.size) / 8],
});
if (STATE.size > 256) throw new Error("the PIT's state overflows its place");

/**
 * What becomes of ticks beyond the first that a late look finds, by QEMU's names.
 * `discard`: nothing (KVM_REINJECT_CONTROL 0). `merge`: nothing either, they are one with the first; an edge that
 * waits in an interrupt controller takes in the ones after it in any case. `delay`: the timer goes on one period after
 * the late tick: the guest's time stays behind. `catchup`: they come at twice the rate until none is owed
 * (KVM_REINJECT_CONTROL 1 and the default, which QEMU's kvm-pit calls `delay`; KVM gives each when the guest has
 * acknowledged the one before).
 */
export const LOST_TICKS = { catchup: 0, discard: 1, merge: 2, delay: 3 } as const;
/** A VM that stood still does not get all of its missed ticks. */
const MAX_OWED = 1000;

const CONTROL_PORT = 0x43;
const SPEAKER_PORT = 0x61;
const READ_BACK = 3;
/** KVM's RW_STATE_WORD0 and WORD1; the states before are access 1 and 2. */
const WORD0 = 3;
const WORD1 = 4;
const NOT_LOADED = 0xffff_ffff_ffff_ffffn;

export class Pit {
  readonly #view: DataView;
  readonly #words: Int32Array;
  readonly #channels: readonly [PitChannel, PitChannel, PitChannel];
  readonly #raise: () => void;

  /** `raise` is called for each pulse of GSI 0. */
  constructor(memory: WebAssembly.Memory, raise: () => void) {
    this.#view = new DataView(memory.buffer, VM_STATE.pit, STATE.size);
    this.#words = new Int32Array(memory.buffer, VM_STATE.pit, STATE.size >> 2);
    const channel = (n: number) => new PitChannel(memory.buffer, VM_STATE.pit + STATE.channels + n * CHANNEL.size);
    this.#channels = [channel(0), channel(1), channel(2)];
    this.#raise = raise;
  }

  /** Ports of a PIT with a speaker port. */
  static readonly PORTS: readonly number[] = [0x40, 0x41, 0x42, 0x43, 0x61];

  /** KVM_CREATE_PIT2. */
  create(speaker: boolean): void {
    this.reset();
    this.#set("speaker", speaker ? 1 : 0);
    this.#set("policy", LOST_TICKS.catchup);
    Atomics.store(this.#words, STATE.exists >> 2, 1);
  }

  get exists(): boolean {
    return Atomics.load(this.#words, STATE.exists >> 2) !== 0;
  }

  get policy(): number {
    return this.#get("policy");
  }

  set policy(policy: number) {
    this.#set("policy", policy);
    this.#set("owed", 0);
  }

  /** Power-on state: no counter counts. The policy and the ports stay. */
  reset(): void {
    for (let n = 0; n < 3; n++) this.#channels[n]!.reset(n === 2 ? 0 : 1);
    this.#set("flags", 0);
    this.#restarted();
  }

  /** True for a port that this PIT answers; none before create(). */
  owns(port: number): boolean {
    if ((port < 0x40 || port > CONTROL_PORT) && port !== SPEAKER_PORT) return false;
    return this.exists && (port !== SPEAKER_PORT || this.#get("speaker") !== 0);
  }

  read(port: number, now: number): number {
    if (port === SPEAKER_PORT) return this.#readSpeaker(now);
    if (port === CONTROL_PORT) return 0; // "no operation"; KVM answers 0
    const channel = this.#channels[port & 3]!;
    if (channel.get("statusLatched")) {
      channel.set("statusLatched", 0);
      return channel.get("status");
    }
    const access = channel.get("access");
    const latched = channel.get("countLatched") !== 0;
    const value = latched ? channel.get("latched") : channel.value(now);
    const high = access === 2 || (access === 3 && channel.get("readHigh") !== 0);
    if (access === 3) channel.set("readHigh", high ? 0 : 1);
    if (latched && (access !== 3 || high)) channel.set("countLatched", 0);
    return high ? value >> 8 : value & 0xff;
  }

  write(port: number, value: number, now: number): void {
    this.service(now); // what was due before the change
    if (port === SPEAKER_PORT) {
      this.#set("flags", (this.#get("flags") & ~KVM_PIT_FLAGS.SPEAKER_DATA_ON) | (value & 2));
      this.#channels[2].setGate(value & 1, now);
    } else if (port === CONTROL_PORT) {
      this.#control(value, now);
    } else {
      this.#writeCount(port & 3, value, now);
    }
  }

  /** Raises GSI 0 for what is due. */
  service(now: number): void {
    const channel = this.#channels[0];
    const due = channel.rises(now) - this.#get("served");
    const policy = this.#get("policy");
    let pulse = false;
    if (due > 0) {
      this.#set("served", this.#get("served") + due);
      if (policy === LOST_TICKS.catchup) this.#set("owed", Math.min(this.#get("owed") + due - 1, MAX_OWED));
      if (policy === LOST_TICKS.delay && due > 1) this.#delay(now);
      pulse = true;
    } else if (this.#get("owed") > 0 && now >= this.#get("gave") + this.#halfPeriod()) {
      this.#set("owed", this.#get("owed") - 1);
      pulse = true;
    }
    if (!pulse) return;
    this.#set("gave", now);
    if ((this.#get("flags") & KVM_PIT_FLAGS.HPET_LEGACY) === 0) this.#raise();
  }

  /** When service() has something to do next, or Infinity. */
  nextDeadline(): number {
    if (!this.exists) return Number.POSITIVE_INFINITY;
    const next = this.#channels[0].riseAt(this.#get("served") + 1);
    if (this.#get("owed") === 0 || next === Number.POSITIVE_INFINITY) return next;
    return Math.min(next, this.#get("gave") + this.#halfPeriod());
  }

  /** KVM_GET_PIT2. A channel whose gate is low is told as if it had been loaded that much before `now`. */
  save(now: number): KvmPitState2 {
    return { channels: this.#channels.map((channel) => saveChannel(channel, now)), flags: this.#get("flags") };
  }

  /** KVM_SET_PIT2; the channels go on from their load times, one in the future begins now. Missed ticks stay missed. */
  load(state: KvmPitState2, now: number): void {
    for (let n = 0; n < 3; n++) loadChannel(this.#channels[n]!, state.channels[n]!, now);
    this.#set("flags", state.flags & (KVM_PIT_FLAGS.HPET_LEGACY | KVM_PIT_FLAGS.SPEAKER_DATA_ON));
    this.#restarted();
    this.#set("served", this.#channels[0].rises(now));
  }

  #control(value: number, now: number): void {
    const select = value >> 6;
    if (select === READ_BACK) {
      for (let n = 0; n < 3; n++) {
        if ((value & (2 << n)) === 0) continue;
        if ((value & 0x20) === 0) latchCount(this.#channels[n]!, now);
        if ((value & 0x10) === 0) latchStatus(this.#channels[n]!, now);
      }
      return;
    }
    const channel = this.#channels[select]!;
    const access = (value >> 4) & 3;
    if (access === 0) {
      latchCount(channel, now);
      return;
    }
    channel.control(access, (value >> 1) & 7, value & 1);
    if (select === 0) this.#restarted();
  }

  #writeCount(n: number, value: number, now: number): void {
    const channel = this.#channels[n]!;
    const access = channel.get("access");
    if (access === 3 && channel.get("writeHigh") === 0) {
      channel.set("writeLow", value);
      channel.set("writeHigh", 1);
      if (channel.get("mode") === 0) channel.pause();
      return;
    }
    channel.set("writeHigh", 0);
    channel.load(access === 1 ? value : (value << 8) | (access === 3 ? channel.get("writeLow") : 0), now);
    if (n === 0) this.#restarted();
  }

  #readSpeaker(now: number): number {
    const channel = this.#channels[2];
    const toggle = Math.floor(now / 0x4000) & 1; // every 16 us, as in KVM
    const data = this.#get("flags") & KVM_PIT_FLAGS.SPEAKER_DATA_ON;
    return channel.get("gate") | data | (toggle << 4) | (channel.out(now) << 5);
  }

  /** Counter 0 counts anew. */
  #restarted(): void {
    this.#set("served", 0);
    this.#set("owed", 0);
  }

  /** Moves counter 0 so that the last tick was now. */
  #delay(now: number): void {
    this.#channels[0].set("loaded", now);
    this.#set("served", 0);
  }

  #halfPeriod(): number {
    const channel = this.#channels[0];
    return Math.ceil((channel.riseAt(1) - channel.get("loaded")) / 2);
  }

  #get(field: "served" | "owed" | "gave" | "speaker" | "policy" | "flags"): number {
    const at = STATE[field];
    return at < STATE.exists ? this.#view.getFloat64(at, true) : this.#view.getUint32(at, true);
  }

  #set(field: "served" | "owed" | "gave" | "speaker" | "policy" | "flags", value: number): void {
    const at = STATE[field];
    if (at < STATE.exists) this.#view.setFloat64(at, value, true);
    else this.#view.setUint32(at, value, true);
  }
}

/** A latch that has not been read stays. */
function latchCount(channel: PitChannel, now: number): void {
  if (channel.get("countLatched")) return;
  channel.set("latched", channel.value(now));
  channel.set("countLatched", 1);
}

function latchStatus(channel: PitChannel, now: number): void {
  if (channel.get("statusLatched")) return;
  const [access, mode, bcd] = [channel.get("access"), channel.get("mode"), channel.get("bcd")];
  channel.set("status", (channel.out(now) << 7) | (channel.get("nullCount") << 6) | (access << 4) | (mode << 1) | bcd);
  channel.set("statusLatched", 1);
}

function saveChannel(channel: PitChannel, now: number): KvmPitChannelState {
  const access = channel.get("access");
  const readState = access === 3 && channel.get("readHigh") ? WORD1 : access;
  const loaded = channel.get("loaded");
  const held = channel.get("held");
  return {
    count: channel.get("reload") || channel.get("count"),
    latched_count: channel.get("latched"),
    count_latched: channel.get("countLatched") ? readState : 0,
    status_latched: channel.get("statusLatched"),
    status: channel.get("status"),
    read_state: readState,
    write_state: access === 3 && channel.get("writeHigh") ? WORD1 : access,
    write_latch: channel.get("writeLow"),
    rw_mode: access,
    mode: channel.get("mode"),
    bcd: channel.get("bcd"),
    gate: channel.get("gate"),
    count_load_time: loaded === STOPPED ? NOT_LOADED : BigInt(held >= 0 ? now - held : loaded),
  };
}

function loadChannel(channel: PitChannel, state: KvmPitChannelState, now: number): void {
  const mode = state.mode & 7;
  const count = Math.min(state.count, 0x1_0000) || 0x1_0000;
  channel.reset(state.gate & 1);
  channel.set("count", count);
  channel.set("reload", count);
  channel.set("latched", state.latched_count);
  channel.set("countLatched", state.count_latched === 0 ? 0 : 1);
  channel.set("statusLatched", state.status_latched & 1);
  channel.set("status", state.status);
  channel.set("access", state.rw_mode & 3 || WORD0);
  channel.set("readHigh", state.read_state === WORD1 ? 1 : 0);
  channel.set("writeHigh", state.write_state === WORD1 ? 1 : 0);
  channel.set("writeLow", state.write_latch);
  channel.set("mode", mode > 5 ? mode - 4 : mode);
  channel.set("bcd", state.bcd & 1);
  if (state.count_load_time === NOT_LOADED) return;
  const loaded = state.count_load_time > BigInt(now) ? now : Number(state.count_load_time);
  channel.set("loaded", loaded);
  channel.set("nullCount", 0);
  const pauses = state.mode !== 1 && state.mode !== 5;
  if (pauses && (state.gate & 1) === 0) channel.set("held", now - loaded);
}
