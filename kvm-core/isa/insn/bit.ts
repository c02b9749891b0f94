/**
 * Bit tests and scans.
 * Document: SDM volume 2, BT BTS BTR BTC BSF BSR POPCNT BSWAP.
 * Left out: TZCNT, LZCNT and what came with them: bmi.ts.
 */

import type { Emitter, Operand } from "../../emit/emitter.ts";
import { logicFlags, overflow, setCarryOverflow, setZero } from "../../emit/flags.ts";
import { type Expr, i32, i64 } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

const ONE = i64.const(1);

/** BT Ev,Gv in memory addresses the bit string: the operand is the one that holds the bit (SDM volume 2A, 3.1.1.9). */
function bitTest(mnemonic: string, digit: number, opcode: string, change?: (a: Expr, mask: Expr) => Expr): Insn {
  const exec = (e: Emitter, dst?: Operand, src?: Operand): void => {
    const { size } = dst!;
    const offset = e.let(src!.kind === "imm" ? e.read(src!) : e.readSigned(src!));
    const n = e.let(i64.and(offset, i64.const(size - 1)));
    const mask = e.let(i64.shl(ONE, n));
    const found = (a: Expr): void => {
      setCarryOverflow(e, e.let(i64.and(i64.shru(a, n), ONE)), e.let(overflow(e)));
    };
    if (dst!.kind === "mem" && src!.kind === "reg") {
      const bytes = i64.shl(i64.shrs(offset, i64.const(Math.log2(size))), i64.const(Math.log2(size / 8)));
      const sum = i64.add(e.linear(dst!), bytes);
      const address = e.let(dst!.address === 32 ? i64.and(sum, i64.const(0xffff_ffffn)) : sum);
      const operand = e.at(address, size, dst!);
      const a = change ? e.modify(operand) : e.read(operand);
      if (change) e.write(operand, e.let(change(a, mask)));
      found(a);
    } else {
      const a = e.let(change ? e.modify(dst!) : e.read(dst!));
      if (change) e.write(dst!, e.let(change(a, mask)));
      found(a);
    }
  };
  const forms = [`0F BA /${digit} ib Ev,Ib`, `0F ${opcode} /r Ev,Gv`];
  return change ? insn(mnemonic, { forms, lock: true, exec }) : insn(mnemonic, { forms, exec });
}

/** Source 0: ZF set, the destination unchanged, all 64 bits of it (what processors do; the manual leaves it undefined). */
const scan = (mnemonic: string, opcode: string, position: (a: Expr) => Expr): Insn =>
  insn(mnemonic, {
    forms: [`0F ${opcode} /r Gv,Ev`],
    exec(e, dst, src) {
      const a = e.let(e.read(src!));
      const zero = e.let(i64.eqz(a));
      e.if(i32.eqz(zero), () => e.write(dst!, position(a)));
      setZero(e, zero);
    },
  });

export const BIT: readonly Insn[] = [
  bitTest("bt", 4, "A3"),
  bitTest("bts", 5, "AB", (a, mask) => i64.or(a, mask)),
  bitTest("btr", 6, "B3", (a, mask) => i64.and(a, i64.xor(mask, i64.const(-1)))),
  bitTest("btc", 7, "BB", (a, mask) => i64.xor(a, mask)),
  scan("bsf", "BC", i64.ctz),
  scan("bsr", "BD", (a) => i64.sub(i64.const(63), i64.clz(a))),
  insn("popcnt", {
    forms: ["F3 0F B8 /r Gv,Ev"],
    cpuid: "popcnt",
    exec(e, dst, src) {
      const a = e.let(e.read(src!));
      e.write(dst!, i64.popcnt(a));
      // All flags are clear but ZF, which is set if the source is 0: what a logic result of 1 or 0 would give, without PF.
      logicFlags(e, i64.const(1), 64);
      setZero(e, i64.eqz(a));
    },
  }),
  insn("bswap", {
    forms: ["0F C8+r Zv"],
    exec(e, dst) {
      const a = e.let(e.read(dst!));
      e.write(
        dst!,
        dst!.size === 64 ? swap64(a) : dst!.size === 32 ? i64.shru(swap64(a), i64.const(32)) : i64.const(0),
      );
    },
  }),
];

/** The eight bytes in reverse. */
export function swap64(a: Expr): Expr {
  const masked = (shift: number, mask: bigint): Expr => {
    const m = i64.const(mask);
    const moved = i64.const(shift);
    return i64.or(i64.shl(i64.and(current, m), moved), i64.and(i64.shru(current, moved), m));
  };
  let current = a;
  current = masked(8, 0x00ff_00ff_00ff_00ffn);
  current = masked(16, 0x0000_ffff_0000_ffffn);
  return i64.rotl(current, i64.const(32));
}
