/**
 * A hostile driver of a disk, through the board's buses, with an image behind it: whatever it puts into a queue, the device
 * stops with NEEDS_RESET or answers with an error, RAM and image that it was not given stay as they are, and the next
 * driver is served.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SyncBackend } from "../../../qemu-user/block/backends.ts";
import { closeDrive, imageOf, infoOf, type OpenDrive, openDrive } from "../../../qemu-user/block/drive.ts";
import { VIRTIO_F } from "../../../qemu-user/virtio/features.ts";
import { GuestMemory } from "../../../shared/guest-memory.ts";
import { drive } from "../block/support.ts";
import { option, PciDriver, type TestBoard, testBoardWith } from "../support/fakes.ts";
import {
  boardDriver,
  type Buffer as Described,
  type DriverQueue,
  INDIRECT,
  PackedDriver,
  queueAt,
  SplitDriver,
  type TestDriver,
  writeDescriptor,
} from "./driver.ts";

const SLOT = 2;
const SECTORS = 64;
const SIZE = 8;
const [OK, IOERR, UNSUPP] = [0, 1, 2] as const;
const [IN, OUT, FLUSH, DISCARD, WRITE_ZEROES] = [0, 1, 4, 11, 13] as const;
const RUNS = 15;
const NEEDS_RESET = 0x40;
const ALL_RINGS = VIRTIO_F.RING_INDIRECT_DESC | VIRTIO_F.RING_EVENT_IDX;

/** RAM of 2 MiB with a hole of 1 MiB in it. What lies outside the driver's part holds canaries. */
const RAM_END = 0x30_0000;
const HOLE = 0x10_0000;
const GIVEN_END = 0xc_0000;
const [HEADER, DATA, STATUS, TABLE] = [0x8_0000, 0x8_1000, 0x8_8000, 0x9_0000] as const;

let folder: string;
let path: string;
let opened: OpenDrive;
let board: TestBoard;
let driver: TestDriver;
let image: Buffer;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "splitvm-hostile-"));
  path = join(folder, "disk.img");
  image = Buffer.from(Array.from({ length: SECTORS * 512 }, (_, i) => (i >> 9) + 1));
  writeFileSync(path, image);
  opened = openDrive(drive(path, { discard: true, writeErrors: "report" }));
  const memory = new GuestMemory(new ArrayBuffer(2 * HOLE), [
    { gpa: 0, size: HOLE, at: 0 },
    { gpa: 2 * HOLE, size: HOLE, at: HOLE },
  ]);
  for (const [at, end] of CANARIES) memory.fill(at, end - at, 0xc5);
  const drives = new Map([["d0", new SyncBackend(infoOf(opened), imageOf(opened))]]);
  board = testBoardWith({ devices: [option("virtio-blk-pci", { drive: "d0" })], drives, memory });
  board.pc.reset();
  new PciDriver(board.pc).write(SLOT, 4, 7, 2);
  driver = boardDriver(board.pc, SLOT, memory);
});
afterEach(() => {
  closeDrive(opened);
  rmSync(folder, { recursive: true });
});

const CANARIES = [
  [GIVEN_END, HOLE],
  [2 * HOLE, RAM_END],
] as const;

function begin(features: bigint, size = SIZE): DriverQueue {
  driver.begin(features | (1n << 13n) | (1n << 14n));
  const queue = driver.queue(0, size);
  driver.go();
  return queue;
}

/** A request's buffers, as a good driver has them. */
function request(type: number, sector: number, data: readonly Described[] = []): Described[] {
  const { memory } = board;
  memory.writeU32(HEADER, type);
  memory.writeU32(HEADER + 8, sector % 2 ** 32);
  memory.writeU32(HEADER + 12, Math.floor(sector / 2 ** 32));
  memory.writeU8(STATUS, 0xee);
  return [{ at: HEADER, length: 16 }, ...data, { at: STATUS, length: 1, writable: true }];
}

const READ: Described = { at: DATA, length: 512, writable: true };

/** Canaries and image are whole. */
function expectUntouched(): void {
  for (const [at, end] of CANARIES) expect(board.memory.slice(at, end - at)!.every((byte) => byte === 0xc5)).toBe(true);
  expect(readFileSync(path).equals(image)).toBe(true);
}

/** A driver that begins again reads a sector. */
function expectServed(features: bigint): void {
  const queue = begin(features);
  queue.add(...request(IN, 5, [READ]));
  driver.kick(0);
  expect([driver.status, queue.used(), board.memory.readU8(STATUS)]).toEqual([RUNS, [[0, 513]], OK]);
  expect([...board.memory.slice(DATA, 512)!]).toEqual(new Array(512).fill(6));
}

function expectStopped(features: bigint, reason: RegExp): void {
  expect(driver.status).toBe(RUNS | NEEDS_RESET);
  expect(board.log.at(-1)).toMatch(reason);
  expect(driver.isr() & 2).toBe(2);
  driver.kick(0);
  expect(driver.status).toBe(RUNS | NEEDS_RESET);
  expectUntouched();
  expectServed(features);
}

