/**
 * The boundary between blocks, the same in both stages: the look at `pending`, and the jump cache.
 * Document: architecture.md section 5 (pending word, indirect jumps).
 * Left out: what a stage does when it has to leave.
 */

import { CPU } from "../cpu/state.ts";
import { ZONE } from "../cpu/zones.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64 } from "../wasm/expr.ts";

/** i32, not 0: somebody wants the vCPU out. Atomic, so that the optimiser never folds two looks at what other threads write. */
export function wanted(cpu: Expr): Expr {
  return i32.or(i32.atomicLoad(cpu, CPU.pending), i32.atomicLoad(cpu, ZONE.kick - ZONE.cpu));
}

/** Looks up the record of `rip`: `found` goes on with it, CPU.ripBase being set; `missed` does not find it. */
export function jumpCache(code: Code, cpu: Expr, rip: Expr, found: (record: Expr) => void, missed: () => void): void {
  // Tag RIP, u32 record, u32 page offset. Index: the low bits, mixed with the page number.
  const mixed = i64.toI32(i64.xor(rip, i64.shru(rip, i64.const(12))));
  const entry = code.let(i32.add(cpu, i32.shl(i32.and(mixed, i32.const(0xfff)), i32.const(4))));
  code.if(
    i64.eq(i64.load(entry, ZONE.jumpCache), rip),
    () => {
      code.store("i64", cpu, i64.sub(rip, i64.load32u(entry, ZONE.jumpCache + 12)), CPU.ripBase);
      found(i32.load(entry, ZONE.jumpCache + 8));
    },
    missed,
  );
}
