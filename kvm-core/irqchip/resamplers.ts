/**
 * Level-triggered events: KVM_IRQFD with KVM_IRQFD_FLAG_RESAMPLE. An event raises its GSI, as a source of its own, until an
 * 8259 or the IOAPIC is told the interrupt's end; the GSI then falls, and the server is told to look at its device again.
 * Spec: KVM API document, KVM_IRQFD; Linux's virt/kvm/eventfd.c (irqfd_resampler_ack).
 * As in Linux all events of a GSI are one source: any of them raises it, and each server is told of every end.
 * State lies in VM state and is touched under the irqchip lock (lock.ts).
 * Left out: the controllers' part (lines.ts), a GSI that has no line, i.e. one that can only be a message.
 */
import { KvmError } from "../../shared/errno.ts";
import { postResample } from "../../shared/mailbox.ts";
import { MAX_RESAMPLERS, RESAMPLER_ROW, serverAreaAt, VM_STATE } from "../vm/vm-state.ts";

export class Resamplers {
  readonly #words: Int32Array;
  readonly #rows: Uint16Array;

  constructor(memory: WebAssembly.Memory) {
    this.#words = new Int32Array(memory.buffer);
    this.#rows = new Uint16Array(memory.buffer, VM_STATE.resamplers, (MAX_RESAMPLERS * RESAMPLER_ROW.size) >> 1);
  }

  /** Events that are tied so. Any thread may ask without the lock: most VMs have none, and nothing to do at an EOI. */
  get count(): number {
    return Atomics.load(this.#words, VM_STATE.resamplerCount >> 2);
  }

  /** ENOSPC: there is no room for another one. */
  add(gsi: number, server: number, event: number, resample: number): void {
    const { count } = this;
    if (count === MAX_RESAMPLERS) throw new KvmError("ENOSPC", `at most ${MAX_RESAMPLERS} events are resampled`);
    this.#set(count, "gsi", gsi);
    this.#set(count, "server", server);
    this.#set(count, "event", event);
    this.#set(count, "resample", resample);
    Atomics.store(this.#words, VM_STATE.resamplerCount >> 2, count + 1);
  }

  /** Nothing if the event is none of these. With the last event of a GSI its level falls. */
  remove(server: number, event: number): void {
    for (let row = 0; row < this.count; row++) {
      if (this.#get(row, "server") !== server || this.#get(row, "event") !== event) continue;
      const gsi = this.#get(row, "gsi");
      const last = this.count - 1;
      for (const field of ["gsi", "server", "event", "resample"] as const)
        this.#set(row, field, this.#get(last, field));
      Atomics.store(this.#words, VM_STATE.resamplerCount >> 2, last);
      if (!this.#has(gsi)) this.#lower(gsi);
      return;
    }
  }

  /** The event was signalled: the GSI is high from now on. True if it was low. */
  raise(gsi: number): boolean {
    const word = (VM_STATE.resampleLevels >> 2) + (gsi >> 5);
    const bit = 1 << (gsi & 31);
    const before = this.#words[word]!;
    this.#words[word] = before | bit;
    return (before & bit) === 0;
  }

  /** GSIs 32 * word and on that are high. */
  levels(word: number): number {
    return this.#words[(VM_STATE.resampleLevels >> 2) + word]!;
  }

  /** The interrupts of these GSIs ended (a bit each, two words): they fall. True if there are such. */
  end(gsis: Int32Array): boolean {
    let any = false;
    for (let row = 0; row < this.count; row++) {
      const gsi = this.#get(row, "gsi");
      if ((gsis[gsi >> 5]! & (1 << (gsi & 31))) === 0) continue;
      this.#lower(gsi);
      any = true;
    }
    return any;
  }

  /** Tells the servers, behind the fall: who raises again must find the line low. */
  tell(gsis: Int32Array): void {
    for (let row = 0; row < this.count; row++) {
      const gsi = this.#get(row, "gsi");
      const server = this.#get(row, "server");
      if ((gsis[gsi >> 5]! & (1 << (gsi & 31))) === 0) continue;
      if (Atomics.load(this.#words, (VM_STATE.serverArea >> 2) + server) === 0) continue;
      postResample(this.#words, serverAreaAt(server), this.#get(row, "resample"));
    }
  }

  #has(gsi: number): boolean {
    for (let row = 0; row < this.count; row++) if (this.#get(row, "gsi") === gsi) return true;
    return false;
  }

  #lower(gsi: number): void {
    const word = (VM_STATE.resampleLevels >> 2) + (gsi >> 5);
    this.#words[word] = this.#words[word]! & ~(1 << (gsi & 31));
  }

  #get(row: number, field: Exclude<keyof typeof RESAMPLER_ROW, "size">): number {
    return this.#rows[(row * RESAMPLER_ROW.size + RESAMPLER_ROW[field]) >> 1]!;
  }

  #set(row: number, field: Exclude<keyof typeof RESAMPLER_ROW, "size">, value: number): void {
    this.#rows[(row * RESAMPLER_ROW.size + RESAMPLER_ROW[field]) >> 1] = value;
  }
}
