/**
/**
 * Accesses that the processor makes for itself: descriptor tables, gates, task-state segments, stack frames.
 * Document: SDM volume 3, 4.6.1 (implicit supervisor accesses, which SMAP checks whatever AC is).
 * Left out: nothing; an access for software, such as a stack slot, says at which privilege level it is made.
 */

import { ACCESS } from "../cpu/access.ts";
import { CPU } from "../cpu/state.ts";
import type { SystemMemory } from "../cpu/system-memory.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import { PAGE_SIZE } from "../cpu/zones.ts";
import type { GuestMemoryUnit } from "../mmu/memory.ts";

export class SystemAccess implements SystemMemory {
  readonly #state: VcpuState;
  readonly #memory: GuestMemoryUnit;
  value = 0;
  valueHigh = 0;

  constructor(state: VcpuState, memory: GuestMemoryUnit) {
    this.#state = state;
    this.#memory = memory;
  }

  get faultVector(): number {
    return this.#memory.faultVector;
  }
  get faultCode(): number {
    return this.#memory.faultCode;
  }

  /** `size` bytes (1, 2, 4 or 8) at a linear address into value and valueHigh; false on a fault. */
  read(lo: number, hi: number, size: number, access: number = ACCESS.read): boolean {
    this.#state.set64(CPU.bounce, 0, 0);
    if (!this.#memory.readBytes(lo, hi, size, access)) return false;
    this.value = this.#state.get(CPU.bounce);
    this.valueHigh = this.#state.high(CPU.bounce);
    return true;
  }

  /** `size` bytes (up to 8); false on a fault. */
  write(lo: number, hi: number, size: number, value: number, valueHigh: number, access: number = ACCESS.read): boolean {
    this.#state.set64(CPU.bounce, value, valueHigh);
    return this.#memory.writeBytes(lo, hi, size, access | ACCESS.write);
  }

  /** Both pages of an access that crosses a page have to be writable. */
  writable(lo: number, hi: number, size: number, access: number): boolean {
    const memory = this.#memory;
    if (!memory.mayWrite(lo, hi, size) || !memory.translate(lo, hi, access | ACCESS.write)) return false;
    if ((lo & (PAGE_SIZE - 1)) + size <= PAGE_SIZE) return true;
    const last = memory.next(lo, hi, size - 1);
    return memory.translate(last.lo, last.hi, access | ACCESS.write);
  }

  setBits(lo: number, hi: number, bits: number): boolean {
    const memory = this.#memory;
    if (!memory.translate(lo, hi, ACCESS.write)) return false;
    if (!memory.writable) return this.read(lo, hi, 1) && this.write(lo, hi, 1, this.value | bits, 0);
    Atomics.or(this.#state.u8, memory.ram, bits);
    memory.wrote(1);
    return true;
  }

  clearBits(lo: number, hi: number, bits: number): boolean {
    const memory = this.#memory;
    if (!memory.translate(lo, hi, ACCESS.write)) return false;
    if (!memory.writable) return this.read(lo, hi, 1) && this.write(lo, hi, 1, this.value & ~bits, 0);
    Atomics.and(this.#state.u8, memory.ram, ~bits);
    memory.wrote(1);
    return true;
  }

  accessAt(cpl: number): number {
    if (cpl === this.#state.get(CPU.cpl)) return this.#memory.dataAccess;
    return cpl === 3 ? ACCESS.user : ACCESS.read;
  }
}
