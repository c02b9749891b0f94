/**
 * A packed virtqueue: one ring of descriptors that both sides write, and two event suppression structures.
 * Follows: VIRTIO 1.2 section 2.8 "Packed Virtqueues".
 * Left out: VIRTIO_F_IN_ORDER. Without event indices the device's structure stays at "always notify".
 */
import type { StateValue } from "../bus/interfaces.ts";
import { expectList } from "../bus/state.ts";
import { MAX_INDIRECT, TakenChain } from "./chain.ts";
import {
  BaseQueue,
  DESC_BYTES,
  DESC_F,
  NO_WORDS,
  type QueueHost,
  type QueueSetup,
  type RingWords,
  ringWords,
  sizeMistake,
} from "./queue.ts";

/** A descriptor's words: address low and high, length; and id and flags as 16-bit words. */
const [LENGTH, WORDS] = [2, 4] as const;
const [ID, FLAGS, HALVES] = [6, 7, 8] as const;
/** Flags that this kind alone has. */
const [AVAIL, USED] = [1 << 7, 1 << 15] as const;
/** Event suppression structure (section 2.8.14): position and wrap counter, then flags. */
const [EVENT_DESC, EVENT_FLAGS, EVENT_BYTES] = [0, 1, 4] as const;
const EVENT = { ENABLE: 0, DISABLE: 1, DESC: 2, MASK: 3 } as const;
const WRAP = 0x8000;

interface Rings {
  readonly desc: RingWords;
  readonly driver: Uint16Array;
  readonly device: Uint16Array;
}

const NO_RINGS: Rings = { desc: NO_WORDS, driver: NO_WORDS.u16, device: NO_WORDS.u16 };

export class PackedQueue extends BaseQueue<Rings> {
  readonly #descAt: number;
  readonly #deviceAt: number;
  /** Positions in the ring, and their wrap counters: 1, then 0 in the next round. */
  #avail = 0;
  #availWrap = 1;
  #used = 0;
  #usedWrap = 1;
  /** Entries used since wantsInterrupt() was last asked; more than a round count as one. */
  #untold = 0;

  constructor(host: QueueHost, setup: QueueSetup) {
    super(host, setup, findRings(host, setup), NO_RINGS);
    this.#descAt = setup.desc;
    this.#deviceAt = setup.device;
  }

