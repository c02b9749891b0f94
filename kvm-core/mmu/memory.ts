/**
 * The slow path of guest memory: faults, MMIO, accesses across pages, writes that somebody must hear of; and accesses of
 * helpers and of the processor itself.
 * Document: architecture.md section 6; SDM volume 1, 3.3.7.1 (canonical addresses).
 * Left out: the plain case of a TLB miss, which is generated: fill.ts; whether a fault is #SS or #GP: engine/canonical.ts.
 */

import { ACCESS } from "../cpu/access.ts";
import { MODE } from "../cpu/control.ts";
import { CPU } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import { GPA_CODE, GPA_LOGGED, GPA_READONLY, PAGE_SIZE, ZONE } from "../cpu/zones.ts";
import { pageFlags, ramAt } from "./ram.ts";
import { Tlb } from "./tlb.ts";

type Width = 1 | 2 | 4 | 8;

/** What MMIO does; the EngineHost. */
export interface MmioHost {
  mmioRead(gpa: number, size: Width): void;
  mmioWrite(gpa: number, size: Width): void;
}

/** What this class calls of the generated code: fill.ts and walker.ts. */
export interface MmuExports {
  /** (zone, low and high half of the address, access) -> 1, or 0 on a page fault. */
  readonly walk: (cpu: number, lo: number, hi: number, access: number) => number;
  readonly move: (to: number, from: number, size: number) => void;
}

/** Data breakpoints: engine/watch.ts. */
export interface Watcher {
  accessed(lo: number, hi: number, size: number, write: boolean): boolean;
  mayAccess(lo: number, hi: number, size: number, write: boolean): boolean;
}
/** In the place of a vector: the access meets a data breakpoint, and its instruction has to begin again alone. */
export const RESTART = 0x100;

/** Called after the vCPU wrote `size` bytes at `gpa`, in a page with GPA_CODE or GPA_LOGGED; `flags` are the page's. */
export type PageWritten = (gpa: number, size: number, flags: number) => void;

const GP = 13;
const PAGE_FAULT = 14;
const ALIGNMENT = 17;

export class GuestMemoryUnit {
  readonly tlb: Tlb;
  readonly #state: VcpuState;
  readonly #host: MmioHost;
  readonly #pageWritten: PageWritten;
  readonly #bounce: number;
  /** Set by whoever has data breakpoints. */
  watcher: Watcher | undefined;
  #code!: MmuExports;
  /** After a failed access: what to raise. CR2 is set already for a page fault. */
  faultVector = 0;
  faultCode = 0;
  /** After #bothPages(): gpa and ram of the second page. */
  #secondGpa = 0;
  #secondRam = 0;
  /** After translate(): guest-physical address, and its linear address if it is RAM, else 0. */
  gpa = 0;
  ram = 0;

  constructor(state: VcpuState, host: MmioHost, pageWritten: PageWritten) {
    this.#state = state;
    this.#host = host;
    this.#pageWritten = pageWritten;
    this.tlb = new Tlb(state);
    this.#bounce = state.zone + CPU.bounce;
  }

  /** Before the first access: the code's module calls back into this class, so it is made later. */
  link(code: MmuExports): void {
    this.#code = code;
  }

