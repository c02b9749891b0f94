/**
 * Runs functions and instructions on the same operands and lists where they differ.
 * Document: kvm-core/float/functions.ts (what raised means).
 * Left out: nothing.
 */

import { expect } from "vitest";
import { type Request, type Result, runHost } from "./host.ts";
import type { Random } from "./values.ts";

export interface Trial {
  /** What to show when it fails. */
  readonly name: string;
  readonly request: Request;
  /** What the function gave, and what the instruction's outcome reads as; equal strings are a pass. */
  readonly ours: string;
  readonly theirs: (result: Result) => string;
}

export const hex = (value: bigint | number): string => value.toString(16);

/** Differences shown of many. */
const SHOWN = 8;

export function judge(trials: readonly Trial[]): void {
  const results = runHost(trials.map(({ request }) => request));
  const wrong = trials
    .map((trial, i) => ({ trial, theirs: trial.theirs(results[i]!) }))
    .filter(({ trial, theirs }) => trial.ours !== theirs)
    .map(({ trial, theirs }) => `${trial.name}: ${trial.ours}, the host: ${theirs}`);
  expect(wrong.slice(0, SHOWN), `${wrong.length} of ${trials.length} differ`).toEqual([]);
}

/** Exception masks: all of them, or all but one, or any. */
function masks(random: Random): number {
  switch (random.below(4)) {
    case 0:
      return 0x3f & ~(1 << random.below(6));
    case 1:
      return random.below(64);
    default:
      return 0x3f;
  }
}

export function anyMxcsr(random: Random): number {
  const daz = random.below(3) === 0 ? 0x40 : 0;
  const ftz = random.below(3) === 0 ? 0x8000 : 0;
  return (masks(random) << 7) | (random.below(4) << 13) | daz | ftz;
}

export function anyFcw(random: Random): number {
  const precision = random.pick([0, 1, 2, 3, 3]);
  return 0x40 | masks(random) | (random.below(4) << 10) | (precision << 8);
}

/** Of an SSE function: its result, unless an exception is unmasked, and the flags. */
export function sseOutcome(result: bigint | number, raised: number, mxcsr: number): string {
  const faults = (raised & ~(mxcsr >> 7) & 0x3f) !== 0;
  return `${faults ? "fault" : hex(result)} flags ${hex(raised)}`;
}

export function sseResult(result: Result, value: bigint): string {
  return `${result.faulted ? "fault" : hex(value)} flags ${hex(result.mxcsr & 0x3f)}`;
}

/** Exceptions and C1 of the x87 status word. */
export const x87Flags = (fsw: number): number => fsw & 0x23f;
