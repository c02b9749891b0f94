/**
 * Typed access to one vCPU's state struct and to the linear memory around it, in numbers.
 * Document: architecture.md section 5 (no BigInt on a hot path).
 * Left out: 64-bit values are pairs of u32; regs.ts has the BigInt view for ioctls.
 */

import { CPU } from "./state.ts";

export class VcpuState {
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly view: DataView;
  /** Linear address of the vCPU's zone, which begins with the state struct. */
  readonly zone: number;

  constructor(memory: WebAssembly.Memory, zone: number) {
    this.u8 = new Uint8Array(memory.buffer);
    this.u32 = new Uint32Array(memory.buffer);
    this.i32 = new Int32Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    this.zone = zone;
  }

  /** The u32 at `field` (an offset of CPU, aligned), or the low half of a u64. */
  get(field: number): number {
    return this.u32[(this.zone + field) >>> 2]!;
  }
  /** The high half of the u64 at `field`. */
  high(field: number): number {
    return this.u32[(this.zone + field + 4) >>> 2]!;
  }
  set(field: number, value: number): void {
    this.u32[(this.zone + field) >>> 2] = value;
  }
  set64(field: number, lo: number, hi: number): void {
    this.u32[(this.zone + field) >>> 2] = lo;
    this.u32[(this.zone + field + 4) >>> 2] = hi;
  }
  copy64(to: number, from: number): void {
    this.set64(to, this.get(from), this.high(from));
  }
  /** Is the u64 at `field` equal to that at `other`? */
  same64(field: number, other: number): boolean {
    return this.get(field) === this.get(other) && this.high(field) === this.high(other);
  }
  gpr(register: number): number {
    return this.get(CPU.gpr + register * 8);
  }
  /** Writes a 32-bit register: bits 63..32 become zero. */
  setGpr(register: number, value: number): void {
    this.set64(CPU.gpr + register * 8, value, 0);
  }
}