describe.each([
  ["split", 0n],
  ["packed", VIRTIO_F.RING_PACKED],
])("a %s queue", (kind, ring) => {
  const packed = kind === "packed";
  const features = ring | ALL_RINGS;

  test.each([
    ["behind all RAM", RAM_END, 512],
    ["that ends behind RAM", RAM_END - 511, 512],
    ["in the hole", HOLE, 512],
    ["that reaches into the hole", HOLE - 1, 512],
    ["that reaches out of the hole", 2 * HOLE - 8, 512],
    ["in the local APIC's page", 0xfee0_0000, 512],
    ["in its own BAR", 0xe010_0000, 512],
    ["above 4 GiB", 2 ** 32, 512],
    ["that ends where addresses end", 2 ** 64 - 2 ** 12, 4096],
    ["of 4 GiB", 0, 0xffff_ffff],
    ["of 2 GiB", DATA, 0x8000_0000],
  ])("with a buffer %s stops the device", (_, at, length) => {
    begin(features).add(...request(IN, 0, [{ at, length, writable: true }]));
    driver.kick(0);
    expectStopped(features, /outside RAM|more than 4 GiB/);
    begin(features).add(...request(OUT, 0, [{ at, length }]));
    driver.kick(0);
    expectStopped(features, /outside RAM|more than 4 GiB/);
  });

  test("with a table of 4096 descriptors stops the device", () => {
    const table = Array.from({ length: 4096 }, (_, i) => TABLE + 16 * i);
    for (const at of table) writeDescriptor(board.memory, at, { at: 0, length: HOLE, flags: packed ? 0 : 1 });
    for (const [i, at] of table.entries()) if (!packed) board.memory.writeU16(at + 14, i + 1);
    begin(features).add({ at: TABLE, length: 16 * table.length, flags: INDIRECT });
    driver.kick(0);
    expectStopped(features, packed ? /an indirect table that is too long/ : /a chain that loops, or is too long/);
  });

  test("whose chain has no end stops the device", () => {
    const queue = begin(features);
    if (packed) {
      for (let i = 0; i < SIZE; i++) queue.add({ at: HEADER, length: 0, flags: 1 });
    } else {
      writeDescriptor(board.memory, queueAt(0).desc, { at: HEADER, length: 0 }, 1);
      writeDescriptor(board.memory, queueAt(0).desc + 16, { at: HEADER, length: 0 }, 0);
      (queue as SplitDriver).publish(0);
    }
    driver.kick(0);
    expectStopped(features, packed ? /longer than the ring/ : /loops, or is too long/);
  });

  test("with an indirect table that contains itself stops the device", () => {
    writeDescriptor(board.memory, TABLE, { at: TABLE, length: 16 });
    board.memory.writeU16(TABLE + (packed ? 14 : 12), INDIRECT);
    begin(features).add({ at: TABLE, length: 16, flags: INDIRECT });
    driver.kick(0);
    expectStopped(features, /an indirect table within another/);
  });

  test("without header or status stops the device", () => {
    for (const buffers of [[{ at: HEADER, length: 15 }], [{ at: HEADER, length: 16 }], [READ]]) {
      begin(features).add(...buffers);
      driver.kick(0);
      expectStopped(features, /a request without header or status/);
    }
  });

  test.each(packed ? [0, 257, 0x8000, 0xffff] : [0, 3, 100, 257, 512, 0x8000, 0xffff])(
    "of %i entries does not start the device",
    (size) => {
      begin(features, size);
      expect(driver.status).toBe(RUNS | NEEDS_RESET);
      expect(board.log.at(-1)).toMatch(new RegExp(`a queue of ${size} entries`));
      expectUntouched();
      expectServed(features);
    },
  );

  test("whose rings lie in the hole does not start the device", () => {
    for (const part of ["desc", "driver", "device"] as const) {
      for (const at of [HOLE, HOLE - 4 + (part === "desc" ? -12 : 2), RAM_END, 0xfee0_0000, 2 ** 63]) {
        driver.begin(features);
        driver.queue(0, SIZE, { [part]: at });
        driver.go();
        expect(driver.status).toBe(RUNS | NEEDS_RESET);
      }
    }
    expectUntouched();
    expectServed(features);
  });

  test("with buffers that overlap is served; rings that a buffer overwrites stop the device, or nothing", () => {
    let queue = begin(features);
    // Data over data, status over data, data over the header: the last to be written counts.
    queue.add(...request(IN, 3, [READ, READ, { ...READ, at: STATUS - 100 }]));
    driver.kick(0);
    expect([driver.status, queue.used()[0]![1], board.memory.readU8(DATA)]).toEqual([RUNS, 3 * 512 + 1, 5]);
    expect([board.memory.readU8(STATUS - 1), board.memory.readU8(STATUS), board.memory.readU8(STATUS + 1)]).toEqual([
      6, 0, 6,
    ]);
    queue.add(...request(IN, 7, [{ ...READ, at: HEADER }]));
    driver.kick(0);
    expect([driver.status, board.memory.readU8(HEADER), board.memory.readU8(STATUS)]).toEqual([RUNS, 8, OK]);
    const { desc, driver: avail, device } = queueAt(0);
    for (const at of [desc, avail, device, avail - 256, device - 256]) {
      for (let sector = 0; sector < SECTORS; sector++) {
        queue = begin(features);
        queue.add(...request(IN, sector, [{ ...READ, at }]));
        driver.kick(0);
        driver.kick(0);
        expect(driver.status & ~NEEDS_RESET).toBe(RUNS);
      }
    }
    expectUntouched();
    expectServed(features);
  });

  test("that is flooded answers each request once", () => {
    const queue = begin(ring);
    let answered = 0;
    for (let round = 0; round < 2000; round++) {
      for (let i = 0; i < 4; i++) queue.add(...request(FLUSH, 0));
      driver.kick(0);
      driver.kick(0);
      answered += queue.used().length;
    }
    expect([answered, driver.status]).toEqual([8000, RUNS]);
    expect(board.log).toEqual([]);
    // The same heads again and again, without room for the answers.
    if (queue instanceof SplitDriver) for (let i = 0; i <= SIZE; i++) queue.publish(0);
    if (queue instanceof PackedDriver) board.memory.fill(queueAt(0).desc, 16 * SIZE, 0xff);
    driver.kick(0);
    expect(driver.status).toBe(packed ? RUNS : RUNS | NEEDS_RESET);
    expectUntouched();
    expectServed(features);
  });

  test.each([
    ["the last sector and one more", SECTORS - 1, 2],
    ["behind the disk", SECTORS, 1],
    ["whose bytes do not fit a number", 2 ** 55, 1],
    ["that would wrap around", 2 ** 64 - 2 ** 11, 1],
    ["more than the disk", 0, SECTORS + 1],
  ])("reads and writes of %s are errors", (_, sector, count) => {
    const queue = begin(features);
    const many = { at: 0x9_0000, length: 512 * count };
    const before = board.memory.slice(many.at, many.length)!.slice();
    const status = (buffers: readonly Described[]) => {
      queue.add(...buffers);
      driver.kick(0);
      expect([queue.used().length, driver.status]).toEqual([1, RUNS]);
      return board.memory.readU8(STATUS);
    };
    expect(status(request(IN, sector, [{ ...many, writable: true }]))).toBe(IOERR);
    expect(board.memory.slice(many.at, many.length)).toEqual(before);
    expect(status(request(OUT, sector, [many]))).toBe(IOERR);
    for (const type of [DISCARD, WRITE_ZEROES]) {
      board.memory.writeU32(DATA, sector % 2 ** 32);
      board.memory.writeU32(DATA + 4, Math.floor(sector / 2 ** 32));
      board.memory.writeU32(DATA + 8, count);
      board.memory.writeU32(DATA + 12, 0);
      expect(status(request(type, 0, [{ at: DATA, length: 16 }]))).toBe(IOERR);
    }
    expectUntouched();
  });

  test("requests that there are not are answered as unsupported", () => {
    const queue = begin(features);
    for (const type of [2, 3, 5, 9, 0xffff_ffff]) {
      queue.add(...request(type, 0, [READ]));
      driver.kick(0);
      expect([queue.used().length, board.memory.readU8(STATUS)]).toEqual([1, UNSUPP]);
    }
    expectUntouched();
  });

  test("is not touched while the function may not master the bus, nor after a BAR moved over RAM", () => {
    const pci = new PciDriver(board.pc);
    const queue = begin(features);
    queue.add(...request(IN, 5, [READ]));
    pci.write(SLOT, 4, 3, 2);
    driver.kick(0);
    expect([queue.used(), board.memory.readU8(STATUS)]).toEqual([[], 0xee]);
    pci.write(SLOT, 4, 7, 2);
    const place = pci.read(SLOT, 0x20);
    for (const base of [0, DATA & ~0x3fff, 2 * HOLE, 0xfec0_0000, 0xfee0_0000, pci.read(SLOT, 0x14), 0xffff_c000]) {
      pci.write(SLOT, 0x20, base);
      board.pc.mmio.write(base + 0x3000, 2, 0); // would be the notification
      expect(queue.used()).toEqual([]);
      expect(board.pc.mmio.regions().filter(({ device }) => device.name.endsWith("bar4"))).toEqual([]);
    }
    expectUntouched();
    pci.write(SLOT, 0x20, place);
    driver.kick(0);
    expect([queue.used(), board.memory.readU8(STATUS)]).toEqual([[[0, 513]], OK]);
  });
});
