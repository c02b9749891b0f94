/**
 * The launchers, shared/launch.sh: where Node keeps what it compiled, and that nothing depends on it.
 * Leaves out: finding the pinned Node, which every other test of a command line needs.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";

const LAUNCHER = fileURLToPath(new URL("../../kvm-core/kvm-core", import.meta.url));
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "splitvm-launcher-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** What `kvm-core --help` prints with these variables beside PATH. */
function help(env: Record<string, string>): string {
  return execFileSync(LAUNCHER, ["--help"], { env: { PATH: process.env["PATH"], ...env }, encoding: "utf8" });
}

test.each([
  ["XDG_CACHE_HOME", { XDG_CACHE_HOME: "FOLDER", HOME: "/nonexistent" }, "splitvm"],
  ["HOME", { HOME: "FOLDER" }, ".cache"],
  ["NODE_COMPILE_CACHE itself", { NODE_COMPILE_CACHE: "FOLDER/here", HOME: "/nonexistent" }, "here"],
])("compiled sources are kept in %s", (_what, env, name) => {
  const set = Object.entries(env).map(([key, value]) => [key, value.replace("FOLDER", folder)]);
  expect(help(Object.fromEntries(set) as Record<string, string>)).toContain("usage: kvm-core");
  expect(readdirSync(folder)).toEqual([name]);
});

test.each([
  ["there is no home", {}],
  ["the folder cannot be made", { HOME: "/dev/null" }],
  ["the user does not want it", { HOME: "FOLDER", NODE_DISABLE_COMPILE_CACHE: "1" }],
])("it starts where %s", (_what, env) => {
  const set = Object.entries(env).map(([key, value]) => [key, value.replace("FOLDER", folder)]);
  expect(help(Object.fromEntries(set) as Record<string, string>)).toContain("usage: kvm-core");
  expect(readdirSync(folder)).toEqual([]);
});
