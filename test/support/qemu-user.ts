/**
 * qemu-user as a user runs it: the launcher's program in a process of its own, its output kept as bytes.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readSync } from "node:fs";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../qemu-user/main.ts", import.meta.url));

/** A guest program that `make guest` built. */
export function guest(name: string): string {
  return fileURLToPath(new URL(`../../build/guest/${name}.elf`, import.meta.url));
}

export type Finished = {
  readonly status: number | NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
};
export type Running = {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  readonly stdout: () => string;
  readonly stderr: () => string;
};

export function start(...args: string[]): Running {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout!.on("data", (chunk: Buffer) => {
    stdout += chunk.toString("latin1");
  });
  child.stderr!.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const finished = new Promise<Finished>((resolve) =>
    child.on("close", (code, signal) => resolve({ status: signal ?? code, stdout, stderr })),
  );
  return { child, finished, stdout: () => stdout, stderr: () => stderr };
}

/** Runs to the end. */
export function qemuUser(...args: string[]): Promise<Finished> {
  return start(...args).finished;
}

/** Waits until `text` shows up in what `look` returns; rejects after `ms`. */
export async function until(look: () => boolean, what: string, ms = 30_000): Promise<void> {
  const end = Date.now() + ms;
  while (!look()) {
    if (Date.now() > end) throw new Error(`waited ${ms} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** What a descriptor that does not block has to read now, as latin1. */
export function readSome(fd: number): string {
  const bytes = Buffer.alloc(64);
  try {
    return bytes.toString("latin1", 0, readSync(fd, bytes));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    return "";
  }
}

/** Processes whose command line contains `text`, this one apart. */
export async function processesWith(text: string): Promise<number[]> {
  const { readdirSync, readFileSync } = await import("node:fs");
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, "utf8").includes(text);
      } catch {
        return false;
      }
    })
    .map(Number);
}
