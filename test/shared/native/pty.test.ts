/**
 * The native addon's pseudo terminals, and its second descriptors.
 * Implements: pty(7), fcntl(2).
 * Leaves out: reading and writing them as a console does (test/qemu-user/backend/pty.test.ts).
 */
import * as fs from "node:fs";
import { expect, test } from "vitest";
import { duplicate, openPty, POLLHUP, POLLIN, POLLOUT, poll } from "../../../shared/native.ts";
import { closing } from "./support.ts";

test("a pseudo terminal is raw, does not block, and hangs up while nobody is there", () => {
  const { fd, path } = openPty();
  closing(fd);
  expect(path).toMatch(/^\/dev\/pts\/\d+$/);
  expect(poll([fd], [POLLIN], 0)[0]! & POLLHUP).toBe(POLLHUP);
  expect(() => fs.readSync(fd, Buffer.alloc(1))).toThrow(expect.objectContaining({ code: "EIO" }));
  const other = closing(fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_NOCTTY));
  expect(poll([fd], [POLLIN | POLLOUT], 0)[0]).toBe(POLLOUT);
  expect(() => fs.readSync(fd, Buffer.alloc(1))).toThrow(expect.objectContaining({ code: "EAGAIN" }));
  fs.writeSync(fd, "\x03\r\n");
  const bytes = Buffer.alloc(8);
  expect(bytes.toString("latin1", 0, fs.readSync(other, bytes))).toBe("\x03\r\n");
});

test("a second descriptor is of the same open file, and is closed by itself", () => {
  const first = closing(fs.openSync("/proc/self/status", "r"));
  const second = duplicate(first);
  expect(second).not.toBe(first);
  fs.readSync(first, Buffer.alloc(5));
  const bytes = Buffer.alloc(1);
  fs.readSync(second, bytes); // one position for both
  expect(bytes.toString()).toBe("\t");
  fs.closeSync(second);
  fs.readSync(first, bytes);
  expect(() => duplicate(1_000_000)).toThrow(expect.objectContaining({ code: "EBADF", syscall: "fcntl" }));
});
