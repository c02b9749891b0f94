/**
 * 16-bit addressing: base, index and default segment by ModRM.rm; -1: no index.
 * Document: SDM volume 2A, table 2-1.
 * Left out: mod 0, rm 6, which is a displacement alone: decode.ts.
 */

import { SEG } from "../cpu/state.ts";

export const ADDRESS16: readonly (readonly [base: number, index: number, segment: number])[] = [
  [3, 6, SEG.ds],
  [3, 7, SEG.ds],
  [5, 6, SEG.ss],
  [5, 7, SEG.ss],
  [6, -1, SEG.ds],
  [7, -1, SEG.ds],
  [5, -1, SEG.ss],
  [3, -1, SEG.ds],
];
