/**
 * Arithmetic flags: how each kind of operation records them, and the sixteen conditions.
 * Document: SDM volume 1, appendix A and B (EFLAGS); layout of the two words in cpu/flags.ts.
 * Left out: flags that the manual leaves undefined are whatever is cheapest.
 */

import { AUX } from "../cpu/flags.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import type { Emitter, Size } from "./emitter.ts";

const bit = (n: number): bigint => 1n << BigInt(n);
const CF_PO = i64.const(BigInt.asIntN(64, bit(AUX.CF) | bit(AUX.PO)));
const KEEP_CF_PO = CF_PO;
const DROP_CF_PO = i64.const(BigInt.asIntN(64, ~(bit(AUX.CF) | bit(AUX.PO))));
const TOP = i64.const(BigInt.asIntN(64, bit(63)));
const ONE = i64.const(1);
const not = (a: Expr): Expr => i64.xor(a, i64.const(-1));

/** The value sign-extended from `size`, which is what the result word holds. */
export function signed(value: Expr, size: Size): Expr {
  return size === 8
    ? i64.extend8s(value)
    : size === 16
      ? i64.extend16s(value)
      : size === 32
        ? i64.extend32s(value)
        : value;
}

/** The value zero-extended from `size`. */
export function unsigned(value: Expr, size: Size): Expr {
  return size === 64 ? value : i64.and(value, i64.const((1n << BigInt(size)) - 1n));
}

/** The aux word of a carry-out vector: its two top bits moved to 63 and 62, and bit 3. */
function carries(e: Emitter, vector: Expr, size: Size): Expr {
  if (size === 64) return i64.and(vector, i64.const(BigInt.asIntN(64, bit(63) | bit(62) | bit(3))));
  const v = e.let(vector);
  return i64.or(i64.and(i64.shl(v, i64.const(64 - size)), KEEP_CF_PO), i64.and(v, i64.const(1 << AUX.AF)));
}

/** ADD, ADC: r = a + b (+ carry). */
export function addFlags(e: Emitter, r: Expr, a: Expr, b: Expr, size: Size): void {
  e.setFlagAux(carries(e, i64.or(i64.and(a, b), i64.and(i64.or(a, b), not(r))), size));
  e.setFlagResult(signed(r, size));
}

/** SUB, SBB, CMP, NEG: r = a - b (- borrow). */
export function subFlags(e: Emitter, r: Expr, a: Expr, b: Expr, size: Size): void {
  // (~a & b) | ((~a | b) & r), the borrow out of each bit; ~a | b = ~(a & ~b)
  const na = e.let(not(a));
  e.setFlagAux(carries(e, i64.or(i64.and(na, b), i64.and(i64.or(na, b), r)), size));
  e.setFlagResult(signed(r, size));
}

/** AND, OR, XOR, TEST: CF and OF clear. */
export function logicFlags(e: Emitter, r: Expr, size: Size): void {
  e.setFlagAux(i64.const(0));
  e.setFlagResult(signed(r, size));
}

/** INC (delta 1) and DEC (delta -1) keep CF. */
export function stepFlags(e: Emitter, r: Expr, a: Expr, delta: 1 | -1, size: Size): void {
  const result = e.let(signed(r, size));
  const limit = delta === 1 ? -(1n << BigInt(size - 1)) : (1n << BigInt(size - 1)) - 1n;
  const overflow = i32.toI64u(i64.eq(result, i64.const(limit)));
  const carry = e.let(i64.and(e.flagAux(), TOP));
  const po = i64.xor(i64.shru(carry, ONE), i64.shl(overflow, i64.const(AUX.PO)));
  const adjust = i64.and(i64.shru(i64.xor(r, a), ONE), i64.const(1 << AUX.AF)); // bit 4 changes if bit 3 carries
  e.setFlagAux(i64.or(i64.or(carry, po), adjust));
  e.setFlagResult(result);
}

/** Sets CF and OF (i64, 0 or 1) and leaves the others: rotates. */
export function setCarryOverflow(e: Emitter, carry: Expr, overflow: Expr): void {
  e.setFlagAux(i64.or(i64.and(e.flagAux(), DROP_CF_PO), carryOverflow(carry, overflow)));
}

/** SHL, SHR, SAR, MUL and the like: the result's flags, with CF and OF given (i64, 0 or 1); AF clear. */
export function resultFlags(e: Emitter, r: Expr, carry: Expr, overflow: Expr, size: Size): void {
  e.setFlagAux(carryOverflow(carry, overflow));
  e.setFlagResult(signed(r, size));
}

function carryOverflow(carry: Expr, overflow: Expr): Expr {
  return i64.or(i64.shl(carry, i64.const(AUX.CF)), i64.shl(i64.xor(carry, overflow), i64.const(AUX.PO)));
}

