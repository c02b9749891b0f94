/**
 * What the tests of the native addon share: memory and descriptors that go away after a test, threads and processes.
 * Implements: nothing by itself.
 * Leaves out: helpers that only one test file uses.
 */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Worker } from "node:worker_threads";
import { afterEach, expect } from "vitest";
import * as native from "../../../shared/native.ts";

export const MODULE = new URL("../../../shared/native.ts", import.meta.url).href;
export const PAGE = 4096;
export const SECOND = 1e9;

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

/** Adds work for after the test; the last added runs first. */
export function afterTest(cleanup: () => void): void {
  cleanups.push(cleanup);
}

/** A descriptor that is closed after the test. */
export function closing(fd: number): number {
  afterTest(() => fs.closeSync(fd));
  return fd;
}

/** A shared WebAssembly memory of 64 KiB. */
export function wasmBytes(): Uint8Array {
  return new Uint8Array(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer);
}

/** A memory file, closed after the test. */
export function memfd(size = 2 * PAGE, name = "test"): number {
  return closing(native.memfdCreate(name, size));
}

/** An empty folder, removed after the test. */
export function temporaryFolder(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "splitvm-"));
  afterTest(() => fs.rmSync(folder, { recursive: true }));
  return folder;
}

/** How many descriptors this process has. */
export const openDescriptors = () => fs.readdirSync("/proc/self/fd").length;

/** Runs a function body in a worker thread with `native` and `data`; the exit code must be 0. */
export async function inWorker(body: string, data: unknown, meanwhile: () => void = () => {}): Promise<void> {
  const worker = new Worker(
    `const { workerData: { module, data } } = require("node:worker_threads");
     import(module).then((native) => { ${body} });`,
    { eval: true, workerData: { module: MODULE, data } },
  );
  const ended = once(worker, "exit");
  meanwhile();
  expect(await ended).toEqual([0]);
}

/** Arguments of Node to run a script with `native` in it. */
export const script = (body: string) => ["--input-type=module", "-e", `import * as native from "${MODULE}"; ${body}`];
/** Runs a script in a process of its own. */
export const inProcess = (body: string) => spawnSync(process.execPath, script(body), { encoding: "utf8" });

/** Runs a script in a process whose limits a shell command has set; what it printed, errors too. */
export function inShell(command: string, body: string): { output: string } {
  const args = ["-c", `${command} && exec "$0" "$@"`, process.execPath, ...script(body)];
  const { stdout, stderr } = spawnSync("/bin/sh", args, { encoding: "utf8" });
  return { output: stdout + stderr };
}
