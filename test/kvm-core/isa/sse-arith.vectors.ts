/**
 * Vectors of SSE arithmetic: exact, inexact and special results, NaNs, flags, rounding modes, denormals.
 * Document: SDM volume 2, ADDPS and the others; volume 1, 4.8.3 (special numbers), table 4-7 (NaNs), 11.5.2 (exceptions).
 * Left out: unmasked exceptions and random states: test/host.
 */

import {
  DE,
  everyShape,
  f32,
  f64,
  fromBoth,
  IE,
  MXCSR,
  OE,
  oneNumber,
  PE,
  pd,
  ps,
  QNAN32,
  QNAN64,
  UE,
  ZE,
} from "./sse-values.ts";
import type { Row, Vectors } from "./vectors.ts";

const INF = Number.POSITIVE_INFINITY;

/** One number each, in single precision: operands, result, flags, MXCSR before. */
type One = readonly [name: string, a: bigint, b: bigint, result: bigint, flags: number, mxcsr?: number];
const SNAN = 0x7f80_0001n;
const QNAN = 0x7fc0_1234n;
const DAZ = MXCSR | 0x40;
const FTZ = MXCSR | 0x8000;
const DOWN = MXCSR | 0x2000;
const UP = MXCSR | 0x4000;
const ZERO = MXCSR | 0x6000;
const MIN = 0x0080_0000n;
const MAX = 0x7f7f_ffffn;
const ONES: readonly One[] = [
  // The first operand's NaN goes before the second's, and becomes quiet.
  ["addss", SNAN, QNAN, 0x7fc0_0001n, IE],
  ["addss", QNAN, SNAN, QNAN, IE],
  ["subss", f32(1), 0xffc0_0077n, 0xffc0_0077n, 0],
  // What is invalid.
  ["subss", f32(INF), f32(INF), QNAN32, IE],
  ["mulss", f32(0), f32(-INF), QNAN32, IE],
  ["divss", f32(0), f32(-0), QNAN32, IE],
  ["divss", f32(-3), f32(0), f32(-INF), ZE],
  ["divss", f32(INF), f32(0), f32(INF), 0],
  ["divss", f32(0), f32(-INF), f32(-0), 0],
  ["sqrtss", 0n, f32(-1), QNAN32, IE],
  ["sqrtss", 0n, f32(-0), f32(-0), 0],
  // Rounding modes.
  ["divss", f32(1), f32(3), 0x3eaa_aaabn, PE],
  ["divss", f32(1), f32(3), 0x3eaa_aaaan, PE, DOWN],
  ["divss", f32(-1), f32(3), 0xbeaa_aaabn, PE, DOWN],
  ["divss", f32(1), f32(3), 0x3eaa_aaabn, PE, UP],
  ["divss", f32(1), f32(3), 0x3eaa_aaaan, PE, ZERO],
  ["addss", f32(1), f32(-1), f32(0), 0],
  ["addss", f32(1), f32(-1), f32(-0), 0, DOWN],
  // Overflow and underflow.
  ["mulss", MAX, f32(2), f32(INF), OE | PE],
  ["mulss", MAX, f32(2), MAX, OE | PE, ZERO],
  ["mulss", MIN, f32(0.5), 0x0040_0000n, 0],
  ["mulss", MIN | 1n, f32(0.5), 0x0040_0000n, UE | PE],
  ["mulss", MIN, f32(-0.5), f32(-0), UE | PE, FTZ],
  // Denormal operands.
  ["addss", 1n, f32(1), f32(1), DE | PE],
  ["addss", 1n, f32(1), f32(1), 0, DAZ],
  ["minss", 1n, f32(1), 1n, DE],
  ["maxss", 0x8000_0001n, f32(-1), f32(-0), 0, DAZ],
  // The second operand, if one is a NaN or both are zero; any NaN is invalid.
  ["minss", QNAN, f32(1), f32(1), IE],
  ["minss", f32(1), QNAN, QNAN, IE],
  ["maxss", f32(1), SNAN, SNAN, IE],
  ["minss", f32(0), f32(-0), f32(-0), 0],
  ["maxss", f32(-0), f32(0), f32(0), 0],
];

/** Approximations have exact special cases. */
const RECIPROCALS: readonly (readonly [name: string, operand: bigint, result: bigint])[] = [
  ["rcp", f32(0), f32(INF)],
  ["rcp", f32(-0), f32(-INF)],
  ["rcp", 0x8000_0001n, f32(-INF)],
  ["rcp", f32(-INF), f32(-0)],
  ["rcp", 0x7f00_0001n | 0x0040_0000n, f32(0)],
  ["rcp", f32(-(2 ** 126)), f32(-0)],
  ["rcp", 0x7e7f_ffffn, MIN | 1n],
  ["rcp", SNAN, SNAN | 0x0040_0000n],
  ["rsqrt", f32(-0), f32(-INF)],
  ["rsqrt", 0x8000_0001n, f32(-INF)],
  ["rsqrt", 1n, f32(INF)],
  ["rsqrt", f32(INF), f32(0)],
  ["rsqrt", f32(-1), QNAN32],
  ["rsqrt", QNAN, QNAN],
];

