/**
 * Linux kernels as distributions ship them: bzImage, started at their 64-bit entry point or, if they have none, at the 32-bit one.
 * Follows: Documentation/arch/x86/boot.rst ("The Real-Mode Kernel Header", "64-bit Boot Protocol", "32-bit Boot Protocol") and
 * zero-page.rst. Numbers are offsets in the zero page, which the header has in the file, too.
 * Left out: the real-mode entry, EFI hand-over, kernels older than protocol 2.06 (Linux 2.6.22), setup_data.
 */
import { alignUp, hex, isPowerOfTwo, KiB, MiB } from "../../shared/bits.ts";
import type { GuestMemory } from "../../shared/guest-memory.ts";
import { BootFile } from "./boot-file.ts";
import { LoaderError } from "./loader-error.ts";
import type { MemoryMapEntry, Placement } from "./placement.ts";

const PAGE = 4 * KiB;
const SECTOR = 512;

const EXT_MEM_K = 0x002;
const ACPI_RSDP_ADDR = 0x070;
const EXT_RAMDISK_IMAGE = 0x0c0;
const ALT_MEM_K = 0x1e0;
const E820_ENTRIES = 0x1e8;
const HEADER = 0x1f1;
const SETUP_SECTS = 0x1f1;
const VID_MODE = 0x1fa;
const BOOT_FLAG = 0x1fe;
/** A short jump over the header: its distance says where the header ends. */
const JUMP = 0x201;
const HDRS = 0x202;
const VERSION = 0x206;
const TYPE_OF_LOADER = 0x210;
const LOADFLAGS = 0x211;
const CODE32_START = 0x214;
const RAMDISK_IMAGE = 0x218;
const RAMDISK_SIZE = 0x21c;
const HEAP_END_PTR = 0x224;
const CMD_LINE_PTR = 0x228;
const INITRD_ADDR_MAX = 0x22c;
const KERNEL_ALIGNMENT = 0x230;
const RELOCATABLE_KERNEL = 0x234;
const XLOADFLAGS = 0x236;
const CMDLINE_SIZE = 0x238;
const PREF_ADDRESS = 0x258;
const INIT_SIZE = 0x260;
/** What zero-page.rst gives to the header, behind HEADER. */
const HEADER_ROOM = 0x290 - HEADER;
const E820_TABLE = 0x2d0;
const E820_ENTRY = 20;
const E820_MAX = 128;

const MAGIC = 0x5372_6448; // "HdrS"
const OLDEST = 0x0206;
const WITH_PREF_ADDRESS = 0x020a;
const WITH_XLOADFLAGS = 0x020c;
/** loadflags: the protected-mode code goes to 1 MiB; the heap's end is given. */
const LOADED_HIGH = 0x01;
const CAN_USE_HEAP = 0x80;
const XLF_KERNEL_64 = 1;
const NORMAL_MODE = 0xffff;
const LOADER_UNDEFINED = 0xff;
/** The heap of the real-mode code, which does not run, ends here. */
const HEAP_END = 0xe000 - 0x200;
/** The 64-bit entry point's distance from where the kernel was loaded. */
const ENTRY_64 = 0x200;
/** Zero page, tables and command line lie in the first megabyte, clear of the real-mode vectors. */
const LOW = 0x1_0000;

/** The entry's GDT: 0x10 code, 0x18 data, as the protocol asks. */
const GDT_32 = [0n, 0n, 0x00cf_9a00_0000_ffffn, 0x00cf_9200_0000_ffffn];
const GDT_64 = [0n, 0n, 0x00af_9a00_0000_ffffn, 0x00cf_9200_0000_ffffn];
export const LINUX_GDT_LIMIT = GDT_64.length * 8 - 1;

/** Identity map of 4 GiB in 2 MiB pages: PML4, PDPT, four page directories. */
const TABLES_SIZE = 6 * PAGE;
const PRESENT_WRITABLE = 0x03;
const LARGE = 0x80;

