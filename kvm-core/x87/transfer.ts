/**
 * Loads, stores, exchanges and conditional moves; FFREE.
 * Document: SDM volume 2, FLD FILD FBLD FST FIST FISTTP FBSTP FXCH FCMOVcc FFREE; volume 1, 4.8.3.7 and 8.2 (indefinites).
 * Left out: memory: the instructions read it before and write it after (isa/insn/x87-transfer.ts); conversions: kvm-core/float.
 */

import { FPU, FSW } from "../cpu/fpu-state.ts";
import type { FloatFunction } from "../float/functions.ts";
import type { Code } from "../wasm/code.ts";
import { type Expr, i32, i64 } from "../wasm/expr.ts";
import type { Float } from "./arith.ts";
import { NOT_STORED } from "./functions.ts";
import { empty, Stack, type StackFunctions } from "./stack.ts";

const scratch = (cpu: Expr): Expr => i32.add(cpu, i32.const(FPU.scratch));
const registerOf = (code: Code): Expr => code.let(i32.and(code.param(1), i32.const(7)));

/** x87Load. */
export function emitLoad(code: Code, functions: StackFunctions, float: Float): void {
  const stack = new Stack(code, functions);
  const [cpu, format, bits] = [code.param(0), code.param(1), code.param(2)];
  stack.overflowIfFull();
  const slot = stack.slot(-1);
  const done = code.local("i32");
  stack.begin();
  code.block((end) => {
    code.switch(format, [
      () => {
        code.call(float.x87FromF32, [cpu, slot, bits], done);
        code.br(end);
      },
      () => {
        code.call(float.x87FromF64, [cpu, slot, bits], done);
        code.br(end);
      },
      () => {
        code.call(float.x87FromI64, [cpu, slot, bits]);
        code.set(done, i32.const(1));
      },
    ]);
  });
  stack.commit();
  code.if(done, () => stack.push());
}

/** x87LoadExtended: no format is invalid here, so nothing is raised. */
export function emitLoadExtended(code: Code, functions: StackFunctions): void {
  const stack = new Stack(code, functions);
  stack.overflowIfFull();
  const slot = stack.slot(-1);
  code.store("i64", slot, code.param(1));
  code.store("i64", slot, i64.and(code.param(2), i64.const(0xffff)), 8);
  stack.commit(i32.const(0));
  stack.push();
}

/** x87LoadBcd. */
export function emitLoadBcd(code: Code, functions: StackFunctions, float: Float): void {
  const stack = new Stack(code, functions);
  const { cpu } = stack;
  stack.overflowIfFull();
  code.store("i64", cpu, code.param(1), FPU.scratch);
  code.store("i64", cpu, code.param(2), FPU.scratch + 8);
  code.call(float.x87FromBcd, [cpu, stack.slot(-1), scratch(cpu)]);
  stack.commit(i32.const(0));
  stack.push();
}

/** x87LoadRegister. */
export function emitLoadRegister(code: Code, functions: StackFunctions): void {
  const stack = new Stack(code, functions);
  const i = registerOf(code);
  // Which of the two it is shows in C1.
  stack.underflowIf(empty(stack.filled(i)), () => {
    stack.push();
    stack.indefinite(stack.slot(0));
  });
  stack.overflowIfFull();
  stack.copy(stack.slot(-1), stack.slot(i));
  stack.commit(i32.const(0));
  stack.push();
}

/** By FORMAT: the function, and the indefinite of the format. */
const STORES: readonly (readonly [FloatFunction, bigint])[] = [
  ["x87ToF32", 0xffc0_0000n],
  ["x87ToF64", 0xfff8_0000_0000_0000n],
  ["x87ToI16", 0x8000n],
  ["x87ToI32", 0x8000_0000n],
  ["x87ToI64", 0x8000_0000_0000_0000n],
  ["x87ToI16Truncate", 0x8000n],
  ["x87ToI32Truncate", 0x8000_0000n],
  ["x87ToI64Truncate", 0x8000_0000_0000_0000n],
];
const STACK_FAULT = i32.const(FSW.IE | FSW.SF);

