/**
 * Take-over (protocol.md, "When a device process dies"): the device process is killed at named points and replaced. A
 * counter whose register is journalled counts exactly; one without the journal is shown to miscount.
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Core, startCore } from "../support/core.ts";

const PROCESS = fileURLToPath(new URL("./device-process.ts", import.meta.url));
const COUNT = 3000;
const GUEST = `run=counter port=0xc000 count=${COUNT}`;

let core: Core;
beforeAll(async () => {
  core = await startCore();
});
afterAll(async () => {
  expect(await core.stop()).toBe(0);
});

type Ended = { readonly output: string; readonly errors: string; readonly end: number | string | null };

function deviceProcess(name: string, role: string, journal: string, at: string, exit: number): Promise<Ended> {
  const args = [PROCESS, core.path, name, role, journal, at, String(exit), GUEST];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on("data", (chunk: Buffer) => {
    errors += chunk.toString();
  });
  return new Promise((resolve) =>
    child.on("close", (code, signal) => resolve({ output, errors, end: signal ?? code })),
  );
}

/** Runs the guest through three device processes, of which the first two die at `at`. */
async function killTwice(name: string, journal: string, at: string, status: number): Promise<string> {
  let output = "";
  for (const [role, exit] of [
    ["first", 1000],
    ["successor", 700],
    ["successor", -1],
  ] as const) {
    const process = await deviceProcess(name, role, journal, at, exit);
    expect(process.errors).toBe("");
    expect(process.end).toBe(exit > 0 ? "SIGKILL" : status);
    output += process.output;
  }
  return output;
}

describe("a journalled counter counts exactly", () => {
  it.each(["claimed", "effect", "journalled"])("device process killed when it has %s", async (at) => {
    expect(await killTwice(`exact-${at}`, "on", at, 33)).toContain(`counter: ${COUNT} reads, 0 wrong, exact`);
  });
});

describe("the control: without a journal it miscounts", () => {
  it.each(["claimed", "effect"])("device process killed when it has %s", async (at) => {
    expect(await killTwice(`control-${at}`, "off", at, 35)).toContain("MISCOUNTED");
  });
});
