/**
 * Defines the generated functions of x87 instructions in the interpreter's module.
 * Document: architecture.md section 5 (law 3); names and types: functions.ts.
 * Left out: what they do: the files beside this one.
 */

import type { Code } from "../wasm/code.ts";
import type { FuncType, ModuleBuilder } from "../wasm/module.ts";
import { emitArith, emitArithMemory, emitOperate, type Float } from "./arith.ts";
import { emitCompare, emitCompareFlags, emitCompareSlot } from "./compare.ts";
import { emitClear, emitInit, emitLoadControl, emitOperand, emitStatus } from "./control.ts";
import { X87_FUNCTIONS, type X87Function } from "./functions.ts";
import { emitSingle } from "./single.ts";
import { defineStack } from "./stack.ts";
import {
  emitExchange,
  emitFree,
  emitLoad,
  emitLoadBcd,
  emitLoadExtended,
  emitLoadRegister,
  emitMove,
  emitStore,
  emitStored,
  emitStoreRegister,
  emitStoreSlot,
  emitStoreUnchecked,
} from "./transfer.ts";

const FIVE: FuncType = { params: ["i32", "i32", "i32", "i32", "i32"], results: ["i32"] };
const FOUR: FuncType = { params: ["i32", "i32", "i32", "i32"], results: [] };

/** `float`: the indices of kvm-core/float's functions in the same module. Returns those of X87_FUNCTIONS, which are exported. */
export function defineX87(module: ModuleBuilder, float: Float): Record<X87Function, number> {
  const stack = defineStack(module);
  const internal = (type: FuncType, emit: (code: Code) => void): number => {
    const code = module.define("", type);
    emit(code);
    return module.indexOf(code);
  };
  const operate = internal(FIVE, (code) => emitOperate(code, float));
  const compareSlot = internal(FOUR, (code) => emitCompareSlot(code, stack, float));
  const emitters: Readonly<Record<X87Function, (code: Code) => void>> = {
    x87Operand: emitOperand,
    x87Arith: (code) => emitArith(code, stack, operate),
    x87ArithMemory: (code) => emitArithMemory(code, stack, operate, compareSlot, float),
    x87CompareRegister: (code) => emitCompare(code, stack, compareSlot),
    x87CompareFlags: (code) => emitCompareFlags(code, stack, float),
    x87Load: (code) => emitLoad(code, stack, float),
    x87LoadExtended: (code) => emitLoadExtended(code, stack),
    x87LoadBcd: (code) => emitLoadBcd(code, stack, float),
    x87LoadRegister: (code) => emitLoadRegister(code, stack),
    x87Store: (code) => emitStore(code, stack, float),
    x87StoreExtended: (code) => emitStoreSlot(code, stack),
    x87StoreBcd: (code) => emitStoreSlot(code, stack, float.x87ToBcd),
    x87Stored: (code) => emitStored(code, stack),
    x87StoreRegister: (code) => emitStoreRegister(code, stack),
    x87StoreUnchecked: (code) => emitStoreUnchecked(code, stack),
    x87Exchange: (code) => emitExchange(code, stack),
    x87Move: (code) => emitMove(code, stack),
    x87Free: (code) => emitFree(code, stack),
    x87Single: (code) => emitSingle(code, stack, float, compareSlot),
    x87Init: emitInit,
    x87Clear: emitClear,
    x87LoadControl: emitLoadControl,
    x87Status: emitStatus,
  };
  const indices = Object.entries(emitters).map(([name, emit]) => {
    const code = module.define(name, X87_FUNCTIONS[name as X87Function]);
    emit(code);
    return [name, module.indexOf(code)];
  });
  return Object.fromEntries(indices) as Record<X87Function, number>;
}
