/**
 * Configuration space behind the header, 0x40 to 0xff: the list of capabilities, and registers of a device's own.
 * Follows: PCI Local Bus Specification 3.0 section 6.7.
 * Left out: extended capabilities; a function has 256 bytes.
 */
import { ALL_ONES, type BusDevice, type PciCapability, type Width } from "../bus/interfaces.ts";

export const HEADER_END = 0x40;
export const CONFIG_END = 0x100;
/** Identifier and pointer to the next one, which are the host's. */
const HEAD = 2;

interface Placed {
  readonly at: number;
  readonly end: number;
  readonly next: number;
  readonly capability: PciCapability;
}

export class Capabilities {
  /** Offset of the first, or 0. */
  readonly first: number;
  /** By dword of configuration space. */
  readonly #byDword: (Placed | undefined)[] = new Array(CONFIG_END / 4).fill(undefined);
  readonly #own: Pick<BusDevice, "read" | "write"> | undefined;

  /** Throws an Error if they do not fit. */
  constructor(list: readonly PciCapability[], own?: Pick<BusDevice, "read" | "write">) {
    this.#own = own;
    this.first = list.length === 0 ? 0 : HEADER_END;
    let at = HEADER_END;
    for (const [index, capability] of list.entries()) {
      const end = at + HEAD + capability.bytes.length;
      if (end > CONFIG_END) throw new Error(`PCI function: capability ${index + 1} of ${list.length} has no room`);
      const following = (end + 3) & ~3;
      const next = index + 1 < list.length ? following : 0;
      this.#byDword.fill({ at, end, next, capability }, at >> 2, following >> 2);
      at = following;
    }
  }

  /** A part of one dword. */
  read(register: number, width: Width): number {
    const placed = this.#byDword[register >> 2];
    if (placed === undefined) return this.#own?.read(register, width) ?? 0;
    const offset = register - placed.at;
    if (offset >= HEAD) return readBody(placed, offset, width);
    const head = (placed.capability.id | (placed.next << 8)) >>> (8 * offset);
    const value = offset + width <= HEAD ? head : head | (readBody(placed, HEAD, 2) << (8 * (HEAD - offset)));
    return (value & ALL_ONES[width]) >>> 0;
  }

  /** A part of one dword. */
  write(register: number, width: Width, value: number): void {
    const placed = this.#byDword[register >> 2];
    if (placed === undefined) {
      this.#own?.write(register, width, value);
      return;
    }
    const offset = register - placed.at;
    if (offset >= HEAD) placed.capability.write?.(offset, width, value);
    else if (offset + width === HEAD + 2) placed.capability.write?.(HEAD, 2, value >>> (8 * (HEAD - offset)));
  }
}

function readBody({ at, end, capability }: Placed, offset: number, width: Width): number {
  if (capability.read !== undefined) return capability.read(offset, width);
  let value = 0;
  for (let i = 0; i < width && at + offset + i < end; i++) value |= capability.bytes[offset - HEAD + i]! << (8 * i);
  return value >>> 0;
}
