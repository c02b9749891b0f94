/**
 * The dirty log: which pages of a slot with KVM_MEM_LOG_DIRTY_PAGES were written since KVM_GET_DIRTY_LOG last looked.
 * Document: KVM API document, KVM_GET_DIRTY_LOG.
 * Left out: writes of other processes: as in Linux, who does DMA logs what it writes. What kvm-core writes counts: stores
 * of the guest, accessed and dirty bits of page tables, SPLITVM_WRITE_GUEST.
 *
 * A page with GPA_LOGGED is written on the slow path. The first write takes the flag away and sets the page's bit, in
 * this order: between the two take() finds a page that is neither protected nor dirty, and leaves it so; then the bit
 * comes and the next take() finds it.
 */

import { DIRTY_MAP, GPA_LOGGED, GPA_TABLE, PAGE_SIZE } from "../cpu/zones.ts";

export class DirtyLog {
  readonly #words: Int32Array;

  constructor(memory: WebAssembly.Memory) {
    this.#words = new Int32Array(memory.buffer);
  }

  /** The page at `gpa`, which has GPA_LOGGED, was written. */
  note(gpa: number): void {
    const page = gpa >>> 12;
    Atomics.and(this.#words, (GPA_TABLE >>> 2) + page, ~GPA_LOGGED);
    Atomics.or(this.#words, (DIRTY_MAP >>> 2) + (page >>> 5), 1 << (page & 31));
  }

  /** Nothing is dirty. Before logging starts: the first write after that is not to be lost. */
  clear(gpa: number, size: number): void {
    this.#takeBits(gpa, size, () => {});
  }

  /** Starts or ends logging for a slot that exists. After a start, translations for writing have to go. */
  log(gpa: number, size: number, on: boolean): void {
    if (on) this.clear(gpa, size);
    for (let page = gpa / PAGE_SIZE; page < (gpa + size) / PAGE_SIZE; page++) {
      if (on) Atomics.or(this.#words, (GPA_TABLE >>> 2) + page, GPA_LOGGED);
      else Atomics.and(this.#words, (GPA_TABLE >>> 2) + page, ~GPA_LOGGED);
    }
  }

  /**
   * The slot's dirty pages, a bit each from the slot's first page on, in whole 64-bit words; they are clean from now on.
   * The caller has translations for writing forgotten before the answer goes out: a write before that is in the answer.
   */
  take(gpa: number, size: number): Uint8Array {
    const bitmap = new Uint8Array(Math.ceil(size / PAGE_SIZE / 64) * 8);
    const first = gpa / PAGE_SIZE;
    this.#takeBits(gpa, size, (page) => {
      Atomics.or(this.#words, (GPA_TABLE >>> 2) + page, GPA_LOGGED);
      bitmap[(page - first) >>> 3]! |= 1 << ((page - first) & 7);
    });
    return bitmap;
  }

  /** Clears the bits of the range's pages, and visits those that were set. */
  #takeBits(gpa: number, size: number, visit: (page: number) => void): void {
    const last = (gpa + size) / PAGE_SIZE - 1;
    for (let page = gpa / PAGE_SIZE; page <= last; page = (page | 31) + 1) {
      const word = page >>> 5;
      const mask = (0xffff_ffff >>> (31 - (Math.min(last, page | 31) - page))) << (page & 31);
      if (!(Atomics.load(this.#words, (DIRTY_MAP >>> 2) + word) & mask)) continue;
      const taken = Atomics.and(this.#words, (DIRTY_MAP >>> 2) + word, ~mask) & mask;
      for (let bits = taken; bits !== 0; bits &= bits - 1) visit(word * 32 + 31 - Math.clz32(bits & -bits));
    }
  }
}
