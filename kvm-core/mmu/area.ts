/**
 * A range of guest memory longer than one access: checked whole, then read and written in parts.
 * Document: SDM volume 1, 13.13 (memory accesses by the XSAVE feature set).
 * Left out: ranges of more than two pages; atomicity, of which the manual promises none.
 */

import { ACCESS } from "../cpu/access.ts";
import { CPU } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import { PAGE_SIZE } from "../cpu/zones.ts";
import type { GuestMemoryUnit } from "./memory.ts";

/** Bytes of a part of an access to what is no plain RAM. */
const PIECE = 8;

export class MemoryArea {
  readonly #state: VcpuState;
  readonly #memory: GuestMemoryUnit;
  #lo = 0;
  #hi = 0;
  #access = 0;
  /** Bytes of the range that lie in its first page. */
  #inFirst = 0;
  /** Of both pages: guest-physical address of the range's first byte there, and where it lies if it is plain RAM, else 0. */
  readonly #gpa = [0, 0];
  readonly #ram = [0, 0];

  constructor(state: VcpuState, memory: GuestMemoryUnit) {
    this.#state = state;
    this.#memory = memory;
  }

  /** False on a fault of some byte, which is the memory unit's; nothing has happened then. */
  open(lo: number, hi: number, size: number, write: boolean): boolean {
    const memory = this.#memory;
    this.#lo = lo;
    this.#hi = hi;
    this.#access = memory.dataAccess | (write ? ACCESS.write : 0);
    this.#inFirst = PAGE_SIZE - (lo & (PAGE_SIZE - 1));
    if (size > this.#inFirst + PAGE_SIZE) throw new Error(`an area of ${size} bytes`);
    if (!this.#page(0, lo, hi)) return false;
    if (size > this.#inFirst) {
      const second = memory.next(lo, hi, this.#inFirst);
      if (!this.#page(1, second.lo, second.hi)) return false;
    }
    return memory.watches(lo, hi, size, write);
  }

  #page(n: 0 | 1, lo: number, hi: number): boolean {
    const memory = this.#memory;
    if (!memory.translate(lo, hi, this.#access)) return false;
    this.#gpa[n] = memory.gpa;
    this.#ram[n] = this.#access & ACCESS.write && !memory.writable ? 0 : memory.ram;
    return true;
  }

  /** Bytes `from` to `to` of the range, which 8 divides, to the same place of `image`. False on a fault. */
  read(from: number, to: number, image: Uint32Array): boolean {
    return this.#each(from, to, (at, end, ram) => {
      if (ram === 0) return this.#slowly(at, end, image, false);
      const { u32 } = this.#state;
      for (let i = at; i < end; i += 4) image[i >>> 2] = u32[(ram + i - at) >>> 2]!;
      return true;
    });
  }

  /** The same to memory. */
  write(from: number, to: number, image: Uint32Array): boolean {
    return this.#each(from, to, (at, end, ram, gpa) => {
      if (ram === 0) return this.#slowly(at, end, image, true);
      const { u32 } = this.#state;
      for (let i = at; i < end; i += 4) u32[(ram + i - at) >>> 2] = image[i >>> 2]!;
      this.#memory.gpa = gpa;
      this.#memory.wrote(end - at);
      return true;
    });
  }

  #each(from: number, to: number, act: (at: number, end: number, ram: number, gpa: number) => boolean): boolean {
    for (const n of [0, 1] as const) {
      const start = n === 0 ? 0 : this.#inFirst;
      const at = Math.max(from, start);
      const end = n === 0 ? Math.min(to, this.#inFirst) : to;
      if (at >= end) continue;
      const ram = this.#ram[n]!;
      if (!act(at, end, ram === 0 ? 0 : ram + at - start, this.#gpa[n]! + at - start)) return false;
    }
    return true;
  }

  #slowly(at: number, end: number, image: Uint32Array, write: boolean): boolean {
    const [state, memory] = [this.#state, this.#memory];
    for (let i = at; i < end; i += PIECE) {
      const { lo, hi } = memory.next(this.#lo, this.#hi, i);
      if (write) state.set64(CPU.bounce, image[i >>> 2]!, image[(i >>> 2) + 1]!);
      if (!memory[write ? "writeBytes" : "readBytes"](lo, hi, PIECE, this.#access)) return false;
      if (write) continue;
      image[i >>> 2] = state.get(CPU.bounce);
      image[(i >>> 2) + 1] = state.high(CPU.bounce);
    }
    return true;
  }
}
