/**
 * Packed decimal: FBLD and FBSTP.
 * Document: SDM volume 1, 4.7 and table 4-4 (encoding, indefinite), 8.5.1.2; volume 2, FBLD, FBSTP.
 * Left out: digits above 9, which the manual leaves undefined: each counts its value.
 */

import { i32, i64 } from "../wasm/expr.ts";
import { RAISED } from "./format.ts";
import { toInteger } from "./x87-integral.ts";
import type { X87Target } from "./x87-target.ts";

const TEN = i64.const(10);
/** Digits in a u64; two more are in the byte behind it. */
const LOW_DIGITS = 16;
const LARGEST = 10n ** 18n - 1n;

/** ($cpu, dst, source), addresses. */
export function emitLoadBcd(f: X87Target): void {
  const { code } = f;
  const source = code.param(2);
  const low = code.let(i64.load(source));
  const high = code.let(i32.load16u(source, 8));
  const digit = (n: number) => i32.toI64u(i32.and(i32.shru(high, i32.const(n * 4)), i32.const(15)));
  const value = code.let(i64.add(i64.mul(digit(1), TEN), digit(0)));
  const left = code.local("i32");
  code.set(left, i32.const(LOW_DIGITS));
  code.loop((next) => {
    code.set(value, i64.add(i64.mul(value, TEN), i64.shru(low, i64.const(60))));
    code.set(low, i64.shl(low, i64.const(4)));
    code.set(left, i32.sub(left, i32.const(1)));
    code.brIf(next, left);
  });
  f.fillInteger(f.dst, value);
  // There is a negative zero.
  const sign = i32.and(high, i32.const(0x8000));
  code.store("i64", f.dst, i64.or(i64.load(f.dst, 8), i32.toI64u(sign)), 8);
  code.return();
}

/** ($cpu, to, a), addresses. */
export function emitStoreBcd(f: X87Target): void {
  const { code } = f;
  const to = code.param(1);
  const a = f.load(code.param(2));
  const indefinite = (): void => {
    f.raise(RAISED.IE);
    code.store("i64", to, i64.const(BigInt.asIntN(64, 0xc000_0000_0000_0000n)));
    code.store("i64", to, i64.const(0xffff), 8);
    code.return();
  };
  const { magnitude } = toInteger(f, a, code.let(f.roundingMode()), i64.const(LARGEST), indefinite);
  const low = code.local("i64");
  const left = code.local("i32");
  code.set(low, i64.const(0));
  code.set(left, i32.const(LOW_DIGITS));
  code.loop((next) => {
    code.set(low, i64.rotr(i64.or(low, i64.remu(magnitude, TEN)), i64.const(4)));
    code.set(magnitude, i64.divu(magnitude, TEN));
    code.set(left, i32.sub(left, i32.const(1)));
    code.brIf(next, left);
  });
  const pair = i64.or(i64.shl(i64.divu(magnitude, TEN), i64.const(4)), i64.remu(magnitude, TEN));
  code.store("i64", to, low);
  code.store("i64", to, i64.or(pair, i64.shl(i32.toI64u(a.sign), i64.const(15))), 8);
  code.return();
}
