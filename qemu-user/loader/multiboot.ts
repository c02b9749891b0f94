/**
 * Multiboot kernels: finding the header, loading, and the information structure.
 * Follows: Multiboot Specification 0.6.96, sections 3.1 "OS image format" and 3.3 "Boot information format".
 * Left out: video modes, drive and APM information, symbol tables.
 */
import { hex, KiB, MiB } from "../../shared/bits.ts";
import type { GuestMemory } from "../../shared/guest-memory.ts";
import type { BootFile } from "./boot-file.ts";
import { loadElf, physicalEntry, readElf } from "./elf.ts";
import { INFO_FROM, InfoBlock } from "./info-block.ts";
import { LoaderError } from "./loader-error.ts";
import type { LoadedModule } from "./modules.ts";
import type { MemoryMapEntry, Placement } from "./placement.ts";

const HEADER_MAGIC = 0x1bad_b002;
/** EAX at the entry point. */
export const MULTIBOOT_LOADER_MAGIC = 0x2bad_b002;
/** The header lies within the first 8,192 bytes, on a 4-byte boundary. */
const SEARCH_BYTES = 8192;

/** Header flags. Bits 0-15 are demands: a loader that does not understand one must refuse. */
const FLAG = { PAGE_ALIGN: 0x1, MEMORY_INFO: 0x2, VIDEO_MODE: 0x4, ADDRESSES: 0x1_0000 } as const;
const DEMANDS = 0xffff;
const UNDERSTOOD = FLAG.PAGE_ALIGN | FLAG.MEMORY_INFO;

/** Information flags: which fields are valid. */
const INFO = { MEM: 0x1, CMDLINE: 0x4, MODS: 0x8, MMAP: 0x40, LOADER_NAME: 0x200 } as const;
const INFO_SIZE = 88;
const MODULE_SIZE = 16;
/** An entry's `size` field does not count itself. */
const MMAP_ENTRY_SIZE = 24;
const LOADER_NAME = "qemu-user";

export interface MultibootHeader {
  /** Offset of the header in the file. */
  readonly at: number;
  readonly flags: number;
  readonly fields: DataView;
}

/** The header, or undefined if the file has none. */
export function findMultiboot(file: BootFile): MultibootHeader | undefined {
  const head = file.read(0, Math.min(SEARCH_BYTES, file.size), "multiboot header");
  for (let at = 0; at + 12 <= head.byteLength; at += 4) {
    const flags = head.getUint32(at + 4, true);
    if (head.getUint32(at, true) !== HEADER_MAGIC) continue;
    if ((HEADER_MAGIC + flags + head.getUint32(at + 8, true)) >>> 0 !== 0) continue;
    return { at, flags, fields: new DataView(head.buffer, at) };
  }
  return undefined;
}

/** Loads the kernel; returns its entry point. Throws a LoaderError. */
export function loadMultiboot(
  file: BootFile,
  header: MultibootHeader,
  memory: GuestMemory,
  placement: Placement,
): number {
  const unknown = header.flags & DEMANDS & ~UNDERSTOOD;
  if ((unknown & FLAG.VIDEO_MODE) !== 0) {
    throw new LoaderError(file.path, "asks for a video mode (multiboot flag 2), and this machine has no display");
  }
  if (unknown !== 0)
    throw new LoaderError(file.path, `asks for multiboot features ${hex(unknown)}, which do not exist`);
  const entry = (header.flags & FLAG.ADDRESSES) !== 0 ? loadFlat(file, header, memory, placement) : undefined;
  if (entry !== undefined) return checkedEntry(file, entry, placement);
  const elf = readElf(file);
  if (elf === undefined)
    throw new LoaderError(file.path, "multiboot header without addresses in a file that is not ELF");
  loadElf(file, elf, memory, placement);
  return checkedEntry(file, physicalEntry(elf), placement);
}