/** What a comparison of numbers sets, of a RELATION (float/functions.ts): CF if less, ZF if equal, all of CF, ZF, PF if unordered. */
export function setRelation(e: Emitter, relation: Expr): void {
  const r = e.let(i32.toI64u(relation));
  const differs = i64.and(i64.xor(r, i64.shru(r, ONE)), ONE);
  const equal = i32.toI64u(i64.eq(r, ONE));
  // A result of zero has even parity, which PDB inverts.
  const parity = i64.shl(equal, i64.const(AUX.PDB));
  e.setFlagAux(i64.or(carryOverflow(i64.xor(differs, ONE), i64.const(0)), parity));
  e.setFlagResult(i64.xor(i64.and(r, ONE), ONE));
}

/** Sets ZF and leaves the others as they are. */
export function setZero(e: Emitter, zero: Expr): void {
  // A result of 0 or 1 with SF and PF kept through SD and PDB.
  const sign = i32.toI64u(condition(e, 8));
  const parity = i32.toI64u(condition(e, 10));
  const z = e.let(i32.toI64u(zero));
  const s = e.let(sign);
  const p = e.let(parity);
  const keep = i64.and(e.flagAux(), i64.const(BigInt.asIntN(64, bit(AUX.CF) | bit(AUX.PO) | bit(AUX.AF))));
  const delta = i64.shl(i64.xor(z, p), i64.const(AUX.PDB));
  e.setFlagAux(i64.or(i64.or(keep, delta), i64.shl(s, i64.const(AUX.SD))));
  e.setFlagResult(i64.xor(z, ONE));
}

/** ZF and CF as given (i32, 0 or 1), the others clear: PTEST. */
export function zeroCarryFlags(e: Emitter, zero: Expr, carry: Expr): void {
  const z = e.let(i32.toI64u(zero));
  const c = e.let(i32.toI64u(carry));
  // PF of a result of 0 is 1, and PDB turns it over.
  e.setFlagAux(i64.or(carryOverflow(c, i64.const(0)), i64.shl(z, i64.const(AUX.PDB))));
  e.setFlagResult(i64.xor(z, ONE));
}

/** CF as i64, 0 or 1. */
export function carry(e: Emitter): Expr {
  return i64.shru(e.flagAux(), i64.const(AUX.CF));
}

/** OF as i64, 0 or 1. */
export function overflow(e: Emitter): Expr {
  const aux = e.flagAux();
  return i64.shru(i64.xor(aux, i64.shl(aux, ONE)), i64.const(63));
}

/** SF, AF, ZF, PF, CF as LAHF gives them, with the fixed bit: i64. */
export function lowFlags(e: Emitter): Expr {
  const at = (flag: Expr, shift: number): Expr => i64.shl(i32.toI64u(flag), i64.const(shift));
  const adjust = i64.shl(i64.and(i64.shru(e.flagAux(), i64.const(AUX.AF)), ONE), i64.const(4));
  const rest = i64.or(i64.or(at(condition(e, 8), 7), at(condition(e, 4), 6)), at(condition(e, 10), 2));
  return i64.or(i64.or(rest, adjust), i64.or(carry(e), i64.const(2)));
}

/** SAHF: sets SF, ZF, AF, PF, CF from bits of `value`; OF stays. */
export function setLowFlags(e: Emitter, value: Expr): void {
  const v = e.let(value);
  const flag = (n: number): Expr => i64.and(i64.shru(v, i64.const(n)), ONE);
  const of = e.let(overflow(e));
  const delta = i64.shl(i64.xor(flag(6), flag(2)), i64.const(AUX.PDB));
  const rest = i64.or(i64.shl(flag(7), i64.const(AUX.SD)), i64.shl(flag(4), i64.const(AUX.AF)));
  e.setFlagAux(i64.or(i64.or(carryOverflow(flag(0), of), delta), rest));
  e.setFlagResult(i64.xor(flag(6), ONE));
}

/** Names of the conditions, by the low four bits of their opcodes. */
export const CONDITIONS = "o no b ae e ne be a s ns p np l ge le g".split(" ");

/** Condition `cc` (0..15), i32: 1 if it holds. */
export function condition(e: Emitter, cc: number): Expr {
  if (cc & 1) return i32.eqz(condition(e, cc & ~1));
  const negative = (x: Expr): Expr => i64.lts(x, i64.const(0));
  const d = e.flagResult();
  const aux = e.flagAux();
  const overflowAtTop = i64.xor(aux, i64.shl(aux, ONE));
  const signAtTop = i64.xor(d, i64.shl(aux, i64.const(63 - AUX.SD)));
  switch (cc) {
    case 0:
      return negative(overflowAtTop);
    case 2:
      return negative(aux);
    case 4:
      return i64.eqz(d);
    case 6:
      return i32.or(negative(aux), i64.eqz(d));
    case 8:
      return negative(signAtTop);
    case 10: {
      const low = i64.toI32(i64.and(i64.xor(d, i64.shru(aux, i64.const(AUX.PDB))), i64.const(0xff)));
      return i32.eqz(i32.and(i32.popcnt(low), i32.const(1)));
    }
    case 12:
      return negative(i64.xor(signAtTop, overflowAtTop));
    default:
      return i32.or(i64.eqz(d), negative(i64.xor(signAtTop, overflowAtTop)));
  }
}

export { select };
