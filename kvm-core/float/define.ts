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
import { definePack, UNDER_FCW } from "./round.ts";
import { SQUARE_ROOT } from "./sqrt.ts";
import { emitCompare, emitExtreme } from "./sse-compare.ts";
import { emitFromInteger, emitRound, emitToFormat, emitToInteger } from "./sse-convert.ts";
import { defineSseParts, type SseParts, SseTarget } from "./sse-target.ts";
import type { Operation } from "./target.ts";
import { emitLoadBcd, emitStoreBcd } from "./x87-bcd.ts";
import { emitExamine, emitX87Compare } from "./x87-compare.ts";
import { emitStoreInteger, ROUND } from "./x87-integral.ts";
import { emitLoad, emitLoadInteger } from "./x87-load.ts";
import { remainder } from "./x87-remainder.ts";
import { emitExtract, SCALE } from "./x87-scale.ts";
import { emitStore } from "./x87-store.ts";
import { defineX87Parts, type X87Parts, X87Target } from "./x87-target.ts";

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

/** x87 functions that are not arithmetic in every flavour. */
function x87Bodies(parts: X87Parts, module: ModuleBuilder): Record<string, Emit> {
  const x87 = (code: Code): X87Target => new X87Target(code, parts);
  const operation =
    (what: Operation, operands: number): Emit =>
    (code) =>
      x87(code).arithmetic(what, operands);
  const bodies: Record<string, Emit> = {
    x87Round: operation(ROUND, 1),
    x87Scale: operation(SCALE, 2),
    x87Extract: (code) => emitExtract(x87(code)),
    x87Remainder: operation(remainder(false), 2),
    x87RemainderNearest: operation(remainder(true), 2),
    x87Compare: (code) => emitX87Compare(x87(code), false),
    x87CompareQuiet: (code) => emitX87Compare(x87(code), true),
    x87Examine: (code) => emitExamine(x87(code)),
    x87FromI64: (code) => emitLoadInteger(x87(code)),
    x87FromBcd: (code) => emitLoadBcd(x87(code)),
    x87ToBcd: (code) => emitStoreBcd(x87(code)),
  };
  for (const format of [F32, F64]) {
    const name = format.name.toUpperCase();
    const pack = definePack(module, format, UNDER_FCW);
    bodies[`x87From${name}`] = (code) => emitLoad(x87(code), format, false);
    bodies[`x87Widen${name}`] = (code) => emitLoad(x87(code), format, true);
    bodies[`x87To${name}`] = (code) => emitStore(x87(code), format, pack);
  }
  for (const bits of [16, 32, 64] as const) {
    bodies[`x87ToI${bits}`] = (code) => emitStoreInteger(x87(code), bits, false);
    bodies[`x87ToI${bits}Truncate`] = (code) => emitStoreInteger(x87(code), bits, true);
  }
  return bodies;
}

/** Defines and exports them; returns their function indices. */
export function defineFloat(module: ModuleBuilder): Record<FloatFunction, number> {
  const bodies: Record<string, Emit> = {};
  const single = defineSseParts(module, F32);
  const double = defineSseParts(module, F64);
  const x87 = defineX87Parts(module);
  for (const [own, other] of [
    [single, double],
    [double, single],
  ] as const) {
    Object.assign(bodies, sseBodies(own, other));
  }
  Object.assign(bodies, x87Bodies(x87, module));
  for (const [name, [operation, operands]] of Object.entries(ARITHMETIC)) {
    for (const parts of [single, double]) {
      bodies[parts.format.name + name] = (code) => new SseTarget(code, parts).arithmetic(operation, operands);
    }
    bodies[`x87${name}`] = (code) => new X87Target(code, x87, true).arithmetic(operation, operands);
  }
  const entries = Object.entries(FLOAT_FUNCTIONS).map(([name, type]) => {
    const code = module.define(name, type);
    bodies[name]!(code);
    code.unreachable();
    return [name, module.indexOf(code)] as const;
  });
  return Object.fromEntries(entries) as Record<FloatFunction, number>;
}