export interface LinuxKernel {
  readonly bits: 32 | 64;
  readonly entry: number;
  /** For RSI. */
  readonly zeroPage: number;
  readonly gdt: number;
  /** For CR3; 0 at the 32-bit entry, where paging is off. */
  readonly pageTables: number;
}

/** True for a file with the header of a Linux kernel. */
export function isLinux(file: BootFile): boolean {
  return file.contains(HDRS, 4) && file.read(HDRS, 4, "header").getUint32(0, true) === MAGIC;
}

/**
 * Loads kernel and initrd and fills in the zero page. Throws a LoaderError.
 * @param rsdp guest-physical address of ACPI's root pointer; 0: none
 */
export function loadLinux(
  file: BootFile,
  initrd: string | undefined,
  commandLine: string,
  map: readonly MemoryMapEntry[],
  rsdp: number,
  memory: GuestMemory,
  placement: Placement,
): LinuxKernel {
  const header = readHeader(file);
  const version = header.getUint16(VERSION, true);
  const setupSize = ((header.getUint8(SETUP_SECTS) || 4) + 1) * SECTOR;
  if (!file.contains(setupSize, 1)) throw new LoaderError(file.path, "the kernel behind its setup sectors is cut off");
  const size = file.size - setupSize;
  const base = loadAddress(file, header, version, size, placement);
  file.load(setupSize, size, memory, base, "kernel");

  const zeroPage = placement.find(file.path, PAGE, PAGE, LOW);
  memory.fill(zeroPage, PAGE, 0);
  const end = Math.min(HDRS + header.getUint8(JUMP) - HEADER, HEADER_ROOM);
  memory.write(zeroPage + HEADER, new Uint8Array(header.buffer, HEADER, end));
  const set8 = (at: number, value: number) => memory.writeU8(zeroPage + at, value);
  const set16 = (at: number, value: number) => memory.writeU16(zeroPage + at, value);
  const set32 = (at: number, value: number) => memory.writeU32(zeroPage + at, value);

  set16(VID_MODE, NORMAL_MODE);
  set8(TYPE_OF_LOADER, LOADER_UNDEFINED);
  set8(LOADFLAGS, header.getUint8(LOADFLAGS) | CAN_USE_HEAP);
  set32(CODE32_START, base);
  set16(HEAP_END_PTR, HEAP_END);
  set32(CMD_LINE_PTR, writeCommandLine(file, header.getUint32(CMDLINE_SIZE, true), commandLine, memory, placement));
  set32(ACPI_RSDP_ADDR, rsdp);
  set32(ACPI_RSDP_ADDR + 4, 0);
  const above = Math.floor((placement.ramEnd - MiB) / KiB);
  set16(EXT_MEM_K, Math.min(above, 0xfc00));
  set32(ALT_MEM_K, above);
  set8(E820_ENTRIES, Math.min(map.length, E820_MAX));
  map.slice(0, E820_MAX).forEach((entry, i) => {
    const at = E820_TABLE + i * E820_ENTRY;
    set32(at, entry.base);
    set32(at + 4, 0);
    set32(at + 8, entry.size);
    set32(at + 12, 0);
    set32(at + 16, entry.type);
  });
  const disk =
    initrd === undefined ? undefined : loadInitrd(initrd, header.getUint32(INITRD_ADDR_MAX, true), memory, placement);
  set32(RAMDISK_IMAGE, disk?.base ?? 0);
  set32(RAMDISK_SIZE, disk?.size ?? 0);
  for (let at = EXT_RAMDISK_IMAGE; at < EXT_RAMDISK_IMAGE + 12; at += 4) set32(at, 0);

  const long = version >= WITH_XLOADFLAGS && (header.getUint16(XLOADFLAGS, true) & XLF_KERNEL_64) !== 0;
  const gdt = placement.find(file.path, PAGE, PAGE, LOW);
  writeWords(memory, gdt, long ? GDT_64 : GDT_32);
  return {
    bits: long ? 64 : 32,
    entry: long ? base + ENTRY_64 : base,
    zeroPage,
    gdt,
    pageTables: long ? identityMap(file.path, memory, placement) : 0,
  };
}

