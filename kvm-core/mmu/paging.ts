/**
 * Paging modes as rows of levels, and the bits of paging-structure entries: what the walker is generated from.
 * Document: SDM volume 3, 4.3 (32-bit), 4.4 (PAE), 4.5 (4-level), tables 4-3 to 4-20 (formats of entries).
 * Left out: 5-level paging, protection keys; a MAXPHYADDR other than PHYSICAL_BITS, whatever CPUID was set to say.
 * PAE's first level is the four PDPTE registers: pdpte.ts.
 */

import { PHYSICAL_BITS } from "../cpu/control.ts";

/** Bits of an entry, the same in all modes. */
export const ENTRY = {
  present: 1n << 0n,
  writable: 1n << 1n,
  user: 1n << 2n,
  accessed: 1n << 5n,
  dirty: 1n << 6n,
  /** PS: the entry maps a page itself. */
  large: 1n << 7n,
  global: 1n << 8n,
  executeDisable: 1n << 63n,
} as const;

export interface Level {
  /** Lowest linear-address bit of the index, and number of index bits. */
  readonly shift: number;
  readonly bits: number;
  /** Bits that have to be 0 in every entry of the level. Bit 63 is reserved too while EFER.NXE is clear. */
  readonly reserved: bigint;
  /** With PS set the entry maps a page, and these bits have to be 0 as well; absent where an entry cannot. */
  readonly large?: bigint;
}

export interface PagingMode {
  readonly entrySize: 4 | 8;
  /** PS counts only while CR4.PSE is set, and bits 20..13 of such an entry are address bits 39..32 (PSE-36). */
  readonly pse: boolean;
  readonly levels: readonly Level[];
}

/** Bits from..to, both included. */
const bits = (from: number, to: number): bigint => (1n << BigInt(to + 1)) - (1n << BigInt(from));
const ABOVE = bits(PHYSICAL_BITS, 51);

export const FOUR_LEVEL: PagingMode = {
  entrySize: 8,
  pse: false,
  levels: [
    { shift: 39, bits: 9, reserved: ABOVE | ENTRY.large },
    { shift: 30, bits: 9, reserved: ABOVE, large: bits(13, 29) },
    { shift: 21, bits: 9, reserved: ABOVE, large: bits(13, 20) },
    { shift: 12, bits: 9, reserved: ABOVE },
  ],
};

/** Bits 62..52, which 4-level paging ignores, are reserved here. */
export const PAE: PagingMode = {
  entrySize: 8,
  pse: false,
  levels: [
    { shift: 21, bits: 9, reserved: ABOVE | bits(52, 62), large: bits(13, 20) },
    { shift: 12, bits: 9, reserved: ABOVE | bits(52, 62) },
  ],
};
/** Linear-address bits that choose the PDPTE register. */
export const PDPTE_INDEX = { shift: 30, bits: 2 } as const;
/** Reserved bits of a PDPTE that is present (table 4-8). */
export const PDPTE_RESERVED = bits(1, 2) | bits(5, 8) | bits(PHYSICAL_BITS, 63);

export const TWO_LEVEL: PagingMode = {
  entrySize: 4,
  pse: true,
  levels: [
    { shift: 22, bits: 10, reserved: 0n, large: bits(PHYSICAL_BITS - 19, 21) },
    { shift: 12, bits: 10, reserved: 0n },
  ],
};
