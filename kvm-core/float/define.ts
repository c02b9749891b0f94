/**
 * Defines all generated floating-point functions in a module.
 * Document: functions.ts.
 * Left out: nothing.
 */

import type { Code } from "../wasm/code.ts";
import { i32 } from "../wasm/expr.ts";
import type { ModuleBuilder } from "../wasm/module.ts";
import { addition } from "./add.ts";
import { DIVISION } from "./divide.ts";
import { F32, F64 } from "./format.ts";
import { FLOAT_FUNCTIONS, type FloatFunction, RELATION } from "./functions.ts";
import { MULTIPLICATION } from "./multiply.ts";
import { SQUARE_ROOT } from "./sqrt.ts";
import { emitCompare, emitExtreme } from "./sse-compare.ts";
import { emitFromInteger, emitRound, emitToFormat, emitToInteger } from "./sse-convert.ts";
import { defineSseParts, type SseParts, SseTarget } from "./sse-target.ts";
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

/** Functions of one SSE format that are not arithmetic. */
function sseBodies(parts: SseParts, other: SseParts): Record<string, Emit> {
  const [name, to] = [parts.format.name, other.format.name.toUpperCase()];
  const sse = (code: Code): SseTarget => new SseTarget(code, parts);
  const relation = (code: Code): SseTarget => new SseTarget(code, parts, i32.const(RELATION.unordered));
  return {
    [`${name}Min`]: (code) => emitExtreme(sse(code), false),
    [`${name}Max`]: (code) => emitExtreme(sse(code), true),
    [`${name}Compare`]: (code) => emitCompare(relation(code), false),
    [`${name}CompareQuiet`]: (code) => emitCompare(relation(code), true),
    [`${name}Round`]: (code) => emitRound(sse(code)),
    [`${name}To${to}`]: (code) => emitToFormat(sse(code), other),
    [`${name}ToI32`]: (code) => emitToInteger(sse(code), 32, false),
    [`${name}ToI64`]: (code) => emitToInteger(sse(code), 64, false),
    [`${name}ToI32Truncate`]: (code) => emitToInteger(sse(code), 32, true),
    [`${name}ToI64Truncate`]: (code) => emitToInteger(sse(code), 64, true),
    [`${name}FromI32`]: (code) => emitFromInteger(sse(code), 32),
    [`${name}FromI64`]: (code) => emitFromInteger(sse(code), 64),
  };
}

/** Defines and exports them; returns their function indices. */
export function defineFloat(module: ModuleBuilder): Record<FloatFunction, number> {
  const bodies: Partial<Record<string, Emit>> = {};
  const single = defineSseParts(module, F32);
  const double = defineSseParts(module, F64);
  const x87 = defineX87Parts(module);
  for (const [own, other] of [
    [single, double],
    [double, single],
  ] as const) {
    Object.assign(bodies, sseBodies(own, other));
  }
  for (const [name, [operation, operands]] of Object.entries(ARITHMETIC)) {
    for (const parts of [single, double]) {
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
