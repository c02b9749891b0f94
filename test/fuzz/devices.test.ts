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
