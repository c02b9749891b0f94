/**
 * The instruction TLB: linear page -> guest-physical page of code, apart for CPL 0 to 2 and CPL 3.
 * Document: SDM volume 3, 4.10.2 (TLBs), 4.6.1 (fetches, SMEP).
 * Left out: PCIDs and global pages: a load of CR3 empties it, since the records that were found through it go as well.
 */

import { PAGE_SIZE, TLB_PAGE } from "../cpu/zones.ts";

const ENTRIES = 64;
/** A mark per linear page that code was fetched from, by the page's low bits; and one per GiB with large pages. */
const MARKS = 4096;
const GIB_MARKS = 64;

const gibOf = (lo: number, hi: number): number => ((lo >>> 30) | (hi << 2)) & (GIB_MARKS - 1);

export class Itlb {
  readonly #lo = new Uint32Array(2 * ENTRIES).fill(1);
  readonly #hi = new Uint32Array(2 * ENTRIES);
  /** Doubles: devices may lie above 4 GiB, and code in them. */
  readonly #gpa = new Float64Array(2 * ENTRIES);
  readonly #pages = new Uint8Array(MARKS);
  readonly #gibs = new Uint8Array(GIB_MARKS);
  /** Supervisor code was fetched from a user-mode page: links made there may lead where CPL 3 must not go. */
  sharedCode = false;

  /** Guest-physical address of the linear address, or -1. `user`: CPL 3. */
  find(lo: number, hi: number, user: boolean): number {
    const slot = slotOf(lo, user);
    return this.#lo[slot] === (lo & -4096) >>> 0 && this.#hi[slot] === hi ? this.#gpa[slot]! + (lo & 0xfff) : -1;
  }

  /** A fetch has translated; `page` are TLB_PAGE bits. */
  enter(lo: number, hi: number, user: boolean, gpa: number, page: number): void {
    const slot = slotOf(lo, user);
    this.#lo[slot] = lo & -4096;
    this.#hi[slot] = hi;
    this.#gpa[slot] = gpa - (gpa % PAGE_SIZE);
    this.#pages[(lo >>> 12) & (MARKS - 1)] = 1;
    if (page & TLB_PAGE.large) this.#gibs[gibOf(lo, hi)] = 1;
    if (!user && page & TLB_PAGE.user) this.sharedCode = true;
  }

  flush(): void {
    this.#lo.fill(1);
    this.#pages.fill(0);
    this.#gibs.fill(0);
    this.sharedCode = false;
  }

  /** May code have been fetched, since the last flush, from the page that holds the address? */
  covers(lo: number, hi: number): boolean {
    return this.#pages[(lo >>> 12) & (MARKS - 1)] !== 0 || this.#gibs[gibOf(lo, hi)] !== 0;
  }
}

function slotOf(lo: number, user: boolean): number {
  return ((lo >>> 12) & (ENTRIES - 1)) + (user ? ENTRIES : 0);
}
