/** Where -d writes: slow readers, readers that are gone, full disks. */
import { spawnSync } from "node:child_process";
import { openSync } from "node:fs";
import { expect, test } from "vitest";
import { LineLog } from "../../../qemu-user/backend/line-log.ts";
import { openPty } from "../../../shared/native.ts";
import { guest } from "../../support/qemu-user.ts";

test("what cannot be written is lost, and that is said once", () => {
  const reports: string[] = [];
  const log = new LineLog(openSync("/dev/full", "w"), (line) => reports.push(line));
  log.line("one");
  log.line("two");
  expect(reports).toEqual([expect.stringMatching(/^the log of -d is lost: ENOSPC/)]);
});

test("a reader that takes nothing is waited for once, and not for ever", { timeout: 30_000 }, () => {
  const reports: string[] = [];
  const log = new LineLog(openPty().fd, (line) => reports.push(line)); // nobody has the other side open
  const line = "x".repeat(1000);
  for (let i = 0; i < 1000; i++) log.line(line);
  expect(reports).toEqual([expect.stringMatching(/nobody reads it/)]);
});

test.each([
  ["slow", "sleep 2; tail -n 3", /KVM_EXIT_IO/],
  ["gone", "head -n 1", /KVM_EXIT_IO/],
])("a guest ends with its own status whatever becomes of the log: a reader that is %s", (_, reader, output) => {
  const launcher = new URL("../../../qemu-user/qemu-user", import.meta.url).pathname;
  const command = `{ "$0" run -kernel "$1" -device splitvm-test -serial null -d exits 2>&1; echo "$?" >&3; } | { ${reader}; }`;
  const { stdout, output: all } = spawnSync("sh", ["-c", command, launcher, guest("demo64")], {
    stdio: ["ignore", "pipe", "inherit", "pipe"],
    encoding: "utf8",
  });
  expect(stdout).toMatch(output);
  expect(all[3]).toBe("33\n");
});
