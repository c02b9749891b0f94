/**
 * Drivers of the virtio functions on the fuzzer's board: they begin as the specification says, and then do one thing, or
 * several, that no driver does. `serve` is the honest one, whom every device must serve, whatever came before.
 * Follows: VIRTIO 1.2 sections 2.7, 2.8, 3.1, 4.1; the driver of the unit tests (test/qemu-user/virtio/driver.ts).
 * Left out: what is wrong with single registers: device-accesses.ts writes them, too.
 */
import type { Width } from "../../qemu-user/bus/interfaces.ts";
import { VIRTIO_F } from "../../qemu-user/virtio/features.ts";
import { AREA } from "../../qemu-user/virtio/pci-capabilities.ts";
import { PciDriver } from "../qemu-user/support/fakes.ts";
import {
  type Buffer as Described,
  type DriverQueue,
  TestDriver,
  throughBus,
  writeDescriptor,
} from "../qemu-user/virtio/driver.ts";
import { Finding } from "./connection.ts";
import type { Accesses } from "./device-accesses.ts";
import { ARENA, DISK_BYTES, type FuzzBoard } from "./device-board.ts";
import { DATA, EDGES, INDIRECT, QUEUE_BYTES, type SpoiledQueue, Spoiler, TABLES } from "./device-spoil.ts";
import type { Random } from "./generator.ts";

const QUEUES_EACH = 2;
const VENDOR = 0x1af4;
const [BLK, CONSOLE, RNG] = [0x1042, 0x1043, 0x1044] as const;
const NAMES: Readonly<Record<number, string>> = {
  [BLK]: "virtio-blk-pci.0",
  [CONSOLE]: "virtio-console-pci.0",
  [RNG]: "virtio-rng-pci.0",
};
const NEEDS_RESET = 0x40;
const READY = 15;
/** Requests that are added at once, at most: the largest queue has fewer entries. */
const MANY = 300;
export class VirtioFunction {
  readonly slot: number;
  readonly id: number;
  readonly driver: TestDriver;
  readonly #index: number;
  readonly #board: FuzzBoard;
  readonly #accesses: Accesses;
  readonly #chance: Random;
  readonly #pci: PciDriver;
  #queues: DriverQueue[] = [];
  #sizes: number[] = [];
  /** Descriptors that were added to each queue, and of them those of the last request. */
  #added: number[] = [];
  #recent = 1;
  #packed = false;
  readonly #spoiler: Spoiler;
  #data = DATA;
  #stopped = false;

