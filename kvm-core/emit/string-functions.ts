/**
 * Generated functions of string instructions: runs of bytes within a page.
 * Document: SDM volume 1, 7.3.9.3 (fast-string operation).
 * Left out: when a run may be taken: isa/insn/string.ts.
 */

import type { Code } from "../wasm/code.ts";
import { i32, i64 } from "../wasm/expr.ts";
import type { FuncType, ModuleBuilder } from "../wasm/module.ts";

/** By name; the first parameter of each is $cpu. Addresses are of linear memory. */
export const STRING_FUNCTION_TYPES: Readonly<Record<string, FuncType>> = {
  /** (to, from, bytes) */
  copyRun: { params: ["i32", "i32", "i32", "i32"], results: [] },
  /** (to, pattern of eight bytes, bytes) */
  fillRun: { params: ["i32", "i32", "i64", "i32"], results: [] },
};

const BODIES: Readonly<Record<string, (code: Code) => void>> = {
  copyRun: (code) => code.memoryCopy(code.param(1), code.param(2), code.param(3)),
  fillRun(code) {
    const [to, pattern, bytes] = [code.param(1), code.param(2), code.param(3)];
    const end = code.let(i32.add(to, bytes));
    code.if(
      i64.eq(i64.rotl(pattern, i64.const(8)), pattern),
      () => code.memoryFill(to, i64.toI32(pattern), bytes),
      () => {
        const at = code.let(to);
        const last = code.let(i32.sub(end, i32.const(8)));
        // The last eight bytes end the run, however many are left for them: the pattern turned by what they repeat.
        code.loop((head) => {
          code.store("i64", at, pattern);
          code.set(at, i32.add(at, i32.const(8)));
          code.brIf(head, i32.leu(at, last));
        });
        const turned = i64.rotl(pattern, i64.shl(i32.toI64u(i32.and(i32.sub(at, end), i32.const(7))), i64.const(3)));
        code.store("i64", last, turned);
      },
    );
  },
};

/** Defines and exports them; returns their indices. */
export function defineStringFunctions(module: ModuleBuilder): Record<string, number> {
  const indices: Record<string, number> = {};
  for (const [name, type] of Object.entries(STRING_FUNCTION_TYPES)) {
    const code = module.define(name, type);
    BODIES[name]!(code);
    indices[name] = module.indexOf(code);
  }
  return indices;
}
