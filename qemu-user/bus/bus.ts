/**
 * A bus: address ranges to devices. The board has one for ports and one for memory.
 * Follows: the PC's rule that nobody home reads as ones and swallows writes.
 * Left out: regions above one another. Overlap is an error of the board, and refused to a BAR (`tryMap`).
 */
import { hex } from "../../shared/bits.ts";
import type { BusDevice, Log, PostedRange, Width } from "./interfaces.ts";

/** Different addresses that are told as unclaimed before silence: a guest must not fill a disk. */
const UNCLAIMED_REPORTS = 64;

export interface Region {
  readonly base: number;
  readonly size: number;
  readonly device: BusDevice;
  readonly posted: readonly PostedRange[];
}

export interface RegionChange {
  readonly kind: "map" | "unmap";
  readonly region: Region;
}

export class Bus {
  readonly name: string;
  /** Bytes of address space; a region must lie below it. */
  readonly size: number;
  /** Called after a region came or went (a BAR was moved). */
  onChange: (change: RegionChange) => void = () => {};

  readonly #unclaimed: Log | undefined;
  readonly #regions: Region[] = []; // sorted by base, never overlapping
  /** The region that was found last, and where it lies: nowhere at first. */
  #last: Region | undefined;
  #lastBase = 0;
  #lastEnd = 0;
  #accesses = 0;
  readonly #reported = new Set<number>();

  /** `unclaimed` hears of each address where nobody is, once; absent: nobody does, since guests probe for devices. */
  constructor(name: string, size: number, unclaimed?: Log) {
    this.name = name;
    this.size = size;
    this.#unclaimed = unclaimed;
  }

  /**
   * Exits served: every read and write counts one, whatever its width. Writes to a posted range do not count, since
   * whether they come as an exit or out of a ring is kvm-core's choice and must not show.
   */
  get accesses(): number {
    return this.#accesses;
  }

  regions(): readonly Region[] {
    return this.#regions.slice();
  }

  /** Gives `size` bytes at `base` to a device. Throws an Error on overlap, naming both: the board is wrong. */
  map(base: number, size: number, device: BusDevice, posted: readonly PostedRange[] = []): void {
    if (!Number.isInteger(base) || !Number.isInteger(size) || base < 0 || size <= 0 || base + size > this.size) {
      throw new Error(`${device.name}: ${span(base, size)} is not a range of the ${this.name} bus`);
    }
    const other = this.#overlap(base, size);
    if (other !== undefined) {
      const theirs = `${other.device.name} (${span(other.base, other.size)})`;
      throw new Error(`${this.name} bus: ${device.name} (${span(base, size)}) overlaps ${theirs}`);
    }
    this.#insert({ base, size, device, posted });
  }

