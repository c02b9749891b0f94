/**
 * memtest86+ over the serial console: its tests find no error in 128 MiB, on the engines that people use.
 * Document: memtest86+ 6's README.md, "Boot Options"; its menus take digits for function keys.
 * Leaves out: the tests that take minutes, which `make soak` runs (test/soak/memtest.ts).
 */
import { expect, onTestFinished, test } from "vitest";
import { MemTest } from "../support/memtest.ts";

const PATIENCE = 240_000;

// 0 to 2 test addressing, 3 to 6 are moving inversions: ones, a walking bit in 8, random, a walking bit in 64.
test.each([
  ["x64", "patch", 3],
  ["x64", "wasm", 4],
  ["ia32", "patch", 3],
  ["ia32", "wasm", 3],
] as const)(
  "%s on %s: a pass of tests 0 to %i without an error, then reboot",
  async (bits, accel, last) => {
    const memtest = new MemTest(bits, accel);
    onTestFinished(() => memtest.kill());
    await memtest.selectTests(0, last);
    await memtest.passed(PATIENCE);
    // It draws every two seconds, and on a busy host not everything: the first pass may show when the second has ended.
    const { pass, ...facts } = memtest.facts();
    expect(pass).toBeGreaterThan(0);
    expect(facts).toMatchObject({ errors: 0, memory: "128MB" });
    memtest.press("\x1b");
    expect(await memtest.finished).toMatchObject({ status: 0 });
  },
  PATIENCE,
);
