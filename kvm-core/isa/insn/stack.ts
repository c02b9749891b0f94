/**
 * The stack.
 * Document: SDM volume 2, PUSH POP PUSHA POPA ENTER LEAVE PUSHF POPF.
 * Left out: nothing; the order in which an instruction's two faults are found is not the manual's where both would come up.
 */

import { GPR } from "../../cpu/state.ts";
import { unsigned } from "../../emit/flags.ts";
import { i32, i64 } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

/** Segment registers that have a push and a pop of their own: opcode bytes and superscript. */
const SEGMENT_PUSH = [
  "06 ES i64 sized",
  "0E CS i64 sized",
  "16 SS i64 sized",
  "1E DS i64 sized",
  "0F A0 FS d64",
  "0F A8 GS d64",
];
const SEGMENT_POP = ["07 ES i64 sized", "17 SS i64 sized", "1F DS i64 sized", "0F A1 FS d64", "0F A9 GS d64"];
const ALL = [0, 1, 2, 3, 4, 5, 6, 7];

export const STACK: readonly Insn[] = [
  insn("push", {
    forms: ["50+r Zv d64", "68 iz Iz d64", "6A ib Ibs d64", "FF /6 Ev d64"],
    stack: true,
    exec: (e, src) => e.push(e.read(src!), e.size),
  }),
  insn("push", {
    forms: SEGMENT_PUSH,
    stack: true,
    exec(e, segment) {
      e.helper("readSreg", i64.toI32(e.read(segment!)));
      e.push(e.data(), e.size);
    },
  }),
  insn("pop", {
    forms: ["58+r Zv d64", "8F /0 Ev d64"],
    stack: true,
    popsAddress: true,
    exec(e, dst) {
      const v = e.top(e.size);
      // POP rSP: the register ends with the value (the increment comes first). A memory write may fault and goes first.
      if (dst!.kind === "mem") e.write(dst!, v);
      e.release(e.size);
      if (dst!.kind !== "mem") e.write(dst!, v);
    },
  }),
  insn("pop", {
    forms: SEGMENT_POP,
    stack: true,
    ends: true,
    exec(e, segment) {
      const v = e.top(e.size);
      e.helper("writeSreg", i64.toI32(e.read(segment!)), i64.toI32(i64.and(v, i64.const(0xffff))));
      e.release(e.size);
      e.jumpTo(e.nextRip());
    },
  }),
  insn("pusha", {
    forms: ["60 i64 sized"],
    names: ["pusha", "pushad", "pushad"],
    stack: true,
    exec(e) {
      const step = e.size / 8;
      const sp = e.let(e.gpr(GPR.rsp));
      const at = (n: number) => unsigned(i64.sub(sp, i64.const(n * step)), e.stackSize);
      for (const r of ALL) e.store(e.stackAddress(at(r + 1), step, "write"), e.gpr(r), e.size);
      e.setStackPointer(at(8));
    },
  }),
  insn("popa", {
    forms: ["61 i64 sized"],
    names: ["popa", "popad", "popad"],
    stack: true,
    exec(e) {
      const step = e.size / 8;
      const sp = e.let(e.gpr(GPR.rsp));
      const at = (n: number) => unsigned(i64.add(sp, i64.const(n * step)), e.stackSize);
      // From the lowest address up: a fault reports the first that cannot be read.
      const values = ALL.map((n) => e.load(e.stackAddress(at(n), step, "read"), e.size));
      for (const r of ALL) if (r !== GPR.rsp) e.setGpr(r, values[7 - r]!, e.size);
      e.setStackPointer(at(8));
    },
  }),
  insn("enter", {
    forms: ["C8 iw ib Aw d64"],
    exec: (e, frame) =>
      e.helper("enter", i64.toI32(i64.or(e.read(frame!), i64.const(e.size << 16))), i64.toI32(e.readSelector(frame!))),
  }),
  insn("leave", {
    forms: ["C9 d64"],
    stack: true,
    exec(e) {
      const frame = e.let(unsigned(e.gpr(GPR.rbp), e.stackSize));
      const v = e.load(e.stackAddress(frame, e.size / 8, "read"), e.size);
      e.setStackPointer(i64.add(frame, i64.const(e.size / 8)));
      e.setGpr(GPR.rbp, v, e.size);
    },
  }),
  insn("pushf", {
    forms: ["9C Fv d64"],
    stack: true,
    exec(e) {
      e.helper("pushf", i32.const(e.size));
      e.push(e.data(), e.size);
    },
  }),
  insn("popf", {
    forms: ["9D Fv d64"],
    stack: true,
    exec(e) {
      e.setData(e.top(e.size));
      e.helper("popf", i32.const(e.size));
      e.release(e.size);
    },
  }),
];
