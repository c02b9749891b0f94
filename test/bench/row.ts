/**
 * What a benchmark is: a row of an area's table, and what it prints.
 */
import type { Placement } from "./floor.ts";

/** One line of build/bench.json. `ratio` is value / peerValue; null where there is no peer. */
export type Result = {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly better: "lower" | "higher";
  readonly peer: string | null;
  readonly peerValue: number | null;
  readonly ratio: number | null;
};

/** CPUs to measure on: the first two that this process may use; `b` is `a` where there is only one. */
export type Cpus = { readonly a: number; readonly b: number };

export type Row = {
  /** `area/thing`; the results' names begin with it. */
  readonly name: string;
  /** True for rows that are of no use with one CPU. */
  readonly needsTwoCpus: boolean;
  measure(cpus: Cpus): Promise<readonly Result[]>;
};

export function result(
  name: string,
  value: number,
  unit: string,
  peer?: { readonly name: string; readonly value: number },
  better: Result["better"] = "lower",
): Result {
  const ratio = peer === undefined ? null : value / peer.value;
  return { name, value, unit, better, peer: peer?.name ?? null, peerValue: peer?.value ?? null, ratio };
}

/** -apart has a CPU for each side, -same one for both; the busy process computes on the device's CPU. */
export function placement({ a, b }: Cpus, where: "apart" | "same", busy: boolean): Placement {
  const device = where === "apart" ? b : a;
  return { vcpu: a, device, busy: busy ? device : undefined };
}
