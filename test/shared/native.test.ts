/**
 * The native addon as a whole: the shape of its errors, and every argument that it refuses.
 * Implements: shared/native.ts; Node's documentation, "errors", class SystemError.
 * Leaves out: what the functions do (test/shared/native).
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import * as native from "../../shared/native.ts";
import { closing, MODULE, PAGE, temporaryFolder, wasmBytes } from "./native/support.ts";

describe("errors", () => {
  it("has the shape of Node's own system errors", () => {
    const fd = closing(fs.openSync("/dev/null", "r"));
    expect(() => native.getSeals(fd)).toThrow(
      expect.objectContaining({
        message: "EINVAL: invalid argument, fcntl",
        code: "EINVAL",
        errno: -22,
        syscall: "fcntl",
      }),
    );
    expect(() => native.connectUnix("/does/not/exist")).toThrow(
      expect.objectContaining({
        message: "ENOENT: no such file or directory, connect '/does/not/exist'",
        code: "ENOENT",
        errno: -2,
        syscall: "connect",
        path: "/does/not/exist",
      }),
    );
  });

  const bytes = wasmBytes();
  const words = new Int32Array(bytes.buffer);
  const operands = new Uint8Array(48);
  const heap = new Uint8Array(new SharedArrayBuffer(2 * PAGE));
  const any = (value: unknown) => value as never;
  it.each<[string, () => unknown]>([
    ["a name that is a number", () => native.memfdCreate(any(1), PAGE)],
    ["no size", () => native.memfdCreate("x", any(undefined))],
    ["a descriptor as text", () => native.getSeals(any("3"))],
    ["a bigint", () => native.getSeals(any(3n))],
    ["memory that is an Int32Array", () => native.mapNone(any(words), 0, PAGE)],
    ["memory that is no view", () => native.mapNone(any({ length: 1 }), 0, PAGE)],
    ["a heap SharedArrayBuffer as memory", () => native.mapNone(heap, 0, PAGE)],
    ["an ArrayBuffer as memory", () => native.mapAnonymous(new Uint8Array(2 * PAGE), 0, PAGE)],
    ["a Uint8Array as words", () => native.futexWait(any(bytes), 0, 0, 0)],
    ["a Uint32Array as words", () => native.futexWake(any(new Uint32Array(4)), 0, 0)],
    ["no index", () => native.futexWake(words, any(undefined), 1)],
    ["no timeout", () => native.futexWait(words, 0, 0, any(undefined))],
    ["no count", () => native.futexWake(words, 0, any(undefined))],
    ["words of one thread to bind", () => native.bindWord(new Int32Array(4), 0)],
    ["words of one thread for a deadline", () => native.bindDeadline(new Int32Array(4), 0, 1)],
    ["a deadline that is no number", () => native.bindDeadline(words, 0, 1)(any("1"))],
    ["a flag that is a number", () => native.setNonBlocking(0, any(1))],
    ["descriptors that are no array", () => native.sendMessage(0, bytes, any(3))],
    ["a descriptor in the list as text", () => native.poll([any("0")], [0], 0)],
    ["operands that are no bytes", () => native.lockedCompareExchange(bytes, 0, 4, any(new Uint32Array(12)))],
  ])("TypeError: %s", (_name, call) => {
    expect(call).toThrow(TypeError);
  });

  it.each<[string, () => unknown]>([
    ["a negative descriptor", () => native.getSeals(-1)],
    ["a descriptor above 2^31 - 1", () => native.getSeals(2 ** 31)],
    ["half a descriptor", () => native.getSeals(0.5)],
    ["a size that is not a number", () => native.memfdCreate("x", Number.NaN)],
    ["a negative size", () => native.memfdCreate("x", -1)],
    ["an infinite size", () => native.memfdCreate("x", Infinity)],
    ["at inside a page", () => native.mapNone(bytes, 1, PAGE)],
    ["a length that is not whole pages", () => native.mapNone(bytes, 0, PAGE + 1)],
    ["a length of 0", () => native.mapNone(bytes, 0, 0)],
    ["a range beyond the memory", () => native.mapNone(bytes, bytes.length - PAGE, 2 * PAGE)],
    ["a range after the memory", () => native.mapNone(bytes, bytes.length + PAGE, PAGE)],
    ["a range that wraps", () => native.mapNone(bytes, 2 ** 53 - PAGE, PAGE)],
    ["a view that begins inside a page", () => native.mapNone(bytes.subarray(8), 0, PAGE)],
    ["a range beyond the view", () => native.mapNone(bytes.subarray(0, PAGE), PAGE, PAGE)],
    ["executable memory", () => native.mapFixed(bytes, 0, PAGE, 0, 0, 4)],
    ["an index of -1", () => native.futexWake(words, -1, 1)],
    ["an index after the words", () => native.futexWake(words, words.length, 1)],
    ["an index of 2^32", () => native.futexWake(words, 2 ** 32, 1)],
    ["half an index", () => native.bindWord(words, 0.5)],
    ["a wait without an end", () => native.futexWait(words, 0, 0, -1)],
    ["an infinite wait", () => native.futexWait(words, 0, 0, Infinity)],
    ["a wait for not a number", () => native.futexWait(words, 0, 0, Number.NaN)],
    ["a bound wait without an end", () => native.bindWord(words, 0).wait(0, -1)],
    ["a negative count", () => native.futexWake(words, 0, -1)],
    ["CPU -1", () => native.setAffinity([-1])],
    ["a CPU that no kernel has", () => native.setAffinity([8192])],
    ["signal 65", () => native.parentDeathSignal(65)],
    ["an empty path", () => native.connectUnix("")],
    ["an empty abstract name", () => native.listenUnix("@", 1)],
    ["a path with a NUL inside", () => native.connectUnix("/tmp/a\0b")],
    ["nothing to send", () => native.sendMessage(0, new Uint8Array(0), [])],
    ["254 descriptors", () => native.sendMessage(0, bytes, Array(254).fill(0))],
    ["room for no byte", () => native.receiveMessage(0, 0, 0, 0)],
    ["a receive without an end", () => native.receiveMessage(0, 1, 0, -1)],
    ["a poll without an end", () => native.poll([], [], -1)],
    ["fewer events than descriptors", () => native.poll([0, 1], [0], 0)],
    ["an operand of 3 bytes", () => native.lockedCompareExchange(bytes, 0, 3, operands)],
    ["an operand of 32 bytes", () => native.lockedCompareExchange(bytes, 0, 32, operands)],
    ["an operand across the end", () => native.lockedCompareExchange(bytes, bytes.length - 3, 4, operands)],
    ["an operand before the start", () => native.lockedCompareExchange(bytes, -1, 4, operands)],
    ["memory shorter than the operand", () => native.lockedCompareExchange(bytes.subarray(0, 2), 0, 4, operands)],
    ["operands of 47 bytes", () => native.lockedCompareExchange(bytes, 0, 4, operands.subarray(1))],
    ["a misaligned 16-byte operand", () => native.lockedCompareExchange(bytes, 8, 16, operands)],
  ])("RangeError: %s", (_name, call) => {
    expect(call).toThrow(RangeError);
  });

  it("says what to do when the addon is not built", () => {
    const folder = temporaryFolder();
    fs.mkdirSync(path.join(folder, "shared"));
    const copy = path.join(folder, "shared/native.ts");
    fs.copyFileSync(fileURLToPath(MODULE), copy);
    const { stderr, status } = spawnSync(process.execPath, [copy], { encoding: "utf8" });
    expect(stderr).toContain("run `make build`");
    expect(status).toBe(1);
  });
});
