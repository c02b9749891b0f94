/**
 * The helper of the transcendental x87 instructions: operands from the stack, results to it.
 * Document: SDM volume 2, F2XM1 FYL2X FYL2XP1 FPTAN FPATAN FSIN FCOS FSINCOS; volume 1, 8.5.1.1.
 * Left out: the functions: kvm-core/float.
 */

import { FPU, FSW } from "../../cpu/fpu-state.ts";
import { INDEFINITE } from "../../float/extended.ts";
import { type Transcendental, transcendental } from "../../float/transcendental.ts";
import { type Helper, type HelperContext, NEXT } from "./context.ts";
import { X87Stack } from "./x87-stack.ts";

/** What an instruction does with the stack: "replace": ST(0); "pop": two operands, the result in ST(1); "push": a second result. */
type Shape = "replace" | "pop" | "push";

interface Row {
  readonly name: Transcendental;
  readonly shape: Shape;
  /** C2 says whether the argument was out of range. */
  readonly ranged: boolean;
}

/** By ModRM. */
const ROWS: Readonly<Record<number, Row>> = {
  240: { name: "f2xm1", shape: "replace", ranged: false },
  241: { name: "fyl2x", shape: "pop", ranged: false },
  242: { name: "fptan", shape: "push", ranged: true },
  243: { name: "fpatan", shape: "pop", ranged: false },
  249: { name: "fyl2xp1", shape: "pop", ranged: false },
  251: { name: "fsincos", shape: "push", ranged: true },
  254: { name: "fsin", shape: "replace", ranged: true },
  255: { name: "fcos", shape: "replace", ranged: true },
};

export function x87FunctionHelper({ machine: { state } }: HelperContext): Record<"x87Function", Helper> {
  const stack = new X87Stack(state);

  function write(shape: Shape, results: readonly bigint[]): void {
    stack.write(shape === "pop" ? 1 : 0, results[0]!);
    if (shape === "pop") stack.pop();
    else if (shape === "push") stack.push(results[1]!);
  }

  return {
    x87Function(_ip, modrm) {
      const { name, shape, ranged } = ROWS[modrm]!;
      if (ranged) stack.set(FSW.C2, false);
      const underflow = !stack.filled(0) || (shape === "pop" && !stack.filled(1));
      if (underflow || (shape === "push" && stack.filled(-1))) {
        stack.raise(FSW.IE | FSW.SF | (underflow ? 0 : FSW.C1));
        if (state.get(FPU.fcw) & FSW.IE) write(shape, [INDEFINITE, INDEFINITE]);
        return NEXT;
      }
      const { results, raised, incomplete } = transcendental(name, state.get(FPU.fcw), stack.read(0), stack.read(1));
      stack.raise(raised);
      if (incomplete) stack.set(FSW.C2, true);
      if (results.length > 0) write(shape, results);
      return NEXT;
    },
  };
}
