/**
 * The decoded-instruction record: 16 bytes, written by the recorder, read by generated code.
 * Document: architecture.md sections 5 and 11 (why 16 bytes).
 * Left out: instructions with more than one immediate beside a memory operand; none is built.
 */

export const RECORD = {
  size: 16,
  /** u16: which case of the generated function. */
  case: 0,
  /** u8: pre-scaled offsets into the state's slots; or the number of a segment, control or debug register. */
  dst: 2,
  src: 3,
  base: 4,
  index: 5,
  /** u8: shift of the index, 0 to 3. */
  scale: 6,
  /** u8: bytes of the instruction; 0 for a record that precedes or follows the one that counts them. */
  length: 7,
  /**
   * u24, where `base`, `index` and `scale` are otherwise: of a record that leads to another page, the low bits of the number
   * of the linear page for which `disp` holds.
   */
  page: 4,
  pageMask: 0xff_ffff,
  /** i32: displacement; for a relative branch the record to go to. */
  disp: 8,
  /** i32: immediate. Without one: page offset of the next instruction. For a branch to another page: the page's distance. */
  imm: 12,
  /** i64: an immediate of 64 bits, in place of displacement and immediate. */
  wide: 8,
  /**
   * u16: forms with a relative target: page offset of the next instruction, in place of dst and src. A computed target
   * has its distance from there in `disp`.
   */
  next: 2,
} as const;

/** The record before a block's first: it tells where the block lies. Never executed. */
export const HEAD = {
  case: 0,
  /** u16: page offset of the block's first instruction. */
  pageOffset: 2,
  /** u32: next block in the page of its first byte. */
  nextInPage: 4,
  /** u32: guest-physical address of the first byte. */
  gpa: 8,
  /** u32: for a block that goes on in a second page: next block in that page. Else NO_SECOND_PAGE. */
  nextInSecond: 12,
} as const;
export const NO_SECOND_PAGE = 1;

/**
 * Fields of an address record: `dst` is the slot of the segment's base, `base`, `index`, `scale` and `disp` are as in
 * other records, and outside 64-bit mode:
 *   src  u8: row of CPU.bounds that the access is checked against (cpu/bounds.ts)
 *   imm  u32: bytes of the access less one
 */

/** Cases that are no instruction, in front of all others. */
export const MICRO = {
  /** Never executed: see HEAD. */
  head: 0,
  /** Go to page offset `disp` of the current page, by way of TypeScript; behind every branch, and at a block's end. */
  link: 1,
  /** The record of an instruction whose bytes were overwritten: decode again. */
  stale: 2,
  /** Raise exception `dst` with error code `imm`: what a fetch or a decode came to. */
  fault: 3,
  /** Leave with INTERNAL_ERROR: the recorder has the text. */
  unbuilt: 4,
  /** CPU.ea = linear address of base + index << scale + disp in the segment, which is checked; then the next record. */
  ea16: 5,
  ea32: 6,
  /** In 64-bit mode, where the segment base has 64 bits and there is nothing to check; and in flat 32-bit code. */
  ea32long: 7,
  ea64: 8,
  /** CPU.ea = `wide` + segment base, or + CPU.ripBase: displacements of more than 32 bits. */
  eaWide: 9,
  /** The block goes on at record `disp`, in a page `imm` bytes further: no branch of the guest's, so no look at `pending`. */
  go: 10,
  /** Before a block's first instruction, if hot blocks are translated: counts `disp` down, and at 0 asks TypeScript. */
  entry: 11,
  /** The same record once the block is translated: call the function in slot `imm` of the table. */
  translated: 12,
} as const;
export const MICRO_COUNT = 13;