  constructor(board: FuzzBoard, accesses: Accesses, chance: Random, slot: number, id: number, index: number) {
    this.slot = slot;
    this.id = id;
    this.#index = index;
    this.#board = board;
    this.#accesses = accesses;
    this.#chance = chance;
    this.#pci = new PciDriver(board.pc);
    this.#spoiler = new Spoiler(board.memory, chance);
    // The driver of the unit tests, with the bus between it and the function.
    const base = () => (this.#pci.read(slot, 0x20) & ~0xf) >>> 0;
    const mmio = {
      read: (address: number, width: Width) => accesses.read(board.pc.mmio, address, width),
      write: (address: number, width: Width, value: number) => accesses.write(board.pc.mmio, address, width, value),
    };
    this.driver = new TestDriver({ bars: [{ region: throughBus({ mmio }, base) }] }, board.memory);
  }

  static all(board: FuzzBoard, accesses: Accesses, chance: Random): VirtioFunction[] {
    const pci = new PciDriver(board.pc);
    const found: VirtioFunction[] = [];
    for (let slot = 0; slot < 32; slot++) {
      const word = pci.read(slot, 0);
      if ((word & 0xffff) !== VENDOR || word >>> 16 < 0x1040) continue;
      found.push(new VirtioFunction(board, accesses, chance, slot, word >>> 16, found.length));
    }
    return found;
  }

  /** A start that succeeds mostly: features, queues, interrupts. */
  begin(): void {
    const chance = this.#chance;
    const { driver } = this;
    this.#pci.write(this.slot, 4, chance(16) === 0 ? chance(0x800) : 7, 2);
    if (chance(2) === 0) this.#messages();
    const offered = driver.offered();
    let features = 0n;
    for (let bit = 0n; bit < 40n; bit++) {
      if ((offered & (1n << bit)) !== 0n && chance(3) !== 0) features |= 1n << bit;
    }
    if (chance(24) === 0) features ^= 1n << BigInt(chance(64));
    this.#packed = (features & VIRTIO_F.RING_PACKED) !== 0n;
    driver.begin(features);
    this.#queues = [];
    this.#sizes = [];
    this.#added = [0, 0];
    const count = Math.min(driver.get(0x12, 2), QUEUES_EACH);
    let wrong = false;
    for (let n = 0; n < count; n++) {
      driver.set(0x16, 2, n);
      const most = driver.get(0x18, 2);
      const small = chance(2) === 0 ? Math.min(most, 8) : most;
      const size = chance(24) === 0 ? EDGES[chance(EDGES.length)]! & 0xffff : 1 << chance(Math.log2(small || 1) + 1);
      const at = this.#places(n);
      if (chance(24) === 0) at[(["desc", "driver", "device"] as const)[chance(3)]!] = this.#spoiler.place();
      this.#queues.push(driver.queue(n, size, at));
      this.#sizes.push(size);
      wrong ||= size < 1 || size > most || (!this.#packed && (size & (size - 1)) !== 0);
      if (chance(8) === 0) driver.set(0x1a, 2, chance(8) === 0 ? this.#accesses.value() : chance(4));
    }
    if (chance(4) === 0) driver.set(0x10, 2, chance(4));
    driver.go();
    this.#stopped = this.#checkStatus() ?? false;
    if (wrong && this.#checkStatus() === false && driver.status === READY) {
      throw new Finding(`virtio function ${this.id.toString(16)} starts with queues of ${this.#sizes.join()} entries`);
    }
  }

  /** Something that is available, and what is wrong with it; then the notification. */
  step(): void {
    const chance = this.#chance;
    if (this.#stopped && chance(2) === 0) this.begin();
    const n = chance(this.#queues.length || 1);
    const queue = this.#queues[n];
    if (queue === undefined) return;
    const many = chance(16) === 0 ? Math.min(this.#sizes[n]!, MANY) + 1 : 1 + chance(3);
    for (let i = 0; i < many; i++) {
      const buffers = this.#shape(this.#request(n));
      queue.add(...buffers);
      this.#added[n]! += buffers.length;
      this.#recent = buffers.length;
    }
    while (chance(2) === 0) this.#corrupt(n);
    const interrupts = chance(8);
    if (interrupts === 0) queue.suppress();
    else if (interrupts === 1) queue.interruptAfter(chance(4));
    if (chance(8) === 0) {
      this.#board.memory.race = () => {
        if (chance(32) === 0) this.#spoiler.poke(this.#described(n));
      };
    }
    this.driver.kick(chance(32) === 0 ? chance(6) : n);
    this.#board.memory.race = undefined;
    if (chance(16) === 0) this.driver.kick(n);
    queue.used();
    this.#stopped = this.#checkStatus() ?? false;
  }

  /** From any state: set up properly, requests are served, in a ring that has room for one or a few. */
  serve(): void {
    const chance = this.#chance;
    const { driver } = this;
    const { memory, char0, disk } = this.#board;
    const offered = driver.offered();
    const features = chance(2) === 0 ? offered : offered & ~VIRTIO_F.RING_PACKED;
    driver.begin(features);
    if (this.id === BLK) this.#expect("requests after a reset", disk.underWay, 0);
    const n = this.id === CONSOLE ? 1 : 0;
    const size = this.id === BLK ? 4 : 1 << chance(2);
    const queue = driver.queue(n, size, this.#places(n));
    driver.go();
    this.#expect("status after a start", driver.status, READY);
    for (let i = 0; i < 5; i++) {
      memory.fill(DATA, 1024, 0xee);
      if (this.id === BLK) memory.fill(DATA, 16, 0);
      const header = { at: DATA, length: 16, writable: this.id === RNG };
      const data = { at: DATA + 16, length: 256, writable: true };
      const rest = { at: DATA + 272, length: 257, writable: true };
      if (this.id !== BLK) queue.add(header);
      else if (i % 2 === 0)
        queue.add(header, data, { ...rest, length: 256 }, { at: DATA + 528, length: 1, writable: true });
      else queue.add(header, data, rest);
      driver.kick(n);
      const used = queue.used();
      this.#expect("returned", used.length, 1);
      this.#expect("written", used[0]![1], { [BLK]: 513, [CONSOLE]: 0, [RNG]: 16 }[this.id]);
      this.#expect("status after a request", driver.status, READY);
      if (this.id === BLK) this.#expect("the request's status", memory.readU8(DATA + 528), 0);
      if (this.id === CONSOLE && char0.output.length > 0) this.#expect("output", char0.output.at(-1), 0xee);
    }
  }

  #places(n: number) {
    const desc = ARENA.from + (QUEUES_EACH * this.#index + n) * QUEUE_BYTES;
    return { desc, driver: desc + 0x2000, device: desc + 0x3000 };
  }

  #described(n: number): SpoiledQueue {
    const [size, added] = [this.#sizes[n]!, this.#added[n]!];
    return { ...this.#places(n), size, packed: this.#packed, added, recent: this.#recent };
  }

  #expect(what: string, is: unknown, wanted: unknown): void {
    if (is !== wanted) throw new Finding(`virtio function ${this.id.toString(16)}: ${what} is ${is}, not ${wanted}`);
  }

  /** Whether the function waits for a reset; undefined: something else answers in its place. */
  #checkStatus(): boolean | undefined {
    const base = (this.#pci.read(this.slot, 0x20) & ~0xf) >>> 0;
    const region = this.#board.pc.mmio.regions().find((one) => one.base === base);
    if (region?.device.name !== `${NAMES[this.id]}.bar4`) return undefined;
    const { status } = this.driver;
    if ((status & ~(READY | NEEDS_RESET | 0x80)) === 0) return (status & NEEDS_RESET) !== 0;
    throw new Finding(`virtio function ${this.id.toString(16)}: status ${status.toString(16)}`);
  }

  /** MSI-X on, its table filled with something; or the table's bits left as they are. */
  #messages(): void {
    const chance = this.#chance;
    const bar = (this.#pci.read(this.slot, 0x14) & ~0xf) >>> 0;
    let capability = this.#pci.read(this.slot, 0x34, 1);
    while (capability !== 0 && this.#pci.read(this.slot, capability, 1) !== 0x11) {
      capability = this.#pci.read(this.slot, capability + 1, 1);
    }
    this.#pci.write(this.slot, capability + 2, [0x8000, 0x8000, 0xc000, 0][chance(4)]!, 2);
    for (let vector = 0; vector < 3; vector++) {
      const words = [0xfee0_0000, 0, 0x4000 | (0x30 + vector), chance(4) === 0 ? 1 : 0];
      words.forEach((word, i) => {
        const value = chance(16) === 0 ? this.#accesses.value() : word;
        this.#accesses.write(this.#board.pc.mmio, bar + 16 * vector + 4 * i, 4, value);
      });
    }
  }

  #buffer(length: number, writable = false): Described {
    this.#data += 64 + length;
    if (this.#data + length > ARENA.to) this.#data = DATA + 64 * this.#chance(16);
    return { at: this.#data, length, writable };
  }

  /** A request of the function's kind. */
  #request(n: number): Described[] {
    const chance = this.#chance;
    if (this.id === RNG) return [this.#buffer(chance(300), true)];
    if (this.id === CONSOLE) return [this.#buffer(1 + chance(40), n === 0)];
    const header = this.#buffer(16);
    const { memory } = this.#board;
    const type = [0, 1, 4, 8, 11, 13, 2, this.#accesses.value()][chance(8)]!;
    memory.writeU32(header.at, type);
    const end = DISK_BYTES / 512;
    const sector = chance(4) === 0 ? end - chance(10) : chance(end);
    memory.writeU32(header.at + 8, chance(8) === 0 ? this.#accesses.value() : sector);
    memory.writeU32(header.at + 12, chance(16) === 0 ? this.#accesses.value() : 0);
    const status = this.#buffer(1, true);
    if (type === 11 || type === 13) {
      const range = this.#buffer(16 * (1 + (chance(8) === 0 ? 1 : 0)));
      memory.writeU32(range.at, sector);
      memory.writeU32(range.at + 4, chance(16) === 0 ? this.#accesses.value() : 0);
      memory.writeU32(range.at + 8, chance(4) === 0 ? this.#accesses.value() : chance(32));
      memory.writeU32(range.at + 12, chance(4) === 0 ? this.#accesses.value() : chance(2));
      return [header, range, status];
    }
    if (type === 4) return [header, status];
    const sectors = chance(16) === 0 ? chance(0x200) : chance(9);
    const odd = chance(16) === 0 ? chance(512) : 0;
    return [header, this.#buffer(type === 8 ? 20 : 512 * sectors + odd, type !== 1), status];
  }

  /** The same, perhaps cut into more buffers, or in an indirect table. */
  #shape(buffers: Described[]): Described[] {
    const chance = this.#chance;
    let list = buffers;
    if (chance(4) === 0) {
      list = list.flatMap((buffer) => {
        if (buffer.length < 2 || chance(2) === 0) return [buffer];
        const cut = 1 + chance(buffer.length - 1);
        return [
          { ...buffer, length: cut },
          { ...buffer, at: buffer.at + cut, length: buffer.length - cut },
        ];
      });
    }
    if (chance(3) !== 0) return list;
    const keep = chance(4) === 0 && !this.#packed ? 1 : 0;
    const inside = list.slice(keep);
    const table = TABLES + QUEUE_BYTES * chance(4) + 16 * chance(8);
    inside.forEach((buffer, i) => {
      writeDescriptor(this.#board.memory, table + 16 * i, buffer, i + 1 < inside.length ? i + 1 : undefined);
      if (!this.#packed) return;
      this.#board.memory.writeU16(table + 16 * i + 14, buffer.writable === true ? 2 : 0);
    });
    return [...list.slice(0, keep), { at: table, length: 16 * inside.length, flags: INDIRECT }];
  }

  /** One thing in the queue's surroundings: memory, registers of the queue, interrupts, configuration, power. */
  #corrupt(n: number): void {
    const chance = this.#chance;
    const { driver } = this;
    const kind = chance(24);
    if (kind < 10) this.#spoiler.poke(this.#described(n));
    else if (kind < 14) this.#spoiler.construct(this.#described(n));
    else if (kind === 14) driver.set(0x16, 2, n);
    else if (kind === 15) driver.set(0x18 + 2 * chance(3), 2, EDGES[chance(EDGES.length)]!);
    else if (kind === 16) driver.address(0x20 + 8 * chance(3), this.#spoiler.place());
    else if (kind === 17) this.#messages();
    else if (kind === 18) this.#pci.write(this.slot, 4, 3 + 4 * chance(2) + 0x400 * chance(2), 2);
    else if (kind === 19) driver.bar.region.write(AREA.DEVICE + chance(64), 1, this.#accesses.value());
    else if (kind === 20) driver.status = this.#accesses.value() & 0xff;
    else if (kind === 21) this.#board.disk.keeps = chance(2) === 0;
    else if (kind === 22) this.#board.disk.finish(chance);
    else this.#board.char0.makeRoom(chance(2) === 0 ? 0 : chance(64));
  }
}
