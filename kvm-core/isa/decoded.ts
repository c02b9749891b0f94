/**
 * What the decoder came to: a row of the opcode map, and what the record and the disassembly need of the instruction.
 * Document: SDM volume 2A, chapter 2.
 * Left out: how it is found: decode.ts, which extends this, so that decoding writes its own fields and allocates nothing.
 */

import type { Size } from "../emit/emitter.ts";
import { CodeReader } from "./code-reader.ts";
import type { Row } from "./opcode-map.ts";

/** What decode() came to. */
export const Decoded = {
  ok: 0,
  /** The bytes end inside the instruction. */
  short: 1,
  /** The manual leaves it undefined: #UD. */
  undefined: 2,
  /** More than 15 bytes: #GP(0). */
  tooLong: 3,
  /** There is no case for the operand size that it has, our bug: `unbuilt` is its name. */
  unbuilt: 4,
} as const;

export class DecodedInstruction extends CodeReader {
  row!: Row;
  caseNumber = 0;
  size: Size = 32;
  length = 0;
  /** Register fields: pre-scaled offsets into the slots, or numbers. */
  dst = 0;
  src = 0;
  base = 0;
  index = 0;
  scale = 0;
  disp = 0;
  imm = 0;
  /** Upper half of a 64-bit immediate or absolute address. */
  immHigh = 0;
  wide = false;
  /** A relative branch: distance from the next instruction. */
  relative = 0;
  isRelative = false;
  /** A relative branch that goes by RIP: see Operand in emit/emitter.ts. */
  computed = false;
  ripRelative = false;
  hasMemory = false;
  hasImmediate = false;
  lock = false;
  repeat = 0;
  /** Address record that must go before, or 0; its own fields. */
  eaCase = 0;
  eaSegment = 0;
  eaRow = 0;
  eaBytes = 0;
  unbuilt = "";
  // --- for the disassembly
  rex = 0;
  segment = -1;
  addressSize: 16 | 32 | 64 = 64;
}
