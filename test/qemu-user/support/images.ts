/**
 * Kernel images, built field by field, so that a test can spoil any of them.
 * Follows: System V gABI for ELF; Multiboot 0.6.96 section 3.1; Xen's elfnote.h.
 * Left out: anything that runs.
 */

export interface SegmentSpec {
  readonly type?: number;
  readonly vaddr?: number | bigint;
  readonly paddr: number | bigint;
  readonly bytes: Uint8Array;
  /** Size in memory, if it differs. */
  readonly memorySize?: number | bigint;
  /** What the header says instead of the truth. */
  readonly offset?: number | bigint;
  readonly fileSize?: number | bigint;
  readonly align?: number;
}

export interface ElfSpec {
  readonly bits: 32 | 64;
  readonly entry: number | bigint;
  readonly segments: readonly SegmentSpec[];
  readonly machine?: number;
  readonly type?: number;
  readonly elfClass?: number;
  readonly phentsize?: number;
  readonly phnum?: number;
  readonly phoff?: number;
}

const PT_LOAD = 1;
export const PT_NOTE = 4;

export function elf(spec: ElfSpec): Uint8Array {
  const wide = spec.bits === 64;
  const headerSize = wide ? 64 : 52;
  const entrySize = wide ? 56 : 32;
  const dataAt = headerSize + spec.segments.length * entrySize;
  const total = spec.segments.reduce((at, segment) => at + segment.bytes.length, dataAt);
  const image = new Uint8Array(total);
  const view = new DataView(image.buffer);
  const word = (at: number, value: number | bigint) =>
    wide ? view.setBigUint64(at, BigInt(value), true) : view.setUint32(at, Number(value), true);
  const size = wide ? 8 : 4;

  image.set([0x7f, 0x45, 0x4c, 0x46, spec.elfClass ?? (wide ? 2 : 1), 1, 1]);
  view.setUint16(16, spec.type ?? 2, true);
  view.setUint16(18, spec.machine ?? (wide ? 62 : 3), true);
  view.setUint32(20, 1, true);
  word(24, spec.entry);
  word(24 + size, spec.phoff ?? headerSize);
  const tail = 24 + 3 * size + 4; // after e_shoff and e_flags
  view.setUint16(tail, headerSize, true);
  view.setUint16(tail + 2, spec.phentsize ?? entrySize, true);
  view.setUint16(tail + 4, spec.phnum ?? spec.segments.length, true);

  let fileAt = dataAt;
  spec.segments.forEach((segment, i) => {
    const at = headerSize + i * entrySize;
    view.setUint32(at, segment.type ?? PT_LOAD, true);
    const fields = [
      segment.offset ?? fileAt,
      segment.vaddr ?? segment.paddr,
      segment.paddr,
      segment.fileSize ?? segment.bytes.length,
      segment.memorySize ?? segment.fileSize ?? segment.bytes.length,
    ];
    fields.forEach((value, n) => {
      word(at + size * (n + 1), value);
    });
    if (wide) word(at + 48, segment.align ?? 4);
    else view.setUint32(at + 28, segment.align ?? 4, true);
    image.set(segment.bytes, fileAt);
    fileAt += segment.bytes.length;
  });
  return image;
}

/** A multiboot header; the checksum is right unless `checksum` is given. */
export function multibootHeader(flags: number, addresses: readonly number[] = [], checksum?: number): Uint8Array {
  const fields = [0x1bad_b002, flags, checksum ?? -(0x1bad_b002 + flags), ...addresses];
  return new Uint8Array(Uint32Array.from(fields, (value) => value >>> 0).buffer);
}

/** A note as it stands in a PT_NOTE segment, padded to four bytes. */
export function note(name: string, type: number, desc: Uint8Array): Uint8Array {
  const nameBytes = Buffer.from(`${name}\0`);
  const padded = (length: number) => (length + 3) & ~3;
  const bytes = new Uint8Array(12 + padded(nameBytes.length) + padded(desc.length));
  new Uint32Array(bytes.buffer, 0, 3).set([nameBytes.length, desc.length, type]);
  bytes.set(nameBytes, 12);
  bytes.set(desc, 12 + padded(nameBytes.length));
  return bytes;
}

export function u32Bytes(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
