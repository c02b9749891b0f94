/**
 * Distributions of times: what one round of a benchmark gives, and one figure out of several rounds.
 * Times are in nanoseconds.
 */

export type Distribution = { readonly p50: number; readonly p99: number; readonly mean: number };
/** `through`: the time per access when none is timed by itself. */
export type Measured = Distribution & { readonly through: number };

export function distribution(times: Float64Array): Distribution {
  const sorted = times.slice().sort();
  const at = (fraction: number) => sorted[Math.floor((sorted.length - 1) * fraction)]!;
  return { p50: at(0.5), p99: at(0.99), mean: sorted.reduce((a, b) => a + b, 0) / sorted.length };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The median of each figure over the rounds: a round that the machine disturbed does not count. */
export function medians<K extends string>(
  rounds: readonly Readonly<Record<K, number>>[],
  keys: readonly K[],
): Record<K, number> {
  return Object.fromEntries(keys.map((key) => [key, median(rounds.map((round) => round[key]))])) as Record<K, number>;
}