  /** As `map`, for ranges that a guest chose: false if they overlap or lie outside, and nothing is mapped. */
  tryMap(base: number, size: number, device: BusDevice, posted: readonly PostedRange[] = []): boolean {
    if (base + size > this.size || this.#overlap(base, size) !== undefined) return false;
    this.#insert({ base, size, device, posted });
    return true;
  }

  /** Takes away the region that begins at `base`. Throws an Error if there is none. */
  unmap(base: number): void {
    const index = this.#regions.findIndex((region) => region.base === base);
    const region = this.#regions[index];
    if (region === undefined) throw new Error(`${this.name} bus: no region begins at ${hex(base)}`);
    this.#regions.splice(index, 1);
    this.#last = undefined;
    this.#lastBase = 0;
    this.#lastEnd = 0;
    this.onChange({ kind: "unmap", region });
  }

  /** One exit: a read of 1, 2 or 4 bytes. All ones where nobody is. */
  read(address: number, width: Width): number {
    this.#accesses++;
    const region = this.#find(address);
    if (region === undefined || address + width > this.#lastEnd) return this.#readSplit(address, width);
    return lowBytes(region.device.read(address - region.base, width), width);
  }

  /** One exit (or one posted write): a write of 1, 2 or 4 bytes. Ignored where nobody is. */
  write(address: number, width: Width, value: number): void {
    const region = this.#find(address);
    if (region === undefined || address + width > this.#lastEnd) {
      this.#accesses++;
      this.#writeSplit(address, width, value);
      return;
    }
    const offset = address - region.base;
    if (region.posted.length === 0 || !isPosted(region.posted, offset, width)) this.#accesses++;
    region.device.write(offset, width, lowBytes(value, width));
  }

  /** One exit: a read of 8 bytes into `out[0]` (low) and `out[1]`. Two 4-byte reads, low first, unless the device does better. */
  read64(address: number, out: Uint32Array): void {
    const region = this.#find(address);
    if (region?.device.read64 !== undefined && address + 8 <= region.base + region.size) {
      this.#accesses++;
      region.device.read64(address - region.base, out);
      return;
    }
    const accesses = this.#accesses;
    out[0] = this.read(address, 4);
    out[1] = this.read(address + 4, 4);
    this.#accesses = accesses + 1;
  }

  /** One exit: a write of 8 bytes. Two 4-byte writes, low first, unless the device does better. */
  write64(address: number, lo: number, hi: number): void {
    const accesses = this.#accesses;
    const region = this.#find(address);
    if (region?.device.write64 !== undefined && address + 8 <= region.base + region.size) {
      region.device.write64(address - region.base, lo, hi);
    } else {
      this.write(address, 4, lo);
      this.write(address + 4, 4, hi);
    }
    this.#accesses = accesses + 1;
  }

  /** For restoring a machine: the count goes on where it was. */
  restoreAccesses(count: number): void {
    this.#accesses = count;
  }

  #insert(region: Region): void {
    let at = 0;
    while (at < this.#regions.length && this.#regions[at]!.base < region.base) at++;
    this.#regions.splice(at, 0, region);
    this.onChange({ kind: "map", region });
  }

  /** The region that holds this address: the last one that did, else by bisection. Never allocates. */
  #find(address: number): Region | undefined {
    if (address >= this.#lastBase && address < this.#lastEnd) return this.#last;
    let low = 0;
    let high = this.#regions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const region = this.#regions[middle]!;
      if (address < region.base) high = middle;
      else if (address >= region.base + region.size) low = middle + 1;
      else {
        this.#last = region;
        this.#lastBase = region.base;
        this.#lastEnd = region.base + region.size;
        return region;
      }
    }
    return undefined;
  }

  #overlap(base: number, size: number): Region | undefined {
    return this.#regions.find((region) => base < region.base + region.size && region.base < base + size);
  }

  /** Straddles the end of a region, or nobody is there at the first byte: byte by byte. */
  #readSplit(address: number, width: Width): number {
    let value = 0;
    let missed = 0;
    for (let i = 0; i < width; i++) {
      const region = this.#find(address + i);
      if (region === undefined) missed++;
      value |= (region === undefined ? 0xff : region.device.read(address + i - region.base, 1) & 0xff) << (8 * i);
    }
    if (missed === width) this.#report(address, "read of");
    return value >>> 0;
  }

  #writeSplit(address: number, width: Width, value: number): void {
    let missed = 0;
    for (let i = 0; i < width; i++) {
      const region = this.#find(address + i);
      if (region === undefined) missed++;
      else region.device.write(address + i - region.base, 1, (value >>> (8 * i)) & 0xff);
    }
    if (missed === width) this.#report(address, "write to");
  }

  #report(address: number, access: string): void {
    if (this.#unclaimed === undefined || this.#reported.size >= UNCLAIMED_REPORTS || this.#reported.has(address))
      return;
    this.#reported.add(address);
    this.#unclaimed(`${this.name}: ${access} unclaimed address ${hex(address)}`);
    if (this.#reported.size === UNCLAIMED_REPORTS) {
      this.#unclaimed(`${this.name}: further unclaimed addresses are not reported`);
    }
  }
}

/** The low `width` bytes, as u32. */
function lowBytes(value: number, width: Width): number {
  return (value & (-1 >>> (32 - 8 * width))) >>> 0;
}

function isPosted(ranges: readonly PostedRange[], offset: number, width: Width): boolean {
  for (let i = 0; i < ranges.length; i++) {
    if (ranges[i]!.offset === offset && ranges[i]!.size === width) return true;
  }
  return false;
}

function span(base: number, size: number): string {
  return `${hex(base)}-${hex(base + size - 1)}`;
}
