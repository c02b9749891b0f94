/**
 * An instruction that runs alone: what was in force when it began, and what follows from that when it has ended.
 * Document: SDM volume 3, 18.3.1.1 and 18.3.1.4 (RF, single step), 6.8.3 (what MOV SS holds off).
 * Left out: who asks for it: debug.ts, and interrupts that wait for the end of a shadow.
 */

import { VECTOR } from "../cpu/fault.ts";
import { RFLAGS } from "../cpu/flags.ts";
import { CPU } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import { DEBUGCTL, type DebugUnit, DR6, SHADOW } from "./debug.ts";
import { EngineExit } from "./host.ts";
import type { WatchUnit } from "./watch.ts";

/** Bit of CPU.pending that the engine sets itself, to leave after one instruction. */
const STEP = 0x8000_0000 | 0;

export class Step {
  readonly #state: VcpuState;
  readonly #debug: DebugUnit;
  readonly #watch: WatchUnit;
  active = false;
  /** Bytes of the instruction. */
  length = 0;
  /** An event was delivered in place of the instruction's end. */
  interrupted = false;
  /** The instruction was an IRET. */
  flagsLoaded = false;
  /** The instruction was SYSCALL or SYSRET: TF as it left it decides about the trap. */
  #replaced = false;
  #startLo = 0;
  #startHi = 0;
  /** Data breakpoints met before it: those that MOV SS holds off. */
  #metBefore = 0;
  /** TF and RF at the beginning. */
  #flags = 0;

  constructor(state: VcpuState, debug: DebugUnit, watch: WatchUnit) {
    this.#state = state;
    this.#debug = debug;
    this.#watch = watch;
  }

  begin(): void {
    const state = this.#state;
    this.active = true;
    this.#watch.note(true);
    this.#metBefore = this.#watch.met;
    this.interrupted = false;
    this.flagsLoaded = false;
    this.#replaced = false;
    this.#startLo = state.get(CPU.rip);
    this.#startHi = state.high(CPU.rip);
    this.#flags = state.get(CPU.eflags) & (RFLAGS.TF | RFLAGS.RF);
    Atomics.or(state.i32, (state.zone + CPU.pending) >>> 2, STEP);
  }

  /**
   * SYSCALL and SYSRET: the trap follows from TF as they leave it, so that a kernel can mask it and SYSRET end with it. If
   * the instruction runs alone end() raises it.
   */
  flagsReplaced(): void {
    this.flagsLoaded = true;
    this.#replaced = true;
    if (!this.active && this.#state.get(CPU.eflags) & RFLAGS.TF) this.#debug.raise(DR6.BS, "trap");
  }

  /** It failed: what it met before that it will meet again. */
  forgetMet(): void {
    if (this.active) this.#watch.met = this.#metBefore;
  }

  /** Forgets the instruction: the host threw in its middle, and it will begin again. */
  cancel(): void {
    if (!this.active) return;
    this.active = false;
    this.#watch.note(false);
    const { i32, zone } = this.#state;
    Atomics.and(i32, (zone + CPU.pending) >>> 2, ~STEP);
  }

  /**
   * It has ended at CPU.rip, or an event was delivered in its place. `repeating`: a string instruction has done one iteration
   * and goes on, so that RF stays. Traps are raised here: before interrupts, and before the next instruction.
   */
  end(repeating: boolean): void {
    const state = this.#state;
    const debug = this.#debug;
    this.cancel();
    if (!this.interrupted && !repeating) this.#complete();
    const bits = this.takeMet() | (this.#trapDue() ? DR6.BS : 0);
    const exit = state.get(CPU.exit);
    if (exit !== 0 && exit !== EngineExit.HLT) return;
    if (bits !== 0) {
      // A trap also wakes from HLT.
      state.set(CPU.exit, 0);
      if (repeating) state.set(CPU.eflags, state.get(CPU.eflags) | RFLAGS.RF);
      debug.raise(bits, "trap");
    } else if (exit === 0 && debug.stepsOutside) debug.leave(VECTOR.DB, DR6.BS);
  }

  /** The shadow that it stood in is over, and so is RF. */
  #complete(): void {
    const state = this.#state;
    const inShadow = state.get(CPU.shadowRip) === this.#startLo && state.high(CPU.shadowRip) === this.#startHi;
    if (inShadow) state.set(CPU.shadow, 0);
    if (this.#flags & RFLAGS.RF && !this.flagsLoaded) state.set(CPU.eflags, state.get(CPU.eflags) & ~RFLAGS.RF);
  }

  /** Bits of DR6 for data and ports met, unless MOV SS holds them off. */
  takeMet(): number {
    return this.#debug.hasMet && !this.holdsDebug() ? this.#debug.takeMet() : 0;
  }

  /** TF as it was when the instruction began; the event that was delivered in its place has cleared it. */
  #trapDue(): boolean {
    const flags = this.#replaced ? this.#state.get(CPU.eflags) : this.#flags;
    return !this.interrupted && (flags & RFLAGS.TF) !== 0 && !this.holdsDebug() && this.#steps();
  }

  /** With IA32_DEBUGCTL.BTF a trap comes only behind a taken branch. One to the instruction behind it is not told from none. */
  #steps(): boolean {
    const state = this.#state;
    if (!(state.get(DEBUGCTL.field) & DEBUGCTL.BTF)) return true;
    const distance = (state.get(CPU.rip) - this.#startLo) >>> 0;
    return distance !== 0 && distance !== this.length;
  }

  /** Is CPU.rip the instruction behind STI, MOV SS or POP SS? */
  get inShadow(): boolean {
    return this.#state.get(CPU.shadow) !== 0 && this.#state.same64(CPU.shadowRip, CPU.rip);
  }

  /** Is CPU.rip the instruction behind MOV SS or POP SS? */
  holdsDebug(): boolean {
    const state = this.#state;
    return state.get(CPU.shadow) === SHADOW.movSs && state.same64(CPU.shadowRip, CPU.rip);
  }
}
