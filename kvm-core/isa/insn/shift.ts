/**
 * Shifts, rotates and double shifts.
 * Document: SDM volume 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD.
 * Left out: RORX, SARX, SHLX, SHRX: bmi.ts. Flags left undefined by the manual: OF of counts above 1 follows the formula for 1.
 */

import type { Emitter, Operand, Size } from "../../emit/emitter.ts";
import { carry, resultFlags, setCarryOverflow, signed, unsigned } from "../../emit/flags.ts";
import { type Expr, i64, select } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

const forms = (digit: number): string[] => [
  `C0 /${digit} ib Eb,Ib`,
  `C1 /${digit} ib Ev,Ib`,
  `D0 /${digit} Eb,1`,
  `D1 /${digit} Ev,1`,
  `D2 /${digit} Eb,CL`,
  `D3 /${digit} Ev,CL`,
];

const ONE = i64.const(1);
const width = (size: Size): Expr => i64.const(size);
const bit = (value: Expr, n: Expr): Expr => i64.and(i64.shru(value, n), ONE);
const top = (value: Expr, size: Size): Expr => bit(value, i64.const(size - 1));

/** The count as the hardware masks it: 5 bits, 6 for 64-bit operands. */
const masked = (count: Expr, size: Size): Expr => i64.and(count, i64.const(size === 64 ? 63 : 31));

/** What a shift by a non-zero count gives: result, CF and OF (0 or 1). */
type Shift = (e: Emitter, a: Expr, n: Expr, size: Size) => readonly [r: Expr, carry: Expr, overflow: Expr];

/** A count of zero leaves flags alone; the destination is written all the same (32-bit ones lose their upper half). */
function shiftInsn(mnemonic: string, digits: readonly number[], shift: Shift, keepsOthers: boolean): Insn {
  return insn(mnemonic, {
    forms: digits.flatMap(forms),
    exec(e, dst, src) {
      const { size } = dst!;
      const n = e.let(masked(e.read(src!), size));
      const a = e.let(e.modify(dst!));
      const [result, cf, of] = shift(e, a, n, size);
      const r = e.let(result);
      e.write(dst!, r);
      const flags = (): void => {
        if (keepsOthers) setCarryOverflow(e, e.let(cf), e.let(of));
        else resultFlags(e, r, cf, of, size);
      };
      if (src!.kind === "const") flags();
      else e.if(i64.ne(n, i64.const(0)), flags);
    },
  });
}

const shl: Shift = (e, a, n, size) => {
  // Counts above the operand size (8- and 16-bit only) shift everything out, CF included: the wide value has it right.
  const r = e.let(i64.shl(a, n));
  const cf = e.let(size === 64 ? bit(a, i64.sub(i64.const(0), n)) : bit(r, width(size)));
  return [r, cf, i64.xor(top(r, size), cf)];
};
const shr: Shift = (e, a, n, size) => {
  const cf = e.let(bit(a, i64.sub(n, ONE)));
  return [i64.shru(a, n), cf, top(a, size)];
};
const sar: Shift = (e, a, n, size) => {
  const wide = e.let(signed(a, size));
  return [i64.shrs(wide, n), bit(i64.shrs(wide, i64.sub(n, ONE)), i64.const(0)), i64.const(0)];
};
const rol: Shift = (e, a, n, size) => {
  const r = e.let(rotateLeft(e, a, n, size));
  const cf = e.let(i64.and(r, ONE));
  return [r, cf, i64.xor(top(r, size), cf)];
};
const ror: Shift = (e, a, n, size) => {
  const r = e.let(rotateLeft(e, a, i64.sub(i64.const(0), n), size));
  return [r, top(r, size), i64.xor(top(r, size), bit(r, i64.const(size - 2)))];
};

function rotateLeft(e: Emitter, a: Expr, n: Expr, size: Size): Expr {
  if (size === 64) return i64.rotl(a, n);
  const k = e.let(i64.and(n, i64.const(size - 1)));
  const doubled = e.let(i64.or(a, i64.shl(a, width(size))));
  return unsigned(i64.shru(doubled, i64.and(i64.sub(width(size), k), i64.const(size - 1))), size);
}

/** RCL and RCR rotate size + 1 bits: the operand with CF above it. */
const rcl: Shift = (e, a, n, size) => {
  const cf = e.let(carry(e));
  const r = e.let(throughCarry(e, a, cf, count9(e, n, size), size, "left"));
  const out = e.let(carryOut(a, cf, count9(e, n, size), size, "left"));
  return [r, out, i64.xor(top(r, size), out)];
};
const rcr: Shift = (e, a, n, size) => {
  const cf = e.let(carry(e));
  const r = e.let(throughCarry(e, a, cf, count9(e, n, size), size, "right"));
  const out = e.let(carryOut(a, cf, count9(e, n, size), size, "right"));
  return [r, out, i64.xor(top(r, size), bit(r, i64.const(size - 2)))];
};

