/**
 * What a hostile driver does to a queue in memory: one field of it, or a structure that the specification forbids by name.
 * Follows: VIRTIO 1.2 sections 2.7.5 and 2.8: descriptors, indirect tables, rings.
 * Left out: registers (device-driver.ts), and the good queue that is spoiled.
 */
import type { GuestMemory } from "../../shared/guest-memory.ts";
import { writeDescriptor } from "../qemu-user/virtio/driver.ts";
import { ARENA, CANARY_SLOTS } from "./device-board.ts";
import type { Random } from "./generator.ts";

/** Each queue's rings have so much of the arena; then come tables, then data. */
export const QUEUE_BYTES = 0x4000;
export const TABLES = ARENA.from + 6 * QUEUE_BYTES;
export const DATA = TABLES + 4 * QUEUE_BYTES;
export const INDIRECT = 4;

/** Lengths and numbers that a careless check would get wrong. */
export const EDGES: readonly number[] = [
  0, 1, 2, 3, 7, 8, 15, 16, 17, 255, 256, 257, 512, 1024, 4096, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x10_0000,
  0x7fff_ffff, 0x8000_0000, 0xffff_fff0, 0xffff_ffff,
];
/** Before the canaries' slots: buffers that would cross into them. */
const CROSSING: readonly number[] = CANARY_SLOTS.map((gpa) => gpa - 8);
/** Addresses: in the arena's last bytes and behind it, nowhere. */
const PLACES: readonly number[] = [
  ARENA.to - 1,
  ARENA.to - 16,
  ARENA.to,
  2 ** 32,
  0xffff_fffc,
  0xfee0_0000,
  0xc000_0000,
  2 ** 52,
  2 ** 63,
  (2 ** 32 - 1) * 2 ** 32,
];

/** Where a queue lies, and what was added to it. */
export interface SpoiledQueue {
  readonly desc: number;
  readonly driver: number;
  readonly device: number;
  readonly size: number;
  readonly packed: boolean;
  /** Descriptors in all, and of them those of the last request. */
  readonly added: number;
  readonly recent: number;
}

export class Spoiler {
  readonly #memory: GuestMemory;
  readonly #chance: Random;

  constructor(memory: GuestMemory, chance: Random) {
    this.#memory = memory;
    this.#chance = chance;
  }

  /** An address that is wrong, or nearly. */
  place(): number {
    const chance = this.#chance;
    if (chance(2) === 0) return PLACES[chance(PLACES.length)]!;
    return ARENA.from + chance(ARENA.to - ARENA.from) - (chance(2) === 0 ? 0 : chance(16));
  }

  /** What the specification forbids by name: chains and tables that loop, are nested, have no end, or 4 GiB. */
  construct(queue: SpoiledQueue): void {
    const chance = this.#chance;
    const memory = this.#memory;
    const at = this.#recent(queue);
    const own = (at - queue.desc) / 16;
    const rings = queue.packed ? memory.readU16(at + 14) & 0x8080 : 0;
    const flags = (place: number, bits: number, next: number) => {
      memory.writeU16(place + (queue.packed ? 14 : 12), bits | (place === at ? rings : 0));
      if (!queue.packed) memory.writeU16(place + 14, next);
    };
    const table = TABLES + QUEUE_BYTES * chance(4);
    const entries = 1 + chance(4);
    const kind = chance(6);
    if (kind === 0) {
      memory.writeU32(at + 8, chance(2) * 16); // a loop of one
      flags(at, 1 | (2 * chance(2)), own);
      return;
    }
    if (kind === 1) {
      memory.writeU32(at + 8, 0xffff_fff0);
      return;
    }
    // An indirect table: that contains itself, that loops, that refers to nothing, or that has every length.
    writeDescriptor(memory, at, { at: table, length: 16 * entries });
    flags(at, INDIRECT | (chance(8) === 0 ? 1 : 0), own);
    for (let i = 0; i < entries; i++) {
      writeDescriptor(memory, table + 16 * i, { at: DATA, length: chance(2) * 64 });
      flags(table + 16 * i, queue.packed ? 0 : 1, (i + 1) % entries);
    }
    if (kind === 2) {
      writeDescriptor(memory, table, { at: table, length: 16 * entries });
      flags(table, INDIRECT, 0);
    } else if (kind === 3) flags(table + 16 * (entries - 1), 0, 0);
    else if (kind === 4) memory.writeU32(at + 8, EDGES[chance(EDGES.length)]!);
  }

  /** One field of one descriptor, of a ring, of an indirect table, or of the data. */
  poke(queue: SpoiledQueue): void {
    const chance = this.#chance;
    const memory = this.#memory;
    const { desc, driver, device } = queue;
    const size = queue.size & 0x1ff;
    const edge = () => EDGES[chance(EDGES.length)]!;
    let at = this.#recent(queue);
    const where = chance(4);
    if (where === 0) at = TABLES + QUEUE_BYTES * chance(4) + 16 * chance(16);
    else if (where === 1) at = desc + 16 * chance(Math.min(size, 16) + 1);
    const kind = chance(12);
    if (kind < 3) {
      const address = chance(8) === 0 ? CROSSING[chance(2)]! : this.place();
      memory.writeU32(at, address % 2 ** 32);
      memory.writeU32(at + 4, Math.floor(address / 2 ** 32));
    } else if (kind < 5) memory.writeU32(at + 8, edge());
    else if (kind < 7) memory.writeU16(at + 12, chance(4) === 0 ? edge() : chance(8));
    else if (kind < 9)
      memory.writeU16(at + 14, chance(4) === 0 ? edge() : chance(8) | [0, 0x80, 0x8000, 0x8080][chance(4)]!);
    else if (kind === 9) memory.writeU16(driver + 2 * chance(size + 3), chance(4) === 0 ? edge() : chance(16));
    else if (kind === 10) memory.writeU16(device + 2 * chance(4 * size + 3), edge());
    else {
      // The buffer is the ring itself.
      const own = [desc, driver, device][chance(3)]! + 2 * chance(16);
      memory.writeU32(at, own % 2 ** 32);
      memory.writeU32(at + 4, Math.floor(own / 2 ** 32));
    }
  }

  /** One of the last request's descriptors. */
  #recent(queue: SpoiledQueue): number {
    const size = queue.size || 1;
    const index = queue.added - 1 - this.#chance(queue.recent);
    return queue.desc + 16 * (((index % size) + size) % size);
  }
}
