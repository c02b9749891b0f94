/**
 * kvm-core as a process: its command line, its socket file, and running out of descriptors (kvm-core/main.ts).
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, lstatSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Kvm } from "../../qemu-user/kvm/kvm.ts";
import { connectUnix, listenUnix } from "../../shared/native.ts";

const MAIN = fileURLToPath(new URL("../../kvm-core/main.ts", import.meta.url));
const VERSION = { version: 12 };
let folder: string;
const cores: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "splitvm-"));
});
afterEach(async () => {
  for (const core of cores.splice(0)) await ended(core, "SIGKILL");
  rmSync(folder, { recursive: true });
});

function ended(core: ChildProcess, signal: NodeJS.Signals): Promise<unknown> {
  if (core.exitCode !== null || core.signalCode !== null) return Promise.resolve();
  const exit = new Promise((resolve) => core.once("exit", resolve));
  core.kill(signal);
  return exit;
}

/** Starts it by a shell command and waits until it listens. */
async function listening(path: string, shell = ":"): Promise<ChildProcess> {
  const core = spawn("/bin/sh", ["-c", `${shell}; exec "$0" "$@"`, process.execPath, MAIN, "--listen", path], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  cores.push(core);
  await new Promise<void>((resolve, reject) => {
    core.stderr!.on("data", (chunk: Buffer) => chunk.toString().includes("listens at") && resolve());
    core.once("exit", (status) => reject(new Error(`kvm-core ended with ${status}`)));
  });
  return core;
}

const failing = (...args: string[]) => {
  const { status, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8" });
  return { status, stderr };
};

describe("the command line", () => {
  test.each([
    [["--nonsense"], /--nonsense: no such option/],
    [["--listen"], /--listen: .*argument is missing/],
    [[], /--listen PATH is missing/],
    [["--listen", "/nowhere/at/all"], /cannot listen: .*ENOENT/],
  ])("%j: status 1 and one line of why", (args, line) => {
    const { status, stderr } = failing(...args);
    expect(status).toBe(1);
    expect(stderr).toMatch(line);
  });

  test("--help", () => {
    const { status, stdout } = spawnSync(process.execPath, [MAIN, "--help"], { encoding: "utf8" });
    expect(status).toBe(0);
    expect(stdout).toContain("usage: kvm-core --listen PATH");
  });
});

describe("the socket file", () => {
  test("is there while it runs and gone after SIGTERM", async () => {
    const path = join(folder, "core");
    const core = await listening(path);
    expect(lstatSync(path).isSocket()).toBe(true);
    await ended(core, "SIGTERM");
    expect(core.exitCode).toBe(0);
    expect(existsSync(path)).toBe(false);
  });

  test("that somebody else has removed does not disturb its end", async () => {
    const path = join(folder, "core");
    const core = await listening(path);
    rmSync(path);
    await ended(core, "SIGTERM");
    expect(core.exitCode).toBe(0);
  });

  test("that nobody serves any more is replaced", async () => {
    const path = join(folder, "core");
    closeSync(listenUnix(path, 1));
    await listening(path);
    const kvm = Kvm.connect(path);
    expect(await kvm.request("KVM_GET_API_VERSION", {})).toEqual(VERSION);
    kvm.close();
  });

  test("that another one serves is left alone", async () => {
    const path = join(folder, "core");
    await listening(path);
    expect(failing("--listen", path)).toMatchObject({ status: 1, stderr: expect.stringContaining("another kvm-core") });
    expect(lstatSync(path).isSocket()).toBe(true);
  });

  test("that is a file of the user's is left alone", () => {
    const path = join(folder, "important");
    writeFileSync(path, "text");
    expect(failing("--listen", path)).toMatchObject({ status: 1, stderr: expect.stringContaining("is no socket") });
    expect(readFileSync(path, "utf8")).toBe("text");
  });
});

test("a full table of open files holds up new connections, and no longer than it is full", async () => {
  const path = join(folder, "core");
  const core = await listening(path, "ulimit -n 64");
  const silent = Array.from({ length: 100 }, () => connectUnix(path));
  await new Promise((resolve) => setTimeout(resolve, 500)); // accept fails with EMFILE meanwhile
  expect(core.exitCode).toBe(null);
  for (const fd of silent) closeSync(fd);
  const kvm = Kvm.connect(path);
  expect(await kvm.request("KVM_GET_API_VERSION", {})).toEqual(VERSION);
  kvm.close();
});