export const VECTORS: Vectors = {
  both: [
    ...everyShape("add", [1.5, -2, 0, 1e10], [2.25, 2, -0, 3], [3.75, 0, 0, 1e10], [PE, 0, 0]),
    ...everyShape("sub", [1, -0, 8, INF], [3, 0, 0.5, 1], [-2, -0, 7.5, INF]),
    ...everyShape("mul", [3, 0, -1.5, 2], [7, -5, 2, 2 ** -100], [21, -0, -3, 2 ** -99]),
    ...everyShape("div", [1, 0, 9, -1], [4, 5, 2, INF], [0.25, 0, 4.5, -0]),
    ...everyShape("min", [1, -INF, -3, 2], [2, 7, -3, 1], [1, -INF, -3, 1]),
    ...everyShape("max", [1, -INF, -3, 2], [2, 7, -3, 1], [2, 7, -3, 2]),
    ...everyShape("sqrt", [0, 0, 0, 0], [4, -0, 2.25, INF], [2, -0, 1.5, INF]),
    ...oneNumber("add", 1, -1, 0),
    ...oneNumber("mul", 0, -1, -0),
    ...everyShape("div", [0, -0, 1, 9], [INF, INF, 4, 3], [0, -0, 0.25, 3]),
    // The longest product that is exact in double precision, and the shortest that is not.
    [
      { xmm1: f64(0x7ff_ffff), xmm2: f64(0x3ff_ffff) },
      "mulsd xmm1, xmm2",
      { xmm1: f64(0x7ff_ffff * 0x3ff_ffff), mxcsr: MXCSR },
    ],
    [
      { xmm1: f64(0x7ff_ffff), xmm2: f64(0x7ff_ffff) },
      "mulsd xmm1, xmm2",
      { xmm1: f64(0x7ff_ffff * 0x7ff_ffff), mxcsr: MXCSR | PE },
    ],
    ...ONES.map(
      ([name, a, b, result, flags, mxcsr = MXCSR]): Row => [
        { xmm1: a, xmm2: b, mxcsr },
        `${name} xmm1, xmm2`,
        { xmm1: result, mxcsr: mxcsr | flags },
      ],
    ),
    [{ xmm1: 1n, xmm2: f64(1), mxcsr: MXCSR }, "divsd xmm1, xmm2", { xmm1: 1n, mxcsr: MXCSR | DE }],
    [{ xmm2: pd(-4, 2) }, "sqrtpd xmm1, xmm2", { xmm1: (f64(Math.SQRT2) << 64n) | QNAN64, mxcsr: MXCSR | IE | PE }],
    // Flags of all elements come together; what was set stays.
    [
      { xmm1: ps(1, 1n, 0, 1), xmm2: ps(0, 1, INF, 3), mxcsr: MXCSR | OE },
      "divps xmm1, xmm2",
      { xmm1: ps(INF, 1n, 0, 0x3eaa_aaabn), mxcsr: MXCSR | ZE | DE | PE | OE },
    ],
    ...RECIPROCALS.flatMap(([name, operand, result]) => [
      ...fromBoth(`${name}ss`, 4, ps(9, 8, 7, 6), operand, {
        xmm1: (ps(9, 8, 7, 6) & ~0xffff_ffffn) | result,
        mxcsr: MXCSR,
      }),
      ...fromBoth(`${name}ps`, 16, 0n, ps(operand, operand, operand, operand), {
        xmm1: ps(result, result, result, result),
        mxcsr: MXCSR,
      }),
    ]),
    ...fromBoth("addsubps", 16, ps(1, 2, 3, 4), ps(10, 20, 30, 40), { xmm1: ps(-9, 22, -27, 44), mxcsr: MXCSR }),
    ...fromBoth("addsubpd", 16, pd(1, 2), pd(10, 20), { xmm1: pd(-9, 22), mxcsr: MXCSR }),
    // The NaN keeps its sign though its element is subtracted.
    [{ xmm1: pd(1, 2), xmm2: pd(QNAN64, 3) }, "addsubpd xmm1, xmm2", { xmm1: pd(QNAN64, 5), mxcsr: MXCSR }],
    ...fromBoth("haddps", 16, ps(1, 2, 3, 4), ps(10, 20, 30, 40), { xmm1: ps(3, 7, 30, 70), mxcsr: MXCSR }),
    ...fromBoth("haddpd", 16, pd(1, 2), pd(10, 20), { xmm1: pd(3, 30), mxcsr: MXCSR }),
    ...fromBoth("hsubps", 16, ps(1, 2, 3, 5), ps(10, 20, 30, 40), { xmm1: ps(-1, -2, -10, -10), mxcsr: MXCSR }),
    ...fromBoth("hsubpd", 16, pd(1, 2), pd(10, 20), { xmm1: pd(-1, -10), mxcsr: MXCSR }),
    ...fromBoth("dpps", 16, ps(1, 2, 3, 4), ps(10, 20, 30, 40), { xmm1: ps(300, 0, 300, 0), mxcsr: MXCSR }, ", 0xf5"),
    ...fromBoth("dpps", 16, ps(1, 2, 3, QNAN), ps(10, 20, 30, 0), { xmm1: ps(0, 100, 0, 100), mxcsr: MXCSR }, ", 0x5a"),
    ...fromBoth("dppd", 16, pd(3, 4), pd(5, 6), { xmm1: pd(39, 0), mxcsr: MXCSR }, ", 0x31"),
    ...fromBoth("dppd", 16, pd(3, 4), pd(5, 6), { xmm1: pd(0, 24), mxcsr: MXCSR }, ", 0x22"),
  ],
};
