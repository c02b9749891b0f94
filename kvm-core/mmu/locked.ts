/**
 * Locked accesses that WebAssembly's atomics cannot do: misaligned ones, those across two pages, 16 bytes wide ones, and
 * those to pages whose writes are slow.
 * Document: SDM volume 3, 9.1 (locked atomic operations; 8.1 in older editions); volume 2, CMPXCHG16B.
 * Left out: where an operand lies in two pages that are no neighbours in RAM, the processors of a VM exclude each other by a
 * lock of its own: another processor's plain access, or one of a device process, can see it half done. MMIO is written as it is.
 */

import { lockedCompareExchange } from "../../shared/native.ts";
import { ACCESS } from "../cpu/access.ts";
import { CPU, GPR } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import { BUS_LOCK, PAGE_SIZE } from "../cpu/zones.ts";
import type { GuestMemoryUnit } from "./memory.ts";

const GP = 13;
const WIDE = 16;

export class LockedUnit {
  readonly #state: VcpuState;
  readonly #memory: GuestMemoryUnit;
  /** Expected, desired, and what was found: 16 bytes each, as the native addon takes them. */
  readonly #operands = new Uint8Array(3 * WIDE);
  readonly #words = new Uint32Array(this.#operands.buffer);
  /** After a failed access: what to raise. */
  faultVector = 0;
  faultCode = 0;

  constructor(state: VcpuState, memory: GuestMemoryUnit) {
    this.#state = state;
    this.#memory = memory;
  }

  /**
   * Puts CPU.bounce in the place of CPU.data at CPU.address, `size` bytes: 1 done, 0 another value is there, -1 a fault.
   */
  compareExchange(size: number): 1 | 0 | -1 {
    const state = this.#state;
    this.#put(0, state.get(CPU.data), state.high(CPU.data));
    this.#put(4, state.get(CPU.bounce), state.high(CPU.bounce));
    return this.#exchange(state.get(CPU.address), state.high(CPU.address), size);
  }

  /** CMPXCHG16B at CPU.data: 1 equal, RCX:RBX is stored; 0 not, RDX:RAX gets what is there; -1 a fault. */
  compareExchange16(): 1 | 0 | -1 {
    const state = this.#state;
    const register = (n: number): [number, number] => [state.gpr(n), state.high(CPU.gpr + n * 8)];
    const [lo, hi] = [state.get(CPU.data), state.high(CPU.data)];
    if (lo & (WIDE - 1)) return this.#fault(GP, 0);
    this.#put(0, ...register(GPR.rax));
    this.#put(2, ...register(GPR.rdx));
    this.#put(4, ...register(GPR.rbx));
    this.#put(6, ...register(GPR.rcx));
    const result = this.#exchange(lo, hi, WIDE);
    if (result === 0) {
      state.set64(CPU.gpr + GPR.rax * 8, this.#words[8]!, this.#words[9]!);
      state.set64(CPU.gpr + GPR.rdx * 8, this.#words[10]!, this.#words[11]!);
    }
    return result;
  }

  #put(word: number, lo: number, hi: number): void {
    this.#words[word] = lo;
    this.#words[word + 1] = hi;
  }

  #fault(vector: number, code: number): -1 {
    this.faultVector = vector;
    this.faultCode = code;
    return -1;
  }

  #exchange(lo: number, hi: number, size: number): 1 | 0 | -1 {
    const memory = this.#memory;
    const access = ACCESS.write | memory.dataAccess;
    const first = PAGE_SIZE - (lo & (PAGE_SIZE - 1));
    if (!memory.translate(lo, hi, access) || !memory.watches(lo, hi, size, true)) {
      return this.#fault(memory.faultVector, memory.faultCode);
    }
    if (size <= first) {
      if (!memory.writable) return this.#device(lo, hi, size);
      const equal = lockedCompareExchange(this.#state.u8, memory.ram, size, this.#operands);
      if (equal) memory.wrote(size);
      return equal ? 1 : 0;
    }
    const isRam = memory.writable;
    const after = memory.next(lo, hi, first);
    if (!memory.translate(after.lo, after.hi, access)) return this.#fault(memory.faultVector, memory.faultCode);
    if (!isRam || !memory.writable) return this.#device(lo, hi, size);
    const { i32 } = this.#state;
    // Held for a few copies only: nobody waits for a device in here.
    while (Atomics.compareExchange(i32, BUS_LOCK >>> 2, 0, 1) !== 0) Atomics.pause();
    try {
      return this.#split(lo, hi, size);
    } finally {
      Atomics.store(i32, BUS_LOCK >>> 2, 0);
    }
  }

  /** No RAM, or not all of it: the instruction has read the old value already, and a device is read only once. */
  #device(lo: number, hi: number, size: number): 1 | 0 | -1 {
    if (size === WIDE) return this.#split(lo, hi, size);
    const { u8, zone } = this.#state;
    u8.set(this.#operands.subarray(WIDE, WIDE + size), zone + CPU.bounce);
    if (this.#memory.writeBytes(lo, hi, size, this.#memory.dataAccess)) return 1;
    return this.#fault(this.#memory.faultVector, this.#memory.faultCode);
  }

  /** Reads, compares and writes. What was found is written back: a processor makes no locked read without a write. */
  #split(lo: number, hi: number, size: number): 1 | 0 | -1 {
    const { u8, zone } = this.#state;
    const memory = this.#memory;
    const bounce = zone + CPU.bounce;
    const found = 2 * WIDE;
    if (!memory.readBytes(lo, hi, size, ACCESS.write | memory.dataAccess))
      return this.#fault(memory.faultVector, memory.faultCode);
    this.#operands.set(u8.subarray(bounce, bounce + size), found);
    let same = true;
    for (let i = 0; i < size; i++) same &&= this.#operands[i] === this.#operands[found + i];
    const from = same ? WIDE : found;
    u8.set(this.#operands.subarray(from, from + size), bounce);
    if (!memory.writeBytes(lo, hi, size, memory.dataAccess)) return this.#fault(memory.faultVector, memory.faultCode);
    return same ? 1 : 0;
  }
}
