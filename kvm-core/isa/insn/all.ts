/**
 * All descriptions: the list that the opcode map, the cases and the disassembly are made from.
 * Document: architecture.md section 5.
 * Left out: nothing; a new family file adds its line here.
 */

import type { Insn } from "../insn.ts";
import { ARITH } from "./arith.ts";
import { BCD } from "./bcd.ts";
import { BIT } from "./bit.ts";
import { CONTROL } from "./control.ts";
import { FLAGOPS } from "./flagops.ts";
import { IO } from "./io.ts";
import { LOGIC } from "./logic.ts";
import { MOVE } from "./move.ts";
import { MULDIV } from "./muldiv.ts";
import { SEGMENT } from "./segment.ts";
import { SHIFT } from "./shift.ts";
import { STACK } from "./stack.ts";
import { STRING } from "./string.ts";
import { SYSCALL } from "./syscall.ts";
import { SYSTEM } from "./system.ts";

export const INSNS: readonly Insn[] = [
  ...ARITH,
  ...LOGIC,
  ...SHIFT,
  ...MULDIV,
  ...BCD,
  ...BIT,
  ...MOVE,
  ...STACK,
  ...CONTROL,
  ...FLAGOPS,
  ...STRING,
  ...IO,
  ...SEGMENT,
  ...SYSTEM,
  ...SYSCALL,
];
