/**
 * The slow path of guest memory: TLB fills, MMIO, accesses across pages, writes that somebody has to be told of.
 * Document: architecture.md section 6; SDM volume 3, 3.3.7.1 (canonical addresses).
 * Left out: #SS for a non-canonical stack address (it gets #GP).
 */

import { MODE } from "../cpu/control.ts";
import { CPU } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import {
  GPA_CODE,
  GPA_LOGGED,
  GPA_READONLY,
  GPA_SLOW_WRITE,
  GPA_TABLE,
  PAGE_SIZE,
  TLB,
  TLB_CLASS_COUNT,
  ZONE,
} from "../cpu/zones.ts";
import { ACCESS, type PageWritten, Walker } from "./walk.ts";

type Width = 1 | 2 | 4 | 8;

/** What MMIO does; the EngineHost. */
export interface MmioHost {
  mmioRead(gpa: number, size: Width): void;
  mmioWrite(gpa: number, size: Width): void;
}

const GP = 13;
const PAGE_FAULT = 14;

export class GuestMemoryUnit {
  readonly walker: Walker;
  readonly #state: VcpuState;
  readonly #host: MmioHost;
  readonly #pageWritten: PageWritten;
  readonly #bounce: number;
  #sawLargePage = false;
  /** After a failed access: what to raise. CR2 is set already for a page fault. */
  faultVector = 0;
  faultCode = 0;
  /** After translate(): guest-physical address, and its linear address if it is RAM, else 0. */
  gpa = 0;
  ram = 0;

  constructor(state: VcpuState, host: MmioHost, pageWritten: PageWritten) {
    this.#state = state;
    this.#host = host;
    this.#pageWritten = pageWritten;
    this.walker = new Walker(state, pageWritten);
    this.#bounce = state.zone + CPU.bounce;
    this.flush();
  }

  /** Empties all TLBs: an odd tag matches no page. */
  flush(): void {
    const tlb = this.#state.zone + ZONE.tlb;
    this.#state.u8.fill(0xff, tlb, tlb + TLB_CLASS_COUNT * TLB.classSize);
    this.#sawLargePage = false;
  }

  /** Forgets one page (INVLPG). Entries are per 4 KiB, so a large page may have many: then all go. */
  flushPage(lo: number): void {
    if (this.#sawLargePage) {
      this.flush();
      return;
    }
    const index = ((lo >>> 12) & (TLB.entries - 1)) * TLB.entrySize;
    for (let table = 0; table < TLB_CLASS_COUNT * 2; table++) {
      this.#state.set64(ZONE.tlb + table * TLB.write + index, 0xffff_ffff, 0xffff_ffff);
    }
  }

  /** Some page became slow to write: forgets all translations for writing. */
  protect(): void {
    const { u8, zone } = this.#state;
    for (let kind = 0; kind < TLB_CLASS_COUNT; kind++) {
      const table = zone + ZONE.tlb + kind * TLB.classSize + TLB.write;
      u8.fill(0xff, table, table + TLB.entries * TLB.entrySize);
    }
  }

  /** The page at `gpa` became slow to write: forgets its translations for writing. */
  protectPage(gpa: number): void {
    const { u32, zone } = this.#state;
    for (let kind = 0; kind < TLB_CLASS_COUNT; kind++) {
      const table = (zone + ZONE.tlb + kind * TLB.classSize + TLB.write) >>> 2;
      for (let i = 0; i < TLB.entries; i++) {
        const entry = table + i * (TLB.entrySize / 4);
        if (u32[entry + TLB.gpa / 4] === gpa) u32[entry] = 0xffff_ffff;
      }
    }
  }

  /** Access bits for an ordinary access at the current privilege level. */
  get userBit(): number {
    return this.#state.get(CPU.cpl) === 3 ? ACCESS.user : 0;
  }

  /** False on a fault. Sets gpa and ram. */
  translate(lo: number, hi: number, access: number): boolean {
    const state = this.#state;
    const canonical = ((hi << 16) >> 16) >>> 0; // bit 47 repeated
    if (hi !== canonical && (state.get(CPU.mode) & MODE.codeSize) === MODE.code64) {
      this.faultVector = GP;
      this.faultCode = 0;
      return false;
    }
    if (!this.walker.walk(lo, hi, access)) {
      state.set64(CPU.cr2, lo, hi);
      this.faultVector = PAGE_FAULT;
      this.faultCode = this.walker.errorCode;
      return false;
    }
    this.gpa = this.walker.gpa;
    this.ram = this.walker.ram(this.gpa);
    this.#sawLargePage ||= this.walker.large;
    return true;
  }

