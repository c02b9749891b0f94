/**
 * Which guest-physical pages hold code that some vCPU has decoded, and who is told when such a page is written.
 * Document: SDM volume 3, 8.1.3 (self- and cross-modifying code), 11.6; shared/code-map.ts for device servers.
 * Left out: the records themselves (engine/blocks.ts); code in a memfd that two slots map is known by each slot's pages.
 *
 * A vCPU marks a page in its own ZONE.codePages before it reads bytes there, and only under the install lock, where it
 * also sets GPA_CODE; so a mark implies GPA_CODE, and whoever takes GPA_CODE away under that lock has seen every mark.
 * A writer stores the bytes, passes a fence, and then looks at the marks: it sees a mark, or the decoder sees the bytes.
 * A marked vCPU without blocks in the page takes its mark away when it is told of a write: the second write to a page
 * that nobody decodes again makes it an ordinary one.
 */

import { CODE_MAP as MAP } from "../../shared/code-map.ts";
import { layout } from "../../shared/layout.ts";
import { PENDING_CODE, request } from "../cpu/requests.ts";
import { CPU } from "../cpu/state.ts";
import {
  CODE_MAP,
  CODE_STATE,
  GPA_CODE,
  GPA_PAGES,
  GPA_TABLE,
  PAGE_MARKED,
  PAGE_SIZE,
  VCPU_ZONE_SIZE,
  VCPU_ZONES,
  vcpuZone,
  ZONE,
} from "../cpu/zones.ts";
import { lock, tryLock, unlock } from "./spin-lock.ts";

const STATE = layout({
  /** Held while a page becomes a code page, until no vCPU can write it unseen; waiting for it one serves requests. */
  install: { at: 0, of: "u32" },
  /** Held while a vCPU's queue is written or taken. */
  queue: { at: 64, of: "u32" },
  /** Held while what device servers noted is taken; the notes counted in `taken` have been told to every vCPU. */
  noted: { at: 128, of: "u32" },
  taken: "u32",
  /** A bit per vCPU that has an engine. */
  vcpus: { at: 192, of: "u32" },
  fence: "u32",
});
const INSTALL = (CODE_STATE + STATE.install) >>> 2;
const QUEUE_LOCK = (CODE_STATE + STATE.queue) >>> 2;
const NOTED_LOCK = (CODE_STATE + STATE.noted) >>> 2;
const TAKEN = (CODE_STATE + STATE.taken) >>> 2;
const VCPUS = (CODE_STATE + STATE.vcpus) >>> 2;
const FENCE = (CODE_STATE + STATE.fence) >>> 2;
const POSTED = (CODE_MAP + MAP.posted) >>> 2;

/** ZONE.codeQueue: pages with the granules written in each. */
const QUEUE_ENTRIES = 256;
const QUEUE = layout({ count: "u32", overflow: "u32", entries: { at: 64, of: ["u32", 2 * QUEUE_ENTRIES] } });
/** A writer often writes one page many times: so many entries are looked at for the page. */
const LOOK_BACK = 8;

const GRANULE_SHIFT = 7;

/** Bits of the 128-byte granules of a page that [offset, offset + size) touches. */
export function granulesOf(offset: number, size: number): number {
  if (size <= 0) return 0;
  const first = offset >>> GRANULE_SHIFT;
  const last = Math.min((offset + size - 1) >>> GRANULE_SHIFT, 31);
  return (0xffff_ffff >>> (31 - (last - first))) << first;
}

/** Told of bytes that changed. */
export type Written = (gpa: number, size: number) => void;

export class CodePages {
  readonly #words: Int32Array;
  readonly #table = GPA_TABLE >>> 2;
  readonly #entries = new Int32Array(2 * QUEUE_ENTRIES);

  constructor(memory: WebAssembly.Memory) {
    this.#words = new Int32Array(memory.buffer);
  }

