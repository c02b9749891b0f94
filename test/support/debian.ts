/**
 * What `make guest` put into build/guest/debian, and what has no place in a boot of it.
 * Leaves out: how it is made: test/guest/debian.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** dmesg's own words. */
const TROUBLE =
  /WARNING|BUG:|Oops|Call Trace|[Uu]nstable|\blost\b|nobody cared|[Dd]isabling IRQ|disagrees|could not be loaded|unchecked MSR|I\/O error|EXT4-fs error/;

/** The path of a guest's file. Throws an Error that says how to get it. */
export function debianFile(guest: "amd64" | "i386" | "memtest86+", name: string): string {
  const path = fileURLToPath(new URL(`../../build/guest/debian/${guest}/${name}`, import.meta.url));
  if (!existsSync(path)) throw new Error(`${path} is not there: make guest`);
  return path;
}

/** The lines of a console's output that tell of trouble. */
export function trouble(output: string): readonly string[] {
  return output.split("\n").filter((line) => TROUBLE.test(line));
}
