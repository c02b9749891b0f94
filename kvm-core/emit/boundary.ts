/**
 * The boundary between blocks, the same in both stages: the look at `pending`, the jump cache, what a block's function returns.
 * Document: architecture.md section 5 (pending word, indirect jumps).
 * Left out: what a stage does when it has to leave.
 */

import { CPU } from "../cpu/state.ts";
import { JUMP, PAGE_SIZE, ZONE } from "../cpu/zones.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import type { FuncType } from "../wasm/module.ts";
import { RECORD } from "./record.ts";

/** A translated block: ($cpu) -> 0: the state says where to go on; else a record, with TAKEN if a branch was taken to it. */
export const BLOCK_TYPE: FuncType = { params: ["i32"], results: ["i32"] };
/** Bit of a block's result: look at `pending` before going on. */
export const TAKEN = 1;

/** i32, not 0: somebody wants the vCPU out. Atomic, so that the optimiser never folds two looks at what other threads write. */
export function wanted(cpu: Expr): Expr {
  return i32.or(i32.atomicLoad(cpu, CPU.pending), i32.atomicLoad(cpu, ZONE.kick - ZONE.cpu));
}

/**
 * Where the record at `ip` leads that goes to another page; `ripBase` is that page's. A link holds for the linear page for
 * which it was made (RECORD.page): the same code may be mapped twice, with other pages beside it. For another one the link
 * record behind it finds the way anew.
 */
export function linkedRecord(ip: Expr, ripBase: Expr): Expr {
  const page = i32.and(i64.toI32(i64.shru(ripBase, i64.const(12))), i32.const(RECORD.pageMask));
  const made = i32.and(i32.load(ip, RECORD.page), i32.const(RECORD.pageMask));
  return select(i32.eq(made, page), i32.load(ip, RECORD.disp), i32.add(ip, i32.const(RECORD.size)));
}

/** Looks up the record of `rip`: `found` goes on with it, CPU.ripBase being set; `missed` does not find it. */
export function jumpCache(code: Code, cpu: Expr, rip: Expr, found: (record: Expr) => void, missed: () => void): void {
  const mixed = i64.toI32(i64.xor(rip, i64.shru(rip, i64.const(JUMP.hashShift))));
  const index = i32.shl(i32.and(mixed, i32.const(JUMP.entries - 1)), i32.const(Math.log2(JUMP.entrySize)));
  const entry = code.let(i32.add(cpu, index));
  // Of the same generation and privilege: then it is the page offset. Else it is larger.
  const check = i32.load(entry, ZONE.jumpCache + JUMP.check);
  const offset = code.let(i32.xor(check, i32.load(cpu, ZONE.jumpGeneration)));
  const sameRip = i64.eq(i64.load(entry, ZONE.jumpCache + JUMP.rip), rip);
  code.if(
    i32.and(sameRip, i32.ltu(offset, i32.const(PAGE_SIZE))),
    () => {
      code.store("i64", cpu, i64.sub(rip, i32.toI64u(offset)), CPU.ripBase);
      found(i32.load(entry, ZONE.jumpCache + JUMP.record));
    },
    missed,
  );
}
