/**
 * The code map: which pages of guest memory hold code that kvm-core has decoded, and which of them a device server has
 * overwritten since. One memfd per VM, made by kvm-core (SPLITVM_GET_CODE_MAP), mapped by every process that does DMA.
 *   page 0         `posted`: counts what device servers have noted
 *   page 1         summary: a bit per word of `written` that is not zero
 *   pages 2..33    `code`: a bit per guest-physical page below 4 GiB; kvm-core writes it
 *   pages 34..65   `written`: the same, set by device servers, taken by kvm-core
 * The order is Dekker's: a device stores the bytes, then reads `code` with a locked operation; kvm-core sets the bit with a
 * locked operation, then reads the bytes. So either the device sees the bit or kvm-core the bytes.
 * What a server writes here is a hint: wrong bits cost time, or leave stale the code of the VM that it serves.
 * A server without the map keeps the code right by writing guest memory with SPLITVM_WRITE_GUEST.
 */
import { layout } from "./layout.ts";
import { KICKED } from "./mailbox.ts";

const PAGE = 4096;
/** Pages of guest-physical space, 4 GiB. */
const GUEST_PAGES = 1 << 20;
export const CODE_MAP = layout({
  posted: { at: 0, of: "u32" },
  summary: { at: PAGE, of: ["u32", GUEST_PAGES / 1024] },
  code: { at: 2 * PAGE, of: ["u32", GUEST_PAGES / 32] },
  written: { at: 34 * PAGE, of: ["u32", GUEST_PAGES / 32] },
});
export const CODE_MAP_BYTES = CODE_MAP.size;

/** A device server's end: told of every write to guest memory, it notes those that hit code. Allocates nothing. */
export class CodeMap {
  readonly #words: Int32Array;
  readonly #map: number;
  readonly #kicks: readonly number[];

  /** `at` is the map's byte offset in `buffer`, `kicks` those of the vCPUs' KICK pages (mailbox.ts). */
  constructor(buffer: ArrayBufferLike, at: number, kicks: readonly number[]) {
    this.#words = new Int32Array(buffer);
    this.#map = at;
    this.#kicks = kicks.map((kick) => kick >>> 2);
  }

  /** The bytes were stored. The range is RAM, so it lies below 4 GiB; an empty one says nothing. */
  written(gpa: number, length: number): void {
    if (length <= 0) return;
    const last = (gpa + length - 1) >>> 12;
    let noted = false;
    for (let page = gpa >>> 12; page <= last; page = (page | 31) + 1) {
      const upTo = Math.min(last, page | 31);
      const mask = (0xffff_ffff >>> (31 - (upTo - page))) << (page & 31);
      if (this.#note(page >>> 5, mask)) noted = true;
    }
    if (!noted) return;
    Atomics.add(this.#words, (this.#map + CODE_MAP.posted) >>> 2, 1);
    // A halted vCPU looks before it runs again: no need to wake it.
    for (let i = 0; i < this.#kicks.length; i++) Atomics.or(this.#words, this.#kicks[i]!, KICKED);
  }

  /** Pages `mask` of the 32 of word `word`: true if any of them holds code. */
  #note(word: number, mask: number): boolean {
    const words = this.#words;
    const hit = Atomics.or(words, ((this.#map + CODE_MAP.code) >>> 2) + word, 0) & mask; // after the bytes: a locked read
    if (hit === 0) return false;
    Atomics.or(words, ((this.#map + CODE_MAP.written) >>> 2) + word, hit);
    Atomics.or(words, ((this.#map + CODE_MAP.summary) >>> 2) + (word >>> 5), 1 << (word & 31));
    return true;
  }
}
