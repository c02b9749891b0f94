/**
 * Moves, extensions, addresses, exchanges, conditional moves and sets.
 * Document: SDM volume 2, MOV MOVZX MOVSX MOVSXD MOVBE MOVNTI LEA XCHG CMOVcc SETcc NOP PREFETCHh PREFETCHW XLAT.
 * Left out: hints, of which every one is a NOP: the hierarchy of caches, ENDBR.
 */

import { GPR } from "../../cpu/state.ts";
import type { Emitter, Operand } from "../../emit/emitter.ts";
import { CONDITIONS, condition, unsigned } from "../../emit/flags.ts";
import { i32, i64, select } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";
import { swap64 } from "./bit.ts";

const hex = (n: number): string => n.toString(16).toUpperCase();

function moveSwapped(e: Emitter, dst?: Operand, src?: Operand): void {
  const swapped = e.let(swap64(e.let(e.read(src!))));
  e.write(dst!, i64.shru(swapped, i64.const(64 - src!.size)));
}

const hint = (mnemonic: string, opcode: string, digit: number): Insn =>
  insn(mnemonic, { forms: [`0F ${opcode} /${digit} Mb`], address: true, exec() {} });

export const MOVE: readonly Insn[] = [
  insn("mov", {
    forms: [
      "88 /r Eb,Gb",
      "89 /r Ev,Gv",
      "8A /r Gb,Eb",
      "8B /r Gv,Ev",
      "A0 AL,Ob",
      "A1 rAX,Ov",
      "A2 Ob,AL",
      "A3 Ov,rAX",
      "B0+r ib Zb,Ib",
      "B8+r iv Zv,Iv",
      "C6 /0 ib Eb,Ib",
      "C7 /0 iz Ev,Iz",
    ],
    exec: (e, dst, src) => e.write(dst!, e.read(src!)),
  }),
  insn("movzx", {
    forms: ["0F B6 /r Gv,Eb", "0F B7 /r Gv,Ew"],
    exec: (e, dst, src) => e.write(dst!, e.read(src!)),
  }),
  insn("movsx", {
    forms: ["0F BE /r Gv,Eb", "0F BF /r Gv,Ew"],
    exec: (e, dst, src) => e.write(dst!, e.readSigned(src!)),
  }),
  insn("movsxd", { forms: ["63 /r Gv,Ed o64"], exec: (e, dst, src) => e.write(dst!, e.readSigned(src!)) }),
  insn("movbe", { forms: ["NFx 0F 38 F0 /r Gv,Mv", "NFx 0F 38 F1 /r Mv,Gv"], cpuid: "movbe", exec: moveSwapped }),
  insn("movnti", { forms: ["NP 0F C3 /r My,Gy"], cpuid: "sse2", exec: (e, dst, src) => e.write(dst!, e.read(src!)) }),
  insn("lea", { forms: ["8D /r Gv,M"], address: true, exec: (e, dst, src) => e.write(dst!, e.offset(src!)) }),
  insn("xchg", {
    // 90 itself is NOP, except with REX.B: the decoder sees to that.
    forms: ["86 /r Eb,Gb", "87 /r Ev,Gv", ...[1, 2, 3, 4, 5, 6, 7].map((r) => `9${r} Zv,rAX`)],
    lock: "always",
    exec(e, dst, src) {
      const b = e.let(e.read(src!));
      const a = e.let(e.modify(dst!));
      e.write(dst!, b);
      e.write(src!, a);
    },
  }),
  insn("xlat", {
    forms: ["D7"],
    string: true,
    exec(e) {
      const offset = i64.add(e.gpr(GPR.rbx), e.gpr(GPR.rax, 8));
      e.setGpr(GPR.rax, e.load(e.let(e.sourceAddress(unsigned(offset, e.addressSize), 1)), 8), 8);
    },
  }),
  ...CONDITIONS.map((name, cc) =>
    insn(`cmov${name}`, {
      forms: [`0F 4${hex(cc)} /r Gv,Ev`],
      cpuid: "cmov",
      exec(e, dst, src) {
        const b = e.let(e.read(src!));
        e.write(dst!, select(condition(e, cc), b, e.read(dst!)));
      },
    }),
  ),
  ...CONDITIONS.map((name, cc) =>
    insn(`set${name}`, {
      forms: [`0F 9${hex(cc)} /r Eb`],
      exec: (e, dst) => e.write(dst!, i32.toI64u(condition(e, cc))),
    }),
  ),
  insn("nop", { forms: ["90"], exec() {} }),
  insn("pause", { forms: ["F3 90"], exec() {} }),
  insn("nop", {
    forms: [
      ...["19", "1A", "1B", "1C", "1D", "1E", "1F"].map((op) => `0F ${op} /r Ev`),
      ...[0, 1, 2, 3].map((digit) => `0F 18 /${digit} Rv`),
      ...[4, 5, 6, 7].map((digit) => `0F 18 /${digit} Ev`),
      ...[0, 3, 4, 5, 6, 7].map((digit) => `0F 0D /${digit} Ev`),
      ...[1, 2].map((digit) => `0F 0D /${digit} Rv`),
    ],
    address: true,
    exec() {},
  }),
  ...["prefetchnta", "prefetcht0", "prefetcht1", "prefetcht2"].map((name, digit) => hint(name, "18", digit)),
  hint("prefetchw", "0D", 1),
  hint("prefetchwt1", "0D", 2),
];