  protected override ready(): boolean {
    if (this.#isAvailable()) return true;
    if (!this.eventIdx) return false;
    const { device } = this.rings;
    device[EVENT_DESC] = this.#avail | (this.#availWrap << 15);
    Atomics.store(device, EVENT_FLAGS, EVENT.DESC);
    this.host.memory.written(this.#deviceAt, EVENT_BYTES);
    // Dekker: event first, then look again, or the driver could have added a chain and seen the old event.
    return this.#isAvailable();
  }

  /** The first descriptor's flags were seen (Atomics.load): the driver wrote them last, so the whole chain is there. */
  protected override take(): TakenChain | undefined {
    const { u16, u32 } = this.rings.desc;
    const chain = new TakenChain(0);
    let at = this.#avail;
    for (let count = 1; ; count++) {
      if (count > this.size) return this.fail("a chain that is longer than the ring");
      const flags = u16[at * HALVES + FLAGS]!;
      const gpa = u32[at * WORDS + 1]! * 2 ** 32 + u32[at * WORDS]!;
      const length = u32[at * WORDS + LENGTH]!;
      chain.head = u16[at * HALVES + ID]!; // the last descriptor's counts
      chain.entries = count;
      at = at + 1 === this.size ? 0 : at + 1;
      const indirect = (flags & DESC_F.INDIRECT) !== 0;
      const mistake = indirect
        ? this.#enter(chain, gpa, length, flags)
        : chain.add(this.host.memory, gpa, length, (flags & DESC_F.WRITE) !== 0);
      if (mistake !== undefined) return this.fail(mistake);
      if ((flags & DESC_F.NEXT) === 0) break;
    }
    if (at <= this.#avail) this.#availWrap ^= 1;
    this.#avail = at;
    return chain;
  }

  /** Data, id and length before the flags, which Atomics.store publishes. */
  protected override giveBack(chain: TakenChain, written: number): void {
    const { u16, u32 } = this.rings.desc;
    const at = this.#used;
    u32[at * WORDS + LENGTH] = written;
    u16[at * HALVES + ID] = chain.head;
    const wrapFlags = this.#usedWrap !== 0 ? AVAIL | USED : 0;
    Atomics.store(u16, at * HALVES + FLAGS, wrapFlags | (written > 0 ? DESC_F.WRITE : 0));
    this.host.memory.written(this.#descAt + DESC_BYTES * at, DESC_BYTES);
    this.#untold = Math.min(this.#untold + chain.entries, this.size);
    this.#used += chain.entries;
    if (this.#used >= this.size) {
      this.#used -= this.size;
      this.#usedWrap ^= 1;
    }
  }

  /** Section 2.8.10. Positions are counted from the round in which the used position is, so earlier ones are negative. */
  protected override wantsInterrupt(): boolean {
    const { driver } = this.rings;
    const untold = this.#untold;
    this.#untold = 0;
    const flags = Atomics.load(driver, EVENT_FLAGS) & EVENT.MASK;
    if (flags === EVENT.DISABLE) return false;
    if (flags !== EVENT.DESC || !this.eventIdx) return true;
    const word = driver[EVENT_DESC]!;
    const event = (word & ~WRAP) - (word >>> 15 === this.#usedWrap ? 0 : this.size);
    return ((this.#used - event - 1) & 0xffff) < untold;
  }

  protected override position(): StateValue {
    return [this.#avail, this.#availWrap, this.#used, this.#usedWrap, this.#untold];
  }

  protected override setPosition(name: string, position: StateValue): void {
    const words = expectList(name, "ring position", position, 5, 0x8000);
    const [avail = 0, availWrap = 1, used = 0, usedWrap = 1, untold = 0] = words;
    if (Math.max(avail, used) >= this.size || Math.max(availWrap, usedWrap) > 1) {
      throw new Error(`${name}: the saved ring position is outside the ring`);
    }
    this.#avail = avail;
    this.#availWrap = availWrap;
    this.#used = used;
    this.#usedWrap = usedWrap;
    this.#untold = Math.min(untold, this.size);
  }

  #isAvailable(): boolean {
    const flags = Atomics.load(this.rings.desc.u16, this.#avail * HALVES + FLAGS);
    const available = (flags & AVAIL) !== 0 ? 1 : 0;
    const used = (flags & USED) !== 0 ? 1 : 0;
    return available === this.#availWrap && used !== this.#availWrap;
  }

  /** All descriptors of an indirect table, whose only flag is WRITE (section 2.8.7). What is wrong, or undefined. */
  #enter(chain: TakenChain, gpa: number, length: number, flags: number): string | undefined {
    const memory = this.host.memory;
    const mistake = this.indirectMistake(gpa, length, flags);
    if (mistake !== undefined) return mistake;
    if (length > MAX_INDIRECT * DESC_BYTES) return "an indirect table that is too long";
    for (let at = gpa; at < gpa + length; at += DESC_BYTES) {
      const entryFlags = memory.readU16(at + 2 * FLAGS);
      if ((entryFlags & DESC_F.INDIRECT) !== 0) return "an indirect table within another";
      const entry = memory.readU32(at + 4) * 2 ** 32 + memory.readU32(at);
      const wrong = chain.add(memory, entry, memory.readU32(at + 8), (entryFlags & DESC_F.WRITE) !== 0);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  }
}

/** The rings' views, or what is wrong with them. */
function findRings(host: QueueHost, setup: QueueSetup): Rings | string {
  const mistake = sizeMistake(setup, true);
  if (mistake !== undefined) return mistake;
  const desc = ringWords(host.memory, setup.desc, DESC_BYTES * setup.size, 16);
  const driver = ringWords(host.memory, setup.driver, EVENT_BYTES, 4);
  const device = ringWords(host.memory, setup.device, EVENT_BYTES, 4);
  if (desc === undefined) return "a descriptor ring outside RAM, or not aligned";
  if (driver === undefined) return "a driver event structure outside RAM, or not aligned";
  if (device === undefined) return "a device event structure outside RAM, or not aligned";
  return { desc, driver: driver.u16, device: device.u16 };
}
