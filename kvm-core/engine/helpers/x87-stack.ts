/**
 * The x87 register stack as helpers see it: registers by their place, push and pop, exceptions.
 * Document: SDM volume 1, 8.1.2 to 8.1.7, 8.5.1.1 (stack overflow and underflow).
 * Left out: what generated code does with it: kvm-core/x87.
 */

import { FPU, FPU_SLOT, FSW, TRAPS } from "../../cpu/fpu-state.ts";
import type { VcpuState } from "../../cpu/vcpu-state.ts";

export class X87Stack {
  readonly #state: VcpuState;

  constructor(state: VcpuState) {
    this.#state = state;
  }

  #physical(i: number): number {
    return (this.#state.get(FPU.top) + i) & 7;
  }
  /** Linear address of ST(i). */
  slot(i: number): number {
    return this.#state.zone + FPU.st + this.#physical(i) * FPU_SLOT;
  }
  filled(i: number): boolean {
    return (this.#state.get(FPU.tags) & (1 << this.#physical(i))) !== 0;
  }

  /** 80 bits of ST(i), whether or not it is empty. */
  read(i: number): bigint {
    const { view } = this.#state;
    const at = this.slot(i);
    return (BigInt(view.getUint16(at + 8, true)) << 64n) | view.getBigUint64(at, true);
  }
  /** ST(i) is not empty from now on. */
  write(i: number, value: bigint): void {
    const { view } = this.#state;
    const at = this.slot(i);
    view.setBigUint64(at, BigInt.asUintN(64, value), true);
    view.setBigUint64(at + 8, value >> 64n, true);
    this.#state.set(FPU.tags, this.#state.get(FPU.tags) | (1 << this.#physical(i)));
  }

  push(value: bigint): void {
    this.#state.set(FPU.top, this.#physical(-1));
    this.write(0, value);
  }
  pop(): void {
    this.#state.set(FPU.tags, this.#state.get(FPU.tags) & ~(1 << this.#physical(0)));
    this.#state.set(FPU.top, this.#physical(1));
  }

  /** Exceptions and SF are in the status word from now on; C1 is what `raised` says. */
  raise(raised: number): void {
    const state = this.#state;
    state.set(FPU.fsw, (state.get(FPU.fsw) & ~FSW.C1) | (raised & (FSW.exceptions | FSW.SF | FSW.C1)));
    this.summary();
  }

  set(bits: number, on: boolean): void {
    const status = this.#state.get(FPU.fsw);
    this.#state.set(FPU.fsw, on ? status | bits : status & ~bits);
  }

  /** ES, B and FPU.traps, after the status or the control word changed. */
  summary(): void {
    const state = this.#state;
    const status = state.get(FPU.fsw) & ~(FSW.ES | FSW.B);
    const unmasked = (status & ~state.get(FPU.fcw) & FSW.exceptions) !== 0;
    const traps = state.get(FPU.traps) & ~TRAPS.pending;
    state.set(FPU.fsw, unmasked ? status | FSW.ES | FSW.B : status);
    state.set(FPU.traps, unmasked ? traps | TRAPS.pending : traps);
  }
}
