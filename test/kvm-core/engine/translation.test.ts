/**
 * Which blocks are translated, when, and how translations are forgotten; what a translation leaves behind when it is left.
 * Document: kvm-core/engine/translator.ts; architecture.md section 5.
 * Left out: what instructions do (stages.test.ts, vectors.test.ts); the order of memory accesses between processors.
 */

import { describe, expect, it } from "vitest";
import { MEMORY_PAGES, vcpuZone, ZONE } from "../../../kvm-core/cpu/zones.ts";
import { BLOCK_TYPE } from "../../../kvm-core/emit/boundary.ts";
import { MICRO, RECORD } from "../../../kvm-core/emit/record.ts";
import { BlockReader, ModuleImports } from "../../../kvm-core/engine/block-translation.ts";
import {
  compileInterpreter,
  createEngine,
  DEFAULT_TRANSLATION,
  EngineExit,
  type EngineHost,
  type TranslationOptions,
} from "../../../kvm-core/engine/engine.ts";
import { opcodeMap } from "../../../kvm-core/engine/interpreter.ts";
import { WasmEngine } from "../../../kvm-core/engine/wasm.ts";
import { ModuleBuilder } from "../../../kvm-core/wasm/module.ts";
import { assemble } from "../support/asm.ts";
import { EAGER, TestMachine } from "../support/machine.ts";

const CODE = 0x10_0000;
const DATA = 0x30_0000;
/** Adds ECX, ECX - 1 ... 1 to EAX: one block of two instructions and its loop. */
const SUM = assemble("1: add eax, ecx; dec ecx; jnz 1b", 32);

function machineOf(options: Partial<TranslationOptions>): TestMachine {
  return new TestMachine("wasm", 32, 16 << 20, { options: { translation: { ...EAGER, ...options } } });
}
function translations(machine: TestMachine): number {
  return (machine.engine as WasmEngine).translations;
}
/** Runs SUM for `count` turns; returns EAX. It is written once: writing it again would make its blocks stale. */
function sum(machine: TestMachine, count: number, at = CODE): bigint {
  if (!Buffer.from(SUM).equals(machine.read(at, SUM.length))) machine.write(at, [...SUM, 0xf4]);
  machine.set({ rax: 0n, rcx: BigInt(count), rip: BigInt(at) });
  expect(machine.engine.run()).toBe(EngineExit.HLT);
  return machine.regs.rax;
}

describe("what is translated", () => {
  it("a block at its threshold, once", () => {
    const machine = machineOf({ threshold: 10 });
    expect(sum(machine, 9)).toBe(45n);
    expect(translations(machine)).toBe(0);
    expect(sum(machine, 1)).toBe(1n);
    expect(translations(machine)).toBe(1);
    expect(sum(machine, 1000)).toBe(500_500n);
    // The HLT behind the loop is hot too by now, and has nothing but a helper.
    expect(translations(machine)).toBeLessThanOrEqual(2);
  });

  it("a batch at once, or what waits when one of it is hot again", () => {
    const machine = machineOf({ threshold: 10, batch: 2 });
    sum(machine, 15);
    expect(translations(machine)).toBe(0);
    sum(machine, 15, CODE + 0x1000);
    expect(translations(machine)).toBe(2);
    const alone = machineOf({ threshold: 10, batch: 2 });
    expect(sum(alone, 25)).toBe(325n);
    expect(translations(alone)).toBe(1);
  });

  it("the target of a branch into the middle of a block", () => {
    const machine = machineOf({});
    machine.set({ rcx: 1000n, rax: 0n });
    machine.run(assemble("mov ebx, 3; 1: add eax, ebx; dec ecx; jnz 1b", 32));
    expect(machine.regs.rax).toBe(3000n);
    expect(translations(machine)).toBeGreaterThanOrEqual(2);
  });
});

