/**
 * `name=value,...` and its JSON form: the arguments of -drive, -blockdev, -device and -object.
 * Follows: QEMU's keyval: a doubled comma is a comma, `a.b=x` is x in b of a; -device and -blockdev also take JSON.
 * Left out: lists.
 */
import { parseProperty } from "../bus/property.ts";
import { UsageError, unknownWord } from "./usage-error.ts";

/** In the order given; a word without "=" has the value undefined. */
export type Settings = readonly (readonly [key: string, value: string | undefined])[];

export function isJson(text: string): boolean {
  return text.startsWith("{");
}

/** Throws a UsageError, as do all of these. */
export function parseSettings(option: string, text: string): Settings {
  return isJson(text) ? flatten(option, "", parseObject(option, text)) : splitWords(text).map(splitSetting);
}

/** Comma-separated words. */
export function splitWords(text: string): string[] {
  // A NUL cannot be in an argument, so it can stand in for an escaped comma.
  return text
    .replaceAll(",,", "\0")
    .split(",")
    .map((part) => part.replaceAll("\0", ","));
}

export function splitSetting(word: string): readonly [string, string | undefined] {
  const equals = word.indexOf("=");
  return equals < 0 ? [word, undefined] : [word.slice(0, equals), word.slice(equals + 1)];
}

/** What each key may have for a value, and what it does. */
export type SettingTable<T> = Readonly<Record<string, (target: T, value: string, key: string) => void>>;

/** Applies each setting by its row; a key that has none is refused, as is a second time. */
export function applySettings<T>(option: string, settings: Settings, table: SettingTable<T>, target: T): void {
  const seen = new Set<string>();
  for (const [key, value] of settings) {
    if (!Object.hasOwn(table, key)) throw unknownWord(option, key, Object.keys(table));
    if (seen.has(key)) throw new UsageError(`${option}: ${key} is given twice`);
    seen.add(key);
    if (value === undefined) throw new UsageError(`${option}: ${key} needs a value: ${key}=...`);
    table[key]!(target, value, key);
  }
}

export function onOff(option: string, key: string, text: string): boolean {
  const value = parseProperty("bool", text);
  if (typeof value === "boolean") return value;
  throw new UsageError(`${option}: ${key}=${text} is not on|off`);
}

/** One of `built`; a value that only QEMU has is refused by name. */
export function choice<V extends string>(
  option: string,
  key: string,
  text: string,
  built: readonly V[],
  absent: readonly string[] = [],
): V {
  const found = built.find((value) => value === text);
  if (found !== undefined) return found;
  if (absent.includes(text)) {
    throw new UsageError(
      `${option}: ${key}=${text} is not built yet; ${built.join(", ")} ${built.length > 1 ? "are" : "is"}`,
    );
  }
  throw unknownWord(`${option}: ${key}`, text, built, `one of: ${[...built].join(", ")}`);
}

/** QEMU's rule for identifiers. */
export function parseId(option: string, text: string): string {
  if (/^[A-Za-z][A-Za-z0-9._-]*$/.test(text)) return text;
  throw new UsageError(`${option}: id ${JSON.stringify(text)} must be a letter, then letters, digits, '-', '.' or '_'`);
}

function parseObject(option: string, text: string): object {
  try {
    return JSON.parse(text) as object; // it begins with a brace
  } catch (error) {
    throw new UsageError(`${option}: this is no JSON: ${(error as Error).message}`);
  }
}

function flatten(option: string, prefix: string, object: object): Settings {
  return Object.entries(object).flatMap(([name, value]: [string, unknown]): Settings => {
    const key = prefix + name;
    switch (typeof value) {
      case "string":
        return [[key, value]];
      case "number":
        return [[key, String(value)]];
      case "boolean":
        return [[key, value ? "on" : "off"]];
      default:
        if (value === null || Array.isArray(value)) {
          throw new UsageError(`${option}: ${key} is neither text, number, true, false, nor an object`);
        }
        return flatten(option, `${key}.`, value as object);
    }
  });
}