/** The address fields say where the file goes, whatever its format is. */
function loadFlat(file: BootFile, header: MultibootHeader, memory: GuestMemory, placement: Placement): number {
  if (header.fields.byteLength < 32) throw new LoaderError(file.path, "multiboot address fields are cut off");
  const [headerAddr, loadAddr, loadEndAddr, bssEndAddr, entryAddr] = [12, 16, 20, 24, 28].map((at) =>
    header.fields.getUint32(at, true),
  ) as [number, number, number, number, number];
  const offset = header.at - (headerAddr - loadAddr);
  if (loadAddr > headerAddr || offset < 0) {
    throw new LoaderError(file.path, "multiboot load address does not fit the header's place in the file");
  }
  const loadEnd = loadEndAddr === 0 ? loadAddr + file.size - offset : loadEndAddr;
  const bssEnd = bssEndAddr === 0 ? loadEnd : bssEndAddr;
  if (loadEnd <= loadAddr || bssEnd < loadEnd) throw new LoaderError(file.path, "multiboot addresses run backwards");
  if (!file.contains(offset, loadEnd - loadAddr)) {
    throw new LoaderError(file.path, "multiboot load addresses reach past the end of the file");
  }
  placement.take(file.path, loadAddr, bssEnd - loadAddr, "kernel");
  file.load(offset, loadEnd - loadAddr, memory, loadAddr, "kernel");
  memory.fill(loadEnd, bssEnd - loadEnd, 0);
  return entryAddr;
}

/** Builds the information structure; returns its address. Throws a LoaderError for `path` if there is no room. */
export function writeMultibootInfo(
  path: string,
  commandLine: string,
  modules: readonly LoadedModule[],
  map: readonly MemoryMapEntry[],
  memory: GuestMemory,
  placement: Placement,
): number {
  const strings = [commandLine, LOADER_NAME, ...modules.map((module) => module.commandLine)];
  const size =
    InfoBlock.size(INFO_SIZE) +
    InfoBlock.size(modules.length * MODULE_SIZE) +
    InfoBlock.size(map.length * MMAP_ENTRY_SIZE) +
    strings.reduce((sum, text) => sum + InfoBlock.stringSize(text), 0);
  const block = new InfoBlock(memory, placement.find(path, size, 8, INFO_FROM), size);
  const info = block.reserve(INFO_SIZE);
  const moduleTable = block.reserve(modules.length * MODULE_SIZE);
  const mmap = block.reserve(map.length * MMAP_ENTRY_SIZE);

  modules.forEach((module, i) => {
    const at = moduleTable + i * MODULE_SIZE;
    block.u32(at, module.base);
    block.u32(at + 4, module.base + module.size);
    block.u32(at + 8, block.string(module.commandLine));
  });
  map.forEach((entry, i) => {
    const at = mmap + i * MMAP_ENTRY_SIZE;
    block.u32(at, MMAP_ENTRY_SIZE - 4);
    block.u64(at + 4, entry.base);
    block.u64(at + 12, entry.size);
    block.u32(at + 20, entry.type);
  });

  block.u32(info, INFO.MEM | INFO.CMDLINE | INFO.MODS | INFO.MMAP | INFO.LOADER_NAME);
  block.u32(info + 4, usableFrom(map, 0) / KiB); // mem_lower
  block.u32(info + 8, usableFrom(map, MiB) / KiB); // mem_upper
  block.u32(info + 16, block.string(commandLine));
  block.u32(info + 20, modules.length);
  block.u32(info + 24, moduleTable);
  block.u32(info + 44, map.length * MMAP_ENTRY_SIZE);
  block.u32(info + 48, mmap);
  block.u32(info + 64, block.string(LOADER_NAME));
  return info;
}

function checkedEntry(file: BootFile, entry: number, placement: Placement): number {
  if (placement.holds(entry)) return entry;
  throw new LoaderError(file.path, `entry point ${hex(entry)} lies outside the kernel`);
}

/** Contiguous usable RAM that begins at this address, in bytes. */
function usableFrom(map: readonly MemoryMapEntry[], base: number): number {
  return map.find((entry) => entry.type === 1 && entry.base === base)?.size ?? 0;
}
