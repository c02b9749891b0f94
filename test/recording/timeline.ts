/**
 * From the time that a session took to the time that its picture takes: long pauses are shortened, nothing else is.
 * Left out: what happened at those times: session.ts.
 */

/** A pause longer than this takes this long, in ms. */
export const LONGEST_PAUSE = 2_000;

export class Timeline {
  /** When something happened, and when the picture shows it; both ascend. */
  readonly #real: number[] = [];
  readonly #shown: number[] = [];

  /** `times`: when something happened, ascending, in ms. The first is the picture's beginning. */
  constructor(times: readonly number[]) {
    let before = times[0] ?? 0;
    let shown = 0;
    for (const time of times) {
      shown += Math.min(time - before, LONGEST_PAUSE);
      before = time;
      this.#real.push(time);
      this.#shown.push(shown);
    }
  }

  /** When the picture shows what happened at `time`: within a shortened pause time goes faster. */
  at(time: number): number {
    const next = this.#real.findIndex((real) => real >= time);
    if (next < 0) return this.#shown.at(-1) ?? 0;
    if (next === 0) return 0;
    const [from, to] = [this.#real[next - 1]!, this.#real[next]!];
    const [start, end] = [this.#shown[next - 1]!, this.#shown[next]!];
    return Math.round(start + ((time - from) / (to - from)) * (end - start));
  }

  /** Each whole second of the real time, and when the picture shows it. */
  seconds(): { readonly at: number; readonly second: number }[] {
    const first = this.#real[0] ?? 0;
    const count = Math.floor(((this.#real.at(-1) ?? 0) - first) / 1000) + 1;
    return Array.from({ length: count }, (_, second) => ({ at: this.at(first + second * 1000), second }));
  }
}
