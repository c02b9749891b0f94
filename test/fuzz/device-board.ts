/**
 * The board of the device fuzzer: every device of the catalog, RAM with canaries that counts what devices do with it, and
 * disks whose requests may stay under way.
 * Follows: qemu-user/machine/pc.ts; memory as devices reach it, shared/guest-memory.ts.
 * Left out: what is done to the board (device-accesses.ts, device-driver.ts) and which seed does it (device-fuzz.ts).
 */
import { closeSync, ftruncateSync, openSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type BlockBackend,
  type BlockImage,
  type BlockInfo,
  type BlockRequest,
  type BlockResult,
  SECTOR,
} from "../../qemu-user/block/block.ts";
import { OverlayImage } from "../../qemu-user/block/overlay.ts";
import { RawImage } from "../../qemu-user/block/raw-file.ts";
import { DEVICE_CATALOG, type DeviceOption } from "../../qemu-user/machine/device-catalog.ts";
import { GuestMemory, type MemorySlot } from "../../shared/guest-memory.ts";
import { option, type TestBoard, testBoardWith } from "../qemu-user/support/fakes.ts";
import { Finding } from "./connection.ts";
import type { Random } from "./generator.ts";

/**
 * RAM that drivers use lies high, and canaries far from it, so that a number which is no address of theirs, or one of
 * theirs with a byte overwritten, hits a canary only if a device makes an address that nobody gave it.
 */
const HIGH = 0x7_a000_0000;
/** Given to drivers: rings, tables, data. It spans two slots, and ends where RAM does. */
export const ARENA = { from: HIGH, to: HIGH + 0xa_0000 } as const;
/** RAM at the bottom, for DMA that is set up by random writes to registers. */
export const LOW_RAM = 0x4_0000;
/** First addresses of the canaries' slots. */
export const CANARY_SLOTS = [0x5_3010_0000, 0x9_c010_0000] as const;
/** They lie in the buffer without gaps: what leaves one lands in the next. */
const SLOTS: readonly MemorySlot[] = [
  { gpa: 0, size: LOW_RAM, at: 0 },
  { gpa: CANARY_SLOTS[0], size: 0x5_0000, at: LOW_RAM },
  { gpa: HIGH, size: 0x2_0000, at: LOW_RAM + 0x5_0000 },
  { gpa: HIGH + 0x2_0000, size: 0x8_0000, at: LOW_RAM + 0x7_0000 },
  { gpa: CANARY_SLOTS[1], size: 0x2_0000, at: LOW_RAM + 0xf_0000 },
];
const RAM_BYTES = LOW_RAM + 0x11_0000;
/** Before and behind the arena, as offsets in the buffer. */
const CANARIES = [
  [LOW_RAM, LOW_RAM + 0x5_0000],
  [LOW_RAM + 0xf_0000, RAM_BYTES],
] as const;
const CANARY = 0xc5;

/**
 * Steps of one access, counted in uses of memory: a queue of 256 chains that each have a table of 1024 descriptors, of a
 * few words each, and what their requests do; for three queues, since a start looks at all of them.
 */
const BUDGET = 3 * 256 * 1024 * 8;

/** RAM that counts, and lets a second processor write while a device reads. */
export class WatchedMemory extends GuestMemory {
  steps = 0;
  /** Called at some reads: a driver that writes at the same time. */
  race: (() => void) | undefined;
  readonly #buffer: Buffer;
  readonly #canary = Buffer.alloc(RAM_BYTES, CANARY);

  constructor() {
    const buffer = new ArrayBuffer(RAM_BYTES);
    super(buffer, SLOTS);
    this.#buffer = Buffer.from(buffer);
    this.restore();
  }

  /** Canaries whole again, everything else zero. */
  restore(): void {
    this.#buffer.fill(0);
    for (const [from, to] of CANARIES) this.#buffer.fill(CANARY, from, to);
    this.race = undefined;
  }

  /** Throws a Finding if a device has written what no driver gave to it. */
  check(): void {
    for (const [from, to] of CANARIES) {
      if (this.#buffer.compare(this.#canary, from, to, from, to) === 0) continue;
      const at = this.#buffer.subarray(from, to).findIndex((byte) => byte !== CANARY) + from;
      this.restore();
      throw new Finding(`RAM that nobody gave to a device was written, at 0x${at.toString(16)} of the buffer`);
    }
  }

  copy(): Buffer {
    return Buffer.from(this.#buffer);
  }

  holds(copy: Buffer): boolean {
    return this.#buffer.equals(copy);
  }

  #step(bytes = 0): void {
    this.steps += 1 + bytes / 4096;
    if (this.steps > BUDGET) throw new Finding("an access takes more work than its driver can have asked for");
  }

  override readU8(gpa: number): number {
    this.#step();
    return super.readU8(gpa);
  }

  override readU16(gpa: number): number {
    this.#step();
    this.race?.();
    return super.readU16(gpa);
  }

  override readU32(gpa: number): number {
    this.#step();
    this.race?.();
    return super.readU32(gpa);
  }

  override write(gpa: number, from: Uint8Array): boolean {
    this.#step(from.length);
    return super.write(gpa, from);
  }

  override fill(gpa: number, length: number, value: number): boolean {
    this.#step();
    return super.fill(gpa, length, value);
  }

  override slice(gpa: number, length: number): Uint8Array | undefined {
    this.#step();
    this.race?.();
    return super.slice(gpa, length);
  }
}

/** A disk that does its requests at once, or keeps them until it is told to. */
export class FuzzDisk implements BlockBackend {
  readonly info: BlockInfo;
  onBatch = () => {};
  keeps = false;
  readonly #image: BlockImage;
  readonly #kept: { readonly request: BlockRequest; readonly done: (result: BlockResult) => void }[] = [];

