/**
 * An engine that runs cases as the host's processor does: CPL 3, the arena's page tables, exceptions taken at delivery.
 * Document: kvm-core/engine/machine.ts (deliver); SDM volume 3, 4.4 and 4.5 (PAE and 4-level entries).
 * Left out: the IDT: an exception is noted where the engine would deliver it; exceptions.test.ts checks what follows.
 */

import { CR0, CR4, EFER } from "../../kvm-core/cpu/control.ts";
import { FPU } from "../../kvm-core/cpu/fpu-state.ts";
import { setRegs } from "../../kvm-core/cpu/regs.ts";
import { CPU, GPR } from "../../kvm-core/cpu/state.ts";
import { SUPPORTED_XCR0 } from "../../kvm-core/cpu/xstate.ts";
import { GUEST_RAM } from "../../kvm-core/cpu/zones.ts";
import { EngineExit } from "../../kvm-core/engine/engine.ts";
import { Machine } from "../../kvm-core/engine/machine.ts";
import type { KvmRegs } from "../../shared/ioctls.ts";
import { getFpu, setFpu } from "../kvm-core/support/fpu.ts";
import { type Mode, type TestEngine, TestMachine } from "../kvm-core/support/machine.ts";
import {
  type Case,
  CODE,
  CODE_SIZE,
  DATA,
  GS_BASE,
  IMAGE,
  type Outcome,
  PAGE,
  PAGE_FAULT,
  PAGES,
  ROUTINES,
  SELECTORS,
  SLOT_SIZE,
  type Word,
} from "./case.ts";

const RAM_BYTES = CODE + CODE_SIZE;
const TABLE = 0x20_0000;
const [PML4, POINTERS, PAE_POINTERS, DIRECTORY, TABLE_OF_DATA] = [0, 1, 2, 3, 4].map((i) => TABLE + i * PAGE) as [
  number,
  number,
  number,
  number,
  number,
];
const LARGE = 0x20_0000;
const ENTRY = { present: 1n, writable: 2n, user: 4n, large: 0x80n, noExecute: 1n << 63n } as const;
const USER = ENTRY.present | ENTRY.writable | ENTRY.user;

const NAMES = Object.keys(GPR) as (keyof typeof GPR)[];
const INTERRUPTS = 0x202;
const BREAKPOINT_BYTE = 0xcc;
/** rep stosd; int3 */
const SWEEP = [0xf3, 0xab, BREAKPOINT_BYTE];

export class GuestCpu {
  readonly #machine: TestMachine;
  readonly #mode: Mode;
  readonly #image = new Int32Array(IMAGE.buffer);
  readonly #data: Int32Array;
  readonly #dataBytes: Buffer;
  #vector = -1;
  #error = 0;
  /** Slots that hold old cases. */
  #from = RAM_BYTES;
  #to = 0;

  constructor(engine: TestEngine, mode: Mode) {
    this.#mode = mode;
    const machine = new TestMachine(engine, mode, RAM_BYTES);
    this.#machine = machine;
    this.#map();
    this.#segments();
    machine.write(CODE, new Uint8Array(CODE_SIZE).fill(BREAKPOINT_BYTE));
    machine.write(ROUTINES, SWEEP);
    machine.write(DATA, IMAGE.subarray(0, PAGES.length * PAGE));
    const size = PAGES.length * PAGE;
    this.#data = new Int32Array(machine.memory.buffer, GUEST_RAM + DATA, size >> 2);
    this.#dataBytes = Buffer.from(machine.memory.buffer as unknown as ArrayBuffer, GUEST_RAM + DATA, size);
    if (!(machine.engine instanceof Machine)) throw new Error(`engine ${engine} delivers exceptions in its own way`);
    const { state } = machine.engine;
    machine.engine.deliver = (vector, code) => {
      this.#vector = vector;
      this.#error = code;
      state.set(CPU.exit, EngineExit.SHUTDOWN);
    };
  }

  /** Runs cases that lie in slots of their own, one after the other. */
  run(cases: readonly Case[]): Outcome[] {
    this.#sweep();
    return cases.map((one) => this.#one(one));
  }

  #one(one: Case): Outcome {
    const machine = this.#machine;
    machine.write(one.rip, one.code);
    this.#from = Math.min(this.#from, one.rip & ~(SLOT_SIZE - 1));
    this.#to = Math.max(this.#to, (one.rip & ~(SLOT_SIZE - 1)) + 2 * SLOT_SIZE);
    for (const [address, value] of one.plants) machine.setU64(address, value);
    this.#load(one.gpr, one.flags, one.rip);
    if (one.fpu) setFpu(machine, one.fpu);
    this.#vector = -1;
    this.#error = 0;
    const exit = machine.engine.run();
    const { regs } = machine;
    const outcome = {
      gpr: one.gpr.map((_, r) => regs[NAMES[r]!]),
      flags: Number(regs.rflags),
      rip: regs.rip,
      vector: this.#vector,
      error: this.#error,
      cr2: this.#vector === PAGE_FAULT ? machine.view.getBigUint64(machine.zone + CPU.cr2, true) : 0n,
      changes: this.#changes(one.plants),
      ...(one.fpu ? { fpu: getFpu(machine) } : {}),
    };
    if (this.#vector >= 0) return outcome;
    return { ...outcome, unbuilt: exit === EngineExit.INTERNAL_ERROR ? machine.engine.errorDetail : `exit ${exit}` };
  }

  #load(gpr: readonly bigint[], flags: number, rip: number): void {
    const { memory, zone } = this.#machine;
    const regs = { rip: BigInt(rip), rflags: BigInt(flags | INTERRUPTS) } as KvmRegs;
    NAMES.forEach((name, r) => {
      regs[name] = gpr[r] ?? 0n;
    });
    setRegs(memory, zone, regs);
  }

