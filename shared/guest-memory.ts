/**
 * Guest physical memory, as a device model reaches it for DMA: slots of one mapped buffer.
 * Follows: KVM_SET_USER_MEMORY_REGION's slots. Bounds are checked here and nowhere else.
 * Every write is told to the code map (code-map.ts), for DMA into code that kvm-core has decoded.
 * Left out: logging dirty pages.
 *
 * An address that a guest chose may be anything: negative, fractional, NaN, past 2^53. All of those lie outside.
 */

import type { CodeMap } from "./code-map.ts";

export interface MemorySlot {
  /** First guest-physical address. */
  readonly gpa: number;
  readonly size: number;
  /** Offset of its first byte in the buffer. */
  readonly at: number;
}

export class GuestMemory {
  readonly slots: readonly MemorySlot[];
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #code: CodeMap | undefined;

  /**
   * Throws an Error if a slot leaves the buffer or overlaps another: the host's mistake. Without `code` nobody hears of
   * writes: right only for memory that no vCPU executes.
   */
  constructor(buffer: ArrayBufferLike, slots: readonly MemorySlot[], code?: CodeMap) {
    this.#code = code;
    this.slots = slots.map((slot) => ({ ...slot })).sort((a, b) => a.gpa - b.gpa);
    this.#bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
    let end = 0;
    for (const { gpa, size, at } of this.slots) {
      const whole = Number.isSafeInteger(gpa) && Number.isSafeInteger(size) && Number.isSafeInteger(at);
      if (!whole || size <= 0 || at < 0 || !Number.isSafeInteger(gpa + size) || at + size > buffer.byteLength) {
        throw new Error(`memory slot at ${gpa} of ${size} bytes does not lie in the buffer`);
      }
      if (gpa < end) throw new Error(`memory slot at ${gpa} overlaps the one before it`);
      end = gpa + size;
    }
  }

  /** True if every byte of the range is RAM. An empty range is, wherever it is. */
  contains(gpa: number, length: number): boolean {
    if (!Number.isSafeInteger(gpa) || !Number.isSafeInteger(length) || gpa < 0 || length < 0) return false;
    const end = gpa + length;
    let next = gpa;
    for (let i = 0; i < this.slots.length && next < end; i++) {
      const slot = this.slots[i]!;
      if (next >= slot.gpa && next < slot.gpa + slot.size) next = slot.gpa + slot.size;
    }
    return next >= end;
  }

  /** Little-endian reads; all ones if any byte is not RAM. Never allocate. */
  readU8(gpa: number): number {
    const at = this.#locate(gpa, 1);
    return at < 0 ? 0xff : this.#bytes[at]!;
  }

  readU16(gpa: number): number {
    const at = this.#locate(gpa, 2);
    if (at >= 0) return this.#view.getUint16(at, true);
    return this.contains(gpa, 2) ? this.readU8(gpa) | (this.readU8(gpa + 1) << 8) : 0xffff;
  }

  readU32(gpa: number): number {
    const at = this.#locate(gpa, 4);
    if (at >= 0) return this.#view.getUint32(at, true);
    return this.contains(gpa, 4) ? (this.readU16(gpa) | (this.readU16(gpa + 2) << 16)) >>> 0 : 0xffff_ffff;
  }

  /** Little-endian writes; nothing is written if any byte is not RAM. Never allocate. */
  writeU8(gpa: number, value: number): void {
    const at = this.#locate(gpa, 1);
    if (at < 0) return;
    this.#bytes[at] = value;
    this.#code?.written(gpa, 1);
  }

  writeU16(gpa: number, value: number): void {
    const at = this.#locate(gpa, 2);
    if (at >= 0) {
      this.#view.setUint16(at, value, true);
      this.#code?.written(gpa, 2);
    } else if (this.contains(gpa, 2)) {
      this.writeU8(gpa, value);
      this.writeU8(gpa + 1, value >>> 8);
    }
  }

  writeU32(gpa: number, value: number): void {
    const at = this.#locate(gpa, 4);
    if (at >= 0) {
      this.#view.setUint32(at, value, true);
      this.#code?.written(gpa, 4);
    } else if (this.contains(gpa, 4)) {
      this.writeU16(gpa, value);
      this.writeU16(gpa + 2, value >>> 16);
    }
  }

  /** Copies RAM out. False, and nothing copied, if any byte is not RAM. */
  read(gpa: number, into: Uint8Array): boolean {
    if (!this.contains(gpa, into.length)) return false;
    for (let done = 0; done < into.length; ) {
      const piece = Math.min(into.length - done, this.#bytesHere(gpa + done));
      const at = this.#locate(gpa + done, piece);
      into.set(this.#bytes.subarray(at, at + piece), done);
      done += piece;
    }
    return true;
  }

  /** Copies into RAM. False, and nothing written, if any byte is not RAM. */
  write(gpa: number, from: Uint8Array): boolean {
    if (!this.contains(gpa, from.length)) return false;
    for (let done = 0; done < from.length; ) {
      const piece = Math.min(from.length - done, this.#bytesHere(gpa + done));
      this.#bytes.set(from.subarray(done, done + piece), this.#locate(gpa + done, piece));
      done += piece;
    }
    this.#code?.written(gpa, from.length);
    return true;
  }

  /** Fills RAM with one byte value. False, and nothing written, if any byte is not RAM. Never allocates. */
  fill(gpa: number, length: number, value: number): boolean {
    if (!this.contains(gpa, length)) return false;
    for (let done = 0; done < length; ) {
      const piece = Math.min(length - done, this.#bytesHere(gpa + done));
      const at = this.#locate(gpa + done, piece);
      this.#bytes.fill(value, at, at + piece);
      done += piece;
    }
    this.#code?.written(gpa, length);
    return true;
  }

  /** A view of RAM itself, or undefined unless the whole range lies in one slot; written() has to follow what is stored
   *  there. Allocates the view. */
  slice(gpa: number, length: number): Uint8Array | undefined {
    const at = this.#locate(gpa, length);
    return at < 0 ? undefined : this.#bytes.subarray(at, at + length);
  }

  /** Bytes of a slice() were stored: cheap where the pages hold no code. */
  written(gpa: number, length: number): void {
    this.#code?.written(gpa, length);
  }

  /** Offset in the buffer of a range that lies in one slot, or -1. */
  #locate(gpa: number, length: number): number {
    if (!Number.isSafeInteger(gpa) || !Number.isSafeInteger(length) || length < 0) return -1;
    const slots = this.slots;
    for (let i = 0; i < slots.length; i++) {
      const slot = slots[i]!;
      const offset = gpa - slot.gpa; // exact: both are safe integers and slot.gpa >= 0
      if (offset >= 0 && offset < slot.size && length <= slot.size - offset) return slot.at + offset;
    }
    return -1;
  }

  /** Bytes from here to the end of the slot. The address is known to be RAM. */
  #bytesHere(gpa: number): number {
    for (let i = 0; i < this.slots.length; i++) {
      const slot = this.slots[i]!;
      if (gpa >= slot.gpa && gpa < slot.gpa + slot.size) return slot.gpa + slot.size - gpa;
    }
    return 0;
  }
}