  /** The vCPU whose zone is at `zone` has an engine from now on. */
  join(zone: number): void {
    Atomics.or(this.#words, VCPUS, 1 << ((zone - VCPU_ZONES) / VCPU_ZONE_SIZE));
  }

  /** Bit i: vCPU i has an engine. */
  get vcpus(): number {
    return Atomics.load(this.#words, VCPUS);
  }

  isCode(gpa: number): boolean {
    return (Atomics.load(this.#words, this.#table + (gpa >>> 12)) & GPA_CODE) !== 0;
  }

  // --- installing

  tryInstall(): boolean {
    return tryLock(this.#words, INSTALL);
  }

  installed(): void {
    unlock(this.#words, INSTALL);
  }

  get installLock(): number {
    return INSTALL;
  }

  isMarked(zone: number, gpa: number): boolean {
    return this.#words[this.#mark(zone, gpa >>> 12)] !== 0;
  }

  /** Under the install lock. True if it was no code page: then translations for writing have to go, everywhere. */
  mark(zone: number, gpa: number): boolean {
    const words = this.#words;
    const page = gpa >>> 12;
    Atomics.store(words, this.#mark(zone, page), PAGE_MARKED);
    if (Atomics.or(words, this.#table + page, GPA_CODE) & GPA_CODE) return false;
    Atomics.or(words, ((CODE_MAP + MAP.code) >>> 2) + (page >>> 5), 1 << (page & 31));
    return true;
  }

  // --- writing

  /** `size` bytes of a code page at `gpa` were written: every vCPU but the one at zone `own` is told that has to be. */
  tell(gpa: number, size: number, own: number): void {
    const words = this.#words;
    const page = gpa >>> 12;
    const granules = granulesOf(gpa & (PAGE_SIZE - 1), size);
    Atomics.add(words, FENCE, 0); // the bytes before the marks
    let marked = 0;
    for (let rest = this.vcpus, id = 0; rest !== 0; rest >>>= 1, id++) {
      if (!(rest & 1)) continue;
      const zone = vcpuZone(id);
      const mark = Atomics.load(words, this.#mark(zone, page));
      if (mark === 0) continue;
      marked++;
      if (zone !== own && this.#concerns(zone, page, granules, mark)) this.#post(zone, page, granules);
    }
    if (marked === 0) this.#release(page);
  }

  /** Has the vCPU records of these bytes, or may it be making some? One that only has a mark is to think it over. */
  #concerns(zone: number, page: number, granules: number, mark: number): boolean {
    if (mark === PAGE_MARKED) return true;
    if (Atomics.load(this.#words, (zone + CPU.decoding) >>> 2) !== 0) return true; // before the granules
    return (Atomics.load(this.#words, ((zone + ZONE.codeGranules) >>> 2) + page) & granules) !== 0;
  }

  /** No vCPU has a mark on the page: writes may be fast again. If a page is just being installed, some later write does it. */
  #release(page: number): void {
    if (!this.tryInstall()) return;
    const words = this.#words;
    let marked = false;
    for (let rest = this.vcpus, id = 0; rest !== 0; rest >>>= 1, id++) {
      if (rest & 1 && Atomics.load(words, this.#mark(vcpuZone(id), page)) !== 0) marked = true;
    }
    if (!marked) {
      Atomics.and(words, this.#table + page, ~GPA_CODE);
      Atomics.and(words, ((CODE_MAP + MAP.code) >>> 2) + (page >>> 5), ~(1 << (page & 31)));
    }
    this.installed();
  }

  #post(zone: number, page: number, granules: number): void {
    const words = this.#words;
    const queue = (zone + ZONE.codeQueue) >>> 2;
    const first = queue + (QUEUE.entries >>> 2);
    lock(words, QUEUE_LOCK);
    const count = words[queue]!;
    let at = count;
    for (let i = count - 1; i >= 0 && i >= count - LOOK_BACK; i--) {
      if (words[first + 2 * i] === page) at = i;
    }
    if (at < count) words[first + 2 * at + 1]! |= granules;
    else if (count === QUEUE_ENTRIES) words[queue + 1] = 1;
    else {
      words[first + 2 * count] = page;
      words[first + 2 * count + 1] = granules;
      words[queue] = count + 1;
    }
    unlock(words, QUEUE_LOCK);
    request(words, zone, PENDING_CODE);
  }

  // --- being told

  /** PENDING_CODE was taken: everything in the queue of the vCPU at `zone`. A queue that overflowed means every page. */
  take(zone: number, written: Written): void {
    const words = this.#words;
    const queue = (zone + ZONE.codeQueue) >>> 2;
    const first = queue + (QUEUE.entries >>> 2);
    lock(words, QUEUE_LOCK);
    const count = words[queue]!;
    const overflow = words[queue + 1]! !== 0;
    for (let i = 0; i < 2 * count; i++) this.#entries[i] = words[first + i]!;
    words[queue] = 0;
    words[queue + 1] = 0;
    unlock(words, QUEUE_LOCK);
    if (overflow) {
      const marks = this.#mark(zone, 0);
      for (let page = 0; page < GPA_PAGES; page++) {
        if (words[marks + page] !== 0) written(page * PAGE_SIZE, PAGE_SIZE);
      }
      return;
    }
    for (let i = 0; i < count; i++) {
      const granules = this.#entries[2 * i + 1]!;
      const low = 31 - Math.clz32(granules & -granules);
      const high = 31 - Math.clz32(granules);
      const at = this.#entries[2 * i]! * PAGE_SIZE + (low << GRANULE_SHIFT);
      written(at, (high - low + 1) << GRANULE_SHIFT);
    }
  }

  /** Has a device server noted writes that some vCPU has not been told of? */
  get noted(): boolean {
    return Atomics.load(this.#words, POSTED) !== Atomics.load(this.#words, TAKEN);
  }

  /** Takes what device servers noted and tells the others; `written` is for the vCPU at `own` itself. */
  takeNoted(own: number, written: Written): void {
    const words = this.#words;
    lock(words, NOTED_LOCK); // a vCPU that finds nothing noted may rely on its queue
    const posted = Atomics.load(words, POSTED);
    const summary = (CODE_MAP + MAP.summary) >>> 2;
    for (let i = 0; i < GPA_PAGES / 1024; i++) {
      if (words[summary + i] === 0) continue;
      for (let bits = Atomics.exchange(words, summary + i, 0); bits !== 0; bits &= bits - 1) {
        this.#takeWord(i * 32 + lowest(bits), own, written);
      }
    }
    Atomics.store(words, TAKEN, posted);
    unlock(words, NOTED_LOCK);
  }

  /** The pages of one word of `written`. What a server wrote there is a hint: pages without code are passed over. */
  #takeWord(word: number, own: number, written: Written): void {
    const at = ((CODE_MAP + MAP.written) >>> 2) + word;
    for (let bits = Atomics.exchange(this.#words, at, 0); bits !== 0; bits &= bits - 1) {
      const gpa = (word * 32 + lowest(bits)) * PAGE_SIZE;
      if (!this.isCode(gpa)) continue;
      written(gpa, PAGE_SIZE);
      this.tell(gpa, PAGE_SIZE, own);
    }
  }

  /** Index of the vCPU's mark on a page: see ZONE.codePages. */
  #mark(zone: number, page: number): number {
    return ((zone + ZONE.codePages) >>> 2) + page;
  }
}

function lowest(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}