  /** Linear address of the RAM at `gpa`, or 0 if nobody's. */
  ramAt(gpa: number): number {
    return ramAt(this.#state, gpa);
  }

  /** Some page became slow to write: forgets all translations for writing. */
  protect(): void {
    this.tlb.dropAllWrites();
  }

  /** The page at `gpa` became slow to write: forgets its translations for writing. */
  protectPage(gpa: number): void {
    this.tlb.dropWrites(gpa);
  }

  /** Access bits for an ordinary data access at the current privilege level. */
  get dataAccess(): number {
    return this.#state.get(CPU.dataAccess);
  }

  /** Access bits for an instruction fetch. */
  get fetchAccess(): number {
    return ACCESS.fetch | (this.dataAccess & ACCESS.user);
  }

  /** From the generated walker: an entry of a paging structure was marked in a page that somebody watches. */
  tableWritten(gpa: number, size: number): void {
    this.#pageWritten(gpa, size, pageFlags(this.#state, gpa));
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
    if (this.#code.walk(state.zone, lo, hi, access) === 0) {
      state.set64(CPU.cr2, lo, hi);
      this.faultVector = PAGE_FAULT;
      this.faultCode = state.get(CPU.walkError);
      return false;
    }
    this.gpa = state.get(CPU.walkGpa) + state.high(CPU.walkGpa) * 0x1_0000_0000;
    this.ram = ramAt(state, this.gpa);
    return true;
  }

  /** As translate(), of a guest-physical address. False where there is no RAM that may be written. */
  physical(gpa: number): boolean {
    this.gpa = gpa;
    this.ram = ramAt(this.#state, gpa);
    return this.writable;
  }

  /** After translate(): the address is RAM that may be written. */
  get writable(): boolean {
    return this.ram !== 0 && (pageFlags(this.#state, this.gpa) & GPA_READONLY) === 0;
  }

  /** `size` bytes at the translated address were written in RAM: tells those who have to know. */
  wrote(size: number): void {
    const flags = pageFlags(this.#state, this.gpa);
    if (flags & (GPA_CODE | GPA_LOGGED)) this.#pageWritten(this.gpa, size, flags);
  }

  /** The linear address `bytes` further: outside 64-bit mode it wraps at 4 GiB. */
  next(lo: number, hi: number, bytes: number): { readonly lo: number; readonly hi: number } {
    const long = (this.#state.get(CPU.mode) & MODE.codeSize) === MODE.code64;
    const sum = lo + bytes;
    return { lo: sum >>> 0, hi: sum > 0xffff_ffff && long ? (hi + 1) >>> 0 : hi };
  }

  /**
   * A load or a read-modify-write that fill.ts gave up. The address is in CPU.address.
   * Returns where in linear memory the bytes are now, the bounce buffer, so that write() has to follow a modification;
   * or 0 on a fault.
   */
  miss(size: number, write: boolean): number {
    const state = this.#state;
    const lo = state.get(CPU.address);
    const hi = state.high(CPU.address);
    return this.readBytes(lo, hi, size, (write ? ACCESS.write : 0) | this.dataAccess) ? this.#bounce : 0;
  }

  /** A store at CPU.address is to come: as miss(), but nothing is read. */
  probe(size: number): number {
    const state = this.#state;
    const lo = state.get(CPU.address);
    const hi = state.high(CPU.address);
    const access = ACCESS.write | this.dataAccess;
    const crosses = (lo & (PAGE_SIZE - 1)) + size > PAGE_SIZE;
    if (!this.mayWrite(lo, hi, size)) return 0;
    if (!(crosses ? this.#bothPages(lo, hi, access) : this.translate(lo, hi, access))) return 0;
    return this.aligned(lo, size, access) ? this.#bounce : 0;
  }

  /**
   * A store that fill.ts gave up: writes `size` bytes of the bounce buffer to CPU.address. False on a fault, and nothing
   * is written then.
   */
  write(size: number): boolean {
    const state = this.#state;
    return this.writeBytes(state.get(CPU.address), state.high(CPU.address), size, this.dataAccess);
  }

  /** Reads `size` (up to 16) bytes into the bounce buffer, for helpers. False on a fault. */
  readBytes(lo: number, hi: number, size: number, access: number): boolean {
    if ((lo & (PAGE_SIZE - 1)) + size > PAGE_SIZE) return this.#eachPiece(lo, hi, size, access, false);
    if (!this.translate(lo, hi, access) || !this.#allows(lo, hi, size, access, false)) return false;
    this.#readPiece(0, size);
    return true;
  }

  /** Writes `size` (up to 16) bytes of the bounce buffer, for helpers. False on a fault. */
  writeBytes(lo: number, hi: number, size: number, access: number): boolean {
    if ((lo & (PAGE_SIZE - 1)) + size > PAGE_SIZE) return this.#eachPiece(lo, hi, size, access | ACCESS.write, true);
    if (!this.translate(lo, hi, access | ACCESS.write) || !this.#allows(lo, hi, size, access, true)) return false;
    this.#writePiece(0, size);
    return true;
  }

  /** What comes behind the page walk. */
  #allows(lo: number, hi: number, size: number, access: number, write: boolean): boolean {
    return this.aligned(lo, size, access) && this.watches(lo, hi, size, write);
  }

  /** #AC, if alignment is checked and an access of CPL 3 is misaligned; implicit accesses are of level 0. */
  aligned(lo: number, size: number, access: number): boolean {
    // Powers of two, and pseudo-descriptors, which are checked as doublewords.
    const mask = size & (size - 1) ? 3 : size - 1;
    if ((lo & mask) === 0 || !(access & ACCESS.user)) return true;
    const state = this.#state;
    if (state.get(CPU.tlbBase) !== state.zone + ZONE.tlbNever) return true;
    this.faultVector = ALIGNMENT;
    this.faultCode = 0;
    return false;
  }

  /** Tells data breakpoints of an access. False: it must not be made, and the instruction begins again. */
  watches(lo: number, hi: number, size: number, write: boolean): boolean {
    return this.watcher === undefined || this.watcher.accessed(lo, hi, size, write) || this.#restart();
  }

  /** A write is to come that cannot be given up any more. */
  mayWrite(lo: number, hi: number, size: number): boolean {
    return this.watcher === undefined || this.watcher.mayAccess(lo, hi, size, true) || this.#restart();
  }

  #restart(): false {
    this.faultVector = RESTART;
    this.faultCode = 0;
    return false;
  }

  /** Is an access across two pages allowed in both? Sets gpa and ram for the first, #secondGpa and #secondRam. */
  #bothPages(lo: number, hi: number, access: number): boolean {
    const after = this.next(lo, hi, PAGE_SIZE - (lo & (PAGE_SIZE - 1)));
    if (!this.translate(lo, hi, access)) return false;
    const { gpa, ram } = this;
    if (!this.translate(after.lo, after.hi, access)) return false;
    this.#secondGpa = this.gpa;
    this.#secondRam = this.ram;
    this.gpa = gpa;
    this.ram = ram;
    return true;
  }

  /** An access across two pages: both are checked before anything happens. */
  #eachPiece(lo: number, hi: number, size: number, access: number, write: boolean): boolean {
    const first = PAGE_SIZE - (lo & (PAGE_SIZE - 1));
    if (!this.#bothPages(lo, hi, access) || !this.#allows(lo, hi, size, access, write)) return false;
    // A device's answer may take long and lead through other accesses: the second page's place is kept here.
    const [secondGpa, secondRam] = [this.#secondGpa, this.#secondRam];
    if (write) this.#writePiece(0, first);
    else this.#readPiece(0, first);
    this.gpa = secondGpa;
    this.ram = secondRam;
    if (write) this.#writePiece(first, size - first);
    else this.#readPiece(first, size - first);
    return true;
  }

  #readPiece(at: number, size: number): void {
    if (this.ram !== 0) {
      this.#code.move(this.#bounce + at, this.ram, size);
      return;
    }
    const data = this.#state.zone + CPU.mmioData;
    for (let done = 0; done < size; ) {
      const width = widthOf(size - done);
      this.#host.mmioRead(this.gpa + done, width);
      this.#code.move(this.#bounce + at + done, data, width);
      done += width;
    }
  }

  #writePiece(at: number, size: number): void {
    if (this.writable) {
      this.#code.move(this.ram, this.#bounce + at, size);
      this.wrote(size);
      return;
    }
    const data = this.#state.zone + CPU.mmioData;
    for (let done = 0; done < size; ) {
      const width = widthOf(size - done);
      this.#code.move(data, this.#bounce + at + done, width);
      this.#host.mmioWrite(this.gpa + done, width);
      done += width;
    }
  }
}

/** The widest access not above `rest` bytes. */
function widthOf(rest: number): Width {
  return rest >= 8 ? 8 : rest >= 4 ? 4 : rest >= 2 ? 2 : 1;
}
