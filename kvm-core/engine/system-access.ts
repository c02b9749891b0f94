/**
 * Accesses that the processor makes for itself: descriptor tables, gates, TSS, and stack frames.
 * Document: SDM volume 3, 4.6.1 (implicit supervisor accesses, which SMAP checks whatever AC is).
 * Left out: pushes on a stack of another privilege level than the current one.
 */

import { ACCESS } from "../cpu/access.ts";
import type { SystemMemory } from "../cpu/exception.ts";
import { CPU } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
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

  /** `size` bytes (2, 4 or 8) at a linear address into value and valueHigh; false on a fault. */
  read(lo: number, hi: number, size: number): boolean {
    return this.#read(lo, hi, size, ACCESS.read);
  }

  /** The same for a stack slot, which the current privilege level has to be allowed to read. */
  readStack(lo: number, hi: number, size: number): boolean {
    return this.#read(lo, hi, size, this.#memory.dataAccess);
  }

  #read(lo: number, hi: number, size: number, access: number): boolean {
    this.#state.set64(CPU.bounce, 0, 0);
    if (!this.#memory.readBytes(lo, hi, size, access)) return false;
    this.value = this.#state.get(CPU.bounce);
    this.valueHigh = this.#state.high(CPU.bounce);
    return true;
  }

  read32(lo: number, hi: number): boolean {
    return this.read(lo, hi, 4);
  }

  /** `size` bytes (up to 8); false on a fault. */
  write(lo: number, hi: number, size: number, value: number, valueHigh = 0): boolean {
    this.#state.set64(CPU.bounce, value, valueHigh);
    return this.#memory.writeBytes(lo, hi, size, ACCESS.write);
  }

  write32(lo: number, hi: number, value: number): boolean {
    return this.write(lo, hi, 4, value);
  }
}