/** The first two sectors, in which the header lies. */
function readHeader(file: BootFile): DataView {
  const header = file.read(0, 2 * SECTOR, "header");
  if (header.getUint16(BOOT_FLAG, true) !== 0xaa55)
    throw new LoaderError(file.path, "a Linux kernel without its boot flag");
  const version = header.getUint16(VERSION, true);
  if (version < OLDEST) {
    const text = `${version >> 8}.${String(version & 0xff).padStart(2, "0")}`;
    throw new LoaderError(file.path, `its boot protocol ${text} is older than 2.06 (Linux 2.6.22)`);
  }
  if ((header.getUint8(LOADFLAGS) & LOADED_HIGH) === 0)
    throw new LoaderError(file.path, "a zImage, which lies below 1 MiB: only bzImage kernels can be loaded");
  return header;
}

/** Where the kernel would like to be, if there is RAM for it and for what it unpacks into; else as low as it may. */
function loadAddress(file: BootFile, header: DataView, version: number, size: number, placement: Placement): number {
  if (version < WITH_PREF_ADDRESS) {
    placement.take(file.path, MiB, size, "kernel");
    return MiB;
  }
  const room = Math.max(size, header.getUint32(INIT_SIZE, true));
  const wanted = Number(header.getBigUint64(PREF_ADDRESS, true));
  const relocatable = header.getUint8(RELOCATABLE_KERNEL) !== 0;
  if (!relocatable || (wanted >= MiB && wanted + room <= placement.ramEnd)) {
    placement.take(file.path, wanted, room, "kernel");
    return wanted;
  }
  const alignment = header.getUint32(KERNEL_ALIGNMENT, true);
  if (!isPowerOfTwo(alignment))
    throw new LoaderError(file.path, `kernel_alignment ${hex(alignment)} is no power of two`);
  const base = alignUp(MiB, alignment);
  placement.take(file.path, base, room, "kernel with the room that it unpacks into");
  return base;
}

function writeCommandLine(
  file: BootFile,
  limit: number,
  text: string,
  memory: GuestMemory,
  placement: Placement,
): number {
  const bytes = Buffer.from(`${text}\0`, "utf8");
  if (bytes.length - 1 > limit)
    throw new LoaderError(file.path, `-append has ${bytes.length - 1} bytes, this kernel takes ${limit}`);
  const at = placement.find(file.path, bytes.length, 16, LOW);
  memory.write(at, bytes);
  return at;
}

/** As high as the kernel can reach, so that it is out of the way of what the kernel unpacks. */
function loadInitrd(
  path: string,
  highest: number,
  memory: GuestMemory,
  placement: Placement,
): { readonly base: number; readonly size: number } {
  const file = new BootFile(path);
  try {
    const end = Math.min(placement.ramEnd, highest + 1);
    const base = Math.floor((end - file.size) / PAGE) * PAGE;
    if (base < placement.end)
      throw new LoaderError(path, `no room for its ${file.size} bytes: give the guest more memory (-m)`);
    placement.take(path, base, file.size, "initrd");
    file.load(0, file.size, memory, base, "initrd");
    return { base, size: file.size };
  } finally {
    file.close();
  }
}

function identityMap(path: string, memory: GuestMemory, placement: Placement): number {
  const at = placement.find(path, TABLES_SIZE, PAGE, LOW);
  memory.fill(at, TABLES_SIZE, 0);
  const pdpt = at + PAGE;
  writeWords(memory, at, [BigInt(pdpt | PRESENT_WRITABLE)]);
  for (let gib = 0; gib < 4; gib++) {
    const directory = pdpt + PAGE * (gib + 1);
    writeWords(memory, pdpt + gib * 8, [BigInt(directory | PRESENT_WRITABLE)]);
    const pages = Array.from({ length: 512 }, (_, i) => BigInt((gib * 512 + i) * 2 * MiB + (PRESENT_WRITABLE | LARGE)));
    writeWords(memory, directory, pages);
  }
  return at;
}

function writeWords(memory: GuestMemory, at: number, words: readonly bigint[]): void {
  memory.write(at, new Uint8Array(BigUint64Array.from(words).buffer));
}
