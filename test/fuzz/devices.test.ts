/**
 * A short run of the fuzzer of devices; `make fuzz-devices` is the long one. The seed is the same each time: a test that
 * fails by chance tells nothing about the change that it stopped.
 */
import { expect, test } from "vitest";
import { fuzzDevices } from "./device-fuzz.ts";

test("2,000 hostile guests leave every device serving", () => {
  const { cases, compared, served } = fuzzDevices({ count: 2000, seed: 1, log: () => {} });
  expect(cases).toBe(2000);
  expect(served).toBe(3 * 2000);
  expect(compared).toBeGreaterThan(300);
}, 240_000);

test("a case alone is the same as among others", () => {
  const run = { seed: 7, log: () => {} };
  for (const count of [20, 50, 90]) {
    const { digest } = fuzzDevices({ ...run, count });
    expect(fuzzDevices({ ...run, count, only: count - 1 }).digest).toBe(digest);
    expect(digest).not.toBe(0);
  }
});
