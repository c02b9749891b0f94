/**
 * Multiplication, division, sign extension into rDX.
 * Document: SDM volume 2, MUL IMUL DIV IDIV CBW/CWDE/CDQE CWD/CDQ/CQO.
 * Left out: MULX: bmi.ts. SF, ZF, AF and PF after a multiplication (undefined) are those of the low half.
 */

import { GPR } from "../../cpu/state.ts";
import type { Emitter, Operand, Size } from "../../emit/emitter.ts";
import { resultFlags, signed, unsigned } from "../../emit/flags.ts";
import { type Expr, i32, i64 } from "../../wasm/expr.ts";
import { type Insn, insn } from "../insn.ts";

const DE = 0;
const LOW32 = i64.const(0xffff_ffffn);
const high32 = (x: Expr): Expr => i64.shru(x, i64.const(32));

/** Upper 64 bits of the unsigned product of two 64-bit values. */
export function multiplyHigh(e: Emitter, a: Expr, b: Expr): Expr {
  const [al, ah] = [e.let(i64.and(a, LOW32)), e.let(high32(a))];
  const [bl, bh] = [e.let(i64.and(b, LOW32)), e.let(high32(b))];
  const middle = e.let(i64.add(i64.mul(ah, bl), high32(i64.mul(al, bl))));
  const other = e.let(i64.add(i64.mul(al, bh), i64.and(middle, LOW32)));
  return i64.add(i64.mul(ah, bh), i64.add(high32(middle), high32(other)));
}

/** Upper 64 bits of the signed product. */
function multiplyHighSigned(e: Emitter, a: Expr, b: Expr): Expr {
  const high = e.let(multiplyHigh(e, a, b));
  const sign = (x: Expr): Expr => i64.shrs(x, i64.const(63));
  return i64.sub(i64.sub(high, i64.and(sign(a), b)), i64.and(sign(b), a));
}

/** rDX:rAX (AX for bytes) = rAX * operand. */
function multiply(e: Emitter, operand: Operand, isSigned: boolean): void {
  const { size } = operand;
  const extend = isSigned ? signed : unsigned;
  const b = e.let(extend(e.read(operand), size));
  const a = e.let(extend(e.gpr(GPR.rax, size), size));
  const low = e.let(i64.mul(a, b));
  if (size === 64) {
    const high = e.let((isSigned ? multiplyHighSigned : multiplyHigh)(e, a, b));
    e.setGpr(GPR.rax, low);
    e.setGpr(GPR.rdx, high);
    lost(e, low, i64.ne(high, isSigned ? i64.shrs(low, i64.const(63)) : i64.const(0)), size);
    return;
  }
  e.setGpr(GPR.rax, low, size === 8 ? 16 : size);
  if (size !== 8) e.setGpr(GPR.rdx, i64.shru(low, i64.const(size)), size);
  lost(e, low, i64.ne(low, extend(low, size)), size);
}

/** CF and OF: the product does not fit its low half. */
function lost(e: Emitter, low: Expr, overflow: Expr, size: Size): void {
  const flag = e.let(i32.toI64u(overflow));
  resultFlags(e, low, flag, flag, size);
}

function multiplyTruncated(e: Emitter, dst: Operand, x: Operand, y: Operand): void {
  const { size } = dst;
  const b = e.let(signed(e.read(y), size));
  const a = e.let(signed(e.read(x), size));
  const low = e.let(i64.mul(a, b));
  e.write(dst, low);
  const overflow =
    size === 64 ? i64.ne(multiplyHighSigned(e, a, b), i64.shrs(low, i64.const(63))) : i64.ne(low, signed(low, size));
  lost(e, low, overflow, size);
}

