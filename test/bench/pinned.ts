/**
 * Processes bound to CPUs. A child inherits the affinity of the thread that starts it, so all its threads stay there.
 */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { getAffinity, setAffinity } from "../../shared/native.ts";

const running = new Set<ChildProcess>();
/** Whatever ends the bench: nothing that it started stays. A stopped process takes SIGKILL, too. */
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** What `start` starts, at once, runs on one CPU. */
export function onCpu<T>(cpu: number, start: () => T): T {
  const before = getAffinity();
  setAffinity([cpu]);
  try {
    return start();
  } finally {
    setAffinity(before);
  }
}

/** Starts a program on one CPU. */
export function spawnOn(cpu: number, program: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  // As the launchers have it (shared/launch.sh).
  const env = { ...process.env, MALLOC_ARENA_MAX: "1" };
  const child = onCpu(cpu, () => spawn(program, args, { ...options, env }));
  running.add(child);
  child.on("exit", () => running.delete(child));
  return child;
}

/** Resolves when the child has ended. */
export function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once("exit", () => resolve()));
}
