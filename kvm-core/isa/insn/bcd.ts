/**
 * Decimal adjustments, legacy modes only.
 * Document: SDM volume 2, AAA AAD AAM AAS DAA DAS.
 * Left out: flags that the manual leaves undefined: those of AAA and AAS follow AL, OF is clear.
 */

import { AUX } from "../../cpu/flags.ts";
import { GPR } from "../../cpu/state.ts";
import type { Emitter } from "../../emit/emitter.ts";
import { carry, resultFlags, unsigned } from "../../emit/flags.ts";
import { type Expr, i32, i64 } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

const DE = 0;
const ZERO = i64.const(0);
const ONE = i64.const(1);

/** AF as i64, 0 or 1. */
const adjust = (e: Emitter): Expr => i64.and(i64.shru(e.flagAux(), i64.const(AUX.AF)), ONE);

/** SF, ZF and PF from AL; AF and CF as given (i64, 0 or 1). */
function decimalFlags(e: Emitter, al: Expr, af: Expr, cf: Expr): void {
  resultFlags(e, al, cf, ZERO, 8);
  e.setFlagAux(i64.or(e.flagAux(), i64.shl(af, i64.const(AUX.AF))));
}

/** i64, 0 or 1: the low digit of AL is above 9, or AF says so. */
function lowDigit(e: Emitter, al: Expr): Expr {
  const above = i64.gtu(i64.and(al, i64.const(15)), i64.const(9));
  return e.let(i64.or(i32.toI64u(above), adjust(e)));
}

/** DAA and DAS: AL plus or minus 6 and 0x60. A carry of the low digit's correction counts too. */
const packed = (mnemonic: string, opcode: string, sign: 1 | -1): Insn =>
  insn(mnemonic, {
    forms: [`${opcode} i64`],
    exec(e) {
      const al = e.let(e.gpr(GPR.rax, 8));
      const cf = e.let(carry(e));
      const af = lowDigit(e, al);
      const high = e.let(i64.or(i32.toI64u(i64.gtu(al, i64.const(0x99))), cf));
      const low = e.let(i64.add(al, i64.mul(af, i64.const(6 * sign))));
      // DAS of an AL below 6 borrows; DAA never carries here but where `high` holds anyway.
      const borrow = sign < 0 ? i64.and(i64.shru(low, i64.const(8)), ONE) : ZERO;
      const r = e.let(unsigned(i64.add(low, i64.mul(high, i64.const(0x60 * sign))), 8));
      const out = e.let(i64.or(high, borrow));
      e.setGpr(GPR.rax, r, 8);
      decimalFlags(e, r, af, out);
    },
  });

/** AAA and AAS: AX plus or minus 0x106. */
const unpacked = (mnemonic: string, opcode: string, sign: 1 | -1): Insn =>
  insn(mnemonic, {
    forms: [`${opcode} i64`],
    exec(e) {
      const ax = e.let(e.gpr(GPR.rax, 16));
      const af = lowDigit(e, ax);
      const moved = e.let(i64.add(ax, i64.mul(af, i64.const(0x106 * sign))));
      const r = e.let(i64.and(moved, i64.const(0xff0f)));
      e.setGpr(GPR.rax, r, 16);
      decimalFlags(e, unsigned(r, 8), af, af);
    },
  });

export const BCD: readonly Insn[] = [
  packed("daa", "27", 1),
  packed("das", "2F", -1),
  unpacked("aaa", "37", 1),
  unpacked("aas", "3F", -1),
  insn("aam", {
    forms: ["D4 ib Ib i64"],
    exec(e, base) {
      const divisor = e.let(unsigned(e.read(base!), 8));
      e.if(i64.eqz(divisor), () => e.raise(DE));
      const al = e.let(e.gpr(GPR.rax, 8));
      const low = e.let(i64.remu(al, divisor));
      e.setGpr(GPR.rax, i64.or(i64.shl(i64.divu(al, divisor), i64.const(8)), low), 16);
      decimalFlags(e, low, ZERO, ZERO);
    },
  }),
  insn("aad", {
    forms: ["D5 ib Ib i64"],
    exec(e, base) {
      const ax = e.let(e.gpr(GPR.rax, 16));
      const tens = i64.mul(i64.shru(ax, i64.const(8)), unsigned(e.read(base!), 8));
      const r = e.let(unsigned(i64.add(ax, tens), 8));
      e.setGpr(GPR.rax, r, 16);
      decimalFlags(e, r, ZERO, ZERO);
    },
  }),
];
