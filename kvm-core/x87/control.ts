/**
 * Control of the unit: FNINIT, FNCLEX, FLDCW, the status word, and the instruction and operand pointers.
 * Document: SDM volume 1, 8.1.3 to 8.1.9; volume 2, FINIT FCLEX FLDCW FSTSW.
 * Left out: environments and saved states: engine/helpers/x87.ts.
 */

import { MODE } from "../cpu/control.ts";
import { FCW, FPU, FSW } from "../cpu/fpu-state.ts";
import { CPU, SEG } from "../cpu/state.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64, select } from "../wasm/expr.ts";
import { summary } from "./stack.ts";

/** x87Operand. Pointers are offsets in their segments, not linear addresses. */
export function emitOperand(code: Code): void {
  const [cpu, fop, fip, segment, linear] = [0, 1, 2, 3, 4].map((i) => code.param(i)) as [Expr, Expr, Expr, Expr, Expr];
  code.store("i32", cpu, fop, FPU.fop);
  code.store("i64", cpu, fip, FPU.fip);
  code.store("i32", cpu, i32.load(cpu, CPU.selector + SEG.cs * 4), FPU.fcs);
  const selector = i32.load(i32.add(cpu, i32.shl(segment, i32.const(2))), CPU.selector);
  code.store("i32", cpu, selector, FPU.fds);
  const base = i64.load(i32.add(cpu, i32.shl(segment, i32.const(3))), CPU.segBase);
  const offset = code.let(i64.sub(linear, base));
  const size = i32.and(i32.load(cpu, CPU.mode), i32.const(MODE.codeSize));
  // In 64-bit mode segments but FS and GS begin at 0, whatever their bases are.
  const long = select(i32.ltu(segment, i32.const(SEG.fs)), linear, offset);
  const legacy = i64.and(offset, i64.const(0xffff_ffff));
  code.store("i64", cpu, select(i32.eq(size, i32.const(MODE.code64)), long, legacy), FPU.fdp);
}

/** x87Init. The registers keep their contents. */
export function emitInit(code: Code): void {
  const cpu = code.param(0);
  code.store("i32", cpu, i32.const(FCW.initial), FPU.fcw);
  for (const field of [FPU.fsw, FPU.top, FPU.tags, FPU.fop, FPU.fcs, FPU.fds]) {
    code.store("i32", cpu, i32.const(0), field);
  }
  code.store("i64", cpu, i64.const(0), FPU.fip);
  code.store("i64", cpu, i64.const(0), FPU.fdp);
  summary(code, cpu);
}

/** x87Clear. The condition codes stay. */
export function emitClear(code: Code): void {
  const cpu = code.param(0);
  const cleared = FSW.exceptions | FSW.SF | FSW.ES | FSW.B;
  code.store("i32", cpu, i32.and(i32.load(cpu, FPU.fsw), i32.const(~cleared)), FPU.fsw);
  summary(code, cpu);
}

/** x87LoadControl: exceptions that are flagged already may be unmasked now. */
export function emitLoadControl(code: Code): void {
  const cpu = code.param(0);
  const word = i32.or(i32.and(code.param(1), i32.const(FCW.writable)), i32.const(FCW.set));
  code.store("i32", cpu, word, FPU.fcw);
  summary(code, cpu);
}

/** x87Status. */
export function emitStatus(code: Code): void {
  const cpu = code.param(0);
  const top = i32.shl(i32.load(cpu, FPU.top), i32.const(FSW.topShift));
  code.return(i32.or(i32.load(cpu, FPU.fsw), top));
  code.unreachable();
}
