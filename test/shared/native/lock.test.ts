/**
 * The native addon's file locks.
 * Implements: fcntl(2), "Open file description locks (non-POSIX)".
 * Leaves out: who locks which bytes (qemu-user/block/drive.ts).
 */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { lockedByOthers, lockShared } from "../../../shared/native.ts";

const FOLDER = fs.mkdtempSync(join(tmpdir(), "splitvm-lock-"));
const PATH = join(FOLDER, "file");
fs.writeFileSync(PATH, "");
afterAll(() => fs.rmSync(FOLDER, { recursive: true }));

test("a lock is its description's, shows to others on its range, and goes with the last descriptor", () => {
  const [a, b] = [fs.openSync(PATH, "r"), fs.openSync(PATH, "r+")];
  expect(lockShared(a, 100, 2)).toBe(true);
  expect([lockedByOthers(a, 100, 2), lockedByOthers(b, 101, 1), lockedByOthers(b, 102, 1)]).toEqual([
    false,
    true,
    false,
  ]);
  expect(lockShared(b, 100, 2)).toBe(true); // shared locks bear each other
  fs.closeSync(fs.openSync(PATH, "r")); // a POSIX lock would be gone now
  expect(lockedByOthers(b, 100, 1)).toBe(true);
  fs.closeSync(a);
  expect(lockedByOthers(b, 100, 1)).toBe(false);
  fs.closeSync(b);
});

test("wrong arguments", () => {
  expect(() => lockShared(1_000_000, 0, 1)).toThrow(expect.objectContaining({ code: "EBADF", syscall: "fcntl" }));
  expect(() => lockShared(0, -1, 1)).toThrow(RangeError);
});
