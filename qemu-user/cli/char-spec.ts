/**
 * Where a character device's bytes go: the argument of -serial and -debugcon.
 * Follows: QEMU's character back ends stdio, mon:stdio, file:PATH, none.
 * Left out: null, pty, sockets, pipes; -chardev.
 */
import { UsageError, unknownWord } from "./usage-error.ts";

export type CharSpec =
  | { readonly kind: "none" }
  /** `mux`: Ctrl-A commands, and Ctrl-C goes to the guest. */
  | { readonly kind: "stdio"; readonly mux: boolean }
  | { readonly kind: "file"; readonly path: string };

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
