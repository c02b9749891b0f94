/**
 * A vCPU on its own for tests: memory, some RAM, an engine, devices that record what they are asked.
 * Document: the engine's interface, kvm-core/engine/engine.ts.
 * Left out: threads, servers, real devices.
 */

import { CR0, CR4, EFER } from "../../../kvm-core/cpu/control.ts";
import { getRegs, getSregs, setRegs, setSregs } from "../../../kvm-core/cpu/regs.ts";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { CODE_MAP, GPA_PRESENT, GPA_TABLE, GUEST_RAM, MEMORY_PAGES, vcpuZone } from "../../../kvm-core/cpu/zones.ts";
import {
  compileInterpreter,
  createEngine,
  DEFAULT_TRANSLATION,
  type Engine,
  type EngineHost,
  type EngineName,
  type EngineOptions,
  resetVcpu,
  type TranslationOptions,
} from "../../../kvm-core/engine/engine.ts";
import { CodeMap } from "../../../shared/code-map.ts";
import type { KvmRegs, KvmSegment, KvmSregs } from "../../../shared/ioctls.ts";

let module: WebAssembly.Module | undefined;

export type Mode = 32 | 64;
/** Each block is translated at its first entry, into a table that is soon full. */
export const EAGER: TranslationOptions = { ...DEFAULT_TRANSLATION, threshold: 1, batch: 1, slots: 64 };
/** Seed of what makes an engine forget records and translations at random. */
const DISTURBANCE = 0x2545_f491;
export type TestEngine = EngineName | "patch, disturbed" | "wasm, disturbed";
export const ENGINES: readonly TestEngine[] = ["interp", "patch", "patch, disturbed", "wasm", "wasm, disturbed"];

/** Where the 64-bit test machine keeps its page tables: identity mapped with 2 MiB pages over 4 GiB. */
export const TABLES = 0x1000;
/** GDT: null, flat code, flat data. */
export const GDT = 0x8000;
export const CODE_SELECTOR = 8;
export const DATA_SELECTOR = 16;

/** Where a machine is that is not alone, and what its engine is told. */
export type Place = {
  /** Another machine's memory, whose RAM and tables it has made. */
  readonly memory?: WebAssembly.Memory;
  readonly vcpu?: number;
  readonly options?: EngineOptions;
};

export class TestMachine {
  readonly memory: WebAssembly.Memory;
  readonly zone: number;
  readonly view: DataView;
  readonly engine: Engine;
  /** What the engine asks of the vCPU's thread; for a test that makes an engine of its own. */
  readonly host: EngineHost;
  readonly log: string[] = [];
  /** Replaceable parts of the host. */
  portIn: (port: number, size: number) => number = () => 0xffff_ffff;
  portOut: (port: number, size: number, value: number) => void = () => {};
  mmioRead: (gpa: number, size: number) => bigint = () => 0xffff_ffff_ffff_ffffn;
  mmioWrite: (gpa: number, size: number, value: bigint) => void = () => {};
  readonly mode: Mode;
  readonly #code: CodeMap;

