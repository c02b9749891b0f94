/**
 * What the `ordered` mode of a stage is for: V8's optimiser folds two plain loads of one guest address in a function, though
 * another thread wrote in between, unless each loads the addend of its TLB entry atomically.
 * Document: architecture.md section 5 (memory ordering); SDM volume 3, 9.2.2 (loads are not reordered with other loads).
 * Left out: translated blocks, whose slow arms call and come back: that alone keeps V8 from folding today, and litmus.test.ts
 * watches it. Here a miss leaves the function, as in a stage that does not come back.
 */

import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { CPU } from "../../../kvm-core/cpu/state.ts";
import { MEMORY_PAGES, TLB } from "../../../kvm-core/cpu/zones.ts";
import { type AccessStage, load } from "../../../kvm-core/emit/memory-access.ts";
import { i32, i64 } from "../../../kvm-core/wasm/expr.ts";
import { ModuleBuilder } from "../../../kvm-core/wasm/module.ts";

const STATE = 0x1_0000;
const TABLE = 0x2_0000;
const WORD = 0x3_0040;
const OTHER = 0x3_0080;
/** Another thread counts the word up until the one behind it is set. */
const WRITER = `const { workerData } = require("node:worker_threads");
const words = new Int32Array(workerData.buffer);
while (Atomics.load(words, ${WORD / 4 + 1}) === 0) for (let i = 0; i < 1000; i++) words[${WORD / 4}]++;`;

type Reader = (rounds: number) => number;

/** A function that reads the word, another one, and the word again; it returns how often the word had changed. */
function reader(memory: WebAssembly.Memory, ordered: boolean): Reader {
  const module = new ModuleBuilder();
  module.importMemory("e", "memory", MEMORY_PAGES);
  const code = module.define("read", { params: ["i32"], results: ["i32"] });
  const rounds = code.param(0);
  const changed = code.local("i32");
  const stage: AccessStage = {
    code,
    cpu: i32.const(STATE),
    ip: i32.const(0),
    imports: { miss: 0, storeMiss: 0, lockedStore: 0 },
    ordered,
    call: () => code.unreachable(),
    resumeIf: () => {},
    restartIf: () => {},
    storedSlowly: () => {},
  };
  code.loop((head) => {
    const first = load(stage, i64.const(WORD), 32);
    const other = load(stage, i64.const(OTHER), 32);
    const second = load(stage, i64.const(WORD), 32);
    code.set(changed, i32.add(changed, i64.ne(first, second)));
    code.store("i64", i32.const(STATE), other, CPU.mmioData);
    code.set(rounds, i32.sub(rounds, i32.const(1)));
    code.brIf(head, rounds);
  });
  code.return(changed);
  code.unreachable();
  return new WebAssembly.Instance(new WebAssembly.Module(module.encode()), { e: { memory } }).exports["read"] as Reader;
}

/** How often the word was seen to change in five million rounds, once V8 has optimised the function. */
async function changes(ordered: boolean): Promise<number> {
  const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES, shared: true });
  const view = new DataView(memory.buffer);
  view.setUint32(STATE + CPU.tlbBase, TABLE, true);
  // The page maps onto itself: its addend is 0.
  view.setBigUint64(TABLE + (WORD >>> 12) * TLB.entrySize + TLB.tag, BigInt(WORD & ~0xfff), true);
  const writer = new Worker(WRITER, { eval: true, workerData: memory });
  const ended = new Promise((resolve) => writer.on("exit", resolve));
  await new Promise((resolve) => writer.on("online", resolve));
  const read = reader(memory, ordered);
  // V8 does not replace a running function, and compiles in the background: so it is entered again and again.
  for (let i = 0; i < 200; i++) {
    read(100_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const seen = read(5_000_000);
  Atomics.store(new Int32Array(memory.buffer), WORD / 4 + 1, 1);
  await ended;
  return seen;
}

describe("two loads of one address in a function", () => {
  it("are both made in the ordered mode", async () => {
    let seen = 0;
    for (let attempt = 0; attempt < 10 && seen === 0; attempt++) seen = await changes(true);
    expect(seen).toBeGreaterThan(0);
  });

  it("are folded without it, which is why it is always in force", async () => {
    expect(await changes(false)).toBe(0);
  });
});
