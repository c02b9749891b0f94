/**
 * A small writer of AML, the byte code of ACPI's DSDT: each function gives the bytes of one term.
 * Follows: ACPI 6.5 section 20.2 (grammar), 6.4 (resource descriptors), 6.1.5 (EISA identifiers).
 * Left out: everything that this board's namespace does not say: fields, operators, control flow.
 */

export type Aml = readonly number[];

const OP = {
  NAME: 0x08,
  BYTE: 0x0a,
  WORD: 0x0b,
  DWORD: 0x0c,
  STRING: 0x0d,
  SCOPE: 0x10,
  BUFFER: 0x11,
  PACKAGE: 0x12,
  METHOD: 0x14,
  DUAL_NAME: 0x2e,
  MULTI_NAME: 0x2f,
  EXT: 0x5b,
  EXT_DEVICE: 0x82,
  RETURN: 0xa4,
} as const;

/** `value` as `bytes` bytes, little endian. */
export function le(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) % 256);
}

function ascii(text: string): number[] {
  return [...text].map((letter) => letter.charCodeAt(0));
}

/** PkgLength (20.2.4) counts itself; `content` follows it. */
function withLength(content: Aml): number[] {
  const { length } = content;
  if (length + 1 < 0x40) return [length + 1, ...content];
  const more = length + 2 < 0x1000 ? 1 : length + 3 < 0x10_0000 ? 2 : 3;
  const total = length + 1 + more;
  return [(more << 6) | (total & 0xf), ...le(total >>> 4, more), ...content];
}

/** A path such as `\_SB.PCI0`; segments are padded to four letters. */
export function path(text: string): Aml {
  const root = text.startsWith("\\");
  const segments = (root ? text.slice(1) : text).split(".").map((segment) => segment.padEnd(4, "_"));
  const wrong = segments.find((segment) => !/^[A-Z_][A-Z0-9_]{3}$/.test(segment));
  if (wrong !== undefined) throw new Error(`"${wrong}" is not a name segment`);
  const prefix = segments.length === 1 ? [] : segments.length === 2 ? [OP.DUAL_NAME] : [OP.MULTI_NAME, segments.length];
  return [...(root ? [0x5c] : []), ...prefix, ...segments.flatMap(ascii)];
}

/** The shortest form of an unsigned integer below 2^32. */
export function integer(value: number): Aml {
  if (value <= 1) return [value];
  if (value <= 0xff) return [OP.BYTE, value];
  return value <= 0xffff ? [OP.WORD, ...le(value, 2)] : [OP.DWORD, ...le(value, 4)];
}

export function string(text: string): Aml {
  return [OP.STRING, ...ascii(text), 0];
}

/** "PNP0A03" as the number that _HID may be instead of a string. */
export function eisaId(id: string): Aml {
  const [a, b, c] = ascii(id.slice(0, 3)).map((code) => code - 0x40) as [number, number, number];
  const product = Number.parseInt(id.slice(3), 16);
  const maker = (a << 10) | (b << 5) | c;
  return [OP.DWORD, maker >>> 8, maker & 0xff, product >>> 8, product & 0xff];
}

export function name(where: string, value: Aml): Aml {
  return [OP.NAME, ...path(where), ...value];
}

export function scope(where: string, ...terms: Aml[]): Aml {
  return [OP.SCOPE, ...withLength([...path(where), ...terms.flat()])];
}

export function device(where: string, ...terms: Aml[]): Aml {
  return [OP.EXT, OP.EXT_DEVICE, ...withLength([...path(where), ...terms.flat()])];
}

/** A method without arguments that returns a constant. */
export function method(where: string, value: Aml): Aml {
  return [OP.METHOD, ...withLength([...path(where), 0, OP.RETURN, ...value])];
}

export function packageOf(...elements: Aml[]): Aml {
  return [OP.PACKAGE, ...withLength([elements.length, ...elements.flat()])];
}

/** A resource template: a buffer of descriptors with their end tag. */
export function resources(...descriptors: Aml[]): Aml {
  const bytes = [...descriptors.flat(), 0x79, 0]; // checksum 0: not used
  return [OP.BUFFER, ...withLength([...integer(bytes.length), ...bytes])];
}

/** Ports, decoded in 16 bits, where they are and nowhere else (6.4.2.5). */
export function io(base: number, length: number): Aml {
  return [0x47, 1, ...le(base, 2), ...le(base, 2), 1, length];
}

/** An ISA interrupt: edge, active high, not shared (6.4.2.1). */
export function irq(line: number): Aml {
  return [0x22, ...le(1 << line, 2)];
}

/** A fixed range of memory, writable (6.4.3.4). */
export function memory32(base: number, length: number): Aml {
  return [0x86, ...le(9, 2), 1, ...le(base, 4), ...le(length, 4)];
}

/** General flags of an address space: producer, positive decode, minimum and maximum fixed (6.4.3.5). */
const FIXED_WINDOW = 0x0c;

function window(tag: number, width: 2 | 4, type: number, flags: number, base: number, end: number): Aml {
  const values = [0, base, end - 1, 0, end - base];
  const body = [type, FIXED_WINDOW, flags, ...values.flatMap((value) => le(value, width))];
  return [tag, ...le(body.length, 2), ...body];
}

/** Bus numbers that a bridge has. `end` is the first number that is not in the window; so below. */
export function busWindow(base: number, end: number): Aml {
  return window(0x88, 2, 2, 0, base, end);
}

/** Ports that a bridge forwards: ISA and other ranges alike. */
export function ioWindow(base: number, end: number): Aml {
  return end - base > 0xffff ? window(0x87, 4, 1, 3, base, end) : window(0x88, 2, 1, 3, base, end);
}

/** Memory that a bridge forwards, writable. */
export function memoryWindow(base: number, end: number, cacheable: boolean): Aml {
  return window(0x87, 4, 0, cacheable ? 3 : 1, base, end);
}
