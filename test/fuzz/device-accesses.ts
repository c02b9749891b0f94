/**
 * Random accesses to every register of the board, through its buses, as a guest makes them: ports, memory, and PCI
 * configuration space by mechanism 1 and ECAM. Offsets and values lean towards those that a careless device gets wrong.
 * Follows: the regions that the board has at that moment, BARs included.
 * Left out: queues with something sensible in them (device-driver.ts).
 */
import type { Bus, Region } from "../../qemu-user/bus/bus.ts";
import type { Width } from "../../qemu-user/bus/interfaces.ts";
import { Finding } from "./connection.ts";
import { type FuzzBoard, LOW_RAM } from "./device-board.ts";
import type { Random } from "./generator.ts";

const WIDTHS: readonly Width[] = [1, 2, 4];
const PCI_ADDRESS = 0xcf8;
const PCI_DATA = 0xcfc;
const [COMMAND, BAR0, CAPABILITIES] = [0x04, 0x10, 0x40] as const;

/** Small numbers, bits, ends of ranges, commands that devices know, and addresses of RAM and of what else there is. */
const VALUES: readonly number[] = [
  0,
  1,
  2,
  3,
  4,
  5,
  8,
  15,
  16,
  0x1f,
  0x20,
  0x40,
  0x60,
  0x7f,
  0x80,
  0xaa,
  0xd1,
  0xd4,
  0xed,
  0xf0,
  0xf1,
  0xf3,
  0xff,
  0x100,
  0x400,
  0x7ff,
  0x2000,
  0x3fff,
  0x7fff,
  0x8000,
  0xc000,
  0xffff,
  LOW_RAM - 4,
  LOW_RAM,
  0x10_0000,
  0x7fff_ffff,
  0x8000_0000,
  0xb000_0000,
  0xc000_0000,
  0xe000_0000,
  0xfebf_f000,
  0xfec0_0000,
  0xfee0_0000,
  0xff00_0000,
  0xffff_f000,
  0xffff_fff0,
  0xffff_ffff,
];

/** One access and its answer, as a line that says what was done. */
export class Accesses {
  readonly #board: FuzzBoard;
  readonly #chance: Random;
  readonly #pair = new Uint32Array(2);
  readonly #ecam: number;
  /** The latest, for a Finding. */
  readonly trail: string[] = [];
  /** Of all values that were read: two runs of a case have the same. */
  digest = 0;
  /** Looks at the canaries after each access: slow, and exact. */
  exact = false;

  constructor(board: FuzzBoard, chance: Random) {
    this.#board = board;
    this.#chance = chance;
    this.#ecam = board.pc.mmio.regions().find(({ device }) => device.name === "pci-ecam")!.base;
  }

  value(): number {
    const chance = this.#chance;
    const kind = chance(8);
    if (kind < 5) return VALUES[chance(VALUES.length)]!;
    return kind === 5 ? 2 ** chance(32) : chance(2 ** 32);
  }

  /** One access of some kind. */
  any(): void {
    const chance = this.#chance;
    const kind = chance(16);
    if (kind < 7) this.#region(this.#board.pc.ports);
    else if (kind < 12) this.#region(this.#board.pc.mmio);
    else if (kind < 15) this.#configuration();
    else this.#anywhere();
  }

  /** Somewhere in a region, most often where registers are, or over its ends. */
  #region(bus: Bus): void {
    const chance = this.#chance;
    const regions = bus.regions();
    const region = regions[chance(regions.length)] as Region;
    const kind = chance(16);
    let offset = chance(Math.min(region.size, 0x40));
    if (kind > 10) offset = chance(region.size);
    else if (kind === 10) offset = region.size - 1 - chance(Math.min(region.size, 4));
    else if (kind === 9) offset = -1 - chance(3);
    else if (kind === 8) offset = Math.min(region.size - 1, 0x1000 * chance(4) + 4 * chance(4)); // virtio's areas
    this.access(bus, Math.max(region.base + offset, 0));
  }

  #anywhere(): void {
    const { ports, mmio } = this.#board.pc;
    if (this.#chance(2) === 0) this.access(ports, this.#chance(2 ** 16));
    else this.access(mmio, this.value());
  }

  /** A function that there is, and registers that matter. */
  #configuration(): void {
    const chance = this.#chance;
    const device = chance(16);
    const fn = chance(8) === 0 ? chance(8) : device === 1 ? 3 * chance(2) : 0;
    const kind = chance(8);
    let register = chance(256);
    if (kind < 3) register = BAR0 + chance(0x18);
    else if (kind === 3) register = COMMAND + chance(4);
    else if (kind < 6) register = CAPABILITIES + chance(0x60);
    const at = (device << 11) | (fn << 8);
    if (kind === 6) {
      // A BAR over another's.
      const [from, to] = [2 + chance(7), 2 + chance(7)].map((slot) => this.#ecam + (slot << 15) + BAR0 + 4 * chance(6));
      const { mmio } = this.#board.pc;
      this.write(mmio, to!, 4, this.read(mmio, from!, 4));
      return;
    }
    if (chance(2) === 0) this.access(this.#board.pc.mmio, this.#ecam + (at << 4) + register);
    else {
      this.write(this.#board.pc.ports, PCI_ADDRESS, 4, (0x8000_0000 | at | (register & 0xfc)) >>> 0);
      this.access(this.#board.pc.ports, PCI_DATA + (register & 3));
    }
  }

  /** A read or a write of some width. */
  access(bus: Bus, address: number): void {
    const chance = this.#chance;
    if (bus === this.#board.pc.mmio && chance(8) === 0) this.#wide(bus, address);
    else if (chance(3) === 0) this.read(bus, address, WIDTHS[chance(3)]!);
    else this.write(bus, address, WIDTHS[chance(3)]!, this.value());
  }

  read(bus: Bus, address: number, width: Width): number {
    this.#note(`${bus.name} ${address.toString(16)} read ${width}`);
    const value = bus.read(address, width);
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * width)) {
      throw new Finding(`a read of ${width} bytes gives ${value}`);
    }
    this.digest = (Math.imul(this.digest, 31) + value) | 0;
    return value;
  }

  write(bus: Bus, address: number, width: Width, value: number): void {
    this.#note(`${bus.name} ${address.toString(16)} write ${width} = ${value.toString(16)}`);
    bus.write(address, width, value);
  }

  #wide(bus: Bus, address: number): void {
    const [low, high] = [this.value(), this.value()];
    const reads = this.#chance(2) === 0;
    this.#note(`${bus.name} ${address.toString(16)} ${reads ? "read 8" : `write 8 = ${high}:${low}`}`);
    if (reads) bus.read64(address, this.#pair);
    else bus.write64(address, low, high);
  }

  /** Begins the work of one access, and remembers it. */
  #note(what: string): void {
    if (this.exact) this.#board.memory.check();
    this.#board.memory.steps = 0;
    this.trail.push(what);
    if (this.trail.length > 24) this.trail.shift();
  }
}
