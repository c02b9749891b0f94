/**
 * Recorder: what the decoder found -> records.
 * Document: architecture.md section 5; layout in emit/record.ts.
 * Left out: nothing.
 *
 * Behind every relative branch that is not computed lies its link record, to which it points until it is linked to its target.
 */

import { CPU } from "../cpu/state.ts";
import { HEAD, MICRO, NO_SECOND_PAGE, RECORD } from "../emit/record.ts";
import type { Decoder } from "../isa/decode.ts";

const PAGE_MASK = 0xfff;

export class Recorder {
  readonly #u32: Uint32Array;
  readonly #decoder: Decoder;
  /** After record(): a relative branch within the page was written at `branch`, to page offset `branchTarget`; else 0. */
  branch = 0;
  branchTarget = 0;

  constructor(u32: Uint32Array, decoder: Decoder) {
    this.#u32 = u32;
    this.#decoder = decoder;
  }

  /** Writes one record; returns the address behind it. */
  #put(at: number, word0: number, word1: number, word2: number, word3: number): number {
    const i = at >>> 2;
    this.#u32[i] = word0;
    this.#u32[i + 1] = word1;
    this.#u32[i + 2] = word2;
    this.#u32[i + 3] = word3;
    return at + RECORD.size;
  }

  head(at: number, pageOffset: number, gpa: number, nextInPage: number): number {
    return this.#put(at, MICRO.head | (pageOffset << (8 * HEAD.pageOffset)), nextInPage, gpa, NO_SECOND_PAGE);
  }

  /** Stands before a block's first instruction and asks for a translation at the `count`th entry. */
  entry(at: number, count: number): number {
    return this.#put(at, MICRO.entry, 0, count, 0);
  }

  /** Ends a straight line: on to page offset `target`, `distance` bytes of pages away. `virtual`: see link(). */
  go(at: number, target: number, distance: number, virtual: boolean): number {
    const link = this.#put(at, MICRO.go, 0, at + RECORD.size, distance);
    return this.link(link, target, virtual);
  }

  /** Ends a straight line at a block that exists. */
  goTo(at: number, record: number): number {
    return this.#put(at, MICRO.go, 0, record, 0);
  }

  /** `virtual`: the way to the target depends on the mapping of linear addresses, so a TLB flush has to undo the link. */
  link(at: number, target: number, virtual: boolean): number {
    return this.#put(at, MICRO.link, 0, target, virtual ? 1 : 0);
  }

  fault(at: number, vector: number, code: number): number {
    return this.#put(at, MICRO.fault | (vector << 16), 0, 0, code);
  }

  unbuilt(at: number): number {
    return this.#put(at, MICRO.unbuilt, 0, 0, 0);
  }

  /** The instruction that the decoder has just decoded, which lies at `pageOffset`. */
  record(at: number, pageOffset: number): number {
    const d = this.#decoder;
    const next = pageOffset + d.length;
    const length = d.length << 24;
    this.branch = 0;
    if (d.isRelative) {
      if (d.computed) return this.#put(at, d.caseNumber | (next << 16), length, d.relative, 0);
      const target = next + d.relative;
      const offset = target & PAGE_MASK;
      const distance = target - offset;
      const link = at + RECORD.size;
      const number = distance === 0 ? d.caseNumber : d.crossCase;
      // LOOP and JCXZ have no register fields either, so `next` may take their place.
      this.#put(at, number | (next << 16), length, link, distance);
      if (distance === 0) {
        this.branch = at;
        this.branchTarget = offset;
      }
      return this.link(link, offset, distance !== 0);
    }
    let { base, index, scale, disp, eaCase, eaSegment } = d;
    if (d.ripRelative) {
      const sum = disp + next;
      disp = sum | 0;
      // More than 32 bits: an address record has room for 64. A segment's base stays the index.
      if (disp !== sum && eaCase === 0) {
        eaCase = MICRO.eaWide;
        eaSegment = base;
        base = CPU.zero;
      }
    }
    let record = at;
    if (eaCase !== 0) {
      const isWide = eaCase === MICRO.eaWide;
      record = this.#put(
        at,
        eaCase | (eaSegment << 16) | (d.eaRow << 24),
        base | (index << 8) | (scale << 16),
        disp,
        isWide ? d.immHigh : d.eaBytes - 1,
      );
      base = CPU.ea;
      index = d.ripRelative ? index : CPU.zero;
      scale = 0;
      disp = 0;
    }
    const wide = d.wide && d.eaCase === 0;
    const imm = wide ? d.immHigh : d.hasImmediate ? d.imm : next;
    return this.#put(
      record,
      d.caseNumber | (d.dst << 16) | (d.src << 24),
      base | (index << 8) | (scale << 16) | length,
      disp,
      imm,
    );
  }
}

/** Page offset, from CPU.ripBase, of the instruction whose record is at `ip`. */
export function pageOffsetOf(u32: Uint32Array, ip: number): number {
  if ((u32[ip >>> 2]! & 0xffff) === MICRO.link) return u32[(ip + RECORD.disp) >>> 2]!;
  let offset = 0;
  let at = (ip - RECORD.size) >>> 2;
  while ((u32[at]! & 0xffff) !== MICRO.head) {
    offset += u32[at + 1]! >>> 24;
    at -= RECORD.size / 4;
  }
  return offset + (u32[at]! >>> (8 * HEAD.pageOffset));
}
