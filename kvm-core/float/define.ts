/**
 * Defines all generated floating-point functions in a module.
 * Document: functions.ts.
 * Left out: nothing.
 */

import type { Code } from "../wasm/code.ts";
import type { ModuleBuilder } from "../wasm/module.ts";
import { addition } from "./add.ts";
import { DIVISION } from "./divide.ts";
import { F32, F64 } from "./format.ts";
import { FLOAT_FUNCTIONS, type FloatFunction } from "./functions.ts";
import { MULTIPLICATION } from "./multiply.ts";
import { SQUARE_ROOT } from "./sqrt.ts";
import { defineSseParts, SseTarget } from "./sse-target.ts";
import type { Operation } from "./target.ts";
import { defineX87Parts, X87Target } from "./x87-target.ts";

/** Fills the body of a function. */
type Emit = (code: Code) => void;

/** Operations that exist in every flavour, and the number of their operands. */
const ARITHMETIC = {
  Add: [addition(false), 2],
  Sub: [addition(true), 2],
  Mul: [MULTIPLICATION, 2],
  Div: [DIVISION, 2],
  Sqrt: [SQUARE_ROOT, 1],
} as const satisfies Readonly<Record<string, readonly [Operation, number]>>;

/** Defines and exports them; returns their function indices. */
export function defineFloat(module: ModuleBuilder): Record<FloatFunction, number> {
  const bodies: Partial<Record<string, Emit>> = {};
  const f32 = defineSseParts(module, F32);
  const f64 = defineSseParts(module, F64);
  const x87 = defineX87Parts(module);
  for (const [name, [operation, operands]] of Object.entries(ARITHMETIC)) {
    for (const parts of [f32, f64]) {
      bodies[parts.format.name + name] = (code) => new SseTarget(code, parts).arithmetic(operation, operands);
    }
    bodies[`x87${name}`] = (code) => new X87Target(code, x87, true).arithmetic(operation, operands);
  }
  const entries = Object.entries(FLOAT_FUNCTIONS).map(([name, type]) => {
    const code = module.define(name, type);
    bodies[name]?.(code);
    code.unreachable();
    return [name, module.indexOf(code)] as const;
  });
  return Object.fromEntries(entries) as Record<FloatFunction, number>;
}
