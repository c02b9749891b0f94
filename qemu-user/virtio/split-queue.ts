/**
 * A split virtqueue: descriptor table, available ring and used ring.
 * Follows: VIRTIO 1.2 section 2.7 "Split Virtqueues".
 * Left out: VIRTIO_F_IN_ORDER, and legacy alignment. NO_NOTIFY is never set: without event indices, the driver always notifies.
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

/** `next` is 16 bits. */
const MAX_TABLE = 65536;
/** Indices run freely in 16 bits. */
const MAX_INDEX = 0xffff;
const AVAIL_F_NO_INTERRUPT = 1;
/** Both rings begin with flags and idx. */
const [FLAGS, IDX, RING] = [0, 1, 2] as const;

interface Rings {
  readonly avail: Uint16Array;
  readonly used: RingWords;
}

const NO_RINGS: Rings = { avail: NO_WORDS.u16, used: NO_WORDS };

export class SplitQueue extends BaseQueue<Rings> {
  readonly #descAt: number;
  readonly #usedAt: number;
  /** Free-running 16-bit indices. */
  #lastAvail = 0;
  #usedIdx = 0;
  /** Chains returned since wantsInterrupt() was last asked; more than the indices can tell count as that many. */
  #untold = 0;

  constructor(host: QueueHost, setup: QueueSetup) {
    super(host, setup, findRings(host, setup), NO_RINGS);
    this.#descAt = setup.desc;
    this.#usedAt = setup.device;
  }

  protected override ready(): boolean {
    const { avail, used } = this.rings;
    if (Atomics.load(avail, IDX) !== this.#lastAvail) return true;
    if (!this.eventIdx) return false;
    Atomics.store(used.u16, this.#availEvent, this.#lastAvail);
    this.host.memory.written(this.#usedAt + 2 * this.#availEvent, 2);
    // Dekker: event first, then look again, or the driver could have added a chain and seen the old event.
    return Atomics.load(avail, IDX) !== this.#lastAvail;
  }

  protected override take(): TakenChain | undefined {
    const { avail } = this.rings;
    const waiting = (Atomics.load(avail, IDX) - this.#lastAvail) & 0xffff;
    if (waiting > this.size) return this.fail(`an available index that jumps by ${waiting}, of at most ${this.size}`);
    const head = avail[RING + (this.#lastAvail & (this.size - 1))]!;
    const chain = new TakenChain(head);
    if (!this.#follow(chain, this.#descAt, this.size, head, this.size, false)) return undefined;
    this.#lastAvail = (this.#lastAvail + 1) & 0xffff;
    return chain;
  }

  /** Data and element before the index, which Atomics.store publishes. */
  protected override giveBack(chain: TakenChain, written: number): void {
    const { used } = this.rings;
    const slot = this.#usedIdx & (this.size - 1);
    used.u32[1 + 2 * slot] = chain.head;
    used.u32[2 + 2 * slot] = written;
    this.#usedIdx = (this.#usedIdx + 1) & 0xffff;
    this.#untold = Math.min(this.#untold + 1, MAX_INDEX);
    Atomics.store(used.u16, IDX, this.#usedIdx);
    this.host.memory.written(this.#usedAt, 4);
    this.host.memory.written(this.#usedAt + 4 + 8 * slot, 8);
  }

  /** Section 2.7.7.2 and 2.7.10. Atomics.store of the used index and Atomics.load here are the fence in between. */
  protected override wantsInterrupt(): boolean {
    const { avail } = this.rings;
    const untold = this.#untold;
    this.#untold = 0;
    if (!this.eventIdx) return (Atomics.load(avail, FLAGS) & AVAIL_F_NO_INTERRUPT) === 0;
    const event = Atomics.load(avail, RING + this.size);
    return ((this.#usedIdx - event - 1) & 0xffff) < untold;
  }

  protected override position(): StateValue {
    return [this.#lastAvail, this.#usedIdx, this.#untold];
  }

  protected override setPosition(name: string, position: StateValue): void {
    const [lastAvail = 0, usedIdx = 0, untold = 0] = expectList(name, "ring position", position, 3, MAX_INDEX);
    this.#lastAvail = lastAvail;
    this.#usedIdx = usedIdx;
    this.#untold = untold;
  }

  /** Where avail_event lies, in 16-bit words of the used ring. */
  get #availEvent(): number {
    return RING + 4 * this.size;
  }

  /** Appends the descriptors from `first` on. Every word is read once: the driver may be writing. False after fail(). */
  #follow(chain: TakenChain, table: number, entries: number, first: number, limit: number, nested: boolean): boolean {
    const memory = this.host.memory;
    let index = first;
    for (let count = 1; ; count++) {
      if (index >= entries) return this.#wrong("a descriptor's index outside the table");
      if (count > limit) return this.#wrong("a chain that loops, or is too long");
      const at = table + index * DESC_BYTES;
      const gpa = memory.readU32(at + 4) * 2 ** 32 + memory.readU32(at);
      const length = memory.readU32(at + 8);
      const flags = memory.readU32(at + 12); // and `next` above them
      if ((flags & DESC_F.INDIRECT) !== 0) return this.#enter(chain, gpa, length, flags, nested);
      const mistake = chain.add(memory, gpa, length, (flags & DESC_F.WRITE) !== 0);
      if (mistake !== undefined) return this.#wrong(mistake);
      if ((flags & DESC_F.NEXT) === 0) return true;
      index = flags >>> 16;
    }
  }

  /** The chain goes on in an indirect table, from its first entry (section 2.7.5.3). */
  #enter(chain: TakenChain, gpa: number, length: number, flags: number, nested: boolean): boolean {
    const mistake = nested ? "an indirect table within another" : this.indirectMistake(gpa, length, flags);
    if (mistake !== undefined) return this.#wrong(mistake);
    const entries = length / DESC_BYTES;
    if (entries > MAX_TABLE) return this.#wrong(`an indirect table of ${length} bytes`);
    return this.#follow(chain, gpa, entries, 0, MAX_INDIRECT, true);
  }

  #wrong(reason: string): false {
    this.fail(reason);
    return false;
  }
}

/** The rings' views, or what is wrong with them. */
function findRings(host: QueueHost, setup: QueueSetup): Rings | string {
  const { size } = setup;
  const mistake = sizeMistake(setup, false);
  if (mistake !== undefined) return mistake;
  const desc = setup.desc % 16 === 0 && host.memory.contains(setup.desc, DESC_BYTES * size);
  const avail = ringWords(host.memory, setup.driver, 6 + 2 * size, 2);
  const used = ringWords(host.memory, setup.device, 6 + 8 * size, 4);
  if (!desc) return "a descriptor table outside RAM, or not aligned";
  if (avail === undefined) return "an available ring outside RAM, or not aligned";
  if (used === undefined) return "a used ring outside RAM, or not aligned";
  return { avail: avail.u16, used };
}
