/**
 * A short run of the fuzzer (test/fuzz); `make fuzz-frames` is the long one. The seed is the same each time: a test
 * that fails by chance tells nothing about the change that it stopped.
 */
import { expect, test } from "vitest";
import { fuzz } from "../../fuzz/fuzz.ts";

test("5,000 frames and 20 VMs leave kvm-core as it was", async () => {
  const lines: string[] = [];
  await fuzz({ count: 5000, vms: 20, seed: 1, log: (line) => lines.push(line) });
  expect(lines.at(-1)).toBe("kvm-core ended with 0");
}, 240_000);
