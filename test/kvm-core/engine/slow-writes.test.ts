/**
 * Writes that somebody must hear of: to pages with decoded code, to logged ones, to read-only ones; by programs and by walks.
 * Document: architecture.md section 3 (flags of guest-physical pages); kvm-core/mmu/memory.ts.
 * Left out: what they do when they hear of it: code.test.ts.
 */

import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { GPA_CODE, GPA_LOGGED, GPA_PRESENT, GPA_TABLE, GUEST_RAM } from "../../../kvm-core/cpu/zones.ts";
import { EngineExit } from "../../../kvm-core/engine/engine.ts";
import { InterpEngine } from "../../../kvm-core/engine/interp.ts";
import { compileInterpreter } from "../../../kvm-core/engine/interpreter.ts";
import { assemble } from "../support/asm.ts";
import { ENGINES, TestMachine } from "../support/machine.ts";

const PAGE = 0x30_0000;
const flagsOf = (machine: TestMachine, gpa: number): number =>
  machine.view.getUint32(GPA_TABLE + (gpa >>> 12) * 4, true) & 0xfff;

/** An engine that writes down what it is told. */
class Listener extends InterpEngine {
  readonly told: string[] = [];

  protected override pageWritten(gpa: number, size: number, flags: number): void {
    this.told.push(`${gpa.toString(16)} ${size} ${flags & ~GPA_PRESENT}`);
  }
}

describe("pageWritten", () => {
  const module = compileInterpreter();
  it.each([
    [GPA_LOGGED, "mov [0x300010], eax", ["300010 4 8"]],
    [GPA_CODE, "mov [0x300010], al", ["300010 1 4"]],
    [GPA_CODE | GPA_LOGGED, "add word ptr [0x300010], 1", ["300010 2 12"]],
    [GPA_LOGGED, "mov [0x300ffe], eax", ["300ffe 2 8", "301000 2 8"]],
    [GPA_LOGGED, "mov [0x300ffd], eax; mov [0x300020], eax", ["300ffd 3 8", "301000 1 8", "300020 4 8"]],
    [GPA_LOGGED, "mov edi, 0x300000; mov ecx, 2; rep stosd", ["300000 4 8", "300004 4 8"]],
    [GPA_LOGGED, "mov eax, [0x300010]; cmp eax, [0x300ffe]", []],
    [0, "mov [0x300010], eax", []],
  ] as const)("flags %i: %s", (flags, code, told) => {
    const machine = new TestMachine("interp", 32, 8 << 20);
    for (const gpa of [PAGE, PAGE + 0x1000]) machine.mapPage(gpa, GUEST_RAM + gpa, GPA_PRESENT | flags);
    const listener = new Listener(module, machine.memory, machine.zone, machine.host);
    machine.write(0x10_0000, [...assemble(code, 32), 0xf4]);
    machine.set({ rip: 0x10_0000n });
    expect(listener.run()).toBe(EngineExit.HLT);
    expect(listener.told).toEqual(told);
  });

  it("hears of accessed and dirty flags in paging structures", () => {
    const machine = new TestMachine("interp", 64, 8 << 20);
    const listener = new Listener(module, machine.memory, machine.zone, machine.host);
    machine.write(0x10_0000, [...assemble("mov [0x300010], eax", 64), 0xf4]);
    machine.set({ rip: 0x10_0000n });
    machine.mapPage(0x3000, GUEST_RAM + 0x3000, GPA_PRESENT | GPA_LOGGED);
    expect(listener.run()).toBe(EngineExit.HLT);
    // The entries of the code's 2 MiB page and of the data's.
    expect(listener.told).toEqual(["3000 8 8", "3008 8 8"]);
  });
});

describe.each(ENGINES)("%s", (engine) => {
  it.each([
    ["eax", "ebx", 12, "Int32Array", 2],
    ["rax", "rbx", 8, "BigInt64Array", 3],
  ] as const)("writes %s and %s to a logged page in one piece each", async (a, b, offset, words, shift) => {
    const machine = new TestMachine(engine, 64, 8 << 20);
    machine.mapPage(PAGE, GUEST_RAM + PAGE, GPA_PRESENT | GPA_LOGGED);
    const source = `
      const { workerData, parentPort } = require("node:worker_threads");
      const words = new ${words}(workerData.memory.buffer);
      const flag = new Int32Array(workerData.memory.buffer);
      const seen = new Set();
      Atomics.store(flag, workerData.go >> 2, 1);
      while (Atomics.load(flag, workerData.go >> 2) === 1) seen.add(Atomics.load(words, workerData.at >>> ${shift}));
      parentPort.postMessage([...seen].map(BigInt));
    `;
    const [at, go] = [GUEST_RAM + PAGE + offset, GUEST_RAM + 0x40_0000];
    const worker = new Worker(source, { eval: true, workerData: { memory: machine.memory, at, go } });
    const seen = new Promise<readonly bigint[]>((resolve, reject) => {
      worker.on("message", resolve);
      worker.on("error", reject);
    });
    const flag = new Int32Array(machine.memory.buffer);
    while (Atomics.load(flag, go >> 2) === 0) await new Promise((resolve) => setImmediate(resolve));
    machine.set({ rsi: BigInt(PAGE + offset), rax: 0n, rbx: -1n, rcx: 20_000n });
    expect(machine.run(assemble(`1: mov [rsi], ${a}; mov [rsi], ${b}; dec ecx; jnz 1b`, 64))).toBe(EngineExit.HLT);
    Atomics.store(flag, go >> 2, 2);
    for (const value of await seen) expect([0n, -1n]).toContain(value);
    await worker.terminate();
  });

  it("marks pages with decoded code, and forgets the mark at the second write without a decode in between", () => {
    const machine = new TestMachine(engine, 32, 8 << 20);
    machine.run(assemble("mov eax, 1", 32), PAGE);
    const marked = engine === "interp" ? 0 : GPA_CODE;
    expect(flagsOf(machine, PAGE) & GPA_CODE).toBe(marked);
    // Far from the code: it stays.
    machine.run(assemble(`mov dword ptr [${PAGE + 0x800}], 1`, 32));
    expect(flagsOf(machine, PAGE) & GPA_CODE).toBe(marked);
    const overwrite = assemble(`mov dword ptr [${PAGE}], 0xf4f4f4f4`, 32);
    for (let times = 0; times < 2; times++) {
      machine.run(overwrite, 0x10_1000);
      expect(flagsOf(machine, PAGE) & GPA_CODE).toBe(marked);
      // Decoded again: the next write is a first one.
      machine.set({ rip: BigInt(PAGE) });
      expect(machine.engine.run()).toBe(EngineExit.HLT);
    }
    machine.run(overwrite, 0x10_1000);
    expect(flagsOf(machine, PAGE) & GPA_CODE).toBe(marked);
    machine.run(overwrite, 0x10_1000);
    expect(flagsOf(machine, PAGE) & GPA_CODE).toBe(0);
  });
});
