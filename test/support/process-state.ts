/**
 * What a process holds, as /proc tells: descriptors, threads, memory of its own. proc(5).
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export type ProcessState = {
  /** What the descriptors are, by kind, with inode numbers left out. */
  readonly descriptors: readonly string[];
  /** Names of the threads, sorted. */
  readonly threads: readonly string[];
  /** Private dirty memory in KiB: what would be free if the process ended. */
  readonly memory: number;
};

export function processState(pid: number): ProcessState {
  const descriptors = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/\d+/g, "#")];
    } catch {
      return []; // closed since
    }
  });
  const threads = readdirSync(`/proc/${pid}/task`).flatMap((task) => {
    try {
      return [readFileSync(`/proc/${pid}/task/${task}/comm`, "utf8").trim()];
    } catch {
      return []; // ended since
    }
  });
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const memory = Number(/^Private_Dirty:\s+(\d+) kB$/m.exec(rollup)![1]);
  return { descriptors: descriptors.sort(), threads: threads.sort(), memory };
}

/** What is in `now` and not in `before`, and the other way round; "" when they are the same. */
export function difference(before: readonly string[], now: readonly string[]): string {
  const count = (list: readonly string[]) => {
    const counts = new Map<string, number>();
    for (const entry of list) counts.set(entry, (counts.get(entry) ?? 0) + 1);
    return counts;
  };
  const [a, b] = [count(before), count(now)];
  return [...new Set([...a.keys(), ...b.keys()])]
    .map((entry) => [entry, (b.get(entry) ?? 0) - (a.get(entry) ?? 0)] as const)
    .filter(([, change]) => change !== 0)
    .map(([entry, change]) => `${change > 0 ? "+" : ""}${change} ${entry}`)
    .join(", ");
}
