/**
 * CMPccPS and its like, COMISS and its like: by the relation of two numbers.
 * Document: SDM volume 2A, CMPPD (table 3-1, predicates 0 to 7), COMISD; volume 2D, UCOMISD.
 * Left out: the predicates 8 to 31 of VEX forms.
 */

import type { FloatFunction } from "../float/functions.ts";
import { type Expr, i32, i64 } from "../wasm/expr.ts";
import { v128 } from "../wasm/simd.ts";
import { type Context, type Defined, element, withElement } from "./map.ts";
import { setRaised } from "./settle.ts";
import { SHAPES } from "./shape.ts";

/** For each predicate the relations, bits of RELATION, for which it is true. */
const TRUE_FOR = [0b0010, 0b0001, 0b0011, 0b1000, 0b1101, 0b1110, 0b1100, 0b0111] as const;
const TRUTH = TRUE_FOR.reduce((all, bits, predicate) => all | (bits << (4 * predicate)), 0);

/** i32, 0 or 1: is the predicate, the low three bits of an immediate, true of a relation? */
export function isTrue(predicate: Expr, relation: Expr): Expr {
  const at = i32.add(i32.shl(i32.and(predicate, i32.const(7)), i32.const(2)), relation);
  return i32.and(i32.shru(i32.const(TRUTH), at), i32.const(1));
}

/** i32, 0 or 1: LT, LE and their opposites, which a QNaN makes invalid. */
export function isOrdering(predicate: Expr): Expr {
  return i32.and(i32.xor(predicate, i32.shru(predicate, i32.const(1))), i32.const(1));
}

export function defineCompare({ module, float, settle, types }: Context): Defined[] {
  return SHAPES.flatMap(({ suffix, format, packed }): Defined[] => {
    const loud = float[`${format}Compare` as FloatFunction];
    const quiet = float[`${format}CompareQuiet` as FloatFunction];
    const name = `cmp${suffix}`;
    const code = module.define(name, types[name]!);
    const [cpu, a, b, predicate] = [0, 1, 2, 3].map((i) => code.param(i)) as [Expr, Expr, Expr, Expr];
    setRaised(code, cpu, i32.const(0));
    const relation = code.local("i32");
    const compare = (x: Expr, y: Expr): Expr => {
      code.if(
        isOrdering(predicate),
        () => code.call(loud, [cpu, x, y], relation),
        () => code.call(quiet, [cpu, x, y], relation),
      );
      return i64.sub(i64.const(0), i32.toI64u(isTrue(predicate, relation)));
    };
    if (packed) {
      const bits = format === "f32" ? 32 : 64;
      const mask = code.local("v128");
      code.set(mask, v128.const(0n));
      for (let i = 0; i < 128 / bits; i++) {
        code.set(mask, withElement(bits, mask, i, compare(element(bits, a, i), element(bits, b, i))));
      }
      code.call(settle, [cpu]);
      code.return(mask);
      code.unreachable();
      return [[name, code]];
    }
    const mask = code.let(compare(a, b));
    code.call(settle, [cpu]);
    code.return(mask);
    code.unreachable();
    const flags = [
      [`comi${suffix}`, loud],
      [`ucomi${suffix}`, quiet],
    ] as const;
    return [[name, code], ...flags.map(([each, index]) => defineRelation(each, index))];
  });

  function defineRelation(name: string, index: number): Defined {
    const code = module.define(name, types[name]!);
    const [cpu, relation] = [code.param(0), code.local("i32")];
    setRaised(code, cpu, i32.const(0));
    code.call(index, [cpu, code.param(1), code.param(2)], relation);
    code.call(settle, [cpu]);
    code.return(relation);
    code.unreachable();
    return [name, code];
  }
}
