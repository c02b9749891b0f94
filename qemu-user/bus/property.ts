/**
 * Properties of a device, as `-device NAME,prop=value` gives them: each device's file has a table of these.
 * Follows: QEMU's spellings (`on|off`, numbers in C notation).
 * Left out: lists and properties that change at run time.
 */

export type PropertyKind = "bool" | "u8" | "u16" | "u32" | "pci-slot" | "string";
export type PropertyValue = boolean | number | string;

export interface Property {
  readonly kind: PropertyKind;
  readonly default: PropertyValue;
  readonly help: string;
}

/** Property name to its row. */
export type PropertyTable = Readonly<Record<string, Property>>;

/** Values after parsing: every name of the table is there, with its kind's type. */
export type PropertyValues = Readonly<Record<string, PropertyValue>>;

const BOOLEANS: Readonly<Record<string, boolean>> = {
  on: true,
  yes: true,
  true: true,
  y: true,
  off: false,
  no: false,
  false: false,
  n: false,
};

const LIMITS = { u8: 0xff, u16: 0xffff, u32: 0xffff_ffff } as const;

/** What a value of this kind looks like, for help texts and errors. */
export function describeKind(kind: PropertyKind): string {
  switch (kind) {
    case "bool":
      return "on|off";
    case "string":
      return "text";
    case "pci-slot":
      return "1..1f";
    default:
      return `0..${LIMITS[kind].toString(10)}`;
  }
}

/** An unsigned number in decimal, hexadecimal (0x) or octal (leading 0), or undefined. */
export function parseUnsigned(text: string): number | undefined {
  if (/^0[0-7]+$/.test(text)) return Number.parseInt(text, 8);
  if (!/^(0x[0-9a-f]+|[0-9]+)$/i.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Reads one value; undefined if the text is not one of this kind. */
export function parseProperty(kind: PropertyKind, text: string): PropertyValue | undefined {
  if (kind === "string") return text;
  if (kind === "pci-slot") return parseSlot(text);
  if (kind === "bool") return Object.hasOwn(BOOLEANS, text) ? BOOLEANS[text] : undefined;
  const value = parseUnsigned(text);
  return value !== undefined && value <= LIMITS[kind] ? value : undefined;
}

/** A PCI slot as QEMU writes it: hexadecimal with or without 0x, perhaps with the function, of which there is only 0. */
function parseSlot(text: string): number | undefined {
  const match = /^(?:0x)?([0-9a-f]{1,2})(?:\.0)?$/i.exec(text);
  const slot = match === null ? 0 : Number.parseInt(match[1]!, 16);
  return slot >= 1 && slot <= 31 ? slot : undefined;
}
