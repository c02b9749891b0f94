/**
 * All interrupt controllers and timers of a machine as one vCPU's thread drives them (KVM_CREATE_IRQCHIP, KVM_CREATE_PIT2): its
 * local APIC, and on vCPU 0 the 8259s, the IOAPIC, the 8254 and the lines that lead to them.
 * Like KVM an interrupt of the 8259s (ExtINT) goes before the local APIC's.
 * To add a chip: drive it in service(), name its time in nextDeadline(); `delivery` reaches local APICs.
 */
import { clockMonotonic } from "../../shared/native.ts";
import { VM_STATE } from "../vm/vm-state.ts";
import { IOAPIC_BASE, IoApic } from "./ioapic.ts";
import { Lapic } from "./lapic.ts";
import { LapicAccess } from "./lapic-access.ts";
import { LapicDelivery } from "./lapic-delivery.ts";
import { EVENT } from "./lapic-page.ts";
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

  constructor(memory: WebAssembly.Memory, vcpu: number, clock = clockMonotonic) {
    this.#words = new Int32Array(memory.buffer);
    this.#drives = vcpu === 0;
    this.pic = new Pic(memory);
    this.delivery = new LapicDelivery(memory);
    this.lines = new Lines(memory, this.pic, new IoApic(memory, this.delivery), this.delivery);
    this.#pit = new Pit(memory, () => this.lines.pulse(PIT_GSI));
    this.lapic = new Lapic(memory, vcpu, this.delivery, clock);
    this.lapic.onEoi = (vector) => this.lines.eoi(vector);
    this.access = new LapicAccess(this.lapic);
  }

  /** KVM_CREATE_IRQCHIP was called. */
  get exists(): boolean {
    return Atomics.load(this.#words, VM_STATE.irqchip >> 2) !== 0;
  }

  /** The port is answered here, and not by a device server. */
  ownsPort(port: number): boolean {
    return (Pic.owns(port) && this.exists) || this.#pit.owns(port);
  }

  readPort(port: number): number {
    const { lock } = this.lines;
    lock.take();
    const value = this.#pit.owns(port) ? this.#pit.read(port, clockMonotonic()) : this.pic.read(port);
    lock.give();
    return value;
  }

  /** True if the timer changed, which vCPU 0 has to look at. */
  writePort(port: number, value: number): boolean {
    const { lock } = this.lines;
    const timer = this.#pit.owns(port);
    lock.take();
    if (timer) this.#pit.write(port, value, clockMonotonic());
    else this.pic.write(port, value);
    lock.give();
    return timer;
  }

  /** The guest-physical address is a register's of the local APIC or the IOAPIC: they go before what servers have registered. */
  ownsAddress(gpa: number): boolean {
    return (this.access.owns(gpa) || IoApic.owns(gpa)) && this.exists;
  }

  readMemory(gpa: number, size: number): number {
    return IoApic.owns(gpa) ? this.lines.readIoApic(gpa - IOAPIC_BASE, size) : this.access.mmioRead(gpa, size);
  }

  writeMemory(gpa: number, size: number, value: number): void {
    if (IoApic.owns(gpa)) this.lines.writeIoApic(gpa - IOAPIC_BASE, size, value);
    else this.access.mmioWrite(gpa, size, value);
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

  /** The vector of the interrupt that the processor takes. Call it only while pending(). */
  acknowledge(): number {
    return this.#extInt() ? this.lines.acknowledge() : this.lapic.acknowledge();
  }

  /** An NMI was posted, and is now taken. */
  takeNmi(): boolean {
    return this.lapic.page.takeEvents(EVENT.nmi) !== 0;
  }

  #extInt(): boolean {
    return this.#drives && this.pic.intr && this.lapic.passesExtInt;
  }
}
