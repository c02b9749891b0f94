/**
 * Integer addition, subtraction, comparison, exchange-and-add.
 * Document: SDM volume 2, ADD ADC SUB SBB CMP INC DEC NEG XADD CMPXCHG CMPXCHG8B/CMPXCHG16B.
 * Left out: ADCX, ADOX: bmi.ts.
 */

import { GPR } from "../../cpu/state.ts";
import type { Emitter, Operand } from "../../emit/emitter.ts";
import { addFlags, carry, setZero, stepFlags, subFlags, unsigned } from "../../emit/flags.ts";
import { type Expr, i32, i64, select } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

/** The ten encodings of an operation with number `nr` in the first column of the opcode map. */
export function aluForms(nr: number): string[] {
  const op = (low: number): string => ((nr << 3) | low).toString(16).toUpperCase().padStart(2, "0");
  return [
    `${op(0)} /r Eb,Gb`,
    `${op(1)} /r Ev,Gv`,
    `${op(2)} /r Gb,Eb`,
    `${op(3)} /r Gv,Ev`,
    `${op(4)} ib AL,Ib`,
    `${op(5)} iz rAX,Iz`,
    `80 /${nr} ib Eb,Ib`,
    `81 /${nr} iz Ev,Iz`,
    `82 /${nr} ib Eb,Ib i64`,
    `83 /${nr} ib Ev,Ibs`,
  ];
}

const add = (mnemonic: string, nr: number, withCarry: boolean): Insn =>
  insn(mnemonic, {
    forms: aluForms(nr),
    lock: true,
    exec(e, dst, src) {
      const b = e.let(e.read(src!));
      const a = e.let(e.modify(dst!));
      const sum = i64.add(a, b);
      const r = e.let(withCarry ? i64.add(sum, carry(e)) : sum);
      e.write(dst!, r);
      addFlags(e, r, a, b, dst!.size);
    },
  });

const subtract = (mnemonic: string, nr: number, withBorrow: boolean): Insn =>
  insn(mnemonic, {
    forms: aluForms(nr),
    lock: true,
    exec(e, dst, src) {
      const b = e.let(e.read(src!));
      const a = e.let(e.modify(dst!));
      const difference = i64.sub(a, b);
      const r = e.let(withBorrow ? i64.sub(difference, carry(e)) : difference);
      e.write(dst!, r);
      subFlags(e, r, a, b, dst!.size);
    },
  });

const step = (mnemonic: string, digit: number, opcode: string, delta: 1 | -1): Insn =>
  insn(mnemonic, {
    forms: [`FE /${digit} Eb`, `FF /${digit} Ev`, `${opcode}+r Zv i64`],
    lock: true,
    exec(e, dst) {
      const a = e.let(e.modify(dst!));
      const r = e.let(i64.add(a, i64.const(delta)));
      e.write(dst!, r);
      stepFlags(e, r, a, delta, dst!.size);
    },
  });

const equal = (a: Expr, b: Expr, operand: Operand): Expr =>
  i64.eq(unsigned(a, operand.size), unsigned(b, operand.size));

export const ARITH: readonly Insn[] = [
  add("add", 0, false),
  add("adc", 2, true),
  subtract("sbb", 3, true),
  subtract("sub", 5, false),
  insn("cmp", {
    forms: aluForms(7),
    exec(e, dst, src) {
      const b = e.let(e.read(src!));
      const a = e.let(e.read(dst!));
      const r = e.let(i64.sub(a, b));
      subFlags(e, r, a, b, dst!.size);
    },
  }),
  step("inc", 0, "40", 1),
  step("dec", 1, "48", -1),
  insn("neg", {
    forms: ["F6 /3 Eb", "F7 /3 Ev"],
    lock: true,
    exec(e, dst) {
      const b = e.let(e.modify(dst!));
      const r = e.let(i64.sub(i64.const(0), b));
      e.write(dst!, r);
      subFlags(e, r, i64.const(0), b, dst!.size);
    },
  }),
  insn("xadd", {
    forms: ["0F C0 /r Eb,Gb", "0F C1 /r Ev,Gv"],
    lock: true,
    exec(e, dst, src) {
      const b = e.let(e.read(src!));
      const a = e.let(e.modify(dst!));
      const r = e.let(i64.add(a, b));
      // A register destination gets the sum even when it is the source too; a memory write goes first (law 1).
      if (dst!.kind === "mem") e.write(dst!, r);
      e.write(src!, a);
      if (dst!.kind !== "mem") e.write(dst!, r);
      addFlags(e, r, a, b, dst!.size);
    },
  }),
  insn("cmpxchg", {
    forms: ["0F B0 /r Eb,Gb", "0F B1 /r Ev,Gv"],
    lock: true,
    exec(e, dst, src) {
      const { size } = dst!;
      const wanted = e.let(e.gpr(GPR.rax, size));
      const old = e.let(e.modify(dst!));
      const same = e.let(equal(wanted, old, dst!));
      // The destination is written in either case (SDM: "the processor never produces a locked read without a write").
      const stored = e.let(select(same, e.read(src!), old));
      e.if(
        same,
        () => e.write(dst!, stored),
        () => {
          if (dst!.kind === "mem") e.write(dst!, stored);
          e.setGpr(GPR.rax, old, size);
        },
      );
      subFlags(e, e.let(i64.sub(wanted, old)), wanted, old, size);
    },
  }),
  insn("cmpxchg8b", {
    forms: ["0F C7 /1 Mq sized"],
    names: ["cmpxchg8b", "cmpxchg8b", "cmpxchg16b"],
    cpuid: ["cx8", "cx16"],
    lock: true,
    exec(e, dst) {
      if (e.size !== 64) {
        compareExchange8(e, dst);
        return;
      }
      e.setData(e.linear(dst!, "modify", 16));
      e.helper("cmpxchg16b");
    },
  }),
];

function compareExchange8(e: Emitter, dst?: Operand): void {
  const pair = (high: number, low: number): Expr => i64.or(i64.shl(e.gpr(high, 32), i64.const(32)), e.gpr(low, 32));
  const wanted = e.let(pair(GPR.rdx, GPR.rax));
  const old = e.let(e.modify(dst!));
  const same = e.let(i64.eq(wanted, old));
  e.write(dst!, e.let(select(same, pair(GPR.rcx, GPR.rbx), old)));
  e.if(i32.eqz(same), () => {
    e.setGpr(GPR.rax, old, 32);
    e.setGpr(GPR.rdx, i64.shru(old, i64.const(32)), 32);
  });
  setZero(e, same);
}