/** x87Store. */
export function emitStore(code: Code, functions: StackFunctions, float: Float): void {
  const stack = new Stack(code, functions);
  const { cpu } = stack;
  const bits = code.local("i64");
  const filled = code.let(stack.filled(0));
  const slot = stack.slot(0);
  stack.begin();
  code.if(empty(filled), () => code.store("i32", cpu, STACK_FAULT, FPU.raised));
  code.switch(
    code.param(1),
    STORES.map(([name, indefinite]) => () => {
      code.if(
        filled,
        () => code.call(float[name], [cpu, slot], bits),
        () => code.set(bits, i64.const(BigInt.asIntN(64, indefinite))),
      );
      code.return(bits);
    }),
  );
  code.unreachable();
}

/** x87StoreExtended and x87StoreBcd; the indefinite is the same in both formats. */
export function emitStoreSlot(code: Code, functions: StackFunctions, bcd?: number): void {
  const stack = new Stack(code, functions);
  const { cpu } = stack;
  const to = code.let(scratch(cpu));
  const slot = stack.slot(0);
  stack.begin();
  code.if(
    stack.filled(0),
    () => {
      if (bcd === undefined) stack.copy(to, slot);
      else code.call(bcd, [cpu, to, slot]);
    },
    () => {
      code.store("i32", cpu, STACK_FAULT, FPU.raised);
      stack.indefinite(to);
    },
  );
}

/** x87Stored. */
export function emitStored(code: Code, functions: StackFunctions): void {
  const stack = new Stack(code, functions);
  stack.commit();
  stack.popIf(i32.and(code.param(1), i32.eqz(stack.unmasked(NOT_STORED))));
}

/** x87StoreRegister. */
export function emitStoreRegister(code: Code, functions: StackFunctions): void {
  const stack = new Stack(code, functions);
  const i = registerOf(code);
  const pops = code.param(2);
  stack.underflowIf(empty(stack.filled(0)), () => {
    stack.indefinite(stack.slot(i));
    stack.mark(i, true);
    stack.popIf(pops);
  });
  stack.copy(stack.slot(i), stack.slot(0));
  stack.mark(i, true);
  stack.commit(i32.const(0));
  stack.popIf(pops);
}

/** x87StoreUnchecked: FSTP, but an empty register is popped without being stored, and nothing is raised. */
export function emitStoreUnchecked(code: Code, functions: StackFunctions): void {
  const stack = new Stack(code, functions);
  const i = registerOf(code);
  code.if(stack.filled(0), () => {
    stack.copy(stack.slot(i), stack.slot(0));
    stack.mark(i, true);
  });
  stack.commit(i32.const(0));
  stack.pop();
}

/** x87Exchange: of two registers, an empty one counts as the indefinite. */
export function emitExchange(code: Code, functions: StackFunctions): void {
  const stack = new Stack(code, functions);
  const { cpu } = stack;
  const i = registerOf(code);
  const [a, b] = [stack.slot(0), stack.slot(i)];
  const exchange = (): void => {
    stack.copy(scratch(cpu), a);
    stack.copy(a, b);
    stack.copy(b, scratch(cpu));
  };
  stack.underflowIf(empty(i32.and(stack.filled(0), stack.filled(i))), () => {
    code.if(empty(stack.filled(0)), () => stack.indefinite(a));
    code.if(empty(stack.filled(i)), () => stack.indefinite(b));
    stack.mark(0, true);
    stack.mark(i, true);
    exchange();
  });
  exchange();
  stack.commit(i32.const(0));
}

/** x87Move: whatever the condition is, both registers have to be there. C1 stays unless they are not. */
export function emitMove(code: Code, functions: StackFunctions): void {
  const stack = new Stack(code, functions);
  const i = registerOf(code);
  stack.underflowIf(empty(i32.and(stack.filled(0), stack.filled(i))), () => {
    stack.indefinite(stack.slot(0));
    stack.mark(0, true);
  });
  code.if(code.param(2), () => stack.copy(stack.slot(0), stack.slot(i)));
}

/** x87Free: nothing is raised; the manual leaves C1 open. */
export function emitFree(code: Code, functions: StackFunctions): void {
  const stack = new Stack(code, functions);
  const i = registerOf(code);
  stack.mark(i, false);
  stack.commit(i32.const(0));
  stack.popIf(code.param(2));
}
