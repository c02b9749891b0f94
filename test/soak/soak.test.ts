/**
 * A short soak: what `make soak` does with ten million exits, with some thousand.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const SOAK = fileURLToPath(new URL("./soak.ts", import.meta.url));

it("answers every exit of three device servers once", async () => {
  const args = ["--disable-warning=ExperimentalWarning", SOAK, "--count", "18000"];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { timeout: 60_000 });
  expect(stderr).toBe("");
  expect(stdout).toContain("soak: ok 2000");
  expect(stdout).not.toContain("BAD");
  expect(stdout.match(/^ok /gm)).toHaveLength(6);
}, 90_000);
