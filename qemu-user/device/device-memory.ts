/**
 * The memory of a device-model process: guest RAM, its server area, the KICK pages, the code map and its journal, all
 * memfds that kvm-core maps too, in one shared WebAssembly.Memory, so that every thread of the process sees them.
 * Leaves out: who may touch what (shared/server-area.ts and the files it names).
 */

import { CODE_MAP_BYTES, CodeMap } from "../../shared/code-map.ts";
import { JOURNAL_BYTES } from "../../shared/journal.ts";
import { addSeals, mapFixed, memfdCreate, PROT_READ, PROT_WRITE, SEALS_FIXED } from "../../shared/native.ts";
import { AREA_BYTES, MAX_VCPUS, PAGE } from "../../shared/server-area.ts";

const WASM_PAGE = 65536;

/** Byte offsets in the buffer. */
export type MemoryPlan = {
  readonly ramSize: number;
  readonly area: number;
  /** vCPU 0's KICK page; the others' follow. */
  readonly kick: number;
  readonly codeMap: number;
  readonly journal: number;
  /** A page of this process alone: words that its threads share. */
  readonly local: number;
  readonly bytes: number;
};

/** Words of the local page. */
export const LOCAL_STOP = 0;
/** Non-zero: messages wait on the port. */
export const LOCAL_MAIL = 1;
/** Changes of regions under way (region-flow.ts). */
export const LOCAL_REGIONS = 2;

/** Guest RAM first, so that a guest-physical address below the hole is its own offset. */
export function planMemory(ramSize: number): MemoryPlan {
  const area = ramSize;
  const kick = area + AREA_BYTES;
  const codeMap = kick + MAX_VCPUS * PAGE;
  const journal = codeMap + CODE_MAP_BYTES;
  const local = journal + JOURNAL_BYTES;
  return { ramSize, area, kick, codeMap, journal, local, bytes: local + PAGE };
}

/** What a device server tells of its writes to guest memory: DMA into code that kvm-core has decoded (code-map.ts). */
export function codeMapOf(buffer: ArrayBufferLike, plan: MemoryPlan, vcpus: number): CodeMap {
  const kicks = Array.from({ length: vcpus }, (_, vcpu) => plan.kick + vcpu * PAGE);
  return new CodeMap(buffer, plan.codeMap, kicks);
}

/** A memfd of fixed size, as kvm-core asks for. */
export function sealedMemfd(name: string, size: number): number {
  const fd = memfdCreate(name, size);
  addSeals(fd, SEALS_FIXED);
  return fd;
}

export class DeviceMemory {
  readonly plan: MemoryPlan;
  readonly memory: WebAssembly.Memory;
  readonly buffer: SharedArrayBuffer;
  readonly #bytes: Uint8Array;

  constructor(ramSize: number) {
    this.plan = planMemory(ramSize);
    const pages = Math.ceil(this.plan.bytes / WASM_PAGE);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.buffer = this.memory.buffer as unknown as SharedArrayBuffer;
    this.#bytes = new Uint8Array(this.buffer);
  }

  mapRam(fd: number): void {
    this.#map(0, this.plan.ramSize, fd);
  }

  mapArea(fd: number): void {
    this.#map(this.plan.area, AREA_BYTES, fd);
  }

  mapKick(vcpu: number, fd: number): void {
    this.#map(this.plan.kick + vcpu * PAGE, PAGE, fd);
  }

  mapCodeMap(fd: number): void {
    this.#map(this.plan.codeMap, CODE_MAP_BYTES, fd);
  }

  mapJournal(fd: number): void {
    this.#map(this.plan.journal, JOURNAL_BYTES, fd);
  }

  #map(at: number, length: number, fd: number): void {
    mapFixed(this.#bytes, at, length, fd, 0, PROT_READ | PROT_WRITE);
  }
}
