/**
 * Random values and addresses for cases: the edges of each size more often than anything else, pages' ends too.
 * Document: case.ts (the arena).
 * Left out: which register or word gets what: generate.ts.
 */

import { type Random, random } from "../fuzz/generator.ts";
import { CODE, CODE_SIZE, DATA, LANDING, PAGE, PAGES } from "./case.ts";

const EDGES: readonly bigint[] = [8n, 16n, 32n, 64n].flatMap((bits) => {
  const [half, whole] = [1n << (bits - 1n), 1n << bits];
  return [half - 1n, half, half + 1n, whole - 2n, whole - 1n];
});

export class Values {
  readonly below: Random;

  constructor(seed: number) {
    this.below = random(seed);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  /** True in `n` of a hundred. */
  percent(n: number): boolean {
    return this.below(100) < n;
  }

  u64(): bigint {
    return (BigInt(this.below(2 ** 32)) << 32n) | BigInt(this.below(2 ** 32));
  }

  /** A small number of either sign. */
  small(): bigint {
    return BigInt.asUintN(64, BigInt(this.below(400) - 200));
  }

  /** A value for a register or a word of memory. */
  value(): bigint {
    switch (this.below(8)) {
      case 0:
      case 1:
        return this.pick(EDGES);
      case 2:
        return BigInt(this.below(72));
      case 3:
        return BigInt.asUintN(64, -BigInt(this.below(72)));
      case 4:
        return 1n << BigInt(this.below(64));
      case 5:
        // Edges in each byte of an otherwise random value: AL and AH are tested as much as RAX.
        return (this.u64() & ~0xffffn) | (this.pick(EDGES) & 0xffn) | ((this.pick(EDGES) & 0xffn) << 8n);
      default:
        return this.u64();
    }
  }

  /** An address for an access of `width` bytes. `inLine`: it crosses no cache line (a split lock is the kernel's matter). */
  address(width: number, inLine: boolean): number {
    const page = (kind: (typeof PAGES)[number], nth: number): number => {
      const all = PAGES.flatMap((k, i) => (k === kind ? [DATA + i * PAGE] : []));
      return all[nth % all.length]!;
    };
    const readWrite = page("rw", this.below(3));
    if (inLine) {
      const start = this.percent(80) ? readWrite : this.percent(50) ? page("ro", 0) : page("hole", this.below(3));
      return start + 64 * this.below(64) + this.below(65 - width);
    }
    const part = 1 + this.below(Math.max(width - 1, 1));
    switch (this.below(16)) {
      case 7:
      case 8:
      case 9:
        return readWrite + 64 + this.below(PAGE - 128);
      case 10: // from one page into the next
        return page("rw", 1) - part;
      case 11: // just fits
        return page("rw", 1) + PAGE - width;
      case 12: // out of memory, at its end
        return page("rw", 1) + PAGE - part;
      case 13: // into memory, at its beginning
        return page("rw", 0) - part;
      case 14: // from a page that may be written into one that may not, or in the latter
        return this.percent(50) ? page("ro", 0) - part : page("ro", 0) + this.below(PAGE - 64);
      case 15:
        return page("hole", this.below(3)) + this.below(PAGE - 64);
      default:
        return readWrite + 64 + 8 * this.below(PAGE / 8 - 16);
    }
  }

  /** Where a jump may lead: to INT3, to a page that is not there, to data. */
  target(): bigint {
    if (this.percent(70)) return BigInt(LANDING + this.below(PAGE));
    return BigInt(this.pick([DATA, DATA + PAGE + 123, DATA + 5 * PAGE, CODE + CODE_SIZE, CODE + CODE_SIZE + 77]));
  }
}
