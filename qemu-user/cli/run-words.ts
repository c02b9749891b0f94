/**
 * The values that options of `qemu-user run` can have: words with their meanings, sizes, names.
 * Follows: QEMU's spellings (qemu-options.hx).
 * Left out: values with a file of their own, such as -cpu and -rtc.
 */
import { memoryMap } from "../machine/memory-map.ts";
import { parseSize } from "./size.ts";
import { UsageError, unknownWord } from "./usage-error.ts";

export type Accel = "interp" | "patch" | "wasm";
export type TraceItem = "exits" | "in_asm" | "unimp";
export type ExitMode = "page" | "message";

export const ACCELS: Readonly<Record<Accel, string>> = {
  patch: "scan each block once into records, then run those",
  wasm: "as patch, with hot code translated to WebAssembly; also named tcg",
  interp: "fetch, decode and execute every time; the reference, slow",
};
/** Names that QEMU's users and scripts know. */
const ACCEL_NAMES: ReadonlyMap<string, Accel> = new Map([["tcg", "wasm"]]);
const ACCELS_TO_COME = ["kvm"];

export const TRACE_ITEMS: Readonly<Record<TraceItem, string>> = {
  exits: "every exit, by reason and device",
  in_asm: "guest instructions, as they are decoded",
  unimp: "accesses to ports and memory where nothing is, once an address",
};

export const MODES: Readonly<Record<ExitMode, string>> = {
  page: "shared pages",
  message: "requests and replies",
};

export const DEFAULT_MEMORY = "128M";

export function parseMemory(text: string): number {
  const size = text.replace(/^size=/, "");
  if (size.includes(",")) throw new UsageError(`-m ${text}: memory hotplug (slots, maxmem) is not built yet`);
  const bytes = parseSize(size, "m");
  if (bytes === undefined) throw new UsageError(`-m ${text} is not a size: 128M, 1.5G, ...`);
  const pages = Math.ceil(bytes / 4096) * 4096;
  try {
    return memoryMap(pages).ramSize;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

export function parseAccel(text: string): Accel {
  if (ACCELS_TO_COME.includes(text)) {
    throw new UsageError(`-accel ${text} is not built yet; ${Object.keys(ACCELS).join(", ")} are`);
  }
  return ACCEL_NAMES.get(text) ?? oneOf("-accel", text, ACCELS);
}

export function parseTraceItem(text: string): TraceItem {
  return oneOf("-d", text, TRACE_ITEMS);
}

export function parseMode(text: string): ExitMode {
  return oneOf("--mode", text, MODES);
}

/** A name becomes part of file names and tables. */
export function parseName(text: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text)) return text;
  throw new UsageError(`-name ${JSON.stringify(text)}: up to 64 letters, digits, '-', '.' or '_' are allowed`);
}

function oneOf<K extends string>(option: string, text: string, table: Readonly<Record<K, string>>): K {
  if (Object.hasOwn(table, text)) return text as K;
  throw unknownWord(option, text, Object.keys(table));
}

export function list(title: string, table: Readonly<Record<string, string>>): string {
  const rows = Object.entries(table).map(([name, help]) => `  ${name.padEnd(12)}${help}`);
  return `${title}:\n${rows.join("\n")}\n`;
}
