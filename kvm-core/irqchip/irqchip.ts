/**
 * The interrupt controllers and the timer of a VM, as the thread of vCPU 0 drives them: ports, what is due, what waits.
 * Document: KVM API, KVM_CREATE_IRQCHIP and KVM_CREATE_PIT2: what of the PC is inside KVM.
 * Left out: the chips themselves (the files beside this one); local APICs and the IOAPIC.
 */
import { clockMonotonic } from "../../shared/native.ts";
import { VM_STATE } from "../vm/vm-state.ts";
import { Lines } from "./lines.ts";
import { Pic } from "./pic.ts";
import { Pit } from "./pit.ts";

/** The timer's output. */
const PIT_GSI = 0;

export class Irqchip {
  readonly pic: Pic;
  readonly #pit: Pit;
  readonly #lines: Lines;
  readonly #words: Int32Array;

  constructor(memory: WebAssembly.Memory) {
    this.#words = new Int32Array(memory.buffer);
    this.pic = new Pic(memory);
    this.#lines = new Lines(memory, this.pic);
    this.#pit = new Pit(memory, () => this.#lines.pulse(PIT_GSI));
  }

  /** KVM_CREATE_IRQCHIP was done. */
  get exists(): boolean {
    return Atomics.load(this.#words, VM_STATE.irqchip >> 2) !== 0;
  }

  /** The port is answered here, and not by a device server. */
  owns(port: number): boolean {
    return (Pic.owns(port) && this.exists) || this.#pit.owns(port);
  }

  read(port: number): number {
    const { lock } = this.#lines;
    lock.take();
    const value = this.#pit.owns(port) ? this.#pit.read(port, clockMonotonic()) : this.pic.read(port);
    lock.give();
    return value;
  }

  write(port: number, value: number): void {
    const { lock } = this.#lines;
    lock.take();
    if (this.#pit.owns(port)) this.#pit.write(port, value, clockMonotonic());
    else this.pic.write(port, value);
    lock.give();
  }

  /** Brings the controllers' inputs up to date: ticks that are due, and lines. Allocates nothing. */
  service(): void {
    if (this.#pit.nextDeadline() !== Number.POSITIVE_INFINITY) {
      const { lock } = this.#lines;
      lock.take();
      this.#pit.service(clockMonotonic());
      lock.give();
    }
    this.#lines.gather();
  }

  /** When service() has to be called again though nothing kicks; Infinity: never. */
  nextDeadline(): number {
    return this.#pit.nextDeadline();
  }

  get intr(): boolean {
    return this.pic.intr;
  }

  acknowledge(): number {
    return this.#lines.acknowledge();
  }
}
