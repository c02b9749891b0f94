/**
 * Paging structures for tests of rights: one region of code, one page of data, in each paging mode and page size.
 * Document: SDM volume 3, 4.3 to 4.5.
 * Left out: rights other than those of the data page; the code region has all but U/S, which the caller chooses.
 */

import { CR0, CR4, EFER } from "../../../kvm-core/cpu/control.ts";

export interface Entry {
  readonly user: boolean;
  readonly writable: boolean;
  readonly noExecute: boolean;
}

export interface Layout {
  readonly name: string;
  /** Bits of the engine's mode that runs in it. */
  readonly mode: 32 | 64;
  readonly cr4: number;
  readonly efer: number;
  readonly xd: boolean;
  /** Bytes of an entry. */
  readonly entrySize: 4 | 8;
  /** Linear address of the data page, and guest-physical address of its first byte. */
  readonly data: number;
  readonly dataGpa: number;
  /** Guest-physical address of the page that holds it. */
  readonly frame: number;
  /** Where the entry that maps the data page lies, and its PS bit. */
  readonly leaf: number;
  /** Entries above it: where each lies, and what it points to. */
  readonly upper: readonly (readonly [at: number, table: number])[];
  readonly large: boolean;
  /** Other entries: the way to the code, which is identity mapped from 0. The last one maps it. */
  readonly code: readonly (readonly [at: number, value: number])[];
}

const P_W_U = 7;
const PS = 0x80;
const LONG = { mode: 64, cr4: CR4.PAE, efer: EFER.LME | EFER.LMA, xd: true, entrySize: 8 } as const;
const PAE = { mode: 32, cr4: CR4.PAE, efer: 0, xd: true, entrySize: 8 } as const;
const TWO = { mode: 32, cr4: CR4.PSE, efer: 0, xd: false, entrySize: 4 } as const;

/** CR3 is 0x1000 in all of them. Code lies below 2 MiB. */
export const LAYOUTS: readonly Layout[] = [
  {
    ...LONG,
    name: "4-level, 4 KiB",
    data: 0x4020_0000,
    dataGpa: 0x30_0000,
    frame: 0x30_0000,
    leaf: 0x6000,
    upper: [
      [0x1000, 0x2000],
      [0x2008, 0x5000],
      [0x5008, 0x6000],
    ],
    large: false,
    code: [
      [0x2000, 0x3000 | P_W_U],
      [0x3000, PS | P_W_U],
    ],
  },
  {
    ...LONG,
    name: "4-level, 2 MiB",
    data: 0x4020_0000,
    dataGpa: 0x20_0000,
    frame: 0x20_0000,
    leaf: 0x5008,
    upper: [
      [0x1000, 0x2000],
      [0x2008, 0x5000],
    ],
    large: true,
    code: [
      [0x2000, 0x3000 | P_W_U],
      [0x3000, PS | P_W_U],
    ],
  },
  {
    ...LONG,
    name: "4-level, 1 GiB",
    data: 0x4020_0000,
    dataGpa: 0x20_0000,
    frame: 0,
    leaf: 0x2008,
    upper: [[0x1000, 0x2000]],
    large: true,
    code: [
      [0x2000, 0x3000 | P_W_U],
      [0x3000, PS | P_W_U],
    ],
  },
  {
    ...PAE,
    name: "PAE, 4 KiB",
    data: 0x4020_0000,
    dataGpa: 0x30_0000,
    frame: 0x30_0000,
    leaf: 0x6000,
    upper: [[0x5008, 0x6000]],
    large: false,
    code: [
      [0x1000, 0x3001],
      [0x1008, 0x5001],
      [0x3000, PS | P_W_U],
    ],
  },
  {
    ...PAE,
    name: "PAE, 2 MiB",
    data: 0x4020_0000,
    dataGpa: 0x20_0000,
    frame: 0x20_0000,
    leaf: 0x5008,
    upper: [],
    large: true,
    code: [
      [0x1000, 0x3001],
      [0x1008, 0x5001],
      [0x3000, PS | P_W_U],
    ],
  },
  {
    ...TWO,
    name: "32-bit, 4 KiB",
    data: 0x40_0000,
    dataGpa: 0x30_0000,
    frame: 0x30_0000,
    leaf: 0x6000,
    upper: [[0x1004, 0x6000]],
    large: false,
    code: [[0x1000, PS | P_W_U]],
  },
  {
    ...TWO,
    name: "32-bit, 4 MiB",
    data: 0x40_0000,
    dataGpa: 0x40_0000,
    frame: 0x40_0000,
    leaf: 0x1004,
    upper: [],
    large: true,
    code: [[0x1000, PS | P_W_U]],
  },
];

/** Writes entries through `set`; `upper` are the rights of every entry above the last, `marks` the A and D bits of the last. */
export function writeTables(
  layout: Layout,
  set: (at: number, size: 4 | 8, value: bigint) => void,
  leaf: Entry,
  upper: Entry,
  codeUser: boolean,
  marks = 0n,
): void {
  const rights = (entry: Entry): bigint =>
    1n | (entry.writable ? 2n : 0n) | (entry.user ? 4n : 0n) | (layout.xd && entry.noExecute ? 1n << 63n : 0n);
  const { entrySize } = layout;
  layout.code.forEach(([at, value], i) => {
    const last = i === layout.code.length - 1;
    set(at, entrySize, BigInt(last && !codeUser ? value & ~4 : value));
  });
  // The way to the code leads over the first of these in 4-level paging: it gives way to rights of its own below.
  layout.upper.forEach(([at, table]) => {
    set(at, entrySize, BigInt(table) | rights(upper));
  });
  set(layout.leaf, entrySize, BigInt(layout.frame) | rights(leaf) | (layout.large ? 0x80n : 0n) | marks);
}

export function pagingCr0(wp: boolean): number {
  return CR0.PE | CR0.PG | (wp ? CR0.WP : 0);
}
