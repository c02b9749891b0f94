/**
 * Data breakpoints: what an access to linear memory meets, and how the engine comes to hear of it.
 * Document: SDM volume 3, 18.2.4 and 18.2.5 (R/W, LEN), 18.3.1.2 (data breakpoint: a trap behind the instruction).
 * Left out: accesses that the processor makes by physical address: page walks.
 *
 * The pages of watched bytes stay out of the TLBs (CPU.watchPages, which mmu/fill.ts looks at), so that each access to them
 * comes to mmu/memory.ts. An instruction that meets a breakpoint in the middle of a block is given up there, as a page
 * fault gives it up, and runs again alone: then the trap comes right behind it. An event that is being delivered cannot
 * be given up; what it meets is noted.
 */

import { CPU } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import { PAGE_SIZE } from "../cpu/zones.ts";
import type { Tlb } from "../mmu/tlb.ts";

/** R/W of a data breakpoint in DR7. */
export const WATCH = { write: 1, access: 3 } as const;

interface Range {
  readonly bit: number;
  readonly writesOnly: boolean;
  /** Page, and the bytes in it, which are aligned to their number. */
  readonly lo: number;
  readonly hi: number;
  readonly from: number;
  readonly end: number;
}

/** A page that no linear address is in. */
const NO_PAGE = 1;
const COUNT = 4;

export class WatchUnit {
  readonly #state: VcpuState;
  readonly #tlb: Tlb;
  #ranges: Range[] = [];
  /** Bits of the breakpoints that have been met, for DR6. */
  met = 0;
  /** Notes what is met; else an access that meets something is refused, so that its instruction begins again alone. */
  #noting = false;

  constructor(state: VcpuState, tlb: Tlb) {
    this.#state = state;
    this.#tlb = tlb;
  }

  /** No data breakpoints: what there is without debugging, so it costs little. */
  clear(): void {
    if (this.#ranges.length === 0 && this.#state.get(CPU.watched) === 0) return;
    this.#ranges = [];
    this.#publish();
  }

  /** Returns what was in force. */
  note(on: boolean): boolean {
    const before = this.#noting;
    this.#noting = on;
    return before;
  }

  /** Begins anew; add() and then done(). */
  begin(): void {
    this.#ranges = [];
  }

  add(number: number, kind: number, lo: number, hi: number, size: number): void {
    const from = lo & (PAGE_SIZE - 1) & -size;
    this.#ranges.push({
      bit: 1 << number,
      writesOnly: kind === WATCH.write,
      lo: (lo & -PAGE_SIZE) >>> 0,
      hi,
      from,
      end: from + size,
    });
  }

  done(): void {
    this.#publish();
    for (const { lo, hi } of this.#ranges) this.#tlb.flushPage(lo, hi);
  }

  #publish(): void {
    for (let i = 0; i < COUNT; i++) {
      const range = this.#ranges[i];
      this.#state.set64(CPU.watchPages + i * 8, range?.lo ?? NO_PAGE, range?.hi ?? 0);
    }
    this.#state.set(CPU.watched, this.#ranges.length);
  }

  /** An access that is allowed is about to be made. False: it must not be yet. */
  accessed(lo: number, hi: number, size: number, write: boolean): boolean {
    if (this.#ranges.length === 0) return true;
    const bits = this.#bitsFor(lo, hi, size, write);
    if (bits === 0) return true;
    if (!this.#noting) return false;
    this.met |= bits;
    return true;
  }

  /** As accessed(), for an access that will be made later: notes nothing. */
  mayAccess(lo: number, hi: number, size: number, write: boolean): boolean {
    return this.#ranges.length === 0 || this.#noting || this.#bitsFor(lo, hi, size, write) === 0;
  }

  #bitsFor(lo: number, hi: number, size: number, write: boolean): number {
    const at = lo & (PAGE_SIZE - 1);
    const page = lo - at;
    let bits = 0;
    for (const range of this.#ranges) {
      if (range.writesOnly && !write) continue;
      // Bytes from the beginning of the breakpoint's page; an access may begin in the page before.
      const before = (page + PAGE_SIZE) >>> 0 === range.lo && (hi === range.hi || page + PAGE_SIZE > 0xffff_ffff);
      if (!(page === range.lo && hi === range.hi) && !before) continue;
      const first = page === range.lo && hi === range.hi ? at : at - PAGE_SIZE;
      if (first < range.end && range.from < first + size) bits |= range.bit;
    }
    return bits;
  }
}
