/**
 * Where a character device's bytes go: the argument of -serial and -debugcon, and -chardev.
 * Follows: QEMU's character back ends stdio, mon:stdio, file:PATH, none; -chardev stdio, file and null.
 * Left out: pty, sockets, pipes; -serial chardev:ID, and append= and input-path= of a file, signal= of stdio.
 */
import { UsageError, unknownWord } from "./usage-error.ts";

export type CharSpec =
  | { readonly kind: "none" }
  /** `mux`: Ctrl-A commands, and Ctrl-C goes to the guest. */
  | { readonly kind: "stdio"; readonly mux: boolean }
  | { readonly kind: "file"; readonly path: string };

/** `-chardev BACKEND,id=ID`: a back end that a device names. */
export interface Chardev {
  readonly id: string;
  readonly spec: CharSpec;
}

const KNOWN = ["stdio", "mon:stdio", "file:PATH", "none"];

/** Throws a UsageError naming the option. */
export function parseCharSpec(option: string, text: string): CharSpec {
  if (text === "none") return { kind: "none" };
  if (text === "stdio") return { kind: "stdio", mux: false };
  if (text === "mon:stdio") return { kind: "stdio", mux: true };
  if (text.startsWith("file:")) {
    const path = text.slice("file:".length);
    if (path === "") throw new UsageError(`${option} file: needs a path: ${option} file:PATH`);
    return { kind: "file", path };
  }
  throw unknownWord(option, text, KNOWN);
}

const CHARDEV_KEYS: Readonly<Record<string, readonly string[]>> = {
  stdio: ["id", "mux"],
  file: ["id", "path"],
  null: ["id"],
};

/** `stdio,id=ID[,mux=on]`, `file,id=ID,path=PATH`, `null,id=ID`. Throws a UsageError. */
export function parseChardev(text: string): Chardev {
  const [backend = "", ...settings] = text
    .replaceAll(",,", "\0")
    .split(",")
    .map((part) => part.replaceAll("\0", ","));
  const keys = Object.hasOwn(CHARDEV_KEYS, backend) ? CHARDEV_KEYS[backend]! : undefined;
  if (keys === undefined) throw unknownWord("-chardev", backend, Object.keys(CHARDEV_KEYS));
  const given: Record<string, string> = {};
  for (const setting of settings) {
    const [key = "", ...value] = setting.split("=");
    if (!keys.includes(key)) throw unknownWord(`-chardev ${backend}: property`, key, [...keys]);
    given[key] = value.join("=");
  }
  const { id, path, mux = "off" } = given;
  if (id === undefined || !/^[A-Za-z][A-Za-z0-9._-]*$/.test(id)) {
    throw new UsageError(`-chardev ${backend} needs an id: -chardev ${backend},id=NAME`);
  }
  if (backend === "null") return { id, spec: { kind: "none" } };
  if (backend === "file") {
    if (path === undefined || path === "") throw new UsageError(`-chardev file,id=${id} needs a path: path=PATH`);
    return { id, spec: { kind: "file", path } };
  }
  if (mux !== "on" && mux !== "off") throw new UsageError(`-chardev stdio: mux=${mux} is not on|off`);
  return { id, spec: { kind: "stdio", mux: mux === "on" } };
}
