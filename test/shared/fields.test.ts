/**
 * Field types: what a value that came over the wire must be, and what it becomes (shared/fields.ts).
 */
import { describe, expect, test } from "vitest";
import { KvmError } from "../../shared/errno.ts";
import { check, checkField, type Fields, type FieldType, MAX_BYTES, MAX_STRING } from "../../shared/fields.ts";

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof KvmError) return error.code;
    throw error;
  }
  return "accepted";
}

describe("integers are numbers, u64 is a bigint, whatever msgpackr made of them", () => {
  test.each<[FieldType, unknown, unknown]>([
    ["u8", 0, 0],
    ["u8", 255, 255],
    ["u8", 255n, 255],
    ["u16", 65535n, 65535],
    ["u32", 0xffff_ffff, 0xffff_ffff],
    ["u32", 0xffff_ffffn, 0xffff_ffff],
    ["i32", -0x8000_0000, -0x8000_0000],
    ["i32", -1n, -1],
    ["u64", 0, 0n],
    ["u64", 5, 5n],
    ["u64", 2 ** 53 - 1, 2n ** 53n - 1n],
    ["u64", 2n ** 53n, 2n ** 53n],
    ["u64", 2n ** 63n, 2n ** 63n],
    ["u64", 2n ** 64n - 1n, 2n ** 64n - 1n],
  ])("%s %s -> %s", (type, value, expected) => {
    expect(checkField(type, value, "x")).toBe(expected);
  });
});

describe("EINVAL", () => {
  test.each<[FieldType, unknown]>([
    ["u8", 256],
    ["u8", -1],
    ["u16", 65536n],
    ["u32", 2 ** 32],
    ["u32", 2n ** 32n],
    ["u32", -1n],
    ["u32", 1.5],
    ["u32", Number.NaN],
    ["u32", Number.POSITIVE_INFINITY],
    ["u32", "5"],
    ["u32", null],
    ["u32", true],
    ["u32", []],
    ["i32", 0x8000_0000],
    ["u64", -1],
    ["u64", -1n],
    ["u64", 2n ** 64n],
    ["u64", 2 ** 53], // a double that is not exact any more: nobody knows what was meant
    ["u64", 0.5],
    ["u64", "1"],
    ["u64", undefined],
    ["string", 5],
    ["string", "x".repeat(MAX_STRING + 1)],
    ["string", new Uint8Array(1)],
    ["bytes", "abc"],
    ["bytes", [1, 2]],
    ["bytes", new Uint8Array(MAX_BYTES + 1)],
    ["bytes", new Uint16Array(2)],
    [
      { list: "u8", max: 2 },
      { 0: 1, length: 1 },
    ],
    [{ list: "u8", max: 2 }, [1, 256]],
    [{ struct: { a: "u8" } }, []],
    [{ struct: { a: "u8" } }, null],
    [{ struct: { a: "u8" } }, 1],
    [{ struct: { a: "u8" } }, new Uint8Array(1)],
    [{ struct: { a: "u8" } }, {}],
    [{ struct: { a: "u8" } }, { a: 1, b: 1 }],
  ])("%o refuses %o", (type, value) => {
    expect(codeOf(() => checkField(type, value, "x"))).toBe("EINVAL");
  });
});

test("a list that is too long is E2BIG, one at its limit is not", () => {
  const list = { list: "u8", max: 3 } as const;
  expect(codeOf(() => checkField(list, [1, 2, 3, 4], "x"))).toBe("E2BIG");
  expect(checkField(list, [1, 2, 3], "x")).toEqual([1, 2, 3]);
});

test("texts and bytes at their limits pass", () => {
  expect(checkField("string", "x".repeat(MAX_STRING), "x")).toHaveLength(MAX_STRING);
  expect(checkField("bytes", new Uint8Array(MAX_BYTES), "x")).toHaveLength(MAX_BYTES);
});

describe("check", () => {
  const fields = { a: "u32", deep: { list: { struct: { b: "u64" } }, max: 4 } } as const satisfies Fields;

  test("returns a new object of exactly the fields, deep ones coerced", () => {
    const given = { deep: [{ b: 1 }], a: 7n };
    const checked = check(fields, given);
    expect(checked).toEqual({ a: 7, deep: [{ b: 1n }] });
    expect(checked).not.toBe(given);
  });

  test.each([
    ["a missing field", { a: 1 }, "argument.deep is missing"],
    ["an unknown one", { a: 1, deep: [], c: 0 }, "argument.c is no field of this request"],
    ["a bad one deep inside", { a: 1, deep: [{ b: 1 }, { b: "x" }] }, "argument.deep[1].b is not a u64"],
    ["an inherited one", Object.create({ a: 1, deep: [] }), "argument.a is missing"],
  ])("names %s", (_what, value, message) => {
    expect(() => check(fields, value)).toThrow(`EINVAL: ${message}`);
  });

  test("a field of Object's prototype is none", () => {
    expect(codeOf(() => check({ toString: "u32" as const }, {}))).toBe("EINVAL");
    expect(codeOf(() => check({}, JSON.parse('{"__proto__": 1}')))).toBe("EINVAL");
  });
});
