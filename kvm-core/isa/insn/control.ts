/**
 * Control flow: jumps, calls, returns, loops, software interrupts.
 * Document: SDM volume 2, JMP Jcc CALL RET LOOP JCXZ BOUND INT INTO INT1 IRET UD.
 * Left out: nothing.
 */

import { GPR } from "../../cpu/state.ts";
import { CONDITIONS, condition, overflow, signed, unsigned } from "../../emit/flags.ts";
import { type Expr, i32, i64 } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

const BP = 3;
const OF = 4;
const BR = 5;
const UD = 6;
const hex = (n: number): string => n.toString(16).toUpperCase();

const loop = (mnemonic: string, opcode: string, holds: (zero: Expr) => Expr): Insn =>
  insn(mnemonic, {
    forms: [`${opcode} cb Jb f64`],
    counts: true,
    exec(e, target) {
      const count = e.let(unsigned(i64.sub(e.gpr(GPR.rcx), i64.const(1)), e.addressSize));
      const again = e.let(i32.and(holds(condition(e, 4)), i64.ne(count, i64.const(0))));
      e.checkTarget(target!, again);
      e.setGpr(GPR.rcx, count, e.addressSize);
      e.jumpIf(again, target!);
    },
  });

export const CONTROL: readonly Insn[] = [
  insn("jmp", { forms: ["E9 cz Jz f64", "EB cb Jb f64"], ends: true, exec: (e, target) => e.jump(target!) }),
  insn("jmp", {
    forms: ["FF /4 Ev f64"],
    ends: true,
    exec(e, target) {
      const to = e.let(e.read(target!));
      e.checkTarget(to);
      e.jumpTo(to);
    },
  }),
  ...CONDITIONS.map((name, cc) =>
    insn(`j${name}`, {
      forms: [`7${hex(cc)} cb Jb f64`, `0F 8${hex(cc)} cz Jz f64`],
      exec: (e, target) => e.jumpIf(condition(e, cc), target!),
    }),
  ),
  insn("call", {
    forms: ["E8 cz Jz f64"],
    stack: true,
    ends: true,
    exec(e, target) {
      e.checkTarget(target!);
      e.push(e.nextRip(), e.size);
      e.jump(target!);
    },
  }),
  insn("call", {
    forms: ["FF /2 Ev f64"],
    stack: true,
    ends: true,
    exec(e, target) {
      const to = e.let(e.read(target!));
      e.checkTarget(to);
      e.push(e.nextRip(), e.size);
      e.jumpTo(to);
    },
  }),
  insn("ret", {
    forms: ["C3 f64", "C2 iw Iw f64"],
    stack: true,
    ends: true,
    exec(e, extra) {
      const to = e.top(e.size);
      e.checkTarget(to);
      if (extra) e.release(e.size, e.read(extra));
      else e.release(e.size);
      e.jumpTo(to);
    },
  }),
  loop("loopne", "E0", (zero) => i32.eqz(zero)),
  loop("loope", "E1", (zero) => zero),
  loop("loop", "E2", () => i32.const(1)),
  insn("jcxz", {
    forms: ["E3 cb Jb f64"],
    counts: true,
    exec: (e, target) => e.jumpIf(i64.eqz(e.gpr(GPR.rcx, e.addressSize)), target!),
  }),
  insn("bound", {
    forms: ["62 /r Gv,Ma i64"],
    exec(e, index, bounds) {
      const bytes = e.size / 8;
      const at = e.let(e.linear(bounds!, "read", bytes * 2));
      const lower = signed(e.load(at, e.size), e.size);
      const upper = signed(e.load(i64.add(at, i64.const(bytes)), e.size), e.size);
      const i = e.let(e.readSigned(index!));
      e.if(i32.or(i64.lts(i, lower), i64.gts(i, upper)), () => e.raise(BR));
    },
  }),
  insn("ljmp", {
    forms: ["EA cp Ap i64"],
    ends: true,
    exec(e, target) {
      e.setData(unsigned(e.read(target!), e.size));
      e.helper("farJump", i64.toI32(e.readSelector(target!)));
    },
  }),
  insn("ljmp", {
    forms: ["FF /5 Mp"],
    ends: true,
    exec(e, target) {
      const at = e.let(e.linear(target!, "read", e.size / 8 + 2));
      e.setData(e.load(at, e.size));
      e.helper("farJump", i64.toI32(e.load(i64.add(at, i64.const(e.size / 8)), 16)));
    },
  }),
  insn("lcall", {
    forms: ["9A cp Ap i64"],
    ends: true,
    exec(e, target) {
      e.setData(unsigned(e.read(target!), e.size));
      e.helper("farCall", i64.toI32(e.readSelector(target!)), i32.const(e.size / 8));
    },
  }),
  insn("lcall", {
    forms: ["FF /3 Mp"],
    ends: true,
    exec(e, target) {
      const at = e.let(e.linear(target!, "read", e.size / 8 + 2));
      e.setData(e.load(at, e.size));
      e.helper("farCall", i64.toI32(e.load(i64.add(at, i64.const(e.size / 8)), 16)), i32.const(e.size / 8));
    },
  }),
  insn("lret", {
    forms: ["CB sized", "CA iw Iw sized"],
    ends: true,
    exec(e, extra) {
      e.helper("farRet", i32.const(e.size / 8), extra ? i64.toI32(e.read(extra)) : i32.const(0));
    },
  }),
  insn("iret", {
    forms: ["CF sized"],
    names: ["iretw", "iretd", "iretq"],
    ends: true,
    exec: (e) => e.helper("iret", i32.const(e.size / 8)),
  }),
  // The last argument: virtual-8086 code may not without IOPL 3, which holds for INT n alone.
  insn("int3", { forms: ["CC"], ends: true, exec: (e) => e.helper("int", i32.const(BP), i32.const(0)) }),
  insn("int", {
    forms: ["CD ib Ib"],
    ends: true,
    exec: (e, n) => e.helper("int", i64.toI32(e.read(n!)), i32.const(1)),
  }),
  insn("into", {
    forms: ["CE i64"],
    exec: (e) => e.if(i64.toI32(overflow(e)), () => e.helper("int", i32.const(OF), i32.const(0))),
  }),
  insn("int1", { forms: ["F1"], ends: true, exec: (e) => e.helper("int1") }),
  insn("ud2", { forms: ["0F 0B"], ends: true, exec: (e) => e.raise(UD) }),
  insn("ud1", { forms: ["0F B9 /r Gv,Ev"], ends: true, address: true, exec: (e) => e.raise(UD) }),
  insn("ud0", { forms: ["0F FF /r Gv,Ev"], ends: true, address: true, exec: (e) => e.raise(UD) }),
];
