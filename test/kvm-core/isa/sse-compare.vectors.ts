/**
 * Vectors of SSE comparisons: every predicate on every relation, and the flags of COMIS and UCOMIS.
 * Document: SDM volume 2A, CMPPD (table 3-1), COMISD; volume 2D, UCOMISD; immediates beyond 7 count by their low three bits.
 * Left out: unmasked exceptions and random states: test/host.
 */

import {
  DE,
  f32,
  f64,
  fromBoth,
  IE,
  lanes32,
  lanes64,
  MXCSR,
  memory,
  type Numeral,
  pd,
  pointer,
  ps,
} from "./sse-values.ts";

import type { Row, Vectors } from "./vectors.ts";

const SNAN32 = 0x7f80_0001n;
const QNAN32 = 0x7fc0_0000n;
const SNAN64 = 0x7ff0_0000_0000_0001n;
const QNAN64 = 0x7ff8_0000_0000_0000n;

/** Less, equal, greater, unordered: for which of them each predicate is true. */
const TRUE: readonly (readonly [number, number, number, number])[] = [
  [0, 1, 0, 0],
  [1, 0, 0, 0],
  [1, 1, 0, 0],
  [0, 0, 0, 1],
  [1, 0, 1, 1],
  [0, 1, 1, 1],
  [0, 0, 1, 1],
  [1, 1, 1, 0],
];
const ORDERINGS: ReadonlySet<number> = new Set([1, 2, 5, 6]);
const mask = (bit: number): bigint => BigInt(-bit);

const predicates = TRUE.flatMap(([less, equal, greater, unordered], predicate): Row[] => {
  const mxcsr = MXCSR | (ORDERINGS.has(predicate) ? IE : 0);
  const imm = `, ${predicate}`;
  return [
    ...fromBoth(
      "cmpps",
      16,
      ps(1, -0, 3, QNAN32),
      ps(2, 0, -3, 1),
      { xmm1: lanes32(mask(less), mask(equal), mask(greater), mask(unordered)), mxcsr },
      imm,
    ),
    // Without a NaN.
    ...fromBoth(
      "cmpps",
      16,
      ps(1, -0, 3, 0),
      ps(2, 0, -3, 1),
      {
        xmm1: lanes32(mask(less), mask(equal), mask(greater), mask(less)),
        mxcsr: MXCSR,
      },
      `, ${predicate + 8}`,
    ),
    ...fromBoth("cmppd", 16, pd(1, 2), pd(1, QNAN64), { xmm1: lanes64(mask(equal), mask(unordered)), mxcsr }, imm),
    ...fromBoth("cmppd", 16, pd(1, 2), pd(2, 1), { xmm1: lanes64(mask(less), mask(greater)), mxcsr: MXCSR }, imm),
    ...fromBoth(
      "cmpss",
      4,
      ps(1, 2, 3, 4),
      f32(5),
      { xmm1: lanes32(mask(less), f32(2), f32(3), f32(4)), mxcsr: MXCSR },
      imm,
    ),
    ...fromBoth("cmpss", 4, f32(5), f32(1), { xmm1: lanes32(mask(greater)), mxcsr: MXCSR }, imm),
    ...fromBoth("cmpsd", 8, pd(1, 2), f64(1), { xmm1: lanes64(mask(equal), f64(2)), mxcsr: MXCSR }, imm),
    ...fromBoth("cmpsd", 8, pd(SNAN64, 2), f64(1), { xmm1: lanes64(mask(unordered), f64(2)), mxcsr: MXCSR | IE }, imm),
  ];
});

const FLAGS = "CF PF AF ZF SF OF";
/** Operands, flags, exceptions of COMIS and of UCOMIS. */
const RELATIONS: readonly (readonly [a: Numeral, b: Numeral, flags: string, loud: number, quiet: number])[] = [
  [1, 2, "CF", 0, 0],
  [2, 2, "ZF", 0, 0],
  [0, -0, "ZF", 0, 0],
  [3, -2, "", 0, 0],
];
const NANS = [
  [QNAN32, QNAN64, IE, 0],
  [SNAN32, SNAN64, IE, IE],
] as const;

function toFlags(suffix: "ss" | "sd", a: bigint, b: bigint, flags: string, loud: number, quiet: number): Row[] {
  return (
    [
      ["comi", loud],
      ["ucomi", quiet],
    ] as const
  ).flatMap(([name, raised]): Row[] => {
    const after = { flags, mxcsr: MXCSR | raised, xmm1: a };
    const before = { xmm1: a, flags: FLAGS };
    return [
      [{ ...before, xmm2: b }, `${name}${suffix} xmm1, xmm2`, after, FLAGS],
      [{ ...before, ...memory(b) }, `${name}${suffix} xmm1, ${pointer(suffix === "ss" ? 4 : 8)}`, after, FLAGS],
    ];
  });
}

export const VECTORS: Vectors = {
  both: [
    ...predicates,
    ...RELATIONS.flatMap(([a, b, ...rest]) => [
      ...toFlags("ss", f32(a), f32(b), ...rest),
      ...toFlags("sd", f64(a), f64(b), ...rest),
    ]),
    ...NANS.flatMap(([single, double, loud, quiet]) => [
      ...toFlags("ss", single, f32(1), "CF PF ZF", loud, quiet),
      ...toFlags("sd", f64(1), double, "CF PF ZF", loud, quiet),
    ]),
    ...toFlags("ss", 1n, f32(0), "", DE, DE),
    [{ xmm1: 1n, mxcsr: MXCSR | 0x40 }, "comisd xmm1, xmm2", { flags: "ZF", mxcsr: MXCSR | 0x40 }],
  ],
};
