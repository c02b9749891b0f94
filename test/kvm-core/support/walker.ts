/**
 * The generated walker alone, over a memory of its own, with guest RAM at guest-physical 0; and paging structures by hand.
 * Document: kvm-core/mmu/walker.ts.
 * Left out: TLBs and the engine, which support/machine.ts has.
 */

import { resetVcpu } from "../../../kvm-core/cpu/reset.ts";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { VcpuState } from "../../../kvm-core/cpu/vcpu-state.ts";
import { GPA_PRESENT, GPA_TABLE, GUEST_RAM, MEMORY_PAGES, vcpuZone } from "../../../kvm-core/cpu/zones.ts";
import { defineWalk, TABLE_WRITTEN_TYPE } from "../../../kvm-core/mmu/walker.ts";
import { ModuleBuilder } from "../../../kvm-core/wasm/module.ts";

/** Guest pages that are RAM. */
export const RAM_PAGES = 64;

type WalkFunction = (cpu: number, lo: number, hi: number, access: number) => number;

export class TestWalker {
  readonly memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES, shared: true });
  readonly zone = vcpuZone(0);
  readonly state = new VcpuState(this.memory, this.zone);
  readonly view = this.state.view;
  /** Calls of tableWritten: guest-physical address and size. */
  readonly written: (readonly [gpa: number, size: number])[] = [];
  readonly #walk: WalkFunction;

  constructor() {
    const module = new ModuleBuilder();
    module.importMemory("e", "memory", MEMORY_PAGES);
    defineWalk(module, module.import("e", "tableWritten", TABLE_WRITTEN_TYPE));
    const tableWritten = (gpa: number, size: number): void => {
      this.written.push([gpa >>> 0, size]);
    };
    const instance = new WebAssembly.Instance(new WebAssembly.Module(module.encode()), {
      e: { memory: this.memory, tableWritten },
    });
    this.#walk = instance.exports["walk"] as WalkFunction;
    this.reset();
  }

  /** The vCPU as after RESET, RAM empty and nothing special about it. */
  reset(): void {
    resetVcpu(this.memory, this.zone, 0);
    new Uint8Array(this.memory.buffer, GUEST_RAM, RAM_PAGES * 4096).fill(0);
    for (let page = 0; page < RAM_PAGES; page++) this.setFlags(page << 12, GPA_PRESENT);
    this.written.length = 0;
  }

  setFlags(gpa: number, flags: number): void {
    this.view.setUint32(GPA_TABLE + (gpa >>> 12) * 4, (GUEST_RAM + gpa) | flags, true);
  }

  control(cr0: number, cr4: number, efer: number, cr3 = 0x1000): void {
    this.state.set(CPU.cr0, cr0);
    this.state.set(CPU.cr4, cr4);
    this.state.set(CPU.efer, efer);
    this.state.set64(CPU.cr3, cr3, 0);
  }

  get64(table: number, index: number): bigint {
    return this.view.getBigUint64(GUEST_RAM + table + index * 8, true);
  }
  set64(table: number, index: number, value: bigint): void {
    this.view.setBigUint64(GUEST_RAM + table + index * 8, value, true);
  }
  get32(table: number, index: number): number {
    return this.view.getUint32(GUEST_RAM + table + index * 4, true);
  }
  set32(table: number, index: number, value: number): void {
    this.view.setUint32(GUEST_RAM + table + index * 4, value, true);
  }
  setPdpte(index: number, value: bigint): void {
    this.view.setBigUint64(this.zone + CPU.pdpte + index * 8, value, true);
  }

  walk(address: bigint, access: number): boolean {
    const [lo, hi] = [Number(address & 0xffff_ffffn), Number((address >> 32n) & 0xffff_ffffn)];
    return this.#walk(this.zone, lo, hi, access) === 1;
  }

  /** After a successful walk. */
  get gpa(): bigint {
    return this.view.getBigUint64(this.zone + CPU.walkGpa, true);
  }
  /** TLB_PAGE bits. */
  get page(): number {
    return this.state.get(CPU.walkPage);
  }
  /** After a failed one. */
  get errorCode(): number {
    return this.state.get(CPU.walkError);
  }
}
