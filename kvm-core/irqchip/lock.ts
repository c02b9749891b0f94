/**
 * The lock of a VM's interrupt controllers: whoever drives the 8259s, the IOAPIC or the PIT, or rewrites the GSI routes,
 * holds it for a few stores. vCPU threads and the main thread take it; it is not recursive.
 * Leaves out: local APICs, whose words are atomic (delivery.ts), so sending an interrupt is allowed under the lock.
 */
import { futexWait } from "../../shared/native.ts";
import { VM_STATE } from "../vm/vm-state.ts";

const SPINS = 200;
/** A holder that lost its core gets this long before the next look. */
const NAP_NS = 50_000;

export class IrqchipLock {
  readonly #words: Int32Array;

  constructor(memory: WebAssembly.Memory) {
    this.#words = new Int32Array(memory.buffer);
  }

  take(): void {
    const words = this.#words;
    const lock = VM_STATE.irqchipLock >> 2;
    for (let spins = 0; Atomics.compareExchange(words, lock, 0, 1) !== 0; spins++) {
      if (spins < SPINS) Atomics.pause();
      else futexWait(words, lock, 1, NAP_NS);
    }
  }

  give(): void {
    Atomics.store(this.#words, VM_STATE.irqchipLock >> 2, 0);
  }
}
