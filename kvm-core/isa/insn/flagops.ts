/**
 * Flag operations.
 * Document: SDM volume 2, CLC STC CMC CLD STD LAHF SAHF CLI STI CLAC STAC. SALC is in no manual, and in every processor since
 * the 8086: AL is FF if CF is set, else 0.
 * Left out: nothing.
 */

import { GPR } from "../../cpu/state.ts";
import type { Emitter } from "../../emit/emitter.ts";
import { carry, lowFlags, overflow, setCarryOverflow, setLowFlags } from "../../emit/flags.ts";
import { type Expr, i64 } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

const UD = 6;

const setCarry = (e: Emitter, value: Expr): void => setCarryOverflow(e, e.let(value), e.let(overflow(e)));

/** #UD above CPL 0. Inline: a kernel with SMAP brackets every access to user memory with the two. */
const alignmentCheck = (mnemonic: string, modrm: string, on: boolean): Insn =>
  insn(mnemonic, {
    forms: [`NP 0F 01 ${modrm}`],
    cpuid: "smap",
    exec(e) {
      e.if(e.privilege(), () => e.raise(UD));
      e.setAlignmentCheck(on);
    },
  });

function loadFlags(e: Emitter): void {
  const low = e.let(lowFlags(e));
  const rest = i64.and(e.gpr(GPR.rax, 16), i64.const(0xff));
  e.setGpr(GPR.rax, i64.or(rest, i64.shl(low, i64.const(8))), 16);
}

function storeFlags(e: Emitter): void {
  setLowFlags(e, i64.shru(e.gpr(GPR.rax, 16), i64.const(8)));
}

export const FLAGOPS: readonly Insn[] = [
  insn("clc", { forms: ["F8"], exec: (e) => setCarry(e, i64.const(0)) }),
  insn("stc", { forms: ["F9"], exec: (e) => setCarry(e, i64.const(1)) }),
  insn("cmc", { forms: ["F5"], exec: (e) => setCarry(e, i64.xor(carry(e), i64.const(1))) }),
  insn("salc", { forms: ["D6 i64"], exec: (e) => e.setGpr(GPR.rax, i64.sub(i64.const(0), carry(e)), 8) }),
  insn("cld", { forms: ["FC"], exec: (e) => e.setDirection(false) }),
  insn("std", { forms: ["FD"], exec: (e) => e.setDirection(true) }),
  insn("lahf", { forms: ["9F i64"], exec: loadFlags }),
  insn("lahf", { forms: ["9F o64"], cpuid: "lahf-lm", exec: loadFlags }),
  insn("sahf", { forms: ["9E i64"], exec: storeFlags }),
  insn("sahf", { forms: ["9E o64"], cpuid: "lahf-lm", exec: storeFlags }),
  alignmentCheck("clac", "CA", false),
  alignmentCheck("stac", "CB", true),
  insn("cli", { forms: ["FA"], exec: (e) => e.helper("cli") }),
  insn("sti", { forms: ["FB"], exec: (e) => e.helper("sti") }),
];
