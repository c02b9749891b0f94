/**
 * Boot modules: the files of `-initrd FILE[ ARGS],FILE...`, each on pages of its own above the kernel.
 * Follows: QEMU's reading of -initrd for multiboot kernels; ",," is a comma in a name.
 * Left out: decompression. A module is passed as it is.
 */
import { alignUp, KiB, MiB } from "../../shared/bits.ts";
import type { GuestMemory } from "../../shared/guest-memory.ts";
import { BootFile } from "./boot-file.ts";
import { LoaderError } from "./loader-error.ts";
import type { Placement } from "./placement.ts";

const PAGE = 4 * KiB;

export interface ModuleSpec {
  readonly path: string;
  /** The whole text, file name first, as the kernel gets it. */
  readonly commandLine: string;
}

export interface LoadedModule {
  readonly base: number;
  readonly size: number;
  readonly commandLine: string;
}

export function parseModules(initrd: string | undefined): readonly ModuleSpec[] {
  if (initrd === undefined) return [];
  // A file name cannot hold a NUL, so it can stand in for an escaped comma.
  const texts = initrd.replaceAll(",,", "\0").split(",");
  return texts.map((text) => {
    const commandLine = text.replaceAll("\0", ",");
    return { path: commandLine.split(" ", 1)[0]!, commandLine };
  });
}

/** Loads them above the kernel, in order. Throws a LoaderError naming the module's file. */
export function loadModules(
  specs: readonly ModuleSpec[],
  memory: GuestMemory,
  placement: Placement,
): readonly LoadedModule[] {
  const above = alignUp(Math.max(placement.end, MiB), PAGE);
  return specs.map(({ path, commandLine }) => {
    if (path === "") throw new LoaderError("-initrd", "a file name is missing");
    const file = new BootFile(path);
    try {
      // An empty module takes a page, too, so that its address is nobody else's.
      const base = placement.find(path, Math.max(1, file.size), PAGE, above);
      file.load(0, file.size, memory, base, "module");
      return { base, size: file.size, commandLine };
    } finally {
      file.close();
    }
  });
}
