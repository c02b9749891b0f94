/**
 * The generated floating-point functions in a module of their own, with a state to run on.
 * Document: kvm-core/float/functions.ts.
 * Left out: nothing.
 */

import { FPU } from "../../../kvm-core/cpu/fpu-state.ts";
import { defineFloat } from "../../../kvm-core/float/define.ts";
import { FLOAT_FUNCTIONS, type FloatFunction } from "../../../kvm-core/float/functions.ts";
import { ModuleBuilder } from "../../../kvm-core/wasm/module.ts";

/** $cpu of the instance. */
const ZONE = 0;
/** Slots for operands, away from everything else. */
export const SLOTS = [0x100, 0x110, 0x120, 0x130] as const;

export type Functions = Readonly<Record<FloatFunction, (...args: (number | bigint)[]) => number | bigint>>;

export class FloatInstance {
  readonly functions: Functions;
  readonly #view: DataView;

  constructor() {
    const module = new ModuleBuilder();
    module.importMemory("e", "m", 1);
    defineFloat(module);
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const instance = new WebAssembly.Instance(new WebAssembly.Module(module.encode()), { e: { m: memory } });
    const bound = Object.keys(FLOAT_FUNCTIONS).map((name) => {
      const f = instance.exports[name] as (...args: (number | bigint)[]) => number | bigint;
      return [name, (...args: (number | bigint)[]) => f(ZONE, ...args)];
    });
    this.functions = Object.fromEntries(bound) as Functions;
    this.#view = new DataView(memory.buffer);
  }

  set mxcsr(value: number) {
    this.#view.setUint32(ZONE + FPU.mxcsr, value, true);
  }

  set fcw(value: number) {
    this.#view.setUint32(ZONE + FPU.fcw, value, true);
  }

  /** FPU.raised, which reading clears. */
  takeRaised(): number {
    const raised = this.#view.getUint32(ZONE + FPU.raised, true);
    this.#view.setUint32(ZONE + FPU.raised, 0, true);
    return raised;
  }

  /** 80 bits into slot i. */
  write(i: number, value: bigint): void {
    this.#view.setBigUint64(SLOTS[i]!, value & ((1n << 64n) - 1n), true);
    this.#view.setBigUint64(SLOTS[i]! + 8, value >> 64n, true);
  }

  /** All 16 bytes of slot i. */
  read(i: number): bigint {
    return this.#view.getBigUint64(SLOTS[i]!, true) | (this.#view.getBigUint64(SLOTS[i]! + 8, true) << 64n);
  }
}
