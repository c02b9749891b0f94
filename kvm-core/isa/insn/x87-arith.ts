/**
 * x87 arithmetic and comparisons.
 * Document: SDM volume 2, FADD to FDIVRP, FCOM to FUCOMPP, FCOMI to FUCOMIP; volume 2D, table A-7 ff. (escape opcodes).
 * Left out: what they compute: kvm-core/x87 and kvm-core/float. DC D0, DC D8 and DE D0 are not in the manual: FCOM, FCOMP, FCOMP.
 */

import { AUX } from "../../cpu/flags.ts";
import type { Emitter, Size } from "../../emit/emitter.ts";
import { signed } from "../../emit/flags.ts";
import { type Expr, i32, i64 } from "../../wasm/expr.ts";
import { FORMAT } from "../../x87/functions.ts";
import type { Insn } from "../insn.ts";
import { betweenRegisters, fromMemory, modrmOf, x87 } from "../x87.ts";

type Exec = Insn["exec"];

const memory = (opcode: number, size: Size, format: number): Exec =>
  fromMemory(
    opcode,
    size / 8,
    (e, linear) => {
      const bits = e.load(linear, size);
      return format === FORMAT.i16 || format === FORMAT.i32 ? signed(bits, size) : bits;
    },
    (e, bits) => e.call("x87ArithMemory", "none", modrmOf(e), i32.const(format), bits),
  );

const D8_MEMORY = memory(0xd8, 32, FORMAT.f32);
const DA_MEMORY = memory(0xda, 32, FORMAT.i32);
const DC_MEMORY = memory(0xdc, 64, FORMAT.f64);
const DE_MEMORY = memory(0xde, 16, FORMAT.i16);

const arith = (opcode: number, toRegister: number, pops: number): Exec =>
  betweenRegisters(opcode, (e, modrm) => e.call("x87Arith", "none", modrm, i32.const(toRegister), i32.const(pops)));
const D8_REGISTER = arith(0xd8, 0, 0);
const DC_REGISTER = arith(0xdc, 1, 0);
const DE_REGISTER = arith(0xde, 1, 1);

/** FADD and the like: ModRM.reg, and for DC and DE, where the operands of a difference change places, the other one. */
function family(name: string, reg: number, swapped: number): readonly Insn[] {
  return [
    x87(`f${name}`, [`D8 /${reg} Md`], D8_MEMORY),
    x87(`f${name}`, [`DC /${reg} Mq`], DC_MEMORY),
    x87(`f${name}`, [`D8 /${reg} ST,STi`], D8_REGISTER),
    x87(`f${name}`, [`DC /${swapped} STi,ST`], DC_REGISTER),
    x87(`f${name}p`, [`DE /${swapped} STi,ST`], DE_REGISTER),
    x87(`fi${name}`, [`DA /${reg} Md`], DA_MEMORY),
    x87(`fi${name}`, [`DE /${reg} Mw`], DE_MEMORY),
  ];
}

const compare = (opcode: number, quiet: 0 | 1, pops: number): Exec =>
  betweenRegisters(opcode, (e, modrm) =>
    e.call("x87CompareRegister", "none", modrm, i32.const(quiet), i32.const(pops)),
  );

const compareFlags = (opcode: number, quiet: 0 | 1, pops: number): Exec =>
  betweenRegisters(opcode, (e, modrm) => {
    setFlags(e, e.call("x87CompareFlags", "i32", modrm, i32.const(quiet), i32.const(pops)));
  });

/** ZF, PF and CF are bits of `flags`; OF, SF and AF are clear. */
function setFlags(e: Emitter, flags: Expr): void {
  const flag = (n: number): Expr => i64.and(i64.shru(i32.toI64u(flags), i64.const(n)), i64.const(1));
  const [cf, pf, zf] = [flag(0), flag(2), flag(6)];
  // A result of 0 or 1, whose parity AUX.PDB corrects; PO is CF where OF is clear.
  const carry = i64.or(i64.shl(cf, i64.const(AUX.CF)), i64.shl(cf, i64.const(AUX.PO)));
  e.setFlagAux(i64.or(carry, i64.shl(i64.xor(zf, pf), i64.const(AUX.PDB))));
  e.setFlagResult(i64.xor(zf, i64.const(1)));
}

export const X87_ARITH: readonly Insn[] = [
  ...family("add", 0, 0),
  ...family("mul", 1, 1),
  ...family("sub", 4, 5),
  ...family("subr", 5, 4),
  ...family("div", 6, 7),
  ...family("divr", 7, 6),
  x87("fcom", ["D8 /2 Md"], D8_MEMORY),
  x87("fcom", ["DC /2 Mq"], DC_MEMORY),
  x87("fcomp", ["D8 /3 Md"], D8_MEMORY),
  x87("fcomp", ["DC /3 Mq"], DC_MEMORY),
  x87("ficom", ["DA /2 Md"], DA_MEMORY),
  x87("ficom", ["DE /2 Mw"], DE_MEMORY),
  x87("ficomp", ["DA /3 Md"], DA_MEMORY),
  x87("ficomp", ["DE /3 Mw"], DE_MEMORY),
  x87("fcom", ["D8 /2 ST,STi"], compare(0xd8, 0, 0)),
  x87("fcomp", ["D8 /3 ST,STi"], compare(0xd8, 0, 1)),
  x87("fcom", ["DC /2 ST,STi"], compare(0xdc, 0, 0)),
  x87("fcomp", ["DC /3 ST,STi"], compare(0xdc, 0, 1)),
  x87("fcomp", ["DE /2 ST,STi"], compare(0xde, 0, 1)),
  x87("fcompp", ["DE D9"], compare(0xde, 0, 2)),
  x87("fucom", ["DD /4 ST,STi"], compare(0xdd, 1, 0)),
  x87("fucomp", ["DD /5 ST,STi"], compare(0xdd, 1, 1)),
  x87("fucompp", ["DA E9"], compare(0xda, 1, 2)),
  x87("fcomi", ["DB /6 ST,STi"], compareFlags(0xdb, 0, 0)),
  x87("fucomi", ["DB /5 ST,STi"], compareFlags(0xdb, 1, 0)),
  x87("fcomip", ["DF /6 ST,STi"], compareFlags(0xdf, 0, 1)),
  x87("fucomip", ["DF /5 ST,STi"], compareFlags(0xdf, 1, 1)),
];
