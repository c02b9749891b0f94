/**
 * A block of guest memory under construction: structures, tables and strings that a kernel finds by their addresses.
 * Follows: the C layout of little-endian structures, 8-byte aligned.
 * Left out: knowing whose structures they are.
 */
import { alignUp } from "../../shared/bits.ts";
import type { GuestMemory } from "../../shared/guest-memory.ts";

export class InfoBlock {
  readonly #memory: GuestMemory;
  readonly #end: number;
  #next: number;

  /** Builds from `base` up to `size` bytes of zeroed RAM, which the caller has reserved. */
  constructor(memory: GuestMemory, base: number, size: number) {
    this.#memory = memory;
    this.#next = base;
    this.#end = base + size;
    memory.fill(base, size, 0);
  }

  /** Bytes that a string takes up. */
  static stringSize(text: string): number {
    return InfoBlock.size(Buffer.byteLength(text) + 1);
  }

  /** Bytes that a structure of this many takes up. */
  static size(bytes: number): number {
    return alignUp(bytes, 8);
  }

  /** Room for a structure or table; its address. Throws an Error if the caller reserved too little. */
  reserve(bytes: number): number {
    const at = this.#next;
    this.#next += InfoBlock.size(bytes);
    if (this.#next > this.#end) throw new Error("boot information is larger than the room reserved for it");
    return at;
  }

  /** A NUL-terminated UTF-8 string; its address. */
  string(text: string): number {
    const bytes = Buffer.from(text);
    const at = this.reserve(bytes.length + 1);
    this.#memory.write(at, bytes);
    return at;
  }

  u32(at: number, value: number): void {
    this.#memory.writeU32(at, value);
  }

  u64(at: number, value: number): void {
    this.#memory.writeU32(at, value);
    this.#memory.writeU32(at + 4, Math.floor(value / 2 ** 32));
  }
}

/**
 * Where boot information goes: low memory, above what a kernel's own start-up code likes to use (QEMU's place, too), or
 * higher if that is taken.
 */
export const INFO_FROM = 0x9000;
