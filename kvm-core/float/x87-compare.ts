/**
 * FCOM, FUCOM and FXAM.
 * Document: SDM volume 2, FCOM, FUCOM, FXAM; volume 1, 8.2.2 (encodings that are not supported).
 * Left out: FTST, which is a comparison with a slot of zero.
 */

import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import { CONDITION, RAISED } from "./format.ts";
import { RELATION } from "./functions.ts";
import { isZero } from "./target.ts";
import type { X87Target } from "./x87-target.ts";

/** ($cpu, a, b) -> relation. */
export function emitX87Compare(f: X87Target, quiet: boolean): void {
  const { code } = f;
  const [a, b] = [f.load(code.param(1)), f.load(code.param(2))];
  const unordered = (): void => code.return(i32.const(RELATION.unordered));
  code.if(i32.or(f.isSpecial(a), f.isSpecial(b)), () => {
    code.if(i32.or(f.isUnsupported(a), f.isUnsupported(b)), () => {
      f.raise(RAISED.IE);
      unordered();
    });
    code.if(i32.or(f.isNan(a), f.isNan(b)), () => {
      if (quiet) code.if(i32.or(f.isSignalling(a), f.isSignalling(b)), () => f.raise(RAISED.IE));
      else f.raise(RAISED.IE);
      unordered();
    });
    const denormal = f.smallOperands([a, b]);
    code.if(denormal, () => f.raise(RAISED.DE));
    code.if(i32.and(isZero(a), isZero(b)), () => code.return(i32.const(RELATION.equal)));
    // Below all denormals.
    for (const each of [a, b]) code.if(isZero(each), () => code.set(each.exponent, i32.const(-(1 << 20))));
  });
  const above = (x: typeof a, y: typeof a): Expr => {
    const same = i32.and(i32.eq(x.exponent, y.exponent), i64.gtu(x.significand, y.significand));
    return i32.or(i32.gts(x.exponent, y.exponent), same);
  };
  const difference = code.let(i32.sub(above(a, b), above(b, a)));
  const negative = code.let(select(a.sign, i32.sub(i32.const(0), difference), difference));
  const opposite = i32.sub(i32.const(1), i32.shl(a.sign, i32.const(1)));
  const order = select(i32.eq(a.sign, b.sign), negative, opposite);
  code.return(i32.add(order, i32.const(RELATION.equal)));
}

/** ($cpu, a) -> C0, C2, C3. */
export function emitExamine(f: X87Target): void {
  const { code } = f;
  const { C0, C2, C3 } = CONDITION;
  const a = f.load(code.param(1));
  const give = (conditions: number) => (): void => code.return(i32.const(conditions));
  code.if(f.isUnsupported(a), give(0));
  code.if(f.isNan(a), give(C0));
  code.if(a.infinite, give(C2 | C0));
  code.if(i32.eqz(a.field), () => {
    code.if(isZero(a), give(C3));
    give(C3 | C2)();
  });
  give(C2)();
}
