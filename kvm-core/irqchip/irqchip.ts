/**
 * All interrupt controllers and timers of a machine as one vCPU's thread drives them (KVM_CREATE_IRQCHIP): its local APIC,
 * and on vCPU 0 the 8259s and the lines that lead to them.
 * Like KVM an interrupt of the 8259s (ExtINT) goes before the local APIC's.
 * To add a chip: drive it in service(), name its time in nextDeadline(); `delivery` reaches local APICs, `lapic.onEoi`
 * tells of level-triggered interrupts that end.
 */
import { clockMonotonic } from "../../shared/native.ts";
import { VM_STATE } from "../vm/vm-state.ts";
import { Lapic } from "./lapic.ts";
import { LapicAccess } from "./lapic-access.ts";
import { LapicDelivery } from "./lapic-delivery.ts";
import { EVENT } from "./lapic-page.ts";
import { Lines } from "./lines.ts";
import { Pic } from "./pic.ts";

export class Irqchip {
  readonly pic: Pic;
  readonly lines: Lines;
  readonly delivery: LapicDelivery;
  readonly lapic: Lapic;
  readonly access: LapicAccess;
  readonly #words: Int32Array;
  /** This vCPU drives what there is one of. */
  readonly #drives: boolean;

  constructor(memory: WebAssembly.Memory, vcpu: number, clock = clockMonotonic) {
    this.#words = new Int32Array(memory.buffer);
    this.#drives = vcpu === 0;
    this.pic = new Pic(memory);
    this.lines = new Lines(memory, this.pic);
    this.delivery = new LapicDelivery(memory);
    this.lapic = new Lapic(memory, vcpu, this.delivery, clock);
    this.access = new LapicAccess(this.lapic);
  }

  /** KVM_CREATE_IRQCHIP was called. */
  get exists(): boolean {
    return Atomics.load(this.#words, VM_STATE.irqchip >> 2) !== 0;
  }

  /** Brings lines and timers up to date. */
  service(now: number): void {
    if (this.#drives) this.lines.gather();
    this.lapic.service(now);
  }

  /** When service() has to be called although nobody kicks: clockMonotonic() nanoseconds, or Infinity. */
  nextDeadline(): number {
    return this.lapic.nextDeadline();
  }

  /** An interrupt that needs RFLAGS.IF waits. */
  pending(): boolean {
    return this.#extInt() || this.lapic.pending();
  }

  /** The vector of the interrupt that the processor takes. Call it only while pending(). */
  acknowledge(): number {
    return this.#extInt() ? this.pic.acknowledge() : this.lapic.acknowledge();
  }

  /** An NMI was posted, and is now taken. */
  takeNmi(): boolean {
    return this.lapic.page.takeEvents(EVENT.nmi) !== 0;
  }

  #extInt(): boolean {
    return this.#drives && this.pic.intr && this.lapic.passesExtInt;
  }
}
