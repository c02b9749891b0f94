/**
 * Linear memories of 4 GiB, one per VM, used again after a VM ends: V8 gives their address space back only when it
 * collects, and it allows about a hundred at once.
 * Leaves out: what lies where inside (vm-state.ts, cpu/zones.ts).
 */
import { KvmError } from "../../shared/errno.ts";
import { mapAnonymous, mapNone } from "../../shared/native.ts";
import { GUEST_RAM, MEMORY_PAGES } from "../cpu/zones.ts";

const BYTES = MEMORY_PAGES * 65536;

export class MemoryPool {
  readonly #free: WebAssembly.Memory[] = [];

  /** A memory whose low part reads as zeros and which no thread uses; ENOMEM when the process can have no more. */
  take(): WebAssembly.Memory {
    const used = this.#free.pop();
    if (used) return used;
    try {
      return new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES, shared: true });
    } catch {
      throw new KvmError("ENOMEM", "no address space for another VM: end one, or start another kvm-core");
    }
  }

  /** Takes a memory back when its VM's threads have ended: the RAM is unmapped at once, the low part zeroed. */
  give(memory: WebAssembly.Memory): void {
    const bytes = new Uint8Array(memory.buffer);
    mapNone(bytes, GUEST_RAM, BYTES - GUEST_RAM);
    mapAnonymous(bytes, 0, GUEST_RAM);
    this.#free.push(memory);
  }
}