/** The count modulo size + 1; only 8- and 16-bit operands have counts that reach it. */
function count9(e: Emitter, n: Expr, size: Size): Expr {
  return size > 16 ? n : e.let(i64.remu(n, i64.const(size + 1)));
}

/** x >> k or x << k, with 0 for k = 64, which wasm takes modulo 64. */
const shruWide = (x: Expr, k: Expr): Expr => select(i64.ltu(k, i64.const(64)), i64.shru(x, k), i64.const(0));
const shlWide = (x: Expr, k: Expr): Expr => select(i64.ltu(k, i64.const(64)), i64.shl(x, k), i64.const(0));

function throughCarry(e: Emitter, a: Expr, cf: Expr, n: Expr, size: Size, way: "left" | "right"): Expr {
  // left:  a << n | cf << (n-1) | a >> (size+1-n);  right: a >> n | cf << (size-n) | a << (size+1-n)
  const rest = e.let(i64.sub(i64.const(size + 1), n));
  const moved = e.let(
    way === "left"
      ? i64.or(i64.shl(a, n), i64.or(i64.shl(cf, i64.sub(n, ONE)), shruWide(a, rest)))
      : i64.or(i64.shru(a, n), i64.or(i64.shl(cf, i64.sub(width(size), n)), shlWide(a, rest))),
  );
  return unsigned(select(i64.eqz(n), a, moved), size);
}

function carryOut(a: Expr, cf: Expr, n: Expr, size: Size, way: "left" | "right"): Expr {
  const out = way === "left" ? bit(a, i64.sub(width(size), n)) : bit(a, i64.sub(n, ONE));
  return select(i64.eqz(n), cf, out);
}

const double = (
  mnemonic: string,
  opcode: number,
  shift: (e: Emitter, a: Expr, b: Expr, n: Expr, size: Size) => ReturnType<Shift>,
): Insn => {
  const op = (n: number): string => n.toString(16).toUpperCase();
  return insn(mnemonic, {
    forms: [`0F ${op(opcode)} /r ib Ev,Gv,Ib`, `0F ${op(opcode + 1)} /r Ev,Gv,CL`],
    exec(e: Emitter, dst?: Operand, src?: Operand, by?: Operand) {
      const { size } = dst!;
      const n = e.let(masked(e.read(by!), size));
      const b = e.let(e.read(src!));
      const a = e.let(e.modify(dst!));
      const [result, cf, of] = shift(e, a, b, n, size);
      const r = e.let(select(i64.eqz(n), a, result));
      e.write(dst!, r);
      e.if(i64.ne(n, i64.const(0)), () => resultFlags(e, r, cf, of, size));
    },
  });
};

/** 16-bit operands with counts above 16 (undefined in the manual) go on with the source again, as processors do. */
const twice = (b: Expr): Expr => i64.or(i64.shl(b, i64.const(16)), b);

export const SHIFT: readonly Insn[] = [
  shiftInsn("rol", [0], rol, true),
  shiftInsn("ror", [1], ror, true),
  shiftInsn("rcl", [2], rcl, true),
  shiftInsn("rcr", [3], rcr, true),
  shiftInsn("shl", [4, 6], shl, false),
  shiftInsn("shr", [5], shr, false),
  shiftInsn("sar", [7], sar, false),
  double("shld", 0xa4, (e, a, b, n, size) => {
    const r = e.let(
      size === 16
        ? i64.shru(i64.or(i64.shl(a, i64.const(32)), twice(b)), i64.sub(i64.const(32), n))
        : i64.or(i64.shl(a, n), i64.shru(b, i64.sub(width(size), n))),
    );
    const cf = e.let(bit(a, i64.sub(width(size), n)));
    return [r, cf, i64.xor(top(r, size), top(a, size))];
  }),
  double("shrd", 0xac, (e, a, b, n, size) => {
    const r = e.let(
      size === 16
        ? i64.shru(i64.or(i64.shl(twice(b), i64.const(16)), a), n)
        : i64.or(i64.shru(a, n), i64.shl(b, i64.sub(width(size), n))),
    );
    return [r, bit(a, i64.sub(n, ONE)), i64.xor(top(r, size), top(a, size))];
  }),
];
