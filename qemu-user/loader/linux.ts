/**
 * Linux kernels: bzImages as distributions ship them, and a vmlinux, which is what a bzImage unpacks. Each is started at its 64-bit
 * entry point or, if it has none, at the 32-bit one.
 * Follows: Documentation/arch/x86/boot.rst ("The Real-Mode Kernel Header", "64-bit Boot Protocol", "32-bit Boot Protocol"). A vmlinux
 * has no header of its own, and its ELF entry is what the decompressor jumps to, in the same state.
 * Left out: the real-mode entry, EFI hand-over, kernels older than protocol 2.06 (Linux 2.6.22), moving a vmlinux.
 */
import { alignUp, hex, isPowerOfTwo, KiB, MiB } from "../../shared/bits.ts";
import type { GuestMemory } from "../../shared/guest-memory.ts";
import { BootFile } from "./boot-file.ts";
import { type Elf, loadElf, physicalEntry, readNotes } from "./elf.ts";
import { LoaderError } from "./loader-error.ts";
import type { MemoryMapEntry, Placement } from "./placement.ts";
import { HEADER, HEADER_AT, HEADER_ROOM, writeGdt, writeIdentityMap, writeZeroPage } from "./zero-page.ts";

const PAGE = 4 * KiB;
const SECTOR = 512;

const BOOT_FLAG = 0xaa55;
const MAGIC = 0x5372_6448; // "HdrS"
const OLDEST = 0x0206;
const WITH_PREF_ADDRESS = 0x020a;
const WITH_XLOADFLAGS = 0x020c;
/** loadflags: the protected-mode code goes to 1 MiB. */
const LOADED_HIGH = 0x01;
const XLF_KERNEL_64 = 1;
/** The 64-bit entry point's distance from where the kernel was loaded. */
const ENTRY_64 = 0x200;

/** What a vmlinux' header would say. COMMAND_LINE_SIZE counts the NUL; 32-bit kernels reach what lies below their maximum only. */
const VMLINUX = { VERSION: 0x020f, COMMAND_LINE_MAX: 2047, INITRD_MAX: { 32: 0x37ff_ffff, 64: 0x7fff_ffff } } as const;
/** include/linux/elfnote.h: the owner of the notes of every vmlinux since 4.19. */
const LINUX_NOTES = "Linux";

/** A kernel to be loaded, with what it gets. */
export interface LinuxJob {
  readonly file: BootFile;
  /** The initrd's path. */
  readonly initrd: string | undefined;
  readonly commandLine: string;
  readonly map: readonly MemoryMapEntry[];
  /** Guest-physical address of ACPI's root pointer; 0: none. */
  readonly rsdp: number;
  readonly memory: GuestMemory;
  readonly placement: Placement;
}

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
  return file.contains(HEADER.HDRS, 4) && file.read(HEADER.HDRS, 4, "header").getUint32(0, true) === MAGIC;
}

/** Loads a bzImage and its initrd, and writes what it is started with. Throws a LoaderError. */
export function loadLinux(job: LinuxJob): LinuxKernel {
  const { file, memory, placement } = job;
  const header = readHeader(file);
  const version = header.getUint16(HEADER.VERSION, true);
  const setupSize = ((header.getUint8(HEADER.SETUP_SECTS) || 4) + 1) * SECTOR;
  if (!file.contains(setupSize, 1)) throw new LoaderError(file.path, "the kernel behind its setup sectors is cut off");
  const size = file.size - setupSize;
  const base = loadAddress(file, header, version, size, placement);
  file.load(setupSize, size, memory, base, "kernel");
  const long = version >= WITH_XLOADFLAGS && (header.getUint16(HEADER.XLOADFLAGS, true) & XLF_KERNEL_64) !== 0;
  const length = Math.min(HEADER.HDRS + header.getUint8(HEADER.JUMP) - HEADER_AT, HEADER_ROOM);
  return prepare(job, {
    bits: long ? 64 : 32,
    header: new Uint8Array(header.buffer, HEADER_AT, length),
    code: base,
    entry: long ? base + ENTRY_64 : base,
    initrdMax: header.getUint32(HEADER.INITRD_ADDR_MAX, true),
    commandLineMax: header.getUint32(HEADER.CMDLINE_SIZE, true),
  });
}

