/**
 * x87 stores to f32 and f64.
 * Document: SDM volume 2, FST; volume 1, 8.5.4 and 8.5.5 (overflow and underflow of stores), table 4-11.
 * Left out: integers: x87-integral.ts. 80-bit stores copy and raise nothing.
 */

import { i32, i64 } from "../wasm/expr.ts";
import { type Format, QUIET_BIT, RAISED } from "./format.ts";
import { infinity } from "./round.ts";
import { isZero } from "./target.ts";
import type { X87Target } from "./x87-target.ts";

/** x87ToF32, x87ToF64: ($cpu, a) -> bits; `pack` rounds under the x87 control word. A denormal raises no DE. */
export function emitStore(f: X87Target, format: Format, pack: number): void {
  const { code } = f;
  const { fraction, bits } = format;
  const a = f.load(code.param(1));
  const signBit = code.let(i64.shl(i32.toI64u(a.sign), i64.const(bits - 1)));
  const quiet = infinity(format) | (1n << BigInt(fraction - 1));
  code.if(f.isSpecial(a), () => {
    code.if(f.isUnsupported(a), () => {
      f.raise(RAISED.IE);
      code.return(i64.const(BigInt.asIntN(64, quiet | (1n << BigInt(bits - 1)))));
    });
    code.if(f.isNan(a), () => {
      code.if(i64.eqz(i64.and(a.significand, i64.const(QUIET_BIT))), () => f.raise(RAISED.IE));
      const digits = i64.shru(i64.shl(a.significand, i64.const(1)), i64.const(64 - fraction));
      code.return(i64.or(i64.or(digits, i64.const(quiet)), signBit));
    });
    code.if(a.infinite, () => code.return(i64.or(i64.const(infinity(format)), signBit)));
    code.if(isZero(a), () => code.return(signBit));
    f.smallOperands([a]);
  });
  const result = code.local("i64");
  code.call(pack, [f.cpu, a.sign, a.exponent, a.significand], result);
  code.return(result);
}