  constructor(
    engine: TestEngine,
    mode: Mode,
    ramBytes = 16 << 20,
    { memory, vcpu = 0, options, host }: Place & { readonly host?: (machine: TestMachine) => EngineHost } = {},
  ) {
    this.mode = mode;
    this.memory = memory ?? new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES, shared: true });
    this.zone = vcpuZone(vcpu);
    this.view = new DataView(this.memory.buffer);
    this.#code = new CodeMap(this.memory.buffer, CODE_MAP, []);
    // The flags of a page that exists are not to be lost.
    const pages = memory ? 0 : ramBytes >>> 12;
    for (let page = 0; page < pages; page++) this.mapPage(page << 12, GUEST_RAM + (page << 12));
    resetVcpu(this.memory, this.zone, vcpu);
    module ??= compileInterpreter();
    const [name, disturbed] = engine.split(", ") as [EngineName, "disturbed"?];
    const disturbance = disturbed ? DISTURBANCE : 0;
    this.host = host?.(this) ?? this.#host();
    const told = { translation: EAGER, disturbance, ...options };
    this.engine = createEngine(name, module, this.memory, this.zone, this.host, told);
    this.#flat();
  }

  /** Entry of the guest-physical page table; linear address 0 takes the page away. */
  mapPage(gpa: number, linear: number, flags = GPA_PRESENT): void {
    this.view.setUint32(GPA_TABLE + (gpa >>> 12) * 4, linear === 0 ? 0 : linear | flags, true);
  }

  /** As DMA does: the engine learns of code that changes. */
  write(gpa: number, bytes: readonly number[] | Uint8Array): void {
    new Uint8Array(this.memory.buffer, GUEST_RAM + gpa, bytes.length).set(bytes);
    this.#code.written(gpa, bytes.length);
  }
  read(gpa: number, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, GUEST_RAM + gpa, length).slice();
  }
  u32(gpa: number): number {
    return this.view.getUint32(GUEST_RAM + gpa, true);
  }
  setU32(gpa: number, value: number): void {
    this.view.setUint32(GUEST_RAM + gpa, value, true);
  }
  u64(gpa: number): bigint {
    return this.view.getBigUint64(GUEST_RAM + gpa, true);
  }
  setU64(gpa: number, value: bigint): void {
    this.view.setBigUint64(GUEST_RAM + gpa, BigInt.asUintN(64, value), true);
  }

  get regs(): KvmRegs {
    return getRegs(this.memory, this.zone);
  }
  set(values: Partial<KvmRegs>): void {
    setRegs(this.memory, this.zone, { ...this.regs, ...values });
  }
  get sregs(): KvmSregs {
    return getSregs(this.memory, this.zone);
  }
  setSregs(values: Partial<KvmSregs>): boolean {
    return setSregs(this.memory, this.zone, { ...this.sregs, ...values });
  }

  /** Makes run() leave at the next block boundary. */
  pend(): void {
    Atomics.or(new Int32Array(this.memory.buffer), (this.zone + CPU.pending) >>> 2, 1);
  }
  unpend(): void {
    Atomics.and(new Int32Array(this.memory.buffer), (this.zone + CPU.pending) >>> 2, ~1);
  }

  /** Runs `code` at `at` until HLT; returns the exit. */
  run(code: readonly number[] | Uint8Array, at = 0x10_0000): number {
    this.write(at, [...code, 0xf4]);
    this.set({ rip: BigInt(at) });
    return this.engine.run();
  }

  /** Gate of the IDT at `idt`, to `offset` in the flat code segment. */
  setGate(idt: number, vector: number, offset: number, type: 0xe | 0xf = 0xe): void {
    const low = (CODE_SELECTOR << 16) | (offset & 0xffff);
    const high = ((offset & 0xffff_0000) | 0x8000 | (type << 8)) >>> 0;
    const at = idt + vector * (this.mode === 64 ? 16 : 8);
    this.setU32(at, low >>> 0);
    this.setU32(at + 4, high);
    if (this.mode === 64) this.setU64(at + 8, 0n);
  }

  #flat(): void {
    const base: KvmSegment = {
      base: 0n,
      limit: 0xffff_ffff,
      selector: DATA_SELECTOR,
      type: 3,
      present: 1,
      dpl: 0,
      db: 1,
      s: 1,
      l: 0,
      g: 1,
      avl: 0,
      unusable: 0,
    };
    const long = this.mode === 64;
    const cs = { ...base, selector: CODE_SELECTOR, type: 11, db: long ? 0 : 1, l: long ? 1 : 0 };
    this.setU64(GDT + 8, long ? 0x00af_9b00_0000_ffffn : 0x00cf_9b00_0000_ffffn);
    this.setU64(GDT + 16, 0x00cf_9300_0000_ffffn);
    if (long) {
      this.setU64(TABLES, BigInt(TABLES + 0x1000) | 3n);
      for (let i = 0; i < 4; i++) {
        this.setU64(TABLES + 0x1000 + i * 8, BigInt(TABLES + 0x2000 + i * 0x1000) | 3n);
        for (let j = 0; j < 512; j++)
          this.setU64(TABLES + 0x2000 + i * 0x1000 + j * 8, (BigInt(i * 512 + j) * 0x20_0000n) | 0x83n);
      }
    }
    const ok = this.setSregs({
      cs,
      ds: base,
      es: base,
      fs: base,
      gs: base,
      ss: base,
      gdt: { base: BigInt(GDT), limit: 23 },
      idt: { base: 0n, limit: 0 },
      cr0: BigInt((CR0.PE | (long ? CR0.PG : 0)) >>> 0),
      cr3: BigInt(long ? TABLES : 0),
      cr4: BigInt(long ? CR4.PAE : 0),
      efer: BigInt(long ? EFER.LME | EFER.LMA | EFER.NXE : 0),
    });
    if (!ok) throw new Error("the flat state is refused");
    this.set({ rsp: 0x20_0000n, rdx: 0n, rflags: 2n });
  }

  #host(): EngineHost {
    const data = this.zone + CPU.mmioData;
    return {
      portIn: (port, size) => this.portIn(port, size) >>> 0,
      portOut: (port, size, value) => this.portOut(port, size, value),
      mmioRead: (gpa, size) => this.view.setBigUint64(data, BigInt.asUintN(size * 8, this.mmioRead(gpa, size)), true),
      mmioWrite: (gpa, size) => this.mmioWrite(gpa, size, BigInt.asUintN(size * 8, this.view.getBigUint64(data, true))),
      trace: (line) => this.log.push(line),
    };
  }
}
