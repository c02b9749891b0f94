/**
 * Words of the state in locals: loaded before they are needed, written back in time, read again after a call.
 * Document: kvm-core/emit/state-words.ts.
 * Left out: whole instructions: test/kvm-core/engine/stages.test.ts.
 */

import { beforeEach, describe, expect, it } from "vitest";
import { StateWords } from "../../../kvm-core/emit/state-words.ts";
import type { Code } from "../../../kvm-core/wasm/code.ts";
import { type Expr, i32, i64 } from "../../../kvm-core/wasm/expr.ts";
import { ModuleBuilder } from "../../../kvm-core/wasm/module.ts";

const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
const words64 = new BigUint64Array(memory.buffer);
const [A, B, C] = [0, 8, 16] as const;
/** What the imported function does to memory. */
let act = (): void => {};

beforeEach(() => {
  words64.set([1n, 2n, 3n]);
  act = () => {};
});

/** Builds ($cpu, $n) and runs it with $cpu = 0; `write` gets a statement that calls act(). */
function run(n: number, write: (code: Code, words: StateWords, call: () => void, n: Expr) => void): void {
  const module = new ModuleBuilder();
  module.importMemory("e", "m", 1);
  const code = module.define("f", { params: ["i32", "i32"], results: [] });
  const words = new StateWords(code, code.param(0));
  write(code, words, () => code.call(module.import("e", "act", { params: [], results: [] }), []), code.param(1));
  words.end();
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.encode()), {
    e: { m: memory, act: () => act() },
  });
  (instance.exports["f"] as (cpu: number, n: number) => void)(0, n);
}
const state = (): bigint[] => [...words64.subarray(0, 3)];
const inc = (words: StateWords, offset: number, from = offset): void =>
  words.write(offset, i64.add(words.read(from), i64.const(1)));

describe("words of the state", () => {
  it("are written back by spill(), and not before", () => {
    let seen: bigint[] = [];
    act = () => {
      seen = state();
    };
    run(0, (_code, words, call) => {
      inc(words, A, B);
      call();
      words.spill();
    });
    expect(seen).toEqual([1n, 2n, 3n]);
    expect(state()).toEqual([3n, 2n, 3n]);
  });

  it.each([0, 1])("that are first written in a branch are right whether it is taken: %i", (n) => {
    run(n, (code, words, _call, condition) => {
      words.nested(() => code.if(condition, () => words.write(A, i64.const(9))));
      inc(words, B, A);
      words.spill();
    });
    expect(state()).toEqual(n ? [9n, 10n, 3n] : [1n, 2n, 3n]);
  });

  it("stay to be written back when only a branch did it", () => {
    run(0, (code, words, _call, condition) => {
      inc(words, A);
      words.nested(() => code.if(condition, () => words.spill()));
      words.spill();
    });
    expect(state()).toEqual([2n, 2n, 3n]);
  });

  it("are read again after a call, those too that an expression of the instruction names", () => {
    act = () => words64.set([10n, 20n, 30n]);
    run(0, (_code, words, call) => {
      const a = words.read(A);
      words.spill();
      call();
      words.clobbered();
      words.write(C, i64.add(a, words.read(B)));
      words.spill();
    });
    expect(state()).toEqual([10n, 20n, 30n]);
  });

  it.each([0, 1])("are right after a call in a branch, in the instruction and behind it; taken: %i", (n) => {
    act = () => words64.set([10n, 20n, 30n]);
    run(n, (code, words, call, condition) => {
      inc(words, A);
      words.nested(() =>
        code.if(condition, () => {
          words.spill();
          call();
          words.clobbered();
        }),
      );
      inc(words, B);
      inc(words, A);
      words.begin();
      words.write(C, i64.add(words.read(A), words.read(B)));
      words.spill();
    });
    expect(state()).toEqual(n ? [11n, 21n, 32n] : [3n, 3n, 6n]);
  });

  it("keep their values over the turns of a loop", () => {
    run(5, (code, words, _call, n) => {
      words.nested(() =>
        code.loop((head) => {
          inc(words, A);
          code.set(n, i32.sub(n, i32.const(1)));
          code.brIf(head, n);
        }),
      );
      words.spill();
    });
    expect(state()).toEqual([6n, 2n, 3n]);
  });
});
