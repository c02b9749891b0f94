/**
 * Generated functions on vectors that are too long to stand in every case that needs them: AES, SHA, carry-less products and
 * string comparisons.
 * Document: the files beside this one, each with its own.
 * Left out: arithmetic that WebAssembly has an operation for: it stands in the descriptions.
 */

import type { Code } from "../wasm/code.ts";
import type { Expr } from "../wasm/expr.ts";
import type { FuncType, ModuleBuilder } from "../wasm/module.ts";
import { AES } from "./aes.ts";
import { CARRYLESS } from "./carryless.ts";
import { SHA } from "./sha.ts";
import { STRING_COMPARE } from "./string-compare.ts";

/** `emit` gives the result; the parameters are those of `code`, $cpu first. */
export interface VectorFunction {
  readonly type: FuncType;
  readonly emit: (code: Code) => Expr;
}

const FUNCTIONS: Readonly<Record<string, VectorFunction>> = { ...AES, ...CARRYLESS, ...SHA, ...STRING_COMPARE };

export const VECTOR_FUNCTIONS: Readonly<Record<string, FuncType>> = Object.fromEntries(
  Object.entries(FUNCTIONS).map(([name, { type }]) => [name, type]),
);

/** Defines and exports them; returns their function indices. */
export function defineVector(module: ModuleBuilder): Record<string, number> {
  const entries = Object.entries(FUNCTIONS).map(([name, { type, emit }]) => {
    const code = module.define(name, type);
    code.return(emit(code));
    code.unreachable();
    return [name, module.indexOf(code)] as const;
  });
  return Object.fromEntries(entries);
}
