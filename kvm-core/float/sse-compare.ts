/**
 * SSE comparisons, minimum and maximum.
 * Document: SDM volume 2, COMISD, UCOMISD, CMPSD, MINSD, MAXSD.
 * Left out: the predicates of CMPSD, which who calls makes of the relation.
 */

import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import { MXCSR, RAISED } from "./format.ts";
import { RELATION } from "./functions.ts";
import type { SseTarget } from "./sse-target.ts";

/** An integer that orders as the number does; both zeros are 0. */
function ordered(f: SseTarget, bits: Expr): Expr {
  const magnitude = f.code.let(f.magnitude(bits));
  return f.code.let(select(f.sign(bits), i64.sub(i64.const(0), magnitude), magnitude));
}

/** Denormals, in the parameters themselves: zeros under DAZ, otherwise an exception. */
function denormals(f: SseTarget, operands: readonly Expr[]): void {
  const { code } = f;
  code.if(operands.map((each) => f.isDenormal(each)).reduce(i32.or), () => {
    code.if(
      i32.and(f.control(), i32.const(MXCSR.DAZ)),
      () => {
        for (const each of operands) {
          code.if(f.isDenormal(each), () => code.set(each, f.signBit(f.sign(each))));
        }
      },
      () => f.raiseBefore(RAISED.DE),
    );
  });
}

export function emitCompare(f: SseTarget, quiet: boolean): void {
  const { code } = f;
  const [a, b] = [f.param(1), f.param(2)];
  code.if(i32.or(f.isNan(a), f.isNan(b)), () => {
    if (quiet) code.if(i32.or(f.isSignalling(a), f.isSignalling(b)), () => f.raise(RAISED.IE));
    else f.raise(RAISED.IE);
    code.return(i32.const(RELATION.unordered));
  });
  denormals(f, [a, b]);
  const [x, y] = [ordered(f, a), ordered(f, b)];
  // less 0, equal 1, greater 2
  code.return(i32.sub(i32.add(i64.gts(x, y), i32.const(RELATION.equal)), i64.lts(x, y)));
}

/** The second operand unless the first one is smaller (or greater). */
export function emitExtreme(f: SseTarget, maximum: boolean): void {
  const { code } = f;
  const [a, b] = [f.param(1), f.param(2)];
  code.if(i32.or(f.isNan(a), f.isNan(b)), () => {
    f.raise(RAISED.IE);
    // DAZ comes before everything else.
    const flushed = i32.and(f.control(), i32.const(MXCSR.DAZ));
    code.if(flushed, () => code.if(f.isDenormal(b), () => f.zero(f.sign(b))));
    code.return(b);
  });
  denormals(f, [a, b]);
  const [x, y] = [ordered(f, a), ordered(f, b)];
  code.return(select(maximum ? i64.gts(x, y) : i64.lts(x, y), a, b));
}
