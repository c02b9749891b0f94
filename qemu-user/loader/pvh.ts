/**
 * PVH kernels: ELF files with a note that gives a 32-bit entry point, and the structure they are started with.
 * Follows: Xen's PVH boot ABI (xen/include/public/arch-x86/hvm/start_info.h, version 1; elfnote.h, XEN_ELFNOTE_PHYS32_ENTRY).
 * Left out: Xen itself.
 */
import { hex } from "../../shared/bits.ts";
import type { GuestMemory } from "../../shared/guest-memory.ts";
import type { BootFile } from "./boot-file.ts";
import { type Elf, loadElf, readNotes } from "./elf.ts";
import { INFO_FROM, InfoBlock } from "./info-block.ts";
import { LoaderError } from "./loader-error.ts";
import type { LoadedModule } from "./modules.ts";
import type { MemoryMapEntry, Placement } from "./placement.ts";

const XEN_ELFNOTE_PHYS32_ENTRY = 18;
const START_MAGIC = 0x336e_c578;
const START_VERSION = 1;
const START_INFO_SIZE = 56;
const MODLIST_ENTRY_SIZE = 32;
const MEMMAP_ENTRY_SIZE = 24;

/** The entry point that the note gives, or undefined if there is no such note. */
export function findPvhEntry(file: BootFile, elf: Elf): number | undefined {
  const note = readNotes(file, elf).find(({ name, type }) => name === "Xen" && type === XEN_ELFNOTE_PHYS32_ENTRY);
  if (note === undefined) return undefined;
  if (note.desc.byteLength !== 4 && note.desc.byteLength !== 8) {
    throw new LoaderError(file.path, `PVH entry note has ${note.desc.byteLength} bytes`);
  }
  return note.desc.byteLength === 4 ? note.desc.getUint32(0, true) : Number(note.desc.getBigUint64(0, true));
}

/** Loads the kernel. Throws a LoaderError. */
export function loadPvh(file: BootFile, elf: Elf, entry: number, memory: GuestMemory, placement: Placement): void {
  loadElf(file, elf, memory, placement);
  if (!placement.holds(entry)) throw new LoaderError(file.path, `entry point ${hex(entry)} lies outside the kernel`);
}

/** Builds hvm_start_info; returns its address. Throws a LoaderError for `path` if there is no room. */
export function writeStartInfo(
  path: string,
  commandLine: string,
  modules: readonly LoadedModule[],
  map: readonly MemoryMapEntry[],
  rsdp: number,
  memory: GuestMemory,
  placement: Placement,
): number {
  const strings = [commandLine, ...modules.map((module) => module.commandLine)];
  const size =
    InfoBlock.size(START_INFO_SIZE) +
    InfoBlock.size(modules.length * MODLIST_ENTRY_SIZE) +
    InfoBlock.size(map.length * MEMMAP_ENTRY_SIZE) +
    strings.reduce((sum, text) => sum + InfoBlock.stringSize(text), 0);
  const block = new InfoBlock(memory, placement.find(path, size, 8, INFO_FROM), size);
  const info = block.reserve(START_INFO_SIZE);
  const modlist = block.reserve(modules.length * MODLIST_ENTRY_SIZE);
  const memmap = block.reserve(map.length * MEMMAP_ENTRY_SIZE);

  modules.forEach((module, i) => {
    const at = modlist + i * MODLIST_ENTRY_SIZE;
    block.u64(at, module.base);
    block.u64(at + 8, module.size);
    block.u64(at + 16, block.string(module.commandLine));
  });
  map.forEach((entry, i) => {
    const at = memmap + i * MEMMAP_ENTRY_SIZE;
    block.u64(at, entry.base);
    block.u64(at + 8, entry.size);
    block.u32(at + 16, entry.type);
  });

  block.u32(info, START_MAGIC);
  block.u32(info + 4, START_VERSION);
  block.u32(info + 12, modules.length);
  block.u64(info + 16, modules.length > 0 ? modlist : 0);
  block.u64(info + 24, block.string(commandLine));
  block.u64(info + 32, rsdp);
  block.u64(info + 40, memmap);
  block.u32(info + 48, map.length);
  return info;
}
