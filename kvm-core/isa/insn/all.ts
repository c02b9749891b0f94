/**
 * All descriptions: the list that the opcode map, the cases and the disassembly are made from.
 * Document: architecture.md section 5.
 * Left out: nothing; a new family file adds its line here.
 */

import type { Insn } from "../insn.ts";
import { ARITH } from "./arith.ts";
import { BCD } from "./bcd.ts";
import { BIT } from "./bit.ts";
import { BMI } from "./bmi.ts";
import { CONTROL } from "./control.ts";
import { FLAGOPS } from "./flagops.ts";
import { IO } from "./io.ts";
import { LOGIC } from "./logic.ts";
import { MOVE } from "./move.ts";
import { MULDIV } from "./muldiv.ts";
import { SEGMENT } from "./segment.ts";
import { SHIFT } from "./shift.ts";
import { SIMD_CRYPTO } from "./simd-crypto.ts";
import { SIMD_INTEGER } from "./simd-integer.ts";
import { SIMD_LANE } from "./simd-lane.ts";
import { SIMD_LOGIC } from "./simd-logic.ts";
import { SIMD_MOVE } from "./simd-move.ts";
import { SIMD_PART } from "./simd-part.ts";
import { SIMD_SHIFT } from "./simd-shift.ts";
import { SIMD_SHUFFLE } from "./simd-shuffle.ts";
import { SIMD_STRING } from "./simd-string.ts";
import { SSE_ARITH } from "./sse-arith.ts";
import { SSE_COMPARE } from "./sse-compare.ts";
import { SSE_CONVERT } from "./sse-convert.ts";
import { SSE_ROUND } from "./sse-round.ts";
import { STACK } from "./stack.ts";
import { STRING } from "./string.ts";
import { SYSCALL } from "./syscall.ts";
import { SYSTEM } from "./system.ts";
import { X87_ARITH } from "./x87-arith.ts";
import { X87_CONTROL } from "./x87-control.ts";
import { X87_TRANSFER } from "./x87-transfer.ts";
import { XSAVE } from "./xsave.ts";

export const INSNS: readonly Insn[] = [
  ...ARITH,
  ...LOGIC,
  ...SHIFT,
  ...MULDIV,
  ...BCD,
  ...BIT,
  ...BMI,
  ...MOVE,
  ...STACK,
  ...CONTROL,
  ...FLAGOPS,
  ...STRING,
  ...IO,
  ...SEGMENT,
  ...SYSTEM,
  ...SIMD_LOGIC,
  ...SIMD_MOVE,
  ...SIMD_PART,
  ...SIMD_INTEGER,
  ...SIMD_SHIFT,
  ...SIMD_SHUFFLE,
  ...SIMD_LANE,
  ...SSE_ARITH,
  ...SSE_COMPARE,
  ...SSE_CONVERT,
  ...SSE_ROUND,
  ...X87_ARITH,
  ...X87_TRANSFER,
  ...X87_CONTROL,
  ...SIMD_CRYPTO,
  ...SIMD_STRING,
  ...XSAVE,
  ...SYSCALL,
];
