/**
 * What both kinds of virtqueue share: who may take and return chains, which are out, stopping, and the rings' places.
 * Follows: VIRTIO 1.2 section 2.6 "Virtqueues".
 * Left out: the rings themselves (split-queue.ts, packed-queue.ts).
 *
 * Rings are typed arrays over guest RAM: little-endian hosts only, as all of splitvm. A ring's three parts each lie in
 * one memory slot. Indices and flags that the other side waits for are read and written with Atomics, which are ordered
 * among each other and keep what comes before them before them.
 */
import { isPowerOfTwo } from "../../shared/bits.ts";
import type { GuestMemory } from "../../shared/guest-memory.ts";
import type { StateValue } from "../bus/interfaces.ts";
import { TakenChain } from "./chain.ts";
import type { Chain, Virtqueue } from "./virtio.ts";

/** A descriptor, and flags of it that mean the same in both kinds. */
export const DESC_BYTES = 16;
export const DESC_F = { NEXT: 1, WRITE: 2, INDIRECT: 4 } as const;

/** A queue as the driver has set it up, not checked yet. */
export interface QueueSetup {
  readonly size: number;
  readonly maxSize: number;
  /** Guest-physical addresses of descriptor area, driver area and device area. */
  readonly desc: number;
  readonly driver: number;
  readonly device: number;
  readonly eventIdx: boolean;
  readonly indirect: boolean;
}

/** What a queue needs from the transport. */
export interface QueueHost {
  readonly memory: GuestMemory;
  /** The function may read and write memory. */
  busMaster(): boolean;
  /** The driver made a mistake in this queue; all queues are stopped when this returns. */
  needsReset(reason: string): void;
  /** The driver wants to know of used buffers. */
  interrupt(): void;
}

/** A queue, as its transport sees it. */
export interface TransportQueue extends Virtqueue {
  /** No more chains are given, and none taken back: the device was reset, or the driver made a mistake. */
  stop(): void;
  save(): StateValue;
  /** Throws an Error on a state that it cannot take. */
  load(name: string, state: StateValue): void;
}

/** `R`: views of the rings. */
export abstract class BaseQueue<R> implements TransportQueue {
  protected readonly host: QueueHost;
  protected readonly rings: R;
  protected readonly size: number;
  protected readonly eventIdx: boolean;
  protected readonly indirect: boolean;
  #stopped = false;
  /** Taken and not returned, in the order of taking. */
  readonly #out = new Set<TakenChain>();
  /** Chains that were out when the state was saved: given again first. */
  #again: TakenChain[] = [];
  #pushed = false;

  /** `found`: the rings, or what is wrong with them: then the queue is stopped from the start, and `none` stands for them. */
  constructor(host: QueueHost, setup: QueueSetup, found: R | string, none: R) {
    this.host = host;
    this.rings = typeof found === "string" ? none : found;
    this.size = setup.size;
    this.eventIdx = setup.eventIdx;
    this.indirect = setup.indirect;
    if (typeof found === "string") this.fail(found);
  }

