/**
 * Every opcode of the model is described, or on the list of deviations.
 * Document: coverage.ts; the list: coverage-deviations.ts.
 * Left out: whether it is described rightly: the vectors, and the check against the host's processor.
 */

import { describe, expect, it } from "vitest";
import { coverage } from "./coverage.ts";
import { ABSENT, DEVIATIONS, deviation } from "./coverage-deviations.ts";

describe("every opcode of the model", () => {
  const { rows, absent } = coverage();
  const missing = rows.filter(({ described }) => described === "");

  it("is described, or has a reason", () => {
    const silent = missing.filter((row) => deviation(row) === undefined);
    expect(silent.map(({ opcode, instruction, otherwise }) => `${opcode}  ${instruction}: ${otherwise}`)).toEqual([]);
  });

  it("is one that was found in the maps, or has a reason", () => {
    expect(absent.filter((text) => !ABSENT.some(({ line }) => line.test(text)))).toEqual([]);
    for (const { line } of ABSENT)
      expect(
        absent.some((text) => line.test(text)),
        String(line),
      ).toBe(true);
    expect(rows.length).toBeGreaterThan(1500);
  });

  it("needs each reason", () => {
    const used = new Set(missing.map(deviation));
    const unused = DEVIATIONS.filter((row) => !used.has(row));
    expect(
      unused.map(({ feature, line }) => `test/kvm-core/isa/coverage-deviations.ts: take ${feature ?? line} out`),
    ).toEqual([]);
  });
});
