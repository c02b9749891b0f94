/**
 * Segments as generated code sees them: the check of an offset against its bounds, the address record, canonical addresses.
 * Document: SDM volume 3, 5.3 (limit checking); volume 1, 3.3.7.1 (canonical addresses). Rows: cpu/bounds.ts.
 * Left out: where no check is needed: flat code and 64-bit mode choose other cases (isa/opcode-map.ts).
 */

import { BOUNDS } from "../cpu/bounds.ts";
import { CPU, SEG } from "../cpu/state.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import type { Access, Size } from "./emitter.ts";
import { unsigned } from "./flags.ts";
import type { AccessStage } from "./memory-access.ts";
import { MICRO, RECORD } from "./record.ts";

const SS = 12;
const GP = 13;

/** What a check needs of the stage that makes it. */
export interface CheckStage {
  readonly code: Code;
  readonly cpu: Expr;
  /** Address of the instruction's record. */
  readonly ip: Expr;
  /** Raises an exception with error code 0 and ends the instruction. */
  raise(vector: Expr): void;
}

/** Of the slot at `slot` (its offset in the state): the row for the access is at this address + CPU.bounds. */
function rowOfSlot(cpu: Expr, slot: Expr): Expr {
  const factor = Math.log2(BOUNDS.perSegment / 8);
  return i32.add(cpu, i32.shl(i32.sub(slot, i32.const(CPU.segBase)), i32.const(factor)));
}

const SS_SLOT = CPU.segBase + SEG.ss * 8;
const vectorOfSlot = (slot: Expr): Expr => select(i32.eq(slot, i32.const(SS_SLOT)), i32.const(SS), i32.const(GP));

/** Raises unless `offset` and the `last` bytes behind it lie in the row at `row` + CPU.bounds + `extra`. */
function checkRow(stage: CheckStage, offset: Expr, last: Expr, row: Expr, extra: number, vector: Expr): void {
  const low = i64.load(row, CPU.bounds + BOUNDS.low + extra);
  const high = i64.load(row, CPU.bounds + BOUNDS.high + extra);
  stage.code.if(i32.or(i64.ltu(offset, low), i64.gtu(i64.add(offset, last), high)), () => stage.raise(vector));
}

const extraOf = (access: Access): number => (access === "read" ? 0 : BOUNDS.write);

/** Linear address of `offset` in the segment whose base is in the slot at `slot`, outside 64-bit mode. */
export function segmentAddress(stage: CheckStage, offset: Expr, slot: Expr, bytes: number, access: Access): Expr {
  const { code, cpu } = stage;
  const o = code.let(offset);
  checkRow(stage, o, i64.const(bytes - 1), rowOfSlot(cpu, slot), extraOf(access), vectorOfSlot(slot));
  return unsigned(i64.add(o, i64.load(i32.add(cpu, slot))), 32);
}

/** Linear address of `offset` in the stack segment, outside 64-bit mode. */
export function stackSegmentAddress(stage: CheckStage, offset: Expr, bytes: number, access: Access): Expr {
  const { code, cpu } = stage;
  const o = code.let(offset);
  const row = SEG.ss * BOUNDS.perSegment + extraOf(access);
  checkRow(stage, o, i64.const(bytes - 1), cpu, row, i32.const(SS));
  return unsigned(i64.add(o, i64.load(cpu, SS_SLOT)), 32);
}

/**
 * A linear address that an instruction made from its memory operand's, outside 64-bit mode. If an address record went
 * before, it knows the segment, and has checked nothing; without one the code is flat.
 */
export function derivedAddress(stage: CheckStage, linear: Expr, bytes: number, access: Access): Expr {
  const { code, cpu, ip } = stage;
  const result = code.local("i64");
  code.set(result, unsigned(linear, 32));
  code.if(i32.eq(i32.load8u(ip, RECORD.base), i32.const(CPU.ea)), () => {
    const record = code.let(i32.sub(ip, i32.const(RECORD.size)));
    const slot = code.let(i32.load8u(record, RECORD.dst));
    const base = i64.load(i32.add(cpu, slot));
    const narrow = i32.eq(i32.load16u(record, RECORD.case), i32.const(MICRO.ea16));
    const mask = select(narrow, i64.const(0xffff), i64.const(0xffff_ffff));
    const offset = code.let(i64.and(i64.sub(result, base), mask));
    code.set(result, segmentAddress(stage, offset, slot, bytes, access));
  });
  return result;
}

/** The same in 64-bit mode, where nothing is checked: an offset of 32 bits is cut before the segment's base comes to it. */
export function derivedLong({ code, cpu, ip }: CheckStage, linear: Expr): Expr {
  const result = code.local("i64");
  code.set(result, linear);
  const record = code.let(i32.sub(ip, i32.const(RECORD.size)));
  const narrow = i32.eq(i32.load16u(record, RECORD.case), i32.const(MICRO.ea32long));
  code.if(i32.and(i32.eq(i32.load8u(ip, RECORD.base), i32.const(CPU.ea)), narrow), () => {
    const base = code.let(i64.load(i32.add(cpu, i32.load8u(record, RECORD.dst))));
    code.set(result, i64.add(unsigned(i64.sub(result, base), 32), base));
  });
  return result;
}

/** Linear address of the address record at $ip, for the offset `sum`. Outside 64-bit mode bounds row and bytes are in the record. */
export function recordAddress(stage: CheckStage, sum: Expr, size: 16 | 32 | 64, long: boolean): Expr {
  const { code, cpu, ip } = stage;
  const slot = code.let(i32.load8u(ip, RECORD.dst));
  const offset = code.let(unsigned(sum, size));
  if (!long) {
    const row = i32.add(cpu, i32.shl(i32.load8u(ip, RECORD.src), i32.const(Math.log2(BOUNDS.size))));
    checkRow(stage, offset, i64.load32u(ip, RECORD.imm), row, 0, vectorOfSlot(slot));
  }
  const linear = i64.add(offset, i64.load(i32.add(cpu, slot)));
  return code.let(long ? linear : unsigned(linear, 32));
}

/**
 * An access to the stack in 64-bit mode: on the slow path it looks whether the address is canonical, before the MMU finds
 * that it is not.
 */
export function stackAccess(access: AccessStage, stage: CheckStage, size: Size): AccessStage {
  return {
    ...access,
    call(func, args, result) {
      const address = i64.load(access.cpu, CPU.address);
      const last = i64.add(address, i64.const(size / 8 - 1));
      access.code.if(i32.or(notCanonical(address), notCanonical(last)), () => stage.raise(i32.const(SS)));
      access.call(func, args, result);
    },
  };
}

/** #GP(0) unless a near branch with operand size `size` may go to `rip`. `when`: only if it is taken. */
export function checkTarget(stage: CheckStage, size: Size, rip: Expr, when?: Expr): void {
  const to = stage.code.let(rip);
  const wrong = size === 64 ? notCanonical(to) : beyondCode(stage.cpu, to);
  stage.code.if(when ? i32.and(when, wrong) : wrong, () => stage.raise(i32.const(GP)));
}

/** i32, not 0: bits 63..48 of the address are not all equal to bit 47. */
function notCanonical(address: Expr): Expr {
  return i64.ne(i64.shrs(i64.shl(address, i64.const(16)), i64.const(16)), address);
}

/** i32, not 0: outside 64-bit mode, the offset lies beyond the limit of CS. */
function beyondCode(cpu: Expr, offset: Expr): Expr {
  return i64.gtu(offset, i64.load32u(cpu, CPU.limit + SEG.cs * 4));
}
