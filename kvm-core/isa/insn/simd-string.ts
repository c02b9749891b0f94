/**
 * String comparisons of SSE4.2.
 * Document: SDM volume 2, 4.1 (imm8, flags) and PCMPESTRI PCMPESTRM PCMPISTRI PCMPISTRM.
 * Left out: VEX forms; they come with AVX. The comparison itself: kvm-core/vector/string-compare.ts.
 */

import { FPU } from "../../cpu/fpu-state.ts";
import { GPR } from "../../cpu/state.ts";
import type { Emitter } from "../../emit/emitter.ts";
import { setCarryOverflow, setLowFlags, signed } from "../../emit/flags.ts";
import { type Expr, i32, i64, select } from "../../wasm/expr.ts";
import { i8x16, i16x8, i64x2, v128 } from "../../wasm/simd.ts";
import { type Insn, insn } from "../insn.ts";

/** Bits of imm8, and of the flags that LAHF has. */
const WORDS = 1;
const LAST_INDEX = 0x40;
const ZF = 6;
const SF = 7;
const ONE = i32.const(1);
const ZERO = v128.const(0n);

/** Elements before the first that is 0. */
function implicitLength(vector: Expr, isWords: Expr): Expr {
  const end = (mask: Expr, count: number): Expr => i32.ctz(i32.or(mask, i32.const(1 << count)));
  const words = end(i16x8.bitmask(i16x8.eq(vector, ZERO)), 8);
  return select(isWords, words, end(i8x16.bitmask(i8x16.eq(vector, ZERO)), 16));
}

/** The magnitude of a register, as far as there are elements. */
function explicitLength(e: Emitter, register: number, count: Expr): Expr {
  const value = e.let(signed(e.gpr(register), e.size === 64 ? 64 : 32));
  const magnitude = e.let(select(i64.lts(value, i64.const(0)), i64.sub(i64.const(0), value), value));
  const most = i32.toI64u(count);
  return i64.toI32(select(i64.ltu(magnitude, most), magnitude, most));
}

/** CF: something was found; OF: in the first element; ZF and SF: the second and the first operand end. PF and AF are clear. */
function setFlags(e: Emitter, found: Expr, endsA: Expr, endsB: Expr): void {
  const at = (flag: Expr, n: number): Expr => i64.shl(i32.toI64u(flag), i64.const(n));
  setLowFlags(e, i64.or(at(endsB, ZF), at(endsA, SF)));
  setCarryOverflow(e, i32.toI64u(i32.ne(found, i32.const(0))), i32.toI64u(i32.and(found, ONE)));
}

/** Number of the lowest or of the highest element that was found, or how many there are. */
function index(found: Expr, control: Expr, count: Expr): Expr {
  const last = i32.sub(i32.const(31), i32.clz(found));
  const at = select(i32.and(control, i32.const(LAST_INDEX)), last, i32.ctz(found));
  return select(found, at, count);
}

const compare = (mnemonic: string, opcode: string, isExplicit: boolean, isIndex: boolean): Insn =>
  insn(mnemonic, {
    // REX.W makes the lengths 64-bit ones, so only where there are lengths.
    forms: [`66 0F 3A ${opcode} /r ib Vdq,Wdq,Ib${isExplicit ? " sized" : ""}`],
    unit: "sse",
    cpuid: "sse4.2",
    unaligned: true,
    exec(e, first, second, immediate) {
      const [a, b] = [e.let(e.readV(first!)), e.let(e.readV(second!))];
      const control = e.let(i64.toI32(e.read(immediate!)));
      const isWords = e.let(i32.and(control, i32.const(WORDS)));
      const count = e.let(i32.shru(i32.const(16), isWords));
      const lengthA = e.let(isExplicit ? explicitLength(e, GPR.rax, count) : implicitLength(a, isWords));
      const lengthB = e.let(isExplicit ? explicitLength(e, GPR.rdx, count) : implicitLength(b, isWords));
      const found = e.call("stringCompare", "i32", a, b, lengthA, lengthB, control);
      if (isIndex) e.setGpr(GPR.rcx, i32.toI64u(index(found, control, count)), 32);
      else {
        const mask = e.call("stringMask", "v128", found, control);
        e.setFpu(FPU.xmm, i64x2.extract(mask, 0));
        e.setFpu(FPU.xmm + 8, i64x2.extract(mask, 1));
      }
      setFlags(e, found, i32.ltu(lengthA, count), i32.ltu(lengthB, count));
    },
  });

export const SIMD_STRING: readonly Insn[] = [
  compare("pcmpestrm", "60", true, false),
  compare("pcmpestri", "61", true, true),
  compare("pcmpistrm", "62", false, false),
  compare("pcmpistri", "63", false, true),
];
