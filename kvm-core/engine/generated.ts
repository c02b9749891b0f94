/**
 * Generated functions that instructions call by name: put together here, defined in the interpreter's module, imported by
 * translations.
 * Document: architecture.md section 5 (law 3: long or rare work is one call).
 * Left out: the functions, which stand in files of their families; miss() and storeMiss(), which accesses call.
 */

import { BIT_FUNCTION_TYPES, defineBitFunctions } from "../emit/bit-functions.ts";
import { defineStringFunctions, STRING_FUNCTION_TYPES } from "../emit/string-functions.ts";
import { defineFloat } from "../float/define.ts";
import { FLOAT_FUNCTIONS } from "../float/functions.ts";
import { defineSse, SSE_TYPES } from "../sse/functions.ts";
import { defineVector, VECTOR_FUNCTIONS } from "../vector/functions.ts";
import type { FuncType, ModuleBuilder } from "../wasm/module.ts";
import { defineX87 } from "../x87/define.ts";
import { X87_FUNCTIONS } from "../x87/functions.ts";

/** By name; the first parameter of each is $cpu. */
export const GENERATED_TYPES: Readonly<Record<string, FuncType>> = {
  ...BIT_FUNCTION_TYPES,
  ...STRING_FUNCTION_TYPES,
  ...FLOAT_FUNCTIONS,
  ...SSE_TYPES,
  ...X87_FUNCTIONS,
  ...VECTOR_FUNCTIONS,
};

/** Defines and exports all of them; returns their indices. */
export function defineGenerated(module: ModuleBuilder): Readonly<Record<string, number>> {
  const float = defineFloat(module);
  return {
    ...defineBitFunctions(module),
    ...defineStringFunctions(module),
    ...float,
    ...defineSse(module, float),
    ...defineX87(module, float),
    ...defineVector(module),
  };
}

/** What a translation imports of an interpreter's instance. */
export function exportsForBlocks(exports: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const names = ["miss", "storeMiss", ...Object.keys(GENERATED_TYPES)];
  return Object.fromEntries(names.map((name) => [name, exports[name]]));
}
