/**
 * All interrupt controllers and timers of a machine as one vCPU's thread drives them (KVM_CREATE_IRQCHIP, KVM_CREATE_PIT2): its
 * local APIC, and on vCPU 0 the 8259s, the IOAPIC, the 8254 and the lines that lead to them.
 * Like KVM an interrupt of the 8259s (ExtINT) goes before the local APIC's.
 * Of a split irqchip (KVM_CAP_SPLIT_IRQCHIP) only the local APICs are here: the user's 8259s interrupt by KVM_INTERRUPT, and the
 * user's IOAPIC hears of an EOI by `onIoapicEoi`.
 * To add a chip: drive it in service(), name its time in nextDeadline(); `delivery` reaches local APICs.
 */
import { clockMonotonic } from "../../shared/native.ts";
import { controlAt, IRQCHIP_MODE, VM_STATE } from "../vm/vm-state.ts";
import { IOAPIC_BASE, IoApic } from "./ioapic.ts";
import { Lapic } from "./lapic.ts";
import { LapicAccess } from "./lapic-access.ts";
import { LapicDelivery } from "./lapic-delivery.ts";
import { EVENT, LAPIC } from "./lapic-page.ts";
import { Lines } from "./lines.ts";
import { Pic } from "./pic.ts";
import { Pit } from "./pit.ts";

/** The timer's output. */
const PIT_GSI = 0;

export class Irqchip {
  readonly pic: Pic;
  readonly lines: Lines;
  readonly delivery: LapicDelivery;
  readonly lapic: Lapic;
  readonly access: LapicAccess;
  readonly #pit: Pit;
  readonly #words: Int32Array;
  /** This vCPU drives what there is one of. */
  readonly #drives: boolean;
  /** KVM_INTERRUPT's word: the vector + 1, or 0. */
  readonly #injected: number;
  /** The EOI of an interrupt of the user's IOAPIC. */
  onIoapicEoi: (vector: number) => void = () => {};

  constructor(memory: WebAssembly.Memory, vcpu: number, clock = clockMonotonic) {
    this.#words = new Int32Array(memory.buffer);
    this.#drives = vcpu === 0;
    this.#injected = controlAt(vcpu, "injected") >> 2;
    this.pic = new Pic(memory);
    this.delivery = new LapicDelivery(memory);
    this.lines = new Lines(memory, this.pic, new IoApic(memory, this.delivery), this.delivery);
    this.#pit = new Pit(memory, () => this.lines.pulse(PIT_GSI));
    this.lapic = new Lapic(memory, vcpu, this.delivery, clock);
    this.lapic.onEoi = (vector, level) => this.#eoi(vector, level);
    this.access = new LapicAccess(this.lapic);
  }

  /** There are local APICs: KVM_CREATE_IRQCHIP was called, or KVM_CAP_SPLIT_IRQCHIP enabled. */
  get exists(): boolean {
    return this.#mode !== IRQCHIP_MODE.none;
  }

  /** 8259s, IOAPIC and PIT are the user's. */
  get split(): boolean {
    return this.#mode === IRQCHIP_MODE.split;
  }

  /** 8259s and IOAPIC are here. */
  get whole(): boolean {
    return this.#mode === IRQCHIP_MODE.kernel;
  }

  get #mode(): number {
    return Atomics.load(this.#words, VM_STATE.irqchip >> 2);
  }

  /** The port is answered here, and not by a device server. */
  ownsPort(port: number): boolean {
    return (Pic.owns(port) && this.whole) || this.#pit.owns(port);
  }

  readPort(port: number): number {
    const { lock } = this.lines;
    lock.take();
    const value = this.#pit.owns(port) ? this.#pit.read(port, clockMonotonic()) : this.pic.read(port);
    lock.give();
    return value;
  }

  /** True if vCPU 0 has to look: the timer changed, or another vCPU's write let an interrupt of the 8259s through. */
  writePort(port: number, value: number): boolean {
    const { lock } = this.lines;
    const timer = this.#pit.owns(port);
    lock.take();
    if (timer) this.#pit.write(port, value, clockMonotonic());
    else this.pic.write(port, value);
    lock.give();
    return timer || (!this.#drives && this.pic.intr);
  }

  /** The guest-physical address is a register's of the local APIC or the IOAPIC: they go before what servers have registered. */
  ownsAddress(gpa: number): boolean {
    return this.access.owns(gpa) ? this.exists : IoApic.owns(gpa) && this.whole;
  }

  readMemory(gpa: number, size: number): number {
    return this.access.owns(gpa) ? this.access.mmioRead(gpa, size) : this.lines.readIoApic(gpa - IOAPIC_BASE, size);
  }

  writeMemory(gpa: number, size: number, value: number): void {
    if (this.access.owns(gpa)) this.access.mmioWrite(gpa, size, value);
    else this.lines.writeIoApic(gpa - IOAPIC_BASE, size, value);
  }

  /** Brings timers and lines up to date: a tick's pulse is gathered right behind it. Allocates nothing. */
  service(now: number): void {
    if (this.#drives) {
      if (this.#pit.nextDeadline() <= now) {
        this.lines.lock.take();
        this.#pit.service(now);
        this.lines.lock.give();
      }
      this.lines.gather();
    }
    this.lapic.service(now);
  }

  /** When service() has to be called although nobody kicks: clockMonotonic() nanoseconds, or Infinity. */
  nextDeadline(): number {
    const lapic = this.lapic.nextDeadline();
    return this.#drives ? Math.min(this.#pit.nextDeadline(), lapic) : lapic;
  }

  /** An interrupt that needs RFLAGS.IF waits. */
  pending(): boolean {
    return this.#extInt() || this.lapic.pending();
  }

  /**
   * The vector of the interrupt that the processor takes. Call it only while pending(). Where another thread made the 8259s' INTR
   * fall since then, the 8259s give the spurious vector, as they do in hardware.
   */
  acknowledge(): number {
    if (!this.#extInt() && this.lapic.pending()) return this.lapic.acknowledge();
    return this.split ? Atomics.exchange(this.#words, this.#injected, 0) - 1 : this.lines.acknowledge();
  }

  /** An NMI was posted. */
  get nmiWaits(): boolean {
    return (this.lapic.page.get(LAPIC.events) & EVENT.nmi) !== 0;
  }

  /** An NMI was posted, and is now taken. */
  takeNmi(): boolean {
    return this.lapic.page.takeEvents(EVENT.nmi) !== 0;
  }

  /** KVM_INTERRUPT would be taken at once if RFLAGS.IF allows it: the user's 8259s reach the processor, and nothing of theirs waits. */
  acceptsInjection(): boolean {
    return this.split && this.lapic.passesExtInt && Atomics.load(this.#words, this.#injected) === 0;
  }

  #extInt(): boolean {
    if (this.split) return Atomics.load(this.#words, this.#injected) !== 0 && this.lapic.passesExtInt;
    return this.#drives && this.pic.intr && this.lapic.passesExtInt;
  }

  #eoi(vector: number, level: boolean): void {
    if (!this.split) this.lines.eoi(vector, level);
    else if (level && this.lines.handlesVector(vector)) this.onIoapicEoi(vector);
  }
}