describe("what is forgotten", () => {
  it("the older half of a full table, and those blocks are translated again", () => {
    const machine = machineOf({ slots: 8 });
    for (let turn = 0; turn < 3; turn++) {
      for (let i = 0; i < 12; i++) expect(sum(machine, 100, CODE + i * 64)).toBe(5050n);
    }
    // A loop and its HLT each time: 12 loops never fit.
    expect(translations(machine)).toBeGreaterThanOrEqual(36);
  });

  it("the translation of a block whose bytes are written, by itself and from elsewhere", () => {
    const machine = machineOf({});
    // The immediate of ADD is at CODE + 2; the store to it and the loop are one block.
    const code = assemble("1: add eax, 0x10; mov [0x100002], cl; dec ecx; jnz 1b", 32);
    expect([...code.subarray(0, 3)]).toEqual([0x83, 0xc0, 0x10]);
    machine.set({ rax: 0n, rcx: 5n });
    machine.run(code);
    expect(machine.regs.rax).toBe(0x10n + 5n + 4n + 3n + 2n);
    const before = translations(machine);
    machine.set({ rax: 0n, rcx: 5n });
    machine.run(assemble("mov byte ptr [0x100002], 1; mov esi, 0x100000; jmp esi", 32), CODE + 0x2000);
    expect(machine.regs.rax).toBe(1n + 5n + 4n + 3n + 2n);
    expect(translations(machine)).toBeGreaterThan(before);
  });

  it("all of them when another engine takes over the vCPU, which finds no record of theirs", () => {
    const machine = machineOf({});
    machine.set({ rax: 0n, rcx: 1_000_000n });
    machine.write(CODE, [...SUM, 0xf4]);
    machine.set({ rip: BigInt(CODE) });
    const module = compileInterpreter();
    const host = {} as EngineHost; // nothing here leaves the CPU
    const names = ["wasm", "patch", "wasm", "interp", "wasm"] as const;
    machine.pend();
    for (const name of names) {
      const engine = createEngine(name, module, machine.memory, machine.zone, host, { translation: EAGER });
      for (let i = 0; i < 10; i++) expect(engine.run()).toBe(EngineExit.INTR);
      if (engine instanceof WasmEngine) expect(engine.translations).toBeGreaterThan(0);
    }
    machine.unpend();
    expect(createEngine("wasm", module, machine.memory, machine.zone, host, { translation: EAGER }).run()).toBe(
      EngineExit.HLT,
    );
    expect(machine.regs.rax).toBe(((1_000_000n * 1_000_001n) / 2n) & 0xffff_ffffn);
  });

  it("refuses a table whose halves have no room for a batch", () => {
    const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES, shared: true });
    const translation = { ...DEFAULT_TRANSLATION, slots: 16, batch: 9 };
    const make = () => new WasmEngine(compileInterpreter(), memory, vcpuZone(0), {} as EngineHost, { translation });
    expect(make).toThrow("room");
  });
});

describe("the order of loads", () => {
  /** Atomic loads (FE 10, aligned to 4) in the translation of two loads of one address. */
  function atomicLoads(ordered: boolean): number {
    const machine = machineOf({ threshold: 100 });
    machine.set({ rsi: BigInt(DATA) });
    machine.run(assemble("mov eax, [esi]; mov ebx, [esi]", 32));
    const module = new ModuleBuilder();
    const code = module.define("", BLOCK_TYPE);
    const reader = new BlockReader(new Uint32Array(machine.memory.buffer), opcodeMap().cases);
    const entry = machine.zone + ZONE.records + RECORD.size;
    expect(reader.caseOf(entry)).toBe(MICRO.entry);
    reader.translate(entry, code, new ModuleImports(module), ordered);
    return Buffer.from(code.encode().view()).toString("hex").split("fe1002").length - 1;
  }

  it("is kept by loading each TLB addend atomically, unless told otherwise", () => {
    expect(DEFAULT_TRANSLATION.ordered).toBe(true);
    expect([atomicLoads(true), atomicLoads(false)]).toEqual([2, 0]);
  });
});

describe("what a translation leaves behind", () => {
  it("registers and RIP are exact when a device access is given up in mid-block", () => {
    const machine = machineOf({});
    const address = 0xe000_0000;
    machine.set({ rbx: BigInt(address), rax: 0n });
    let seen: bigint[] = [];
    machine.mmioRead = () => {
      const { rax, rcx, rip } = machine.regs;
      seen = [rax, rcx, rip];
      throw new Error("given up");
    };
    const code = assemble("mov ecx, 7; add eax, 5; mov edx, [ebx]; add eax, edx; mov [0x300000], eax", 32);
    expect(() => machine.run(code)).toThrow("given up");
    expect(seen.slice(0, 2)).toEqual([5n, 7n]);
    expect([machine.regs.rax, machine.regs.rip]).toEqual([5n, BigInt(CODE + 8)]);
    machine.mmioRead = () => 0x10n;
    expect(machine.engine.run()).toBe(EngineExit.HLT);
    expect(machine.u32(DATA)).toBe(0x15);
  });

  it("a long string instruction is left between iterations, and goes on where it was", () => {
    const machine = machineOf({});
    machine.pend();
    machine.set({ rdi: BigInt(DATA), rcx: 20n, rax: 0xabn });
    machine.write(CODE, assemble("nop; rep stosb; inc edi; hlt", 32));
    machine.set({ rip: BigInt(CODE) });
    const counts: bigint[] = [];
    while (machine.engine.run() === EngineExit.INTR) {
      counts.push(machine.regs.rcx);
      expect(machine.regs.rip).toBe(BigInt(CODE + 1));
    }
    expect(counts).toEqual(Array.from({ length: 19 }, (_, i) => BigInt(19 - i)));
    expect(machine.regs.rdi).toBe(BigInt(DATA + 21));
  });
});
