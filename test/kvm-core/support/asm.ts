/**
 * Assembles snippets with the machine's `as`, in Intel syntax, so that a test's row reads as the manual does.
 * Document: GNU as.
 * Left out: relocations: a snippet refers to its own labels only.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Mode } from "./machine.ts";

/** The bytes of each snippet; one run of the assembler for all of them. */
export function assembleAll(snippets: readonly string[], mode: Mode): Uint8Array[] {
  const folder = mkdtempSync(join(tmpdir(), "splitvm-asm-"));
  try {
    const [source, object, binary] = ["t.s", "t.o", "t.bin"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const body = snippets.map((text, i) => `.Lsnippet${i}:\n${text}\n`).join("");
    const table = snippets.map((_, i) => `.long .Lsnippet${i} - start\n`).join("");
    writeFileSync(
      source,
      `.intel_syntax noprefix\n.text\nstart:\n${body}.Lend:\n.balign 4\n${table}.long .Lend - start\n`,
    );
    execFileSync("as", [`--${mode}`, source, "-o", object], { stdio: ["ignore", "ignore", "inherit"] });
    execFileSync("objcopy", ["-O", "binary", "-j", ".text", object, binary]);
    const bytes = readFileSync(binary);
    const offsets = Array.from({ length: snippets.length + 1 }, (_, i) =>
      bytes.readUInt32LE(bytes.length - (snippets.length + 1 - i) * 4),
    );
    return snippets.map((_, i) => new Uint8Array(bytes.subarray(offsets[i], offsets[i + 1])));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What was assembled already: the same for every engine. */
const KNOWN = new Map<string, Uint8Array>();

export function assemble(text: string, mode: Mode): Uint8Array {
  const key = `${mode} ${text}`;
  const code = KNOWN.get(key) ?? assembleAll([text], mode)[0]!;
  KNOWN.set(key, code);
  return code.slice();
}
