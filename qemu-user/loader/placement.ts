/**
 * Who lies where in guest RAM while a kernel is loaded: the kernel's segments, its modules, its information structure.
 * Follows: the memory map that the guest is given. What is reserved there is not loaded into.
 * Left out: moving things that collide. A kernel says where it wants to be.
 */
import { alignUp, GiB, hex, KiB, MiB } from "../../shared/bits.ts";
import { LoaderError } from "./loader-error.ts";

/** A row of the guest's memory map. Type numbers are e820's, which multiboot and PVH share: 1 usable RAM, 2 reserved. */
export interface MemoryMapEntry {
  readonly base: number;
  readonly size: number;
  readonly type: 1 | 2;
}

interface Range {
  readonly base: number;
  readonly end: number;
}

export class Placement {
  readonly #usable: readonly Range[];
  readonly #taken: Range[] = []; // sorted, not overlapping

  constructor(map: readonly MemoryMapEntry[]) {
    this.#usable = map.filter((entry) => entry.type === 1).map(({ base, size }) => ({ base, end: base + size }));
  }

  /** End of the highest usable RAM. */
  get ramEnd(): number {
    return Math.max(...this.#usable.map((range) => range.end));
  }

  /** End of the highest range taken so far. */
  get end(): number {
    return Math.max(0, ...this.#taken.map((range) => range.end));
  }

  /** True if a byte of what was taken lies here. */
  holds(address: number): boolean {
    return this.#taken.some((range) => address >= range.base && address < range.end);
  }

  /** Takes a range that a file asks for. Throws a LoaderError for `path` if it is not free RAM. */
  take(path: string, base: number, size: number, what: string): void {
    const range = { base, end: base + size };
    if (!Number.isSafeInteger(base) || !Number.isSafeInteger(range.end) || range.end > 4 * GiB) {
      throw new LoaderError(path, `${what} lies above 4 GiB, where this machine has no RAM`);
    }
    if (range.end > this.ramEnd) throw tooLarge(path, range.end, this.ramEnd);
    if (!this.#usable.some((ram) => base >= ram.base && range.end <= ram.end)) {
      throw new LoaderError(path, `${what} at ${hex(base)} lies in the hole of the first megabyte`);
    }
    const other = this.#taken.find((taken) => base < taken.end && taken.base < range.end);
    if (other !== undefined) throw new LoaderError(path, `${what} at ${hex(base)} overlaps another part of the kernel`);
    this.#insert(range);
  }

  /** Finds free RAM at or above `from`, page or otherwise aligned. Throws a LoaderError for `path` if there is none. */
  find(path: string, size: number, align: number, from: number): number {
    for (const ram of this.#usable) {
      let base = alignUp(Math.max(ram.base, from), align);
      for (const taken of this.#taken) {
        if (base < taken.end && taken.base < base + size) base = alignUp(taken.end, align);
      }
      if (base + size <= ram.end) {
        if (size > 0) this.#insert({ base, end: base + size });
        return base;
      }
    }
    throw tooLarge(path, Math.max(this.end, from) + size, this.ramEnd);
  }

  #insert(range: Range): void {
    this.#taken.push(range);
    this.#taken.sort((a, b) => a.base - b.base);
  }
}

function tooLarge(path: string, needs: number, has: number): LoaderError {
  return new LoaderError(path, `does not fit in RAM: needs ${inWords(needs)} of ${inWords(has)}`);
}

/** Bytes as a person says them, rounded up. */
function inWords(bytes: number): string {
  const [unit, name] = bytes >= 4 * MiB ? [MiB, "MiB"] : [KiB, "KiB"];
  return `${Math.ceil(bytes / (unit as number))} ${name}`;
}
