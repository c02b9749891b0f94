/**
 * Debugging, by the guest itself and from outside: breakpoints, single step, and what an instruction that runs alone left.
 * Document: SDM volume 3, chapter 18 (debug registers, #DB), 6.8.3 (MOV SS); KVM API, KVM_SET_GUEST_DEBUG.
 * Left out: what data breakpoints meet: watch.ts; last-branch records (LBR) and RTM's #DB.
 *
 * Execution breakpoints cost nothing where there are none: no block holds an instruction at an armed page offset, so the
 * engine comes to enter() there. Single step, RF and port breakpoints make every instruction run alone.
 */

import { KVM_GUESTDBG } from "../../shared/ioctls.ts";
import { CR4, EFER } from "../cpu/control.ts";
import { VECTOR } from "../cpu/fault.ts";
import { RFLAGS } from "../cpu/flags.ts";
import { MSR_DEBUGCTL, msrField } from "../cpu/msr.ts";
import { ATTRIBUTE } from "../cpu/segment.ts";
import { CPU, SEG } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import { type DebugExit, EngineExit } from "./host.ts";
import { WATCH, type WatchUnit } from "./watch.ts";

/** Values of CPU.shadow: what holds interrupts off for an instruction. MOV SS and POP SS hold off #DB, too. */
export const SHADOW = { sti: 1, movSs: 2 } as const;

/** Bits of DR6, and which software may write. */
export const DR6 = {
  breakpoints: 0xf,
  BD: 1 << 13,
  BS: 1 << 14,
  BT: 1 << 15,
  writable: 0xe00f,
  ones: 0xffff_0ff0,
} as const;
/** Bits of DR7; the enable bits are pairs (local, global) from bit 0, the kinds four bits each from bit 16. */
export const DR7 = { enables: 0xff, GD: 1 << 13, writable: 0xffff_23ff, ones: 0x400 } as const;

/** R/W of a breakpoint in DR7. */
const KIND = { execute: 0, port: 2, ...WATCH } as const;
const COUNT = 4;
/** IA32_DEBUGCTL: BTF makes single step one of taken branches. */
export const DEBUGCTL = { field: msrField(MSR_DEBUGCTL)!, BTF: 1 << 1 } as const;

const isEnabled = (dr7: number, i: number): boolean => ((dr7 >>> (i * 2)) & 3) !== 0;
const kindOf = (dr7: number, i: number): number => (dr7 >>> (16 + i * 4)) & 3;
/** LEN is bytes - 1, except that 2 means 8. */
const sizeOf = (dr7: number, i: number): number => [1, 2, 8, 4][(dr7 >>> (18 + i * 4)) & 3]!;

/** Delivers #DB through the IDT. `length`: of INT1. */
type Deliver = (code: number, source: "fault" | "trap", length: number) => void;

export class DebugUnit {
  readonly #state: VcpuState;
  readonly #deliver: Deliver;
  readonly #watch: WatchUnit;
  /** After EngineExit.DEBUG. */
  detail: DebugExit = { exception: 0, pc: 0n, dr6: 0n, dr7: 0n };
  /** Breakpoints in force, as bits by number. */
  #execution = 0;
  #ports = 0;
  /** Addresses of the execution breakpoints in force: pairs of u32. */
  readonly #addresses = new Uint32Array(COUNT * 2);

  constructor(state: VcpuState, watch: WatchUnit, deliver: Deliver) {
    this.#state = state;
    this.#watch = watch;
    this.#deliver = deliver;
  }

  /**
   * #DB at CPU.rip: to whoever debugs from outside, or through the IDT. `cause`: bits of DR6. What MOV SS still holds off comes
   * with it. B0 to B3 tell of this exception alone; the other bits stay until software clears them.
   */
  raise(cause: number, source: "fault" | "trap", length = 0): void {
    const state = this.#state;
    const bits = cause | this.takeMet();
    if (this.outside) {
      this.leave(VECTOR.DB, bits);
      return;
    }
    state.set(CPU.dr + 6 * 8, (state.get(CPU.dr + 6 * 8) & ~DR6.breakpoints) | bits);
    this.#deliver(0, source, length);
    // #DB ends stepping by branches.
    state.set(DEBUGCTL.field, state.get(DEBUGCTL.field) & ~DEBUGCTL.BTF);
    state.set(CPU.dr + 7 * 8, state.get(CPU.dr + 7 * 8) & ~DR7.GD);
  }

  /** Leaves for whoever debugs from outside, at CPU.rip. */
  leave(exception: number, bits: number): void {
    const { lo, hi } = this.linearRip();
    const pc = (BigInt(hi) << 32n) | BigInt(lo);
    this.detail = { exception, pc, dr6: BigInt((DR6.ones | bits) >>> 0), dr7: BigInt(this.dr7) };
    this.#state.set(CPU.exit, EngineExit.DEBUG);
  }

  /** Holds interrupts off for the instruction at CPU.rip. */
  shadow(kind: (typeof SHADOW)[keyof typeof SHADOW]): void {
    this.#state.set(CPU.shadow, kind);
    this.#state.copy64(CPU.shadowRip, CPU.rip);
  }