/** True for a vmlinux. */
export function isLinuxElf(file: BootFile, elf: Elf): boolean {
  return readNotes(file, elf).some(({ name }) => name === LINUX_NOTES);
}

/** The same for a vmlinux, with a header made for it. Throws a LoaderError. */
export function loadLinuxElf(job: LinuxJob, elf: Elf): LinuxKernel {
  const { file, memory, placement } = job;
  loadElf(file, elf, memory, placement);
  const entry = physicalEntry(elf);
  if (!placement.holds(entry)) throw new LoaderError(file.path, `entry point ${hex(entry)} lies outside the kernel`);
  const header = new DataView(new ArrayBuffer(HEADER_ROOM));
  header.setUint16(HEADER.BOOT_FLAG - HEADER_AT, BOOT_FLAG, true);
  header.setUint32(HEADER.HDRS - HEADER_AT, MAGIC, true);
  header.setUint16(HEADER.VERSION - HEADER_AT, VMLINUX.VERSION, true);
  header.setUint8(HEADER.LOADFLAGS - HEADER_AT, LOADED_HIGH);
  return prepare(job, {
    bits: elf.bits,
    header: new Uint8Array(header.buffer),
    code: entry,
    entry,
    initrdMax: VMLINUX.INITRD_MAX[elf.bits],
    commandLineMax: VMLINUX.COMMAND_LINE_MAX,
  });
}

/** A kernel that lies in memory, and what its header says. */
interface Loaded {
  readonly bits: 32 | 64;
  readonly header: Uint8Array;
  readonly code: number;
  readonly entry: number;
  readonly initrdMax: number;
  readonly commandLineMax: number;
}

/** The initrd, the zero page and the tables. */
function prepare(job: LinuxJob, loaded: Loaded): LinuxKernel {
  const { memory, placement, commandLine, map, rsdp } = job;
  const { path } = job.file;
  const { bits, entry, header, code, commandLineMax } = loaded;
  const initrd = job.initrd === undefined ? undefined : loadInitrd(job.initrd, loaded.initrdMax, memory, placement);
  const page = { path, header, code, commandLine, commandLineMax, initrd, map, rsdp };
  return {
    bits,
    entry,
    zeroPage: writeZeroPage(page, memory, placement),
    gdt: writeGdt(path, bits, memory, placement),
    pageTables: bits === 64 ? writeIdentityMap(path, memory, placement) : 0,
  };
}

/** The first two sectors, in which the header lies. */
function readHeader(file: BootFile): DataView {
  const header = file.read(0, 2 * SECTOR, "header");
  if (header.getUint16(HEADER.BOOT_FLAG, true) !== BOOT_FLAG)
    throw new LoaderError(file.path, "a Linux kernel without its boot flag");
  const version = header.getUint16(HEADER.VERSION, true);
  if (version < OLDEST) {
    const text = `${version >> 8}.${String(version & 0xff).padStart(2, "0")}`;
    throw new LoaderError(file.path, `its boot protocol ${text} is older than 2.06 (Linux 2.6.22)`);
  }
  if ((header.getUint8(HEADER.LOADFLAGS) & LOADED_HIGH) === 0)
    throw new LoaderError(file.path, "a zImage, which lies below 1 MiB: only bzImage kernels can be loaded");
  return header;
}

/** Where the kernel would like to be, if there is RAM for it and for what it unpacks into; else as low as it may. */
function loadAddress(file: BootFile, header: DataView, version: number, size: number, placement: Placement): number {
  if (version < WITH_PREF_ADDRESS) {
    placement.take(file.path, MiB, size, "kernel");
    return MiB;
  }
  const room = Math.max(size, header.getUint32(HEADER.INIT_SIZE, true));
  const wanted = Number(header.getBigUint64(HEADER.PREF_ADDRESS, true));
  const relocatable = header.getUint8(HEADER.RELOCATABLE_KERNEL) !== 0;
  if (!relocatable || (wanted >= MiB && wanted + room <= placement.ramEnd)) {
    placement.take(file.path, wanted, room, "kernel");
    return wanted;
  }
  const alignment = header.getUint32(HEADER.KERNEL_ALIGNMENT, true);
  if (!isPowerOfTwo(alignment))
    throw new LoaderError(file.path, `kernel_alignment ${hex(alignment)} is no power of two`);
  const base = alignUp(MiB, alignment);
  placement.take(file.path, base, room, "kernel with the room that it unpacks into");
  return base;
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
