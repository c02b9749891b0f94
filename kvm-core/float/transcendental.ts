/**
 * The transcendental instructions of the x87, correctly rounded: one function for all.
 * Document: SDM volume 1, 8.3.8 to 8.3.10 (what a processor promises); volume 2, the instructions.
 * Left out: empty registers, pushes and pops, which are the caller's.
 *
 * Operands and results are 80 bits: sign and exponent << 64 | significand. Rounding is by RC, to 64 bits, whatever PC says.
 * Processors promise an error below one unit, so their results are at most one unit away from these.
 */

import { f2xm1, fyl2x, fyl2xp1 } from "./exponential.ts";
import { unpack } from "./extended.ts";
import { Call, type Outcome } from "./outcome.ts";
import { fpatan, fptan, trigonometric } from "./trigonometry.ts";

export type Transcendental = "f2xm1" | "fyl2x" | "fyl2xp1" | "fptan" | "fpatan" | "fsin" | "fcos" | "fsincos";

/** `st1` counts for fyl2x, fyl2xp1 and fpatan alone. */
export function transcendental(name: Transcendental, fcw: number, st0: bigint, st1: bigint): Outcome {
  const call = new Call(fcw);
  const [x, y] = [unpack(st0), unpack(st1)];
  switch (name) {
    case "f2xm1":
      return call.guard([x], 1, () => f2xm1(call, x));
    case "fyl2x":
      return call.guard([x, y], 1, () => fyl2x(call, x, y));
    case "fyl2xp1":
      return call.guard([x, y], 1, () => fyl2xp1(call, x, y));
    case "fpatan":
      return call.guard([x, y], 1, () => fpatan(call, x, y));
    case "fsin":
      return call.guard([x], 1, () => trigonometric(call, x, (sin) => [sin]));
    case "fcos":
      return call.guard([x], 1, () => trigonometric(call, x, (_, cos) => [cos]));
    case "fsincos":
      return call.guard([x], 2, () => trigonometric(call, x, (sin, cos) => [sin, cos]));
    case "fptan":
      return call.guard([x], 2, () => fptan(call, x));
  }
}
