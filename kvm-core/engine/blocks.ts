/**
 * The table of blocks: guest-physical address and mode -> first record; the blocks of each page; and what writes invalidate.
 * Document: architecture.md section 5 (bounded, evictable cache).
 * Left out: eviction of parts: when records or table are full, everything goes, and is made again on demand.
 */

import { BLOCK_HASH_ENTRIES, GPA_PAGES, PAGE_MARKED, RECORDS_SIZE, ZONE } from "../cpu/zones.ts";
import { HEAD, MICRO, RECORD } from "../emit/record.ts";
import { granulesOf } from "../mmu/code-pages.ts";

const MODE_MASK = 15;
/** Entry value of a block that was invalidated: the probe goes on behind it. */
const DELETED = 1;
/** Bits of the filter in front of the hash: sixteen for each block that the records have room for, so that few lookups pass in vain. */
const FILTER_BITS = 1 << 20;
/** Records kept free for the block being written: 64 instructions of up to 3 records, and their ends. */
const BLOCK_RESERVE = 256 * RECORD.size;

export class BlockTable {
  readonly #u32: Uint32Array;
  readonly #zone: number;
  readonly #hash: number;
  readonly #codePages: number;
  readonly #granules: number;
  /** A bit per address modulo FILTER_BITS, set where a block was entered: a scan asks for each instruction's address, and
   *  few begin a block. The bits of a page lie together, those of the hash do not. */
  readonly #entered = new Uint32Array(FILTER_BITS / 32);
  #used = 0;
  /** Where the next block goes. */
  next: number;

  constructor(u32: Uint32Array, zone: number) {
    this.#u32 = u32;
    this.#zone = zone;
    this.#hash = (zone + ZONE.blocks) >>> 2;
    this.#codePages = (zone + ZONE.codePages) >>> 2;
    this.#granules = (zone + ZONE.codeGranules) >>> 2;
    this.next = zone + ZONE.records;
  }

  get full(): boolean {
    return (
      this.next + BLOCK_RESERVE > this.#zone + ZONE.records + RECORDS_SIZE || this.#used > BLOCK_HASH_ENTRIES * 0.75
    );
  }

  /** Forgets all blocks, and which pages are watched. Nothing may run in them. */
  clear(): void {
    const u32 = this.#u32;
    u32.fill(0, this.#hash, this.#hash + BLOCK_HASH_ENTRIES * 2);
    u32.fill(0, this.#codePages, this.#codePages + GPA_PAGES);
    u32.fill(0, this.#granules, this.#granules + GPA_PAGES);
    this.#entered.fill(0);
    this.#used = 0;
    this.next = this.#zone + ZONE.records;
    u32[this.next >>> 2] = 0;
  }

  /** First record of the block at `gpa`, or 0. */
  find(gpa: number, mode: number): number {
    const bit = filterBit(gpa);
    if (!(this.#entered[bit >>> 5]! & (1 << (bit & 31)))) return 0;
    const u32 = this.#u32;
    for (let i = hashOf(gpa); ; i = (i + 1) & (BLOCK_HASH_ENTRIES - 1)) {
      const value = u32[this.#hash + i * 2 + 1]!;
      if (value === 0) return 0;
      if (u32[this.#hash + i * 2] === gpa && (value & MODE_MASK) === mode && value > MODE_MASK)
        return (value & ~MODE_MASK) >>> 0;
    }
  }

  /** Enters the block whose head is at `head` and that ends at `end`; `secondPage` is -1 or the page that it goes on in.
   *  Returns the first record. */
  add(head: number, end: number, gpa: number, mode: number, bytes: number, secondPage: number): number {
    const u32 = this.#u32;
    const first = head + RECORD.size;
    let i = hashOf(gpa);
    while (u32[this.#hash + i * 2 + 1]! > DELETED) i = (i + 1) & (BLOCK_HASH_ENTRIES - 1);
    if (u32[this.#hash + i * 2 + 1] === 0) this.#used++;
    u32[this.#hash + i * 2] = gpa;
    u32[this.#hash + i * 2 + 1] = first | mode;
    const bit = filterBit(gpa);
    this.#entered[bit >>> 5]! |= 1 << (bit & 31);
    const page = gpa >>> 12;
    u32[(head + HEAD.nextInPage) >>> 2] = u32[this.#codePages + page]!;
    u32[this.#codePages + page] = head;
    const inPage = Math.min(bytes, 4096 - (gpa & 0xfff));
    this.#markGranules(page, gpa & 0xfff, inPage);
    if (secondPage >= 0) {
      const second = secondPage >>> 12;
      u32[(head + HEAD.nextInSecond) >>> 2] = u32[this.#codePages + second]!;
      u32[this.#codePages + second] = head;
      this.#markGranules(second, 0, bytes - inPage);
    }
    // A zero word, the case of a head, ends the block for those who walk it.
    u32[end >>> 2] = 0;
    this.next = end;
    return first;
  }

  /** Does the page hold decoded code? */
  hasCode(gpa: number): boolean {
    return this.#u32[this.#codePages + (gpa >>> 12)]! > PAGE_MARKED;
  }

  /**
   * The bytes changed: blocks of their page become stale, if decoded bytes are near enough. If the page has none, and so
   * none were made since it was written before, this vCPU stops watching it.
   */
  invalidate(gpa: number, size: number): void {
    const u32 = this.#u32;
    const page = gpa >>> 12;
    let head = u32[this.#codePages + page]!;
    if (head === PAGE_MARKED) u32[this.#codePages + page] = 0;
    if (head <= PAGE_MARKED || !(u32[this.#granules + page]! & granulesOf(gpa & 0xfff, size))) return;
    while (head > PAGE_MARKED) {
      const blockGpa = u32[(head + HEAD.gpa) >>> 2]!;
      const next = u32[(head + (blockGpa >>> 12 === page ? HEAD.nextInPage : HEAD.nextInSecond)) >>> 2]!;
      this.#makeStale(head, blockGpa);
      head = next;
    }
    u32[this.#codePages + page] = PAGE_MARKED;
    u32[this.#granules + page] = 0;
  }

  /** Every record of the block decodes again when it is reached, and it is found no more. */
  #makeStale(head: number, gpa: number): void {
    const u32 = this.#u32;
    const first = head + RECORD.size;
    for (let i = hashOf(gpa); ; i = (i + 1) & (BLOCK_HASH_ENTRIES - 1)) {
      const value = u32[this.#hash + i * 2 + 1]!;
      if (value === 0) break;
      if ((value & ~MODE_MASK) >>> 0 === first) {
        u32[this.#hash + i * 2 + 1] = DELETED;
        break;
      }
    }
    for (let at = first >>> 2; (u32[at]! & 0xffff) !== MICRO.head; at += RECORD.size / 4) {
      // Only the case: the record may be in the middle of its execution.
      if ((u32[at]! & 0xffff) !== MICRO.link) u32[at] = (u32[at]! & 0xffff_0000) | MICRO.stale;
    }
  }

  #markGranules(page: number, offset: number, size: number): void {
    this.#u32[this.#granules + page]! |= granulesOf(offset, size);
  }
}

/** The mode is not mixed in, so that a block is found by its address alone when it dies. */
function hashOf(gpa: number): number {
  return (Math.imul(gpa, 0x9e37_79b1) >>> 14) & (BLOCK_HASH_ENTRIES - 1);
}

/** Neighbours stay neighbours; pages are spread. */
function filterBit(gpa: number): number {
  return (gpa + Math.imul(gpa >>> 12, 0x9e37_79b1)) & (FILTER_BITS - 1);
}
