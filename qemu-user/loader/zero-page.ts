/**
 * What a Linux kernel is started with: its zero page, the command line, a descriptor table, page tables.
 * Follows: Documentation/arch/x86/zero-page.rst and boot.rst, "64-bit Boot Protocol", "32-bit Boot Protocol". Numbers are offsets
 * in the zero page, which the setup header has in a bzImage, too.
 * Left out: setup_data, EFI's and the screen's information.
 */
import { KiB, MiB } from "../../shared/bits.ts";
import type { GuestMemory } from "../../shared/guest-memory.ts";
import { LoaderError } from "./loader-error.ts";
import type { MemoryMapEntry, Placement } from "./placement.ts";

const PAGE = 4 * KiB;

const EXT_MEM_K = 0x002;
const ACPI_RSDP_ADDR = 0x070;
const EXT_RAMDISK_IMAGE = 0x0c0;
const ALT_MEM_K = 0x1e0;
const E820_ENTRIES = 0x1e8;
const E820_TABLE = 0x2d0;
const E820_ENTRY = 20;
const E820_MAX = 128;

/** The setup header begins here. */
export const HEADER_AT = 0x1f1;
/** What zero-page.rst gives to it. */
export const HEADER_ROOM = 0x290 - HEADER_AT;

/** Its fields. */
export const HEADER = {
  SETUP_SECTS: 0x1f1,
  VID_MODE: 0x1fa,
  BOOT_FLAG: 0x1fe,
  /** A short jump over the header: its distance says where the header ends. */
  JUMP: 0x201,
  HDRS: 0x202,
  VERSION: 0x206,
  TYPE_OF_LOADER: 0x210,
  LOADFLAGS: 0x211,
  CODE32_START: 0x214,
  RAMDISK_IMAGE: 0x218,
  RAMDISK_SIZE: 0x21c,
  HEAP_END_PTR: 0x224,
  CMD_LINE_PTR: 0x228,
  INITRD_ADDR_MAX: 0x22c,
  KERNEL_ALIGNMENT: 0x230,
  RELOCATABLE_KERNEL: 0x234,
  XLOADFLAGS: 0x236,
  CMDLINE_SIZE: 0x238,
  PREF_ADDRESS: 0x258,
  INIT_SIZE: 0x260,
} as const;

/** loadflags: the heap's end is given. */
const CAN_USE_HEAP = 0x80;
const NORMAL_MODE = 0xffff;
const LOADER_UNDEFINED = 0xff;
/** The heap of the real-mode code, which does not run, ends here. */
const HEAP_END = 0xe000 - 0x200;
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

export interface ZeroPage {
  /** Of the kernel, for messages. */
  readonly path: string;
  /** The setup header, from HEADER_AT. */
  readonly header: Uint8Array;
  /** Where the kernel's code lies. */
  readonly code: number;
  readonly commandLine: string;
  /** The longest that the kernel takes, without the NUL. */
  readonly commandLineMax: number;
  readonly initrd: { readonly base: number; readonly size: number } | undefined;
  readonly map: readonly MemoryMapEntry[];
  /** Guest-physical address of ACPI's root pointer; 0: none. */
  readonly rsdp: number;
}

/** Builds it; its address. Throws a LoaderError for `page.path`. */
export function writeZeroPage(page: ZeroPage, memory: GuestMemory, placement: Placement): number {
  const { header, initrd, map } = page;
  const at = placement.find(page.path, PAGE, PAGE, LOW);
  memory.fill(at, PAGE, 0);
  memory.write(at + HEADER_AT, header);
  const set8 = (field: number, value: number) => memory.writeU8(at + field, value);
  const set16 = (field: number, value: number) => memory.writeU16(at + field, value);
  const set32 = (field: number, value: number) => memory.writeU32(at + field, value);

  set16(HEADER.VID_MODE, NORMAL_MODE);
  set8(HEADER.TYPE_OF_LOADER, LOADER_UNDEFINED);
  set8(HEADER.LOADFLAGS, header[HEADER.LOADFLAGS - HEADER_AT]! | CAN_USE_HEAP);
  set32(HEADER.CODE32_START, page.code);
  set16(HEADER.HEAP_END_PTR, HEAP_END);
  set32(HEADER.CMD_LINE_PTR, writeCommandLine(page, memory, placement));
  set32(ACPI_RSDP_ADDR, page.rsdp);
  set32(ACPI_RSDP_ADDR + 4, 0);
  const above = Math.floor((placement.ramEnd - MiB) / KiB);
  set16(EXT_MEM_K, Math.min(above, 0xfc00));
  set32(ALT_MEM_K, above);
  set8(E820_ENTRIES, Math.min(map.length, E820_MAX));
  map.slice(0, E820_MAX).forEach((entry, i) => {
    const row = E820_TABLE + i * E820_ENTRY;
    set32(row, entry.base);
    set32(row + 4, 0);
    set32(row + 8, entry.size);
    set32(row + 12, 0);
    set32(row + 16, entry.type);
  });
  set32(HEADER.RAMDISK_IMAGE, initrd?.base ?? 0);
  set32(HEADER.RAMDISK_SIZE, initrd?.size ?? 0);
  for (let field = EXT_RAMDISK_IMAGE; field < EXT_RAMDISK_IMAGE + 12; field += 4) set32(field, 0);
  return at;
}

function writeCommandLine(
  { path, commandLine, commandLineMax }: ZeroPage,
  memory: GuestMemory,
  placement: Placement,
): number {
  const bytes = Buffer.from(`${commandLine}\0`, "utf8");
  if (bytes.length - 1 > commandLineMax)
    throw new LoaderError(path, `-append has ${bytes.length - 1} bytes, this kernel takes ${commandLineMax}`);
  const at = placement.find(path, bytes.length, 16, LOW);
  memory.write(at, bytes);
  return at;
}

/** The GDT of the entry point; its address. */
export function writeGdt(path: string, bits: 32 | 64, memory: GuestMemory, placement: Placement): number {
  const at = placement.find(path, PAGE, PAGE, LOW);
  writeWords(memory, at, bits === 64 ? GDT_64 : GDT_32);
  return at;
}

/** Page tables for the 64-bit entry point; CR3. */
export function writeIdentityMap(path: string, memory: GuestMemory, placement: Placement): number {
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
