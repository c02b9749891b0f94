/**
 * Waiting and waking of the native addon.
 * Implements: futex(2).
 * Leaves out: how long it takes (test/bench).
 */
import v8 from "node:v8";
import vm from "node:vm";
import { describe, expect, it } from "vitest";
import * as native from "../../../shared/native.ts";
import { inWorker, memfd, PAGE, SECOND, wasmBytes } from "./support.ts";

describe("futex", () => {
  it("does not sleep on another value, and not beyond its time", () => {
    const words = new Int32Array(new SharedArrayBuffer(8));
    words[1] = 0x8000_0001;
    const word = native.bindWord(words, 1);
    expect(native.futexWait(words, 1, 0, SECOND)).toBe(native.EAGAIN);
    expect(native.futexWait(words, 1, 0x8000_0001, 1e6)).toBe(native.ETIMEDOUT);
    expect(word.wait(0, SECOND)).toBe(native.EAGAIN);
    expect(word.wait(0x8000_0001 | 0, 0)).toBe(native.ETIMEDOUT);
    expect(native.futexWake(words, 1, 1)).toBe(0);
    expect(word.wake(1)).toBe(0);
  });

  it("throws what is neither", () => {
    const bytes = wasmBytes();
    native.mapNone(bytes, 0, PAGE);
    const words = new Int32Array(bytes.buffer);
    expect(() => native.futexWait(words, 0, 0, 0)).toThrow(
      expect.objectContaining({ code: "EFAULT", syscall: "futex" }),
    );
    expect(() => native.bindWord(words, 0).wait(0, 0)).toThrow(expect.objectContaining({ code: "EFAULT" }));
  });

  it.each([
    ["unbound", "native.futexWait(words, 3, 0, 30e9)"],
    ["bound", "native.bindWord(words, 3).wait(0, 30e9)"],
  ])("wakes a thread that waits through another mapping, as another process would (%s)", async (_name, wait) => {
    const fd = memfd();
    const [here, there] = [wasmBytes(), wasmBytes()];
    for (const bytes of [here, there]) {
      native.mapFixed(bytes, 0, PAGE, fd, 0, native.PROT_READ | native.PROT_WRITE);
    }
    const body = `const words = new Int32Array(data.buffer); process.exitCode = ${wait};`;
    await inWorker(body, there, () => {
      const words = new Int32Array(here.buffer);
      expect(native.futexWake(words, 3, 0)).toBe(0);
      const word = native.bindWord(words, 3);
      let woken = 0;
      for (let tries = 0; tries < 10_000 && woken === 0; tries++) {
        Atomics.wait(words, 8, 0, 1); // until the thread sleeps
        woken = word.wake(1);
      }
      expect(woken).toBe(1);
    });
  });

  it("keeps a bound word's memory alive", () => {
    v8.setFlagsFromString("--expose-gc");
    const word = native.bindWord(new Int32Array(new SharedArrayBuffer(1 << 24)), (1 << 22) - 1); // unmapped if freed
    vm.runInNewContext("gc")();
    expect(word.wait(1, 0)).toBe(native.EAGAIN);
  });
});