  pop(): Chain | undefined {
    if (this.#stopped || !this.host.busMaster()) return undefined;
    let chain = this.#again.shift();
    if (chain === undefined) {
      if (!this.ready()) return undefined;
      if (this.#out.size >= this.size) return this.fail("more chains than the queue's size");
      chain = this.take();
      if (chain === undefined) return undefined;
    }
    this.#out.add(chain);
    return chain;
  }

  /** Data, then the used entry, then what says that it is there; see `giveBack`. */
  push(chain: Chain, written: number): void {
    const taken = chain as TakenChain;
    // Not out: of a queue that was reset in the meantime, or returned twice.
    if (this.#stopped || !this.#out.delete(taken) || !this.host.busMaster()) return;
    taken.tellWritten(this.host.memory);
    this.giveBack(taken, written >>> 0);
    this.#pushed = true;
  }

  notifyDriver(): void {
    if (!this.#pushed || this.#stopped || !this.host.busMaster()) return;
    this.#pushed = false;
    if (this.wantsInterrupt()) this.host.interrupt();
  }

  stop(): void {
    this.#stopped = true;
    this.#out.clear();
    this.#again = [];
  }

  save(): StateValue {
    const out = [...this.#out, ...this.#again].map((chain) => chain.save());
    return { position: this.position(), out, pushed: this.#pushed };
  }

  load(name: string, state: StateValue): void {
    const saved = (state ?? {}) as Readonly<Record<string, StateValue>>;
    const out = saved["out"];
    if (!Array.isArray(out) || out.length > this.size) throw new Error(`${name}: saved chains are missing`);
    const again = out.map((chain: StateValue) => TakenChain.load(name, chain, this.size, this.host.memory));
    this.setPosition(name, saved["position"] ?? 0);
    this.#out.clear();
    this.#again = again;
    this.#pushed = saved["pushed"] === true;
  }

  /** The driver made a mistake. */
  protected fail(reason: string): undefined {
    this.#stopped = true;
    this.host.needsReset(reason);
    return undefined;
  }

  /** What is wrong with the descriptor of an indirect table, in both kinds of queue; undefined: nothing. */
  protected indirectMistake(gpa: number, length: number, flags: number): string | undefined {
    if (!this.indirect) return "an indirect descriptor that was not negotiated";
    if ((flags & DESC_F.NEXT) !== 0) return "an indirect descriptor with a next one";
    if (length === 0 || length % DESC_BYTES !== 0) return `an indirect table of ${length} bytes`;
    if (!this.host.memory.contains(gpa, length)) return "an indirect table outside RAM";
    return undefined;
  }

  /** The driver has made a chain available. If not, it was asked to notify of the next one. */
  protected abstract ready(): boolean;
  /** Takes that chain; undefined after fail(). */
  protected abstract take(): TakenChain | undefined;
  protected abstract giveBack(chain: TakenChain, written: number): void;
  /** Whether to interrupt for what was returned since the last time. Comes after the used entries (a full fence). */
  protected abstract wantsInterrupt(): boolean;
  protected abstract position(): StateValue;
  protected abstract setPosition(name: string, position: StateValue): void;
}

/** A queue that the driver has not enabled. */
export const NO_QUEUE: TransportQueue = {
  pop: () => undefined,
  push() {},
  notifyDriver() {},
  stop() {},
  save: () => false,
  load() {},
};

/** A part of a ring as 16-bit and 32-bit words. */
export interface RingWords {
  readonly u16: Uint16Array;
  /** Nothing if the part is aligned to 2 only. */
  readonly u32: Uint32Array;
}

/** Undefined unless it lies in one slot of RAM, aligned. */
export function ringWords(memory: GuestMemory, gpa: number, bytes: number, align: 2 | 4 | 16): RingWords | undefined {
  const view = gpa % align === 0 ? memory.slice(gpa, bytes) : undefined;
  if (view === undefined || view.byteOffset % Math.min(align, 4) !== 0) return undefined;
  return {
    u16: new Uint16Array(view.buffer, view.byteOffset, bytes >> 1),
    u32: align < 4 ? NO_WORDS.u32 : new Uint32Array(view.buffer, view.byteOffset, bytes >> 2),
  };
}

/** Of a queue that is set up wrongly. */
export const NO_WORDS: RingWords = { u16: new Uint16Array(4), u32: new Uint32Array(4) };

/** What is wrong with a queue's size, or undefined. */
export function sizeMistake({ size, maxSize }: QueueSetup, packed: boolean): string | undefined {
  if (size < 1 || size > maxSize) return `a queue of ${size} entries, of at most ${maxSize}`;
  if (!packed && !isPowerOfTwo(size)) return `a queue of ${size} entries, which is no power of two`;
  return undefined;
}
