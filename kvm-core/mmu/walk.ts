/**
 * Page walk: linear address -> guest-physical address and rights, for every paging mode as rows of levels.
 * Document: SDM volume 3, 4.3 to 4.7 (32-bit, PAE, 4-level; access rights; page-fault error code), 4.8 (accessed, dirty).
 * Left out: SMEP, SMAP, PCID, global pages, protection keys; CR4 refuses their bits. The walker is TypeScript in numbers;
 * a generated one is the next step and takes this file's place.
 */

import { CR0, CR4, EFER } from "../cpu/control.ts";
import { CPU } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import { GPA_ADDRESS, GPA_CODE, GPA_LOGGED, GPA_PRESENT, GPA_TABLE } from "../cpu/zones.ts";

/** Bits of an access; USER is an access made with CPL 3, not one to a descriptor table. */
export const ACCESS = { read: 0, write: 1, user: 2, fetch: 4 } as const;

/** Bits of a page-fault error code. */
export const PF = { present: 1, write: 2, user: 4, reserved: 8, fetch: 16 } as const;

const ENTRY = { present: 1, writable: 2, user: 4, accessed: 0x20, dirty: 0x40, large: 0x80 } as const;
const NX_HIGH = 0x8000_0000;
/** Bits 51..40: beyond the 40 physical address bits that CPUID reports. */
const RESERVED_HIGH = 0x000f_ff00;

interface Level {
  /** Lowest linear-address bit of the index, and number of index bits. */
  readonly shift: number;
  readonly bits: number;
  /** May map a page itself, with bit 7 set. */
  readonly large: boolean;
}

interface Mode {
  readonly entrySize: 4 | 8;
  readonly levels: readonly Level[];
}

const FOUR_LEVEL: Mode = {
  entrySize: 8,
  levels: [
    { shift: 39, bits: 9, large: false },
    { shift: 30, bits: 9, large: true },
    { shift: 21, bits: 9, large: true },
    { shift: 12, bits: 9, large: false },
  ],
};
const PAE: Mode = {
  entrySize: 8,
  levels: [
    { shift: 30, bits: 2, large: false },
    { shift: 21, bits: 9, large: true },
    { shift: 12, bits: 9, large: false },
  ],
};
const TWO_LEVEL: Mode = {
  entrySize: 4,
  levels: [
    { shift: 22, bits: 10, large: true },
    { shift: 12, bits: 10, large: false },
  ],
};

/** Called after `size` bytes of one page were written that has GPA_CODE or GPA_LOGGED among its flags. */
export type PageWritten = (gpa: number, size: number, flags: number) => void;

export class Walker {
  readonly #state: VcpuState;
  readonly #pageWritten: PageWritten;
  /** After a successful walk: the guest-physical address, below 2^52. */
  gpa = 0;
  /** The page is larger than 4 KiB. */
  large = false;
  /** After a failed one: the page-fault error code. */
  errorCode = 0;

  constructor(state: VcpuState, pageWritten: PageWritten) {
    this.#state = state;
    this.#pageWritten = pageWritten;
  }

  /** Linear address of the RAM at `gpa`, or 0 if nobody's. */
  ram(gpa: number): number {
    if (gpa >= 0x1_0000_0000) return 0;
    const entry = this.#state.u32[(GPA_TABLE >>> 2) + (gpa >>> 12)]!;
    return entry & GPA_PRESENT ? ((entry & GPA_ADDRESS) | (gpa & 0xfff)) >>> 0 : 0;
  }

