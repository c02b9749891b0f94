/**
 * One base address register: its sizing, and the region of the bus that follows it.
 * Follows: PCI Local Bus Specification 3.0 section 6.2.5.1.
 * Left out: 64-bit and prefetchable memory, expansion ROMs.
 */
import { hex, isPowerOfTwo } from "../../shared/bits.ts";
import type { Bus } from "../bus/bus.ts";
import type { PciBar } from "../bus/interfaces.ts";

/** Bit 0 of an I/O register is one; of a memory register bits 3..0 say "32-bit, not prefetchable" with zeros. */
const IO_SPACE = 0x1;
const SMALLEST = { io: 4, memory: 16 } as const;
/** The last address at which each kind can be decoded. The top 32-bit address is what a sizing write leaves there. */
const LAST_ADDRESS = { io: 0xffff, memory: 0xffff_fffe } as const;

export class BarDecoder {
  readonly kind: "io" | "memory";
  readonly #bar: PciBar;
  readonly #bus: Bus;
  readonly #mask: number;
  #mappedAt: number | undefined;

  /** Throws an Error on a size that the register cannot express. */
  constructor(bar: PciBar, bus: Bus) {
    if (!isPowerOfTwo(bar.size) || bar.size < SMALLEST[bar.kind] || bar.size > 2 ** 31) {
      throw new Error(`${bar.region.name}: ${hex(bar.size)} bytes cannot be a BAR of kind ${bar.kind}`);
    }
    this.kind = bar.kind;
    this.#bar = bar;
    this.#bus = bus;
    this.#mask = ~(bar.size - 1) >>> 0;
  }

  get size(): number {
    return this.#bar.size;
  }

  /** Where it is decoded now, if it is. */
  get mappedAt(): number | undefined {
    return this.#mappedAt;
  }

  /** What the register holds after `value` was written: address bits below the size read zero, by which it is sized. */
  latch(value: number): number {
    return ((value & this.#mask) | (this.kind === "io" ? IO_SPACE : 0)) >>> 0;
  }

  /**
   * Brings the bus in line with the register. Not decoded: while the command register says so, at address 0, where an
   * all-ones sizing write put it, and where another device already is (until either moves).
   */
  update(register: number, decode: boolean): void {
    const base = (register & this.#mask) >>> 0;
    const wanted = decode && base !== 0 && base + this.size - 1 <= LAST_ADDRESS[this.kind];
    if (this.#mappedAt !== undefined && (!wanted || this.#mappedAt !== base)) {
      this.#bus.unmap(this.#mappedAt);
      this.#mappedAt = undefined;
    }
    if (wanted && this.#mappedAt === undefined) {
      if (this.#bus.tryMap(base, this.size, this.#bar.region, this.#bar.posted)) this.#mappedAt = base;
    }
  }
}
