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
  readonly pit: Pit;
  readonly #lines: Lines;
  readonly #words: Int32Array;

  constructor(memory: WebAssembly.Memory) {
    this.#words = new Int32Array(memory.buffer);
    this.pic = new Pic(memory);
    this.pit = new Pit(memory, () => {
      this.pic.setLine(PIT_GSI, false);
      this.pic.setLine(PIT_GSI, true);
    });
    this.#lines = new Lines(memory, this.pic);
  }

  /** KVM_CREATE_IRQCHIP was done. */
  get exists(): boolean {
    return Atomics.load(this.#words, VM_STATE.irqchip >> 2) !== 0;
  }

  /** KVM_CREATE_PIT2 was done. */
  get hasPit(): boolean {
    return Atomics.load(this.#words, VM_STATE.pitExists >> 2) !== 0;
  }

  /** The port is answered here, and not by a device server. */
  owns(port: number): boolean {
    return (Pic.owns(port) && this.exists) || (Pit.owns(port) && this.hasPit);
  }

  read(port: number): number {
    return Pit.owns(port) ? this.pit.read(port, clockMonotonic()) : this.pic.read(port);
  }

  write(port: number, value: number): void {
    if (Pit.owns(port)) this.pit.write(port, value, clockMonotonic());
    else this.pic.write(port, value);
  }

  /** Brings the controllers' inputs up to date: lines, and ticks that are due. Allocates nothing. */
  service(): void {
    this.#lines.gather();
    if (this.hasPit && this.pit.nextDeadline() !== Number.POSITIVE_INFINITY)
      this.pit.service(clockMonotonic(), !this.pic.requested(PIT_GSI));
  }

  /** When service() has to be called again though nothing kicks; Infinity: never. */
  nextDeadline(): number {
    // A tick that nobody took yet holds back the next: taking it makes the vCPU's thread look again.
    if (!this.hasPit || this.pic.requested(PIT_GSI)) return Number.POSITIVE_INFINITY;
    return this.pit.nextDeadline();
  }

  get intr(): boolean {
    return this.pic.intr;
  }

  acknowledge(): number {
    return this.pic.acknowledge();
  }
}
