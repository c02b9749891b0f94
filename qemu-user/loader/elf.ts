/**
 * ELF executables for x86: program headers and notes.
 * Follows: System V gABI, "Object Files" and "Program Loading"; ELF32 and ELF64, little endian.
 * Left out: sections, symbols, relocation; a kernel is linked to where it is loaded.
 */
import { alignUp } from "../../shared/bits.ts";
import type { GuestMemory } from "../../shared/guest-memory.ts";
import type { BootFile } from "./boot-file.ts";
import { LoaderError } from "./loader-error.ts";
import type { Placement } from "./placement.ts";

const MAGIC = 0x464c_457f; // "\x7fELF", little endian
const ELFCLASS32 = 1;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const ET_EXEC = 2;
const EM_386 = 3;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;

/** More than any kernel has; a bound on what a hostile header makes us read. */
const NOTES_MAX = 64 * 1024;

/** Field offsets that differ between the classes. */
const LAYOUT = {
  [ELFCLASS32]: { header: 52, entry: 24, phoff: 28, phentsize: 42, phnum: 44, ph: 32 },
  [ELFCLASS64]: { header: 64, entry: 24, phoff: 32, phentsize: 54, phnum: 56, ph: 56 },
} as const;

export interface ElfSegment {
  readonly type: number;
  readonly offset: number;
  readonly vaddr: bigint;
  readonly paddr: number;
  readonly fileSize: number;
  readonly memorySize: number;
  readonly align: number;
}

export interface ElfNote {
  readonly name: string;
  readonly type: number;
  readonly desc: DataView;
}

export interface Elf {
  readonly bits: 32 | 64;
  /** Virtual address, as the header says. */
  readonly entry: bigint;
  readonly segments: readonly ElfSegment[];
}

/** Reads the headers. Undefined if the file is not ELF at all; throws a LoaderError if it is one that is no x86 kernel. */
export function readElf(file: BootFile): Elf | undefined {
  if (!file.contains(0, 16)) return undefined;
  const ident = file.read(0, 16, "ELF header");
  if (ident.getUint32(0, true) !== MAGIC) return undefined;
  const elfClass = ident.getUint8(4);
  if ((elfClass !== ELFCLASS32 && elfClass !== ELFCLASS64) || ident.getUint8(5) !== ELFDATA2LSB) {
    throw new LoaderError(file.path, "ELF of an unknown class or byte order");
  }
  const at = LAYOUT[elfClass];
  const header = file.read(0, at.header, "ELF header");
  const machine = header.getUint16(18, true);
  if (machine !== EM_386 && machine !== EM_X86_64)
    throw new LoaderError(file.path, "ELF for another processor than x86");
  if (header.getUint16(16, true) !== ET_EXEC) {
    throw new LoaderError(file.path, "ELF that is not an executable with fixed addresses");
  }
  const count = header.getUint16(at.phnum, true);
  if (count > 0 && header.getUint16(at.phentsize, true) !== at.ph) {
    throw new LoaderError(file.path, "ELF program headers of an unknown size");
  }
  const table = file.read(Number(word(header, at.phoff, elfClass)), count * at.ph, "ELF program header table");
  const segments = Array.from({ length: count }, (_, i) => readSegment(table, i * at.ph, elfClass));
  return { bits: elfClass === ELFCLASS64 ? 64 : 32, entry: word(header, at.entry, elfClass), segments };
}

/** Puts the PT_LOAD segments at their physical addresses, zeroes what the file does not give. */
export function loadElf(file: BootFile, elf: Elf, memory: GuestMemory, placement: Placement): void {
  const loadable = elf.segments.filter((segment) => segment.type === PT_LOAD && segment.memorySize > 0);
  if (loadable.length === 0) throw new LoaderError(file.path, "ELF with nothing to load");
  for (const { paddr, fileSize, memorySize, offset } of loadable) {
    if (fileSize > memorySize) throw new LoaderError(file.path, "ELF segment is larger in the file than in memory");
    if (!file.contains(offset, fileSize)) throw new LoaderError(file.path, "ELF segment lies outside the file");
    placement.take(file.path, paddr, memorySize, "ELF segment");
  }
  for (const { paddr, fileSize, memorySize, offset } of loadable) {
    file.load(offset, fileSize, memory, paddr, "ELF segment");
    memory.fill(paddr + fileSize, memorySize - fileSize, 0);
  }
}

/** The physical address of the entry point: the header gives a virtual one in a segment, or else a physical one. */
export function physicalEntry(elf: Elf): number {
  for (const { type, vaddr, paddr, memorySize } of elf.segments) {
    const offset = Number(elf.entry - vaddr);
    if (type === PT_LOAD && offset >= 0 && offset < memorySize) return paddr + offset;
  }
  return Number(elf.entry);
}

/** All notes of all PT_NOTE segments. Stops at the first one that is cut off, as there is no telling where the next begins. */
export function readNotes(file: BootFile, elf: Elf): readonly ElfNote[] {
  const notes: ElfNote[] = [];
  for (const { type, offset, fileSize, align } of elf.segments) {
    if (type !== PT_NOTE) continue;
    if (fileSize > NOTES_MAX) throw new LoaderError(file.path, "ELF notes are larger than 64 KiB");
    const bytes = file.read(offset, fileSize, "ELF note segment");
    const unit = align === 8 ? 8 : 4; // gABI says 8 for ELF64, most linkers say 4; p_align tells
    for (let at = 0; at + 12 <= fileSize; ) {
      const nameSize = bytes.getUint32(at, true);
      const descSize = bytes.getUint32(at + 4, true);
      const descAt = at + alignUp(12 + nameSize, unit);
      if (descAt + descSize > fileSize) break;
      const name = new TextDecoder("latin1").decode(new Uint8Array(bytes.buffer, at + 12, nameSize));
      const desc = new DataView(bytes.buffer, descAt, descSize);
      notes.push({ name: name.replace(/\0+$/, ""), type: bytes.getUint32(at + 8, true), desc });
      at = descAt + alignUp(descSize, unit);
    }
  }
  return notes;
}

function readSegment(table: DataView, at: number, elfClass: 1 | 2): ElfSegment {
  // ELF64 has p_flags second, ELF32 last but one; the others are in the same order.
  const size = elfClass === ELFCLASS64 ? 8 : 4;
  const field = (n: number) => word(table, at + size * (n + 1), elfClass);
  return {
    type: table.getUint32(at, true),
    offset: Number(field(0)),
    vaddr: field(1),
    paddr: Number(field(2)),
    fileSize: Number(field(3)),
    memorySize: Number(field(4)),
    align: Number(field(elfClass === ELFCLASS64 ? 5 : 6)),
  };
}

/** An address-sized field. As a number it is inexact past 2^53, and refused where it is used: nothing lies there. */
function word(view: DataView, at: number, elfClass: 1 | 2): bigint {
  return elfClass === ELFCLASS64 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true));
}
