/**
 * Port I/O.
 * Document: SDM volume 2, IN OUT.
 * Left out: who may: the helpers look at IOPL and the I/O permission bitmap.
 */

import type { Emitter, Operand } from "../../emit/emitter.ts";
import { type Expr, i32, i64 } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

const port = (e: Emitter, operand: Operand): Expr => i64.toI32(e.read(operand));

export const IO: readonly Insn[] = [
  insn("in", {
    forms: ["E4 ib AL,Ib", "E5 ib eAX,Ib", "EC AL,DX", "ED eAX,DX"],
    exec(e, dst, from) {
      e.helper("in", port(e, from!), i32.const(dst!.size / 8));
      e.write(dst!, e.data());
    },
  }),
  insn("out", {
    forms: ["E6 ib Ib,AL", "E7 ib Ib,eAX", "EE DX,AL", "EF DX,eAX"],
    exec(e, to, src) {
      e.setData(e.read(src!));
      e.helper("out", port(e, to!), i32.const(src!.size / 8));
    },
  }),
];
