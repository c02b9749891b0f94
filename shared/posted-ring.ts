/**
 * The posted ring: writes that need no answer (ioeventfd and coalesced ones), from the vCPUs to one device server.
 * kvm-core is the producer (its vCPU threads take turns under a private lock), the server the consumer. `head` and
 * `tail` count records without end (u32); a record is published by storing head, and freed by storing tail.
 * A full ring is no loss: the access becomes an ordinary exit, which the server serves after the ring is empty.
 * Leaves out: which writes are posted (kvm-core/vm/regions.ts).
 */
import { layout } from "./layout.ts";
import { AREA_POSTED, AREA_POSTED_BYTES } from "./server-area.ts";

export const POSTED_IOEVENTFD = 1;
export const POSTED_COALESCED = 2;

const HEADER = layout({ head: { at: 0, of: "u32" }, tail: { at: 64, of: "u32" } });
const RECORDS = 128;
/** One record. `event` is the KVM_IOEVENTFD's tag; `space` and `address` say where the guest wrote. */
const RECORD = layout({
  kind: "u32",
  event: "u32",
  space: "u32",
  width: "u32",
  address: "f64",
  low: "u32",
  high: "u32",
});
/** A power of two, so that the counters may wrap. */
export const POSTED_CAPACITY = 512;
if (RECORDS + POSTED_CAPACITY * RECORD.size > AREA_POSTED_BYTES)
  throw new Error("the posted ring does not fit its pages");

/** One end of a posted ring inside an area that lies at byte `area` of `buffer`. */
export class PostedRing {
  readonly #words: Int32Array;
  readonly #view: DataView;
  readonly #base: number;
  readonly #head: number;
  readonly #tail: number;
  /** Byte offset of the word that counts the records posted, for a consumer that watches it. */
  readonly headAt: number;
  /** Consumer: records taken. The ring is empty while the word at headAt is this. */
  taken: number;
  /** The record that take() read last. */
  kind = 0;
  event = 0;
  space = 0;
  width = 0;
  address = 0;
  low = 0;
  high = 0;

  constructor(buffer: ArrayBufferLike, area: number) {
    this.#words = new Int32Array(buffer);
    this.#view = new DataView(buffer);
    this.#base = area + AREA_POSTED;
    this.headAt = this.#base + HEADER.head;
    this.#head = this.headAt >>> 2;
    this.#tail = (this.#base + HEADER.tail) >>> 2;
    this.taken = Atomics.load(this.#words, this.#tail);
  }

  /** Producer: false when the ring is full (also when the server's tail makes no sense: then it only harms itself). */
  post(kind: number, event: number, space: number, width: number, address: number, low: number, high: number): boolean {
    const head = Atomics.load(this.#words, this.#head);
    const used = (head - Atomics.load(this.#words, this.#tail)) >>> 0;
    if (used >= POSTED_CAPACITY) return false;
    const at = this.#slot(head);
    const view = this.#view;
    view.setUint32(at + RECORD.kind, kind, true);
    view.setUint32(at + RECORD.event, event, true);
    view.setUint32(at + RECORD.space, space, true);
    view.setUint32(at + RECORD.width, width, true);
    view.setFloat64(at + RECORD.address, address, true);
    view.setUint32(at + RECORD.low, low, true);
    view.setUint32(at + RECORD.high, high, true);
    Atomics.store(this.#words, this.#head, (head + 1) | 0); // publishes: fields before head
    return true;
  }

  /** Consumer: copies the oldest record into this object's fields and frees it; false when there is none. */
  take(): boolean {
    const tail = Atomics.load(this.#words, this.#tail);
    if (Atomics.load(this.#words, this.#head) === tail) return false; // acquire: head before fields
    const at = this.#slot(tail);
    const view = this.#view;
    this.kind = view.getUint32(at + RECORD.kind, true);
    this.event = view.getUint32(at + RECORD.event, true);
    this.space = view.getUint32(at + RECORD.space, true);
    this.width = view.getUint32(at + RECORD.width, true);
    this.address = view.getFloat64(at + RECORD.address, true);
    this.low = view.getUint32(at + RECORD.low, true);
    this.high = view.getUint32(at + RECORD.high, true);
    this.taken = (tail + 1) | 0;
    Atomics.store(this.#words, this.#tail, this.taken);
    return true;
  }

  get empty(): boolean {
    return Atomics.load(this.#words, this.#head) === Atomics.load(this.#words, this.#tail);
  }

  #slot(index: number): number {
    return this.#base + RECORDS + (index & (POSTED_CAPACITY - 1)) * RECORD.size;
  }
}