/** rAX, rDX = quotient, remainder of rDX:rAX (AX for bytes) by the operand; #DE if it is 0 or the quotient does not fit. */
function divide(e: Emitter, operand: Operand, isSigned: boolean): void {
  const { size } = operand;
  const divisor = e.let(isSigned ? e.readSigned(operand) : e.read(operand));
  e.if(i64.eqz(divisor), () => e.raise(DE));
  if (size === 64) {
    divide64(e, divisor, isSigned);
    return;
  }
  const dividend = e.variable(e.gpr(GPR.rax, size === 8 ? 16 : size));
  if (size !== 8) e.assign(dividend, i64.or(dividend, i64.shl(e.gpr(GPR.rdx, size), i64.const(size))));
  if (isSigned) {
    e.assign(dividend, signed(dividend, size === 8 ? 16 : size === 16 ? 32 : 64));
    // The one quotient that wasm traps on does not fit anyway.
    const minimum = i64.eq(dividend, i64.const(-(1n << 63n)));
    e.if(i32.and(minimum, i64.eq(divisor, i64.const(-1))), () => e.raise(DE));
  }
  const quotient = e.let((isSigned ? i64.divs : i64.divu)(dividend, divisor));
  const fits = isSigned ? signed(quotient, size) : unsigned(quotient, size);
  e.if(i64.ne(quotient, fits), () => e.raise(DE));
  const remainder = e.let((isSigned ? i64.rems : i64.remu)(dividend, divisor));
  if (size === 8) {
    const low = unsigned(quotient, 8);
    e.setGpr(GPR.rax, i64.or(low, i64.shl(unsigned(remainder, 8), i64.const(8))), 16);
  } else {
    e.setGpr(GPR.rax, quotient, size);
    e.setGpr(GPR.rdx, remainder, size);
  }
}

/** A dividend that fits 64 bits is divided here, a longer one by the helper. */
function divide64(e: Emitter, divisor: Expr, isSigned: boolean): void {
  const low = e.let(e.gpr(GPR.rax));
  const high = e.gpr(GPR.rdx);
  const short = isSigned ? i64.eq(high, i64.shrs(low, i64.const(63))) : i64.eqz(high);
  const divideShort = (): void => {
    const quotient = e.let((isSigned ? i64.divs : i64.divu)(low, divisor));
    const remainder = e.let((isSigned ? i64.rems : i64.remu)(low, divisor));
    e.setGpr(GPR.rax, quotient);
    e.setGpr(GPR.rdx, remainder);
  };
  e.if(
    short,
    () => {
      if (isSigned) {
        const traps = i32.and(i64.eq(divisor, i64.const(-1)), i64.eq(low, i64.const(-(1n << 63n))));
        e.if(traps, () => e.raise(DE));
      }
      divideShort();
    },
    () => {
      e.setData(divisor);
      e.helper("divide", i32.const(isSigned ? 1 : 0));
    },
  );
}

export const MULDIV: readonly Insn[] = [
  insn("mul", { forms: ["F6 /4 Eb", "F7 /4 Ev"], exec: (e, src) => multiply(e, src!, false) }),
  insn("imul", { forms: ["F6 /5 Eb", "F7 /5 Ev"], exec: (e, src) => multiply(e, src!, true) }),
  insn("imul", {
    forms: ["0F AF /r Gv,Ev", "69 /r iz Gv,Ev,Iz", "6B /r ib Gv,Ev,Ibs"],
    exec: (e, dst, a, b) => multiplyTruncated(e, dst!, b ? a! : dst!, b ?? a!),
  }),
  insn("div", { forms: ["F6 /6 Eb", "F7 /6 Ev"], exec: (e, src) => divide(e, src!, false) }),
  insn("idiv", { forms: ["F6 /7 Eb", "F7 /7 Ev"], exec: (e, src) => divide(e, src!, true) }),
  insn("cbw", {
    forms: ["98 sized"],
    names: ["cbw", "cwde", "cdqe"],
    exec(e) {
      const half = (e.size / 2) as Size;
      e.setGpr(GPR.rax, signed(e.gpr(GPR.rax, half), half), e.size);
    },
  }),
  insn("cwd", {
    forms: ["99 sized"],
    names: ["cwd", "cdq", "cqo"],
    exec: (e) => e.setGpr(GPR.rdx, i64.shrs(signed(e.gpr(GPR.rax, e.size), e.size), i64.const(63)), e.size),
  }),
];