  constructor(info: BlockInfo, image: BlockImage) {
    this.info = info;
    this.#image = image;
  }

  get underWay(): number {
    return this.#kept.length;
  }

  submit(request: BlockRequest, done: (result: BlockResult) => void): void {
    const { offset, length, buffers } = request;
    const bytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    if (offset < 0 || length < 0 || offset + length > this.info.size || offset % SECTOR !== 0 || length % SECTOR !== 0)
      throw new Finding(`a request for ${length} bytes at ${offset} of a disk of ${this.info.size}`);
    if (request.op <= 1 && bytes !== length) throw new Finding(`buffers of ${bytes} for a request of ${length} bytes`);
    if (request.op !== 0 && request.op !== 2 && this.info.readOnly) throw new Finding("a write to a read-only disk");
    if (this.keeps) this.#kept.push({ request, done });
    else done(this.#image.run(request));
  }

  /** Completes one of those under way. */
  finish(chance: Random): void {
    if (this.#kept.length > 0) this.#complete(chance(this.#kept.length));
    this.onBatch();
  }

  poll(): boolean {
    return false;
  }

  drain(): void {
    while (this.#kept.length > 0) this.#complete(0);
    this.onBatch();
  }

  #complete(index: number): void {
    const { request, done } = this.#kept.splice(index, 1)[0]!;
    done(this.#image.run(request));
  }
}

export const DISK_BYTES = 1 << 20;

/** A temporary image, and a file for an overlay: without names, gone with the process. */
export class FuzzFiles {
  readonly #base = temporary();
  readonly #top = temporary();

  /** Empty again: a case does not depend on those before it. */
  disk(chance: Random): FuzzDisk {
    ftruncateSync(this.#base, 0);
    ftruncateSync(this.#base, DISK_BYTES);
    const overlay = chance(4) === 0;
    const discard = chance(2) === 0;
    if (overlay) ftruncateSync(this.#top, 0);
    const image = overlay
      ? new OverlayImage(this.#base, this.#top, DISK_BYTES)
      : new RawImage(this.#base, { discard, noFlush: chance(16) !== 0 });
    const policies = { writeErrors: "report", readErrors: "report" } as const;
    const info = { size: DISK_BYTES, readOnly: chance(8) === 0, discard, writeCache: chance(2) === 0, ...policies };
    return new FuzzDisk(info, image);
  }

  close(): void {
    closeSync(this.#base);
    closeSync(this.#top);
  }
}

function temporary(): number {
  const path = join(tmpdir(), `splitvm-fuzz-${process.pid}-${Math.random().toString(36).slice(2)}`);
  const fd = openSync(path, "wx+", 0o600);
  unlinkSync(path);
  return fd;
}

/** What a case chose: enough to build the same board again, for a state to be loaded. */
export interface FuzzPlan {
  readonly devices: readonly DeviceOption[];
  readonly disk: FuzzDisk;
}

export function fuzzPlan(chance: Random, files: FuzzFiles): FuzzPlan {
  const ring = () => ({
    packed: chance(4) !== 0,
    event_idx: chance(4) !== 0,
    indirect_desc: chance(4) !== 0,
  });
  const own: Readonly<Record<string, () => Record<string, string | number | boolean>>> = {
    "virtio-console-pci": () => ({ ...ring(), chardev: chance(4) === 0 ? "" : "char0" }),
    "virtio-rng-pci": ring,
    "virtio-blk-pci": () => ({
      ...ring(),
      drive: "d0",
      serial: "fuzz",
      "num-queues": 1 + chance(2),
      "queue-size": 4 << chance(7),
    }),
  };
  const devices = Object.keys(DEVICE_CATALOG).map((name) => option(name, own[name]?.() ?? {}));
  return { devices, disk: files.disk(chance) };
}

export type FuzzBoard = TestBoard & { readonly memory: WatchedMemory; readonly disk: FuzzDisk };

export function fuzzBoard({ devices, disk }: FuzzPlan, memory: WatchedMemory, chance: Random): FuzzBoard {
  const entropy = (into: Uint8Array) => {
    for (let i = 0; i < into.length; i++) into[i] = chance(256);
  };
  const board = testBoardWith({ devices, drives: new Map([["d0", disk]]), memory, entropy });
  board.pc.reset();
  return { ...board, memory, disk };
}
