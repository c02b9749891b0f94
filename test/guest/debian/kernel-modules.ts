/**
 * A kernel's modules, and in which order they are to be loaded.
 * Document: depmod(8); a module names those that it needs in its section .modinfo ("depends=a,b").
 * Left out: aliases and softdeps; compressed modules, which Debian does not ship.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

export interface KernelModule {
  readonly name: string;
  readonly path: string;
}

/** Modules and file names differ in dashes alone. */
const canonical = (name: string): string => name.replaceAll("-", "_");

/** Every module below `folder`, by name. */
function modulesBelow(folder: string): Map<string, string> {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ko"));
  return new Map(files.map((file) => [canonical(basename(file, ".ko")), join(folder, file)]));
}

function depends(path: string): readonly string[] {
  const text = readFileSync(path).toString("latin1");
  const at = text.indexOf("\0depends=");
  if (at < 0) return [];
  const list = text.slice(at + "\0depends=".length, text.indexOf("\0", at + 1));
  return list.split(",").filter((name) => name !== "");
}

/**
 * The modules named, each behind those that it needs. A name that is no module is built into the kernel: left out.
 * @param folder lib/modules/VERSION of the kernel's package
 */
export function loadOrder(folder: string, names: readonly string[]): KernelModule[] {
  const paths = modulesBelow(folder);
  const order = new Map<string, string>();
  const visit = (name: string, above: readonly string[]): void => {
    const key = canonical(name);
    const path = paths.get(key);
    if (path === undefined || order.has(key)) return;
    if (above.includes(key)) throw new Error(`${folder}: modules need each other: ${[...above, key].join(", ")}`);
    for (const needed of depends(path)) visit(needed, [...above, key]);
    order.set(key, path);
  };
  for (const name of names) visit(name, []);
  return [...order].map(([name, path]) => ({ name, path }));
}
