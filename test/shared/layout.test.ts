/**
 * Written layouts: offsets by the rule of shared/layout.ts (in order, each aligned to its scalar).
 */
import { expect, test } from "vitest";
import { layout } from "../../shared/layout.ts";

test("fields follow each other, aligned to their own size, and the total is a multiple of 8", () => {
  expect(layout({ a: "u8", b: "u32", c: "u16", d: "f64", e: "u8" })).toEqual({
    a: 0,
    b: 4,
    c: 8,
    d: 16,
    e: 24,
    size: 32,
  });
});

test("an array takes count times its scalar", () => {
  expect(layout({ a: ["u8", 3], b: ["u16", 2], c: ["u64", 1] })).toEqual({ a: 0, b: 4, c: 8, size: 16 });
});

test("`at` moves forward, to a cache line or a page, and what follows comes after it", () => {
  expect(layout({ a: "u32", b: { at: 64, of: "u32" }, c: { at: 4096, of: ["u8", 8] }, d: "u32" })).toEqual({
    a: 0,
    b: 64,
    c: 4096,
    d: 4104,
    size: 4112,
  });
});

test.each([
  ["overlaps the field before it", { a: ["u8", 65], b: { at: 64, of: "u32" } }, "b at 64 overlaps"],
  ["is misaligned: it would be somewhere else than it says", { a: { at: 6, of: "u32" } }, "a at 6 is not aligned to 4"],
] as const)("an `at` that %s throws at start-up", (_what, fields, message) => {
  expect(() => layout(fields)).toThrow(message);
});

test("no field is an empty layout", () => {
  expect(layout({})).toEqual({ size: 0 });
});
