/**
 * A C program with a small C library: what it prints on the bare virtual machine is what it prints as a Linux process.
 * Document: test/guest/c; the process is the same code with another end, and for 64 bits also the host's own C library.
 * Left out: what the instructions do one by one: test/host; 32-bit code on interp, which takes ten minutes for its
 * divisions of 64 bits.
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { guest, qemuUser } from "../support/qemu-user.ts";

/** Output of a program of build/guest that runs on the host; "" with the reason if this kernel does not run it. */
function native(name: string): { readonly text: string; readonly refused: string } {
  const path = fileURLToPath(new URL(`../../build/guest/${name}`, import.meta.url));
  const { stdout, error, status, signal } = spawnSync(path, { encoding: "latin1" });
  if (error) return { text: "", refused: `${name}: ${error.message}` };
  return status === 0 ? { text: stdout, refused: "" } : { text: "", refused: `${name} ended with ${signal ?? status}` };
}

const native64 = native("program64-native");
const native32 = native("program32-native");

it("prints the same with the host's C library", () => {
  expect(native64.text.split("\n").length).toBeGreaterThan(100);
  expect(native64.text.endsWith("done\n")).toBe(true);
  expect(native64.text).toBe(native("program64-hosted").text);
});

it(native32.refused === "" ? "32-bit code prints the same" : `not run: ${native32.refused}`, () => {
  if (native32.refused === "") expect(native32.text).toBe(native64.text);
});

describe.each([64, 32] as const)("program%i.elf", (bits) => {
  it.each(bits === 64 ? ["interp", "patch", "wasm"] : ["patch", "wasm"])(
    "prints that on %s",
    { timeout: 300_000 },
    async (accel) => {
      const kernel = guest(`program${bits}`);
      const { stdout, stderr, status } = await qemuUser("run", "-kernel", kernel, "-accel", accel, "-nographic");
      expect(stderr).toBe("");
      expect(status).toBe(33);
      expect(stdout.replaceAll("\r\n", "\n")).toBe(native64.text);
    },
  );
});
