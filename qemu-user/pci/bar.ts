/**
 * One base address register: its sizing, and the region of the bus that follows it.
 * Follows: PCI Local Bus Specification 3.0 section 6.2.5.1.
 * Left out: expansion ROMs; decoding above 4 GiB, where the board has nothing: a 64-bit register may hold such an address.
 */
import { hex, isPowerOfTwo } from "../../shared/bits.ts";
import type { Bus } from "../bus/bus.ts";
import type { PciBar } from "../bus/interfaces.ts";

/** Bit 0 of an I/O register is one; of a memory register bits 2..1 are its type, and bit 3 says that it is prefetchable. */
const IO_SPACE = 0x1;
const TYPE_64 = 0x4;
const PREFETCHABLE = 0x8;
const SMALLEST = { io: 4, memory: 16 } as const;
/** The last address at which each kind can be decoded. The top 32-bit address is what a sizing write leaves there. */
const LAST_ADDRESS = { io: 0xffff, memory: 0xffff_fffe } as const;

export class BarDecoder {
  readonly kind: "io" | "memory";
  readonly #bar: PciBar;
  readonly #bus: Bus;
  readonly #mask: number;
  readonly #low: number;
  readonly #ram: (base: number, size: number) => boolean;
  #mappedAt: number | undefined;

  /** `ram` says where RAM lies, over which nothing is decoded. Throws an Error on what the register cannot express. */
  constructor(bar: PciBar, bus: Bus, ram: (base: number, size: number) => boolean = () => false) {
    if (bar.kind === "io" && (bar.wide || bar.prefetchable)) {
      throw new Error(`${bar.region.name}: ports are neither 64-bit nor prefetchable`);
    }
    if (!isPowerOfTwo(bar.size) || bar.size < SMALLEST[bar.kind] || bar.size > 2 ** 31) {
      throw new Error(`${bar.region.name}: ${hex(bar.size)} bytes cannot be a BAR of kind ${bar.kind}`);
    }
    this.kind = bar.kind;
    this.#bar = bar;
    this.#bus = bus;
    this.#mask = ~(bar.size - 1) >>> 0;
    this.#low = bar.kind === "io" ? IO_SPACE : (bar.wide ? TYPE_64 : 0) | (bar.prefetchable ? PREFETCHABLE : 0);
    this.#ram = ram;
  }

  /** Takes two registers. */
  get wide(): boolean {
    return this.#bar.wide === true;
  }

  get size(): number {
    return this.#bar.size;
  }

  /** Where it is decoded now, if it is. */
  get mappedAt(): number | undefined {
    return this.#mappedAt;
  }

  /** What the (low) register holds after `value` was written: address bits below the size read zero, by which it is sized. */
  latch(value: number): number {
    return ((value & this.#mask) | this.#low) >>> 0;
  }

  /**
   * Brings the bus in line with the register. Not decoded: while the command register says so, at address 0, where an
   * all-ones sizing write put it, over RAM, and where another device already is (until either moves).
   */
  update(register: number, high: number, decode: boolean): void {
    const base = high * 2 ** 32 + ((register & this.#mask) >>> 0);
    const wanted = decode && base !== 0 && base + this.size - 1 <= LAST_ADDRESS[this.kind];
    if (this.#mappedAt !== undefined && (!wanted || this.#mappedAt !== base)) {
      this.#bus.unmap(this.#mappedAt);
      this.#mappedAt = undefined;
    }
    if (wanted && this.#mappedAt === undefined && !(this.kind === "memory" && this.#ram(base, this.size))) {
      if (this.#bus.tryMap(base, this.size, this.#bar.region, this.#bar.posted)) this.#mappedAt = base;
    }
  }
}