  /** Words that differ from what they were before; the data are then as they always are. */
  #changes(plants: readonly Word[]): Word[] {
    const { view } = this.#machine;
    const [data, image] = [this.#data, this.#image];
    const before = new Map(plants);
    const changes: Word[] = [];
    PAGES.forEach((kind, i) => {
      const [from, to] = [i * PAGE, (i + 1) * PAGE];
      if (kind !== "rw" || this.#dataBytes.compare(IMAGE, from, to, from, to) === 0) return;
      // Halves of words as small numbers: a case changes few of a page's words, if any.
      for (let at = from >> 2; at < to >> 2; at++) {
        if (data[at] === image[at]) continue;
        const [low, address] = [at & ~1, DATA + (at & ~1) * 4];
        const value = view.getBigUint64(GUEST_RAM + address, true);
        if (value !== before.get(address)) changes.push([address, value]);
        before.delete(address);
        data[low] = image[low]!;
        data[low + 1] = image[low + 1]!;
      }
    });
    // What was planted and is as the image again has changed too.
    for (const [address, value] of before) {
      const now = view.getBigUint64(GUEST_RAM + address, true);
      if (value !== now) changes.push([address, now]);
    }
    return changes;
  }

  /** Old cases become INT3 again by stores of the guest's own, so that the engine forgets what it decoded. */
  #sweep(): void {
    if (this.#to < this.#from) return;
    const gpr = new Array<bigint>(16).fill(0n);
    gpr[GPR.rdi] = BigInt(this.#from);
    gpr[GPR.rcx] = BigInt((Math.min(this.#to, RAM_BYTES) - this.#from) / 4);
    gpr[GPR.rax] = 0xcccc_ccccn;
    this.#load(gpr, INTERRUPTS, ROUTINES);
    this.#vector = -1;
    this.#machine.engine.run();
    if (this.#vector !== 3) throw new Error(`the sweep failed: vector ${this.#vector}`);
    this.#from = RAM_BYTES;
    this.#to = 0;
  }

  #map(): void {
    const machine = this.#machine;
    const set = (table: number, index: number, entry: bigint): void => machine.setU64(table + index * 8, entry);
    for (const table of [PML4, POINTERS, PAE_POINTERS, DIRECTORY, TABLE_OF_DATA])
      machine.write(table, new Uint8Array(PAGE));
    set(PML4, 0, BigInt(POINTERS) | USER);
    set(POINTERS, 0, BigInt(DIRECTORY) | USER);
    set(PAE_POINTERS, 0, BigInt(DIRECTORY) | ENTRY.present);
    set(DIRECTORY, DATA / LARGE, BigInt(TABLE_OF_DATA) | USER);
    for (let at = CODE; at < CODE + CODE_SIZE; at += LARGE) set(DIRECTORY, at / LARGE, BigInt(at) | USER | ENTRY.large);
    PAGES.forEach((kind, i) => {
      if (kind === "hole") return;
      const rights = kind === "rw" ? USER : USER & ~ENTRY.writable;
      set(TABLE_OF_DATA, i, BigInt(DATA + i * PAGE) | rights | ENTRY.noExecute);
    });
  }

  #segments(): void {
    const { sregs } = this.#machine;
    const long = this.#mode === 64;
    const data = { ...sregs.ds, selector: SELECTORS.data, dpl: 3 };
    const ok = this.#machine.setSregs({
      cs: { ...sregs.cs, selector: long ? SELECTORS.code64 : SELECTORS.code32, dpl: 3 },
      ss: data,
      ds: data,
      es: data,
      fs: { ...data, selector: 0, unusable: long ? 0 : 1 },
      gs: { ...data, selector: long ? SELECTORS.gs64 : SELECTORS.gs32, base: BigInt(GS_BASE) },
      // No room for an I/O permission bitmap: a process has no port.
      tr: { ...sregs.tr, limit: 0 },
      cr0: BigInt((CR0.PE | CR0.PG | CR0.WP | CR0.MP | CR0.NE) >>> 0),
      cr3: BigInt(long ? PML4 : PAE_POINTERS),
      cr4: BigInt(CR4.PAE | CR4.OSFXSR | CR4.OSXMMEXCPT | CR4.OSXSAVE),
      efer: BigInt(EFER.NXE | (long ? EFER.LME | EFER.LMA : 0)),
    });
    if (!ok) throw new Error("the arena's state is refused");
    this.#machine.view.setUint32(this.#machine.zone + FPU.xcr0, SUPPORTED_XCR0, true);
  }
}
