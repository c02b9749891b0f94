/**
 * The software TLBs of a vCPU: which set serves which PCID, and what invalidates entries. fill.ts makes the entries.
 * Document: SDM volume 3, 4.10 (PCIDs, global pages, INVLPG, INVPCID, MOV to control registers).
 * Left out: finer invalidation than the manual asks for: INVLPG and INVPCID type 0 take the page out of all sets.
 *
 * Eight PCIDs have a set of tables each, so that MOV CR3 without a flush is a change of CPU.tlbBase; a ninth takes the
 * set whose turn it is. A flush fills tables with 0xff, about 0.2 us a class of 32 KiB, and leaves out the classes that
 * have no entry. Only where a class has global pages its entries are looked at one by one, which takes microseconds, but
 * less than the walks that bring back a kernel's working set.
 */

import { CR4, PCID_MASK, updateMode } from "../cpu/control.ts";
import { CPU } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import { TLB, TLB_CLASS_COUNT, TLB_PAGE, TLB_SET_SIZE, TLB_SETS, ZONE } from "../cpu/zones.ts";

/** Tag of a set that serves no PCID. */
const NO_PCID = 0xffff_ffff;
/** Low word of an empty entry's tag: odd, so it is no page's. */
const EMPTY = 0xffff_ffff;
const WORDS = TLB.entrySize / 4;
const CLASS_WORDS = TLB.classSize / 4;

export class Tlb {
  readonly #state: VcpuState;

  constructor(state: VcpuState) {
    this.#state = state;
    const never = state.zone + ZONE.tlbNever;
    state.u8.fill(0xff, never, never + TLB.classSize);
  }

  /** Empties everything, global pages too. The first set serves the current PCID then. */
  flush(): void {
    const state = this.#state;
    this.#eachUsed(-1, (number) => this.#clear(number));
    state.set64(CPU.tlbLarge, 0, 0);
    for (let set = 0; set < TLB_SETS; set++) state.set(CPU.tlbPcid + set * 4, NO_PCID);
    this.#select(0, this.#currentPcid());
  }

  /** CR3 has been loaded. `keep`: its bit 63 asks to invalidate nothing. */
  loadCr3(keep: boolean): void {
    const state = this.#state;
    const pcid = this.#currentPcid();
    let set = this.#setOf(pcid);
    if (set < 0) {
      set = state.get(CPU.tlbVictim);
      const current = (state.get(CPU.tlbSet) - state.zone - ZONE.tlb) / TLB_SET_SIZE;
      if (set === current) set = (set + 1) % TLB_SETS;
      state.set(CPU.tlbVictim, (set + 1) % TLB_SETS);
      this.#dropSet(set);
    } else if (!keep) this.#dropSet(set);
    this.#select(set, pcid);
  }

  /** INVPCID type 1: what belongs to one PCID, without global pages. */
  flushPcid(pcid: number): void {
    const set = this.#setOf(pcid);
    if (set >= 0) this.#dropSet(set);
  }

  /** INVPCID type 3: what belongs to any PCID, without global pages. */
  flushAllPcids(): void {
    for (let set = 0; set < TLB_SETS; set++) this.#dropSet(set);
  }

  /** INVLPG, INVPCID type 0: the page of an address. Entries are per 4 KiB, so a large page has many. */
  flushPage(lo: number, hi: number): void {
    const { u32 } = this.#state;
    const page = (lo & -4096) >>> 0;
    const at = ((lo >>> 12) & (TLB.entries - 1)) * WORDS;
    this.#eachUsed(-1, (number) => {
      for (const table of [0, TLB.write / 4]) {
        const entry = this.#words(number) + table + at;
        if (u32[entry] === page && u32[entry + 1] === hi) u32[entry] = EMPTY;
      }
    });
    const gib = ((lo >>> 30) | (hi << 2)) & 63;
    const filter = gib < 32 ? this.#state.get(CPU.tlbLarge) : this.#state.high(CPU.tlbLarge);
    if ((filter >>> (gib & 31)) & 1) this.#eachUsed(-1, (number) => this.#dropLarge(number, lo >>> 30, hi));
  }

  /** Takes the guest-physical page out of all write tables: a write to it is not plain any more. */
  dropWrites(gpa: number): void {
    const { u32 } = this.#state;
    const page = gpa >>> 12;
    this.#eachUsed(-1, (number) => {
      const table = this.#words(number) + TLB.write / 4;
      for (let entry = table; entry < table + TLB.entries * WORDS; entry += WORDS) {
        if (u32[entry + TLB.gpa / 4]! >>> 12 === page) u32[entry] = EMPTY;
      }
    });
  }

  /** Empties all write tables. */
  dropAllWrites(): void {
    this.#eachUsed(-1, (number) => {
      const table = this.#words(number) + TLB.write / 4;
      this.#state.u32.fill(EMPTY, table, table + TLB.entries * WORDS);
    });
  }

  #currentPcid(): number {
    return this.#state.get(CPU.cr4) & CR4.PCIDE ? this.#state.get(CPU.cr3) & PCID_MASK : 0;
  }

  #setOf(pcid: number): number {
    for (let set = 0; set < TLB_SETS; set++) if (this.#state.get(CPU.tlbPcid + set * 4) === pcid) return set;
    return -1;
  }

  #select(set: number, pcid: number): void {
    const state = this.#state;
    state.set(CPU.tlbPcid + set * 4, pcid);
    state.set(CPU.tlbSet, state.zone + ZONE.tlb + set * TLB_SET_SIZE);
    updateMode(state.u32, state.zone);
  }

  /** Empties a set but for its global pages. */
  #dropSet(set: number): void {
    const mask = ((1 << TLB_CLASS_COUNT) - 1) << (set * TLB_CLASS_COUNT);
    this.#eachUsed(mask, (number) => {
      if ((this.#state.get(CPU.tlbGlobal) >>> number) & 1) this.#dropLocal(number);
      else this.#clear(number);
    });
  }

  /** Calls for each class that has entries and whose bit is in `mask`. */
  #eachUsed(mask: number, act: (number: number) => void): void {
    for (let rest = this.#state.get(CPU.tlbUsed) & mask; rest !== 0; rest &= rest - 1) {
      act(31 - Math.clz32(rest & -rest));
    }
  }

  /** Index in u32 of a class's first word. */
  #words(number: number): number {
    return (this.#state.zone + ZONE.tlb + number * TLB.classSize) >>> 2;
  }

  #clear(number: number): void {
    const state = this.#state;
    const at = this.#words(number) * 4;
    state.u8.fill(0xff, at, at + TLB.classSize);
    state.set(CPU.tlbUsed, state.get(CPU.tlbUsed) & ~(1 << number));
    state.set(CPU.tlbGlobal, state.get(CPU.tlbGlobal) & ~(1 << number));
  }

  #dropLocal(number: number): void {
    const { u32 } = this.#state;
    const first = this.#words(number);
    for (let entry = first; entry < first + CLASS_WORDS; entry += WORDS) {
      if (!(u32[entry + TLB.gpa / 4]! & TLB_PAGE.global)) u32[entry] = EMPTY;
    }
  }

  /** Drops the entries of large pages in one GiB of linear addresses, which no page crosses. */
  #dropLarge(number: number, gib: number, hi: number): void {
    const { u32 } = this.#state;
    const first = this.#words(number);
    for (let entry = first; entry < first + CLASS_WORDS; entry += WORDS) {
      if (u32[entry + TLB.gpa / 4]! & TLB_PAGE.large && u32[entry]! >>> 30 === gib && u32[entry + 1] === hi) {
        u32[entry] = EMPTY;
      }
    }
  }
}
