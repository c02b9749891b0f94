/**
 * A kvm-core process for tests: started on an abstract socket, ended at the end of the test, its reports kept.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../kvm-core/main.ts", import.meta.url));
/** Ends by process.exit(7) on SIGUSR2. */
export const ABRUPT_MAIN = fileURLToPath(new URL("./abrupt-core.ts", import.meta.url));

export type Core = {
  readonly path: string;
  readonly child: ChildProcess;
  /** What it wrote to stderr so far. */
  readonly reports: () => string;
  /** Ends it in order; resolves with its status, or the signal that killed it. */
  readonly stop: () => Promise<number | NodeJS.Signals | null>;
};

let started = 0;

/** Resolves when the core listens. `environment` is added to this process's own. */
export async function startCore(
  nodeArgs: readonly string[] = [],
  main = MAIN,
  environment: Readonly<Record<string, string>> = {},
): Promise<Core> {
  const path = `@splitvm-test-${process.pid}-${started++}`;
  const child = spawn(process.execPath, [...nodeArgs, main, "--listen", path], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, ...environment },
  });
  let text = "";
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) =>
    child.on("exit", (code, signal) => resolve(signal ?? code)),
  );
  await new Promise<void>((resolve, reject) => {
    child.stderr!.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes("listens at")) resolve();
    });
    void ended.then((status) => reject(new Error(`kvm-core ended at its start (${status}): ${text}`)));
  });
  return {
    path,
    child,
    reports: () => text,
    stop: () => {
      child.kill("SIGTERM");
      return ended;
    },
  };
}