  /** Somebody outside debugs the guest: #DB is his. */
  get outside(): boolean {
    const control = this.#state.get(CPU.guestDebug);
    return (control & (KVM_GUESTDBG.SINGLESTEP | KVM_GUESTDBG.USE_HW_BP)) !== 0;
  }
  get stepsOutside(): boolean {
    return (this.#state.get(CPU.guestDebug) & KVM_GUESTDBG.SINGLESTEP) !== 0;
  }
  /** INT3 is his, too. */
  get takesInt3(): boolean {
    return (this.#state.get(CPU.guestDebug) & KVM_GUESTDBG.USE_SW_BP) !== 0;
  }

  /** The debug registers in force: those of whoever debugs from outside, if he has set some. */
  get #registers(): number {
    return this.#state.get(CPU.guestDebug) & KVM_GUESTDBG.USE_HW_BP ? CPU.guestDr : CPU.dr;
  }
  get dr7(): number {
    return this.#state.get(this.#registers + 7 * 8);
  }

  /** Looks at the registers again. True if execution breakpoints have come, gone or moved. */
  refresh(): boolean {
    const state = this.#state;
    const registers = this.#registers;
    const dr7 = state.get(registers + 7 * 8);
    if ((dr7 & DR7.enables) === 0 && this.#execution === 0) {
      this.#ports = 0;
      this.#watch.clear();
      return false;
    }
    this.#watch.begin();
    let execution = 0;
    let moved = false;
    this.#ports = 0;
    for (let i = 0; i < COUNT; i++) {
      if (!isEnabled(dr7, i)) continue;
      const kind = kindOf(dr7, i);
      if (kind === KIND.port) this.#ports |= 1 << i;
      const [lo, hi] = [state.get(registers + i * 8), state.high(registers + i * 8)];
      if (kind === KIND.write || kind === KIND.access) this.#watch.add(i, kind, lo, hi, sizeOf(dr7, i));
      if (kind !== KIND.execute) continue;
      execution |= 1 << i;
      moved ||= this.#addresses[i * 2] !== lo || this.#addresses[i * 2 + 1] !== hi;
      this.#addresses[i * 2] = lo;
      this.#addresses[i * 2 + 1] = hi;
    }
    this.#watch.done();
    const changed = moved || execution !== this.#execution;
    this.#execution = execution;
    return changed;
  }

  /** Is an execution breakpoint armed at this offset of some page? */
  armedAt(pageOffset: number): boolean {
    if (this.#execution === 0) return false;
    for (let i = 0; i < COUNT; i++) {
      if (this.#execution & (1 << i) && (this.#addresses[i * 2]! & 0xfff) === pageOffset) return true;
    }
    return false;
  }

  /** Bits of DR6 for execution breakpoints at CPU.rip, which RF suppresses. */
  atInstruction(): number {
    if (this.#execution === 0 || this.#state.get(CPU.eflags) & RFLAGS.RF) return 0;
    const { lo, hi } = this.linearRip();
    let bits = 0;
    for (let i = 0; i < COUNT; i++) {
      if (!(this.#execution & (1 << i))) continue;
      if (this.#addresses[i * 2] === lo && this.#addresses[i * 2 + 1] === hi) bits |= 1 << i;
    }
    return bits;
  }

  /** Linear address of the instruction at CPU.rip. */
  linearRip(): { readonly lo: number; readonly hi: number } {
    const state = this.#state;
    const code64 =
      (state.get(CPU.efer) & EFER.LMA) !== 0 && (state.get(CPU.attributes + SEG.cs * 4) & ATTRIBUTE.l) !== 0;
    if (code64) return { lo: state.get(CPU.rip), hi: state.high(CPU.rip) };
    return { lo: (state.get(CPU.segBase + SEG.cs * 8) + state.get(CPU.rip)) >>> 0, hi: 0 };
  }

  /** Must the next instruction run alone? */
  get alone(): boolean {
    return (
      (this.#state.get(CPU.eflags) & (RFLAGS.TF | RFLAGS.RF)) !== 0 ||
      this.#ports !== 0 ||
      this.hasMet ||
      (this.#state.get(CPU.guestDebug) & KVM_GUESTDBG.SINGLESTEP) !== 0
    );
  }

  /** IN and OUT tell. CR4.DE makes a breakpoint one of ports. */
  portAccessed(port: number, size: number): void {
    if (this.#ports === 0 || !(this.#state.get(CPU.cr4) & CR4.DE)) return;
    const registers = this.#registers;
    const { dr7 } = this;
    for (let i = 0; i < COUNT; i++) {
      if (!(this.#ports & (1 << i))) continue;
      const length = sizeOf(dr7, i);
      const from = (this.#state.get(registers + i * 8) & -length) >>> 0;
      if (port < from + length && from < port + size) this.#watch.met |= 1 << i;
    }
  }

  /** Breakpoints of data and ports have been met, for which no trap has come yet. */
  get hasMet(): boolean {
    return this.#watch.met !== 0;
  }

  /** Bits of DR6 for what has been met. */
  takeMet(): number {
    const bits = this.#watch.met;
    this.#watch.met = 0;
    return bits;
  }
}
