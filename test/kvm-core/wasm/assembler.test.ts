/**
 * The WebAssembly assembler: encodings, folding, structured control, and modules that run.
 * Document: WebAssembly core specification, 5.2 and 5.4.
 * Left out: text output.
 */

import { describe, expect, it } from "vitest";
import { Bytes } from "../../../kvm-core/wasm/bytes.ts";
import type { Code } from "../../../kvm-core/wasm/code.ts";
import { f64, i32, i64, local, select } from "../../../kvm-core/wasm/expr.ts";
import { type FuncType, ModuleBuilder } from "../../../kvm-core/wasm/module.ts";

const bytesOf = (write: (b: Bytes) => void): number[] => {
  const b = new Bytes();
  write(b);
  return [...b.view()];
};

function build(type: FuncType, write: (code: Code) => void): (...args: never[]) => unknown {
  const module = new ModuleBuilder();
  module.importMemory("e", "m", 1);
  write(module.define("f", type));
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.encode()), { e: { m: memory } });
  return instance.exports["f"] as (...args: never[]) => unknown;
}

const UNARY: FuncType = { params: ["i32"], results: ["i32"] };

describe("LEB128", () => {
  it.each([
    [0, [0]],
    [127, [0x7f]],
    [128, [0x80, 1]],
    [624485, [0xe5, 0x8e, 0x26]],
    [0xffff_ffff, [0xff, 0xff, 0xff, 0xff, 0x0f]],
  ])("unsigned %i", (value, expected) => expect(bytesOf((b) => b.unsigned(value))).toEqual(expected));

  it.each([
    [0, [0]],
    [-1, [0x7f]],
    [63, [0x3f]],
    [64, [0xc0, 0]],
    [-123456, [0xc0, 0xbb, 0x78]],
    [-(1n << 63n), [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f]],
  ])("signed %s", (value, expected) => expect(bytesOf((b) => b.signed(value))).toEqual(expected));
});

describe("expressions", () => {
  it("folds constants, and operations that do nothing", () => {
    const x = local("i64", 0);
    expect(i64.add(x, i64.const(0))).toBe(x);
    expect(i64.shl(x, i64.const(0))).toBe(x);
    expect(i64.and(i64.const(-1), i64.const(0xffn))).toMatchObject({ kind: "const", value: 0xffn });
    expect(i32.sub(i32.const(0), i32.const(1))).toMatchObject({ kind: "const", value: -1 });
  });

  it("refuses operands of another type", () => {
    expect(() => i64.add(i64.const(1), i32.const(1))).toThrow("i64.add of i64 and i32");
  });
});

