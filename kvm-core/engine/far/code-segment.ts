/**
 * CS as the target of a transfer: where it may go, and going there.
 * Document: SDM volume 3, 5.8.1 (direct calls and jumps), 20.1 (real mode); volume 2, JMP, CALL, RET.
 * Left out: gates: far-transfer.ts; what returns check of CS: far-return.ts.
 */

import { canonicalHigh } from "../../cpu/address.ts";
import { EFER, updateMode } from "../../cpu/control.ts";
import { Descriptor } from "../../cpu/descriptor.ts";
import { type Fault, VECTOR } from "../../cpu/fault.ts";
import { RFLAGS } from "../../cpu/flags.ts";
import { setRealSegment, setSegment, setVirtualSegment } from "../../cpu/segment-register.ts";
import { CPU, SEG } from "../../cpu/state.ts";
import type { VcpuState } from "../../cpu/vcpu-state.ts";

export class CodeSegment {
  readonly descriptor = new Descriptor();
  readonly #state: VcpuState;
  readonly #fault: Fault;

  constructor(state: VcpuState, fault: Fault) {
    this.#state = state;
    this.#fault = fault;
  }

  get long(): boolean {
    return (this.#state.get(CPU.efer) & EFER.LMA) !== 0;
  }
  /** The descriptor is of 64-bit code. */
  get is64(): boolean {
    return this.long && this.descriptor.isCode64;
  }

  /** Does the descriptor's segment hold the offset? Else #GP(0). */
  holds(lo: number, hi: number): boolean {
    const ok = this.is64 ? canonicalHigh(hi) : lo <= this.descriptor.limit;
    return ok || this.#fault.raise(VECTOR.GP, 0);
  }

  /** Loads CS, at privilege level `cpl`, and RIP. The caller has loaded SS, if that changes. */
  go(lo: number, hi: number, cpl: number): void {
    const state = this.#state;
    setSegment(state, SEG.cs, (this.descriptor.selector & ~3) | cpl, this.descriptor);
    state.set64(CPU.rip, lo, this.is64 ? hi : 0);
    updateMode(state.u32, state.zone);
  }

  /** Real and virtual-8086 mode: is the offset within the limit that CS will have? */
  holds8086(offset: number): boolean {
    const limit = this.#virtual ? 0xffff : this.#state.get(CPU.limit + SEG.cs * 4);
    return offset <= limit || this.#fault.raise(VECTOR.GP, 0);
  }

  go8086(selector: number, offset: number): void {
    const state = this.#state;
    if (this.#virtual) setVirtualSegment(state, SEG.cs, selector);
    else setRealSegment(state, SEG.cs, selector);
    state.set64(CPU.rip, offset, 0);
    updateMode(state.u32, state.zone);
  }

  get #virtual(): boolean {
    return (this.#state.get(CPU.eflags) & RFLAGS.VM) !== 0;
  }
}