  /**
   * A load or a read-modify-write missed the TLB. The address is in CPU.address.
   * Returns the linear address of the bytes, or 0 on a fault. Where they are no plain RAM they are in the bounce buffer,
   * and write() has to follow a modification.
   */
  miss(size: number, write: boolean): number {
    const state = this.#state;
    const lo = state.get(CPU.address);
    const hi = state.high(CPU.address);
    const access = (write ? ACCESS.write : 0) | this.userBit;
    if ((lo & (PAGE_SIZE - 1)) + size > PAGE_SIZE) {
      return this.#eachPiece(lo, hi, size, access, false) ? this.#bounce : 0;
    }
    if (!this.translate(lo, hi, access)) return 0;
    if (this.ram === 0) {
      this.#readPiece(0, size);
      return this.#bounce;
    }
    if (write && !this.#plainWrite()) {
      state.u8.copyWithin(this.#bounce, this.ram, this.ram + size);
      return this.#bounce;
    }
    this.#fill(lo, hi, write);
    return this.ram;
  }

  /** A store missed the TLB: writes `size` bytes of the bounce buffer to CPU.address. False on a fault, nothing is written then. */
  write(size: number): boolean {
    const state = this.#state;
    const lo = state.get(CPU.address);
    const hi = state.high(CPU.address);
    const access = ACCESS.write | this.userBit;
    if ((lo & (PAGE_SIZE - 1)) + size > PAGE_SIZE) return this.#eachPiece(lo, hi, size, access, true);
    if (!this.translate(lo, hi, access)) return false;
    if (this.ram !== 0 && this.#plainWrite()) this.#fill(lo, hi, true);
    this.#writePiece(0, size);
    return true;
  }

  /** Reads `size` (up to 16) bytes into the bounce buffer, for helpers. False on a fault. */
  readBytes(lo: number, hi: number, size: number, access: number): boolean {
    if ((lo & (PAGE_SIZE - 1)) + size > PAGE_SIZE) return this.#eachPiece(lo, hi, size, access, false);
    if (!this.translate(lo, hi, access)) return false;
    this.#readPiece(0, size);
    return true;
  }

  /** Writes `size` (up to 16) bytes of the bounce buffer, for helpers. False on a fault. */
  writeBytes(lo: number, hi: number, size: number, access: number): boolean {
    if ((lo & (PAGE_SIZE - 1)) + size > PAGE_SIZE) return this.#eachPiece(lo, hi, size, access | ACCESS.write, true);
    if (!this.translate(lo, hi, access | ACCESS.write)) return false;
    this.#writePiece(0, size);
    return true;
  }

  /** An access across two pages: both are checked before anything happens. */
  #eachPiece(lo: number, hi: number, size: number, access: number, write: boolean): boolean {
    const first = PAGE_SIZE - (lo & (PAGE_SIZE - 1));
    const long = (this.#state.get(CPU.mode) & MODE.codeSize) === MODE.code64;
    const nextLo = (lo + first) >>> 0;
    const nextHi = nextLo === 0 && long ? (hi + 1) >>> 0 : hi;
    if (!this.translate(lo, hi, access)) return false;
    const { gpa, ram } = this;
    if (!this.translate(nextLo, nextHi, access)) return false;
    const second = { gpa: this.gpa, ram: this.ram };
    this.gpa = gpa;
    this.ram = ram;
    if (write) this.#writePiece(0, first);
    else this.#readPiece(0, first);
    this.gpa = second.gpa;
    this.ram = second.ram;
    if (write) this.#writePiece(first, size - first);
    else this.#readPiece(first, size - first);
    return true;
  }

  /** May a write to the translated page go into the TLB? */
  #plainWrite(): boolean {
    return (this.#flags() & GPA_SLOW_WRITE) === 0;
  }

  /** Flags of the translated page, as they are now: other threads set them. */
  #flags(): number {
    return Atomics.load(this.#state.i32, (GPA_TABLE >>> 2) + (this.gpa >>> 12)) & (PAGE_SIZE - 1);
  }

  #fill(lo: number, hi: number, write: boolean): void {
    const state = this.#state;
    const index = ((lo >>> 12) & (TLB.entries - 1)) * TLB.entrySize;
    const entry = state.get(CPU.tlbBase) - state.zone + index;
    const page = (lo & -PAGE_SIZE) >>> 0;
    const addend = (this.ram - lo) >>> 0;
    const gpa = (this.gpa & -PAGE_SIZE) >>> 0;
    for (const table of write ? [0, TLB.write] : [0]) {
      state.set64(entry + table, page, hi);
      state.set64(entry + table + TLB.addend, addend, gpa);
    }
  }

  #readPiece(at: number, size: number): void {
    const { u8, zone } = this.#state;
    if (this.ram !== 0) {
      u8.copyWithin(this.#bounce + at, this.ram, this.ram + size);
      return;
    }
    for (let done = 0; done < size; ) {
      const width = widthOf(size - done);
      this.#host.mmioRead(this.gpa + done, width);
      u8.copyWithin(this.#bounce + at + done, zone + CPU.mmioData, zone + CPU.mmioData + width);
      done += width;
    }
  }

  #writePiece(at: number, size: number): void {
    const { u8, zone } = this.#state;
    if (this.ram !== 0 && !(this.#flags() & GPA_READONLY)) {
      u8.copyWithin(this.ram, this.#bounce + at, this.#bounce + at + size);
      const flags = this.#flags(); // after the bytes
      if (flags & (GPA_CODE | GPA_LOGGED)) this.#pageWritten(this.gpa, size, flags);
      return;
    }
    for (let done = 0; done < size; ) {
      const width = widthOf(size - done);
      u8.copyWithin(zone + CPU.mmioData, this.#bounce + at + done, this.#bounce + at + done + width);
      this.#host.mmioWrite(this.gpa + done, width);
      done += width;
    }
  }
}

/** The widest access not above `rest` bytes. */
function widthOf(rest: number): Width {
  return rest >= 8 ? 8 : rest >= 4 ? 4 : rest >= 2 ? 2 : 1;
}
