/**
 * Bitwise operations.
 * Document: SDM volume 2, AND OR XOR TEST NOT.
 * Left out: ANDN: bmi.ts.
 */

import { logicFlags } from "../../emit/flags.ts";
import { type Expr, i64 } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";
import { aluForms } from "./arith.ts";

const logic = (mnemonic: string, nr: number, op: (a: Expr, b: Expr) => Expr): Insn =>
  insn(mnemonic, {
    forms: aluForms(nr),
    lock: true,
    exec(e, dst, src) {
      const b = e.let(e.read(src!));
      const r = e.let(op(e.modify(dst!), b));
      e.write(dst!, r);
      logicFlags(e, r, dst!.size);
    },
  });

export const LOGIC: readonly Insn[] = [
  logic("or", 1, i64.or),
  logic("and", 4, i64.and),
  logic("xor", 6, i64.xor),
  insn("test", {
    // F6 /1 and F7 /1 are aliases that the manual's map leaves in group 3.
    forms: [
      "84 /r Eb,Gb",
      "85 /r Ev,Gv",
      "A8 ib AL,Ib",
      "A9 iz rAX,Iz",
      "F6 /0 ib Eb,Ib",
      "F7 /0 iz Ev,Iz",
      "F6 /1 ib Eb,Ib",
      "F7 /1 iz Ev,Iz",
    ],
    exec(e, dst, src) {
      const b = e.let(e.read(src!));
      logicFlags(e, e.let(i64.and(e.read(dst!), b)), dst!.size);
    },
  }),
  insn("not", {
    forms: ["F6 /2 Eb", "F7 /2 Ev"],
    lock: true,
    exec(e, dst) {
      e.write(dst!, e.let(i64.xor(e.modify(dst!), i64.const(-1))));
    },
  }),
];
