/**
 * Field types of the protocol: what a request's argument or result consists of, and the one place where a value
 * that came over the wire is checked and coerced.
 * msgpackr gives a number or a bigint depending on the value; here the field's type decides: u64 is always a bigint,
 * everything narrower always a number.
 * Leaves out: encoding (frame.ts).
 */
import { KvmError } from "./errno.ts";

const INTEGERS = {
  u8: [0, 0xff],
  u16: [0, 0xffff],
  u32: [0, 0xffff_ffff],
  i32: [-0x8000_0000, 0x7fff_ffff],
} as const;

/** Longest text of a `string` field in UTF-16 units: names and one-line reports. */
export const MAX_STRING = 1024;
/** Longest `bytes` field; KVM_READ_GUEST and KVM_WRITE_GUEST move at most this much in one request. */
export const MAX_BYTES = 256 * 1024;

type Integer = keyof typeof INTEGERS;
export type FieldType =
  | Integer
  | "u64"
  | "string"
  | "bytes"
  | { readonly struct: Fields }
  | { readonly list: FieldType; readonly max: number };
export type Fields = { readonly [name: string]: FieldType };

/** The TypeScript type of a field's value. */
export type Value<T extends FieldType> = T extends Integer
  ? number
  : T extends "u64"
    ? bigint
    : T extends "string"
      ? string
      : T extends "bytes"
        ? Uint8Array
        : T extends { readonly struct: infer F extends Fields }
          ? Values<F>
          : T extends { readonly list: infer E extends FieldType }
            ? Value<E>[]
            : never;
export type Values<F extends Fields> = { -readonly [N in keyof F]: Value<F[N]> };

function bad(path: string, want: string): never {
  throw new KvmError("EINVAL", `${path} is not ${want}`);
}

/** Checks and coerces one value; `path` names it in the error. Throws as check() does. */
export function checkField<T extends FieldType>(type: T, value: unknown, path: string): Value<T> {
  return checkOne(type, value, path) as Value<T>;
}

function checkOne(type: FieldType, value: unknown, path: string): unknown {
  if (typeof type === "object") {
    if ("struct" in type) return check(type.struct, value, path);
    if (!Array.isArray(value)) bad(path, "a list");
    if (value.length > type.max) throw new KvmError("E2BIG", `${path} has more than ${type.max} entries`);
    return value.map((entry, i) => checkOne(type.list, entry, `${path}[${i}]`));
  }
  switch (type) {
    case "u64": {
      if (typeof value !== "bigint" && !Number.isSafeInteger(value)) bad(path, "a u64");
      const big = BigInt(value as number | bigint);
      if (big < 0n || big > 0xffff_ffff_ffff_ffffn) bad(path, "a u64");
      return big;
    }
    case "string":
      if (typeof value !== "string" || value.length > MAX_STRING) bad(path, `a text of at most ${MAX_STRING}`);
      return value;
    case "bytes":
      if (!(value instanceof Uint8Array) || value.length > MAX_BYTES) bad(path, `bytes, at most ${MAX_BYTES}`);
      return value;
    default: {
      const [low, high] = INTEGERS[type];
      const number = typeof value === "bigint" && value >= low && value <= high ? Number(value) : value;
      if (!Number.isInteger(number) || (number as number) < low || (number as number) > high) bad(path, `a ${type}`);
      return number;
    }
  }
}

/**
 * Checks `value` against `fields` and returns a new object that has exactly those fields.
 * Throws KvmError EINVAL naming the field (E2BIG for a list that is too long). Unknown fields are refused: a client
 * that asks for what this version doesn't know must not believe that it was done.
 */
export function check<F extends Fields>(fields: F, value: unknown, path = "argument"): Values<F> {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array)
    bad(path, "a map of fields");
  const given = value as Record<string, unknown>;
  const result: Record<string, unknown> = {};
  for (const [name, type] of Object.entries(fields)) {
    if (!Object.hasOwn(given, name)) throw new KvmError("EINVAL", `${path}.${name} is missing`);
    result[name] = checkOne(type, given[name], `${path}.${name}`);
  }
  for (const name of Object.keys(given))
    if (!Object.hasOwn(fields, name)) throw new KvmError("EINVAL", `${path}.${name} is no field of this request`);
  return result as Values<F>;
}
