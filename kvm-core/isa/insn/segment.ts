/**
 * Segment registers, descriptor tables and what selectors allow: one helper each.
 * Document: SDM volume 2, MOV Sreg LDS LES LFS LGS LSS LGDT LIDT SGDT SIDT LLDT SLDT LTR STR LAR LSL VERR VERW ARPL.
 * Left out: PUSH and POP of segment registers: stack.ts. SWAPGS: system.ts.
 */

import { SEG } from "../../cpu/state.ts";
import { condition, setZero } from "../../emit/flags.ts";
import { i32, i64 } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

const GP = 13;
/** Bytes of a pseudo-descriptor where segments have limits; in 64-bit mode, which has none, it takes ten. */
const PSEUDO_DESCRIPTOR = 6;

/** GDTR is table 0, IDTR table 1. */
const store = (mnemonic: string, digit: number, table: number): Insn =>
  insn(mnemonic, {
    forms: [`0F 01 /${digit} Mt f64`],
    exec(e, memory) {
      e.setData(e.linear(memory!, "write", PSEUDO_DESCRIPTOR));
      e.helper("table", i32.const(table));
    },
  });

const load = (mnemonic: string, digit: number, table: number): Insn =>
  insn(mnemonic, {
    forms: [`0F 01 /${digit} Mt f64`],
    wants: ["level0"],
    exec(e, memory) {
      e.setData(e.linear(memory!, "read", PSEUDO_DESCRIPTOR));
      e.helper("loadTable", i32.const(table), i32.const(e.size));
    },
  });

/** LDS to LGS: a far pointer, whose selector may fault, so that it goes first. */
const pointer = (mnemonic: string, form: string, segment: number): Insn =>
  insn(mnemonic, {
    forms: [form],
    ends: true,
    exec(e, dst, src) {
      const at = e.let(e.linear(src!, "read", e.size / 8 + 2));
      const offset = e.load(at, e.size);
      const selector = e.load(i64.add(at, i64.const(e.size / 8)), 16);
      e.helper("loadPointer", i32.const(segment), i64.toI32(selector));
      e.write(dst!, offset);
      e.jumpTo(e.nextRip());
    },
  });

/** SLDT and STR: a register gets the selector zero-extended, memory its 16 bits. */
const storeSystem = (mnemonic: string, digit: number, segment: number): Insn =>
  insn(mnemonic, {
    forms: [`0F 00 /${digit} Rv`, `0F 00 /${digit} Mw`],
    wants: ["protectedMode"],
    exec(e, dst) {
      e.helper("protectedMode");
      e.helper("readSreg", i32.const(segment));
      e.write(dst!, e.data());
    },
  });

const loadSystem = (mnemonic: "lldt" | "ltr", digit: number): Insn =>
  insn(mnemonic, {
    forms: [`0F 00 /${digit} Ew`],
    wants: ["protectedMode", "level0"],
    exec(e, src) {
      e.helper("protectedMode");
      e.if(e.privilege(), () => e.raise(GP));
      e.helper(mnemonic, i64.toI32(e.read(src!)));
    },
  });

const verify = (mnemonic: string, digit: number, write: number): Insn =>
  insn(mnemonic, {
    forms: [`0F 00 /${digit} Ew`],
    wants: ["protectedMode"],
    exec(e, src) {
      e.helper("protectedMode");
      e.helper("verify", i64.toI32(e.read(src!)), i32.const(write));
    },
  });

/** LAR and LSL: the register changes only if ZF says that the selector can be used. */
const look = (mnemonic: "lar" | "lsl", opcode: string): Insn =>
  insn(mnemonic, {
    forms: [`0F ${opcode} /r Gv,Ew`],
    wants: ["protectedMode"],
    exec(e, dst, src) {
      e.helper("protectedMode");
      e.helper(mnemonic, i64.toI32(e.read(src!)));
      e.if(condition(e, 4), () => e.write(dst!, e.data()));
    },
  });

export const SEGMENT: readonly Insn[] = [
  store("sgdt", 0, 0),
  store("sidt", 1, 1),
  load("lgdt", 2, 0),
  load("lidt", 3, 1),
  insn("mov", {
    forms: ["8C /r Rv,Sw", "8C /r Mw,Sw"],
    exec(e, dst, segment) {
      e.helper("readSreg", i64.toI32(e.read(segment!)));
      e.write(dst!, e.data());
    },
  }),
  insn("mov", {
    forms: ["8E /r Sw,Ew"],
    ends: true,
    exec(e, segment, src) {
      const selector = e.let(i64.toI32(e.read(src!)));
      e.helper("writeSreg", i64.toI32(e.read(segment!)), selector);
      e.jumpTo(e.nextRip());
    },
  }),
  pointer("les", "C4 /r Gv,Mp i64", SEG.es),
  pointer("lds", "C5 /r Gv,Mp i64", SEG.ds),
  pointer("lss", "0F B2 /r Gv,Mp", SEG.ss),
  pointer("lfs", "0F B4 /r Gv,Mp", SEG.fs),
  pointer("lgs", "0F B5 /r Gv,Mp", SEG.gs),
  storeSystem("sldt", 0, SEG.ldt),
  storeSystem("str", 1, SEG.tr),
  loadSystem("lldt", 2),
  loadSystem("ltr", 3),
  verify("verr", 4, 0),
  verify("verw", 5, 1),
  look("lar", "02"),
  look("lsl", "03"),
  insn("arpl", {
    forms: ["63 /r Ew,Gw i64"],
    wants: ["protectedMode"],
    exec(e, dst, src) {
      e.helper("protectedMode");
      const rpl = e.let(i64.and(e.read(src!), i64.const(3)));
      // Only read where nothing changes.
      const old = e.let(e.read(dst!));
      const less = e.let(i64.ltu(i64.and(old, i64.const(3)), rpl));
      e.if(less, () => e.write(dst!, i64.or(i64.and(old, i64.const(0xfffc)), rpl)));
      setZero(e, less);
    },
  }),
];
