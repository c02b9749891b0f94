/**
 * The code of an ELF file: its sections with instructions.
 * Document: System V ABI, chapter 4 (ELF header, sections); 64 bits, little endian.
 * Left out: relocation: displacements are what the linker left.
 */

import { readFileSync } from "node:fs";

const MAGIC = 0x464c_457f;
const CLASS_64 = 2;
const PROGBITS = 1;
const EXECINSTR = 4;

/** Throws on a file that is no 64-bit ELF. */
export function codeOf(path: string): Uint8Array[] {
  const bytes = readFileSync(path);
  if (bytes.length < 64 || bytes.readUInt32LE(0) !== MAGIC || bytes[4] !== CLASS_64)
    throw new Error(`${path} is no 64-bit ELF file`);
  const table = Number(bytes.readBigUInt64LE(0x28));
  const [size, count] = [bytes.readUInt16LE(0x3a), bytes.readUInt16LE(0x3c)];
  return Array.from({ length: count }, (_, i) => table + i * size)
    .filter((at) => bytes.readUInt32LE(at + 4) === PROGBITS && (bytes.readUInt32LE(at + 8) & EXECINSTR) !== 0)
    .map((at) => {
      const offset = Number(bytes.readBigUInt64LE(at + 0x18));
      return bytes.subarray(offset, offset + Number(bytes.readBigUInt64LE(at + 0x20)));
    });
}