describe("modules", () => {
  it("runs a loop with structured control", () => {
    const sum = build(UNARY, (code) => {
      const n = code.param(0);
      const total = code.local("i32");
      code.block((end) => {
        code.loop((head) => {
          code.brIf(end, i32.eqz(n));
          code.set(total, i32.add(total, n));
          code.set(n, i32.sub(n, i32.const(1)));
          code.br(head);
        });
      });
      code.return(total);
      code.unreachable();
    });
    expect(sum(10 as never)).toBe(55);
  });

  it("dispatches a switch, whose last arm is the default", () => {
    const pick = build(UNARY, (code) => {
      const arms = [7, 8, 9].map((value) => () => code.return(i32.const(value)));
      code.switch(code.param(0), arms);
      code.unreachable();
    });
    expect([0, 1, 2, 99].map((n) => pick(n as never))).toEqual([7, 8, 9, 9]);
  });

  it("reuses locals of scopes that ended", () => {
    const module = new ModuleBuilder();
    const code = module.define("f", UNARY);
    const indices: unknown[] = [];
    for (let i = 0; i < 3; i++) code.scope(() => indices.push(code.local("i64").value));
    expect(new Set(indices).size).toBe(1);
  });

  it("stores, loads, selects and converts", () => {
    const f = build(UNARY, (code) => {
      code.store("i64", i32.const(16), i64.const(-2n), 8);
      const loaded = i64.toI32(i64.load32s(i32.const(24)));
      code.return(select(code.param(0), loaded, i64.toI32(f64.bits(f64.const(1.5)))));
      code.unreachable();
    });
    expect(f(1 as never)).toBe(-2);
    expect(f(0 as never)).toBe(0);
  });

  it("takes numbers above 2^31 as they are in an i64", () => {
    const high = build(UNARY, (code) => {
      code.return(i64.toI32(i64.shru(i64.add(i64.const(0xffff_ffff), i32.toI64u(code.param(0))), i64.const(32))));
      code.unreachable();
    });
    expect([0, 1].map((n) => high(n as never))).toEqual([0, 1]);
  });

  it.each(["i32", "i64", "i64as8", "i64as16", "i64as32"] as const)("compares and exchanges, %s", (kind) => {
    const type = kind === "i32" ? "i32" : "i64";
    const ops = type === "i32" ? i32 : i64;
    // Expects the parameter, writes 9; returns what was there, and what is there now shifted up.
    const f = build(UNARY, (code) => {
      const found = code.local(type);
      const expected = type === "i32" ? code.param(0) : i32.toI64u(code.param(0));
      code.compareExchange(kind, i32.const(64), expected, ops.const(9), found);
      const now = i32.load(i32.const(64));
      code.return(i32.or(type === "i32" ? found : i64.toI32(found), i32.shl(now, i32.const(8))));
      code.unreachable();
    });
    expect([5, 0, 9, 0].map((n) => f(n as never))).toEqual([0x000, 0x900, 0x909, 0x909]);
  });

  it("calls its own functions, and reads imported globals", () => {
    const module = new ModuleBuilder();
    const base = module.importGlobal("e", "base", "i32");
    const inner = module.define("inner", UNARY);
    inner.return(i32.add(inner.param(0), base));
    inner.unreachable();
    const outer = module.define("outer", UNARY);
    const result = outer.local("i32");
    outer.call(module.indexOf(inner), [i32.const(1)], result);
    outer.return(i32.mul(result, outer.param(0)));
    outer.unreachable();
    const instance = new WebAssembly.Instance(new WebAssembly.Module(module.encode()), { e: { base: 20 } });
    expect((instance.exports["outer"] as (n: number) => number)(2)).toBe(42);
  });

  it("stores and adds atomically, and knows what was there before", () => {
    const f = build({ params: ["i32"], results: ["f64"] }, (code) => {
      const before = code.local("i32");
      code.atomicStore(i32.const(64), code.param(0), 16);
      code.atomicAdd(i32.const(0), i32.const(-1), before, 80);
      const after = i32.atomicLoad(i32.const(72), 8);
      code.return(f64.add(i32.toF64u(before), f64.mul(f64.const(0.5), i32.toF64u(after))));
      code.unreachable();
    });
    expect(f(7 as never)).toBe(10);
    expect(f(-1 as never)).toBe(0xffff_ffff + 0xffff_fffe / 2);
  });

  it("wants no import once somebody knows the index of a function", () => {
    const module = new ModuleBuilder();
    const code = module.define("f", UNARY);
    module.import("e", "g", UNARY);
    expect(module.indexOf(code)).toBe(1);
    expect(() => module.import("e", "h", UNARY)).toThrow("would move the functions");
  });

  it("puts functions into a table, where another module calls them", () => {
    const table = new WebAssembly.Table({ element: "anyfunc", initial: 4 });
    const double = (n: unknown) => (n as number) * 2;
    const callee = new ModuleBuilder();
    callee.importTable("e", "t", 4);
    callee.fillTable(2);
    for (const extra of [5, 6]) {
      const code = callee.define("", UNARY);
      const result = code.local("i32");
      code.call(callee.import("e", "double", UNARY), [code.param(0)], result);
      code.return(i32.add(result, i32.const(extra)));
    }
    const caller = new ModuleBuilder();
    caller.importTable("e", "t", 0);
    const code = caller.define("f", { params: ["i32", "i32"], results: ["i32"] });
    const result = code.local("i32");
    code.callIndirect(caller.type(UNARY), code.param(0), [code.param(1)], result);
    code.return(result);
    const [a, b] = [callee, caller].map((module) => {
      return new WebAssembly.Instance(new WebAssembly.Module(module.encode()), { e: { t: table, double } });
    });
    expect(Object.keys(a!.exports)).toEqual([]);
    const f = b!.exports["f"] as (slot: number, n: number) => number;
    expect([f(2, 10), f(3, 10)]).toEqual([25, 26]);
    table.set(2, null);
    expect(() => f(2, 10)).toThrow(WebAssembly.RuntimeError);
  });

  it("inserts statements before others, with locals that no scope ends", () => {
    const f = build(UNARY, (code) => {
      const start = code.position;
      let kept = code.param(0);
      code.scope(() => {
        kept = code.fixed("i32");
        code.set(kept, i32.add(kept, i32.const(1)));
      });
      code.scope(() => code.set(code.local("i32"), i32.const(7)));
      code.insert(start, () => code.set(kept, i32.mul(code.param(0), i32.const(100))));
      code.return(kept);
    });
    expect(f(3 as never)).toBe(301);
  });
});