  /** False on a page fault. `access`: bits of ACCESS. Sets accessed and dirty bits of the entries used. */
  walk(lo: number, hi: number, access: number): boolean {
    const state = this.#state;
    this.large = false;
    if (!(state.get(CPU.cr0) & CR0.PG)) {
      this.gpa = lo;
      return true;
    }
    const cr4 = state.get(CPU.cr4);
    const efer = state.get(CPU.efer);
    const mode = efer & EFER.LMA ? FOUR_LEVEL : cr4 & CR4.PAE ? PAE : TWO_LEVEL;
    const nxEnabled = (efer & EFER.NXE) !== 0;
    const pae = mode === PAE;
    const cr3 = state.get(CPU.cr3);
    let table = pae ? (cr3 & ~31) >>> 0 : (cr3 & ~0xfff) >>> 0;
    if (mode === FOUR_LEVEL) table += (state.high(CPU.cr3) & 0xf_ffff) * 0x1_0000_0000;
    let rights = ENTRY.writable | ENTRY.user;
    let noExecute = false;
    for (const level of mode.levels) {
      const at = table + indexOf(level, lo, hi) * mode.entrySize;
      const host = this.ram(at);
      // A table outside RAM reads as all ones, whose reserved bits are set.
      const entry = host === 0 ? 0xffff_ffff : state.u32[host >>> 2]!;
      const high = mode.entrySize === 4 ? 0 : host === 0 ? 0xffff_ffff : state.u32[(host + 4) >>> 2]!;
      if (!(entry & ENTRY.present)) return this.#fault(access, 0, nxEnabled);
      if (high & RESERVED_HIGH || (high & NX_HIGH && !nxEnabled)) return this.#fault(access, PF.reserved, nxEnabled);
      const pointerTable = pae && level.shift === 30;
      if (!pointerTable) {
        rights &= entry;
        noExecute ||= (high & NX_HIGH) !== 0;
      }
      const large = level.large && (entry & ENTRY.large) !== 0 && (mode.entrySize === 8 || (cr4 & CR4.PSE) !== 0);
      const last = large || level.shift === 12;
      if (last && !this.#allowed(access, rights, noExecute)) return this.#fault(access, PF.present, nxEnabled);
      const mark = last && access & ACCESS.write ? ENTRY.accessed | ENTRY.dirty : ENTRY.accessed;
      if (!pointerTable && host !== 0 && (entry & mark) !== mark) {
        Atomics.or(state.i32, host >>> 2, mark);
        const flags = Atomics.load(state.i32, (GPA_TABLE >>> 2) + (at >>> 12));
        if (flags & (GPA_CODE | GPA_LOGGED)) this.#pageWritten(at, mode.entrySize, flags);
      }
      if (!last) {
        table = ((entry & ~0xfff) >>> 0) + (high & 0xf_ffff) * 0x1_0000_0000;
        continue;
      }
      const offsetMask = 2 ** level.shift - 1;
      this.large = large;
      // PSE-36: bits 20..13 of a 4 MiB entry are address bits 39..32.
      const top = mode.entrySize === 4 ? (large ? (entry >>> 13) & 0xff : 0) : high & 0xf_ffff;
      this.gpa = top * 0x1_0000_0000 + ((((entry & ~0xfff) >>> 0) & ~offsetMask) >>> 0) + ((lo & offsetMask) >>> 0);
      return true;
    }
    return false;
  }

  #allowed(access: number, rights: number, noExecute: boolean): boolean {
    if (access & ACCESS.fetch && noExecute) return false;
    if (access & ACCESS.user && !(rights & ENTRY.user)) return false;
    if (!(access & ACCESS.write) || rights & ENTRY.writable) return true;
    // Supervisor writes ignore R/W unless CR0.WP is set.
    return !(access & ACCESS.user) && !(this.#state.get(CPU.cr0) & CR0.WP);
  }

  #fault(access: number, cause: number, nxEnabled: boolean): boolean {
    let code = cause & PF.reserved ? PF.reserved | PF.present : cause;
    if (access & ACCESS.write) code |= PF.write;
    if (access & ACCESS.user) code |= PF.user;
    if (access & ACCESS.fetch && nxEnabled) code |= PF.fetch;
    this.errorCode = code;
    return false;
  }
}

function indexOf(level: Level, lo: number, hi: number): number {
  const { shift } = level;
  const bits = shift >= 32 ? hi >>> (shift - 32) : (lo >>> shift) | (hi << (32 - shift));
  return bits & ((1 << level.bits) - 1);
}
