/**
 * The virtio block device: a disk of the guest's, in front of a BlockBackend.
 * Follows: VIRTIO 1.2, section 5.2; QEMU's hw/block/virtio-blk.c for what a host's error becomes (werror, rerror).
 * Left out: secure erase, lifetime, zoned disks, the legacy SCSI commands, geometry, resizing.
 *
 * The driver may cut a request into buffers anywhere: what it reads and what it writes are taken as one run of bytes each.
 */
import { type BlockBackend, type BlockOp, type BlockResult, FLAG, OP, SECTOR, sliceBuffers } from "../block/block.ts";
import type { RunState, StateValue, Width } from "../bus/interfaces.ts";
import { expectBoolean } from "../bus/state.ts";
import {
  BLK_F,
  BLK_S,
  BLK_T,
  BlkConfig,
  HEADER_BYTES,
  ID_BYTES,
  MAX_RANGE_SECTORS,
  RANGE_BYTES,
  RANGE_UNMAP,
} from "./blk-config.ts";
import { Failures } from "./blk-errors.ts";
import type { Chain, VirtioDevice, VirtioHost, Virtqueue } from "./virtio.ts";

const DEVICE_ID = 2;
/** PCI's "SCSI storage controller", as QEMU has it. */
const CLASS_CODE = 0x01_0000;

export interface VirtioBlkOptions {
  readonly name: string;
  readonly backend: BlockBackend;
  readonly host: VirtioHost;
  readonly runState: RunState;
  /** What GET_ID gives: ASCII, at most ID_BYTES. */
  readonly serial: string;
  readonly numQueues: number;
  readonly queueSize: number;
}

/** A request that the host works on, or that waits for the machine to go on. */
interface Request {
  readonly queue: number;
  readonly chain: Chain;
  readonly op: BlockOp;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
  readonly buffers: readonly Uint8Array[];
}

export class VirtioBlk implements VirtioDevice {
  readonly name: string;
  readonly deviceId = DEVICE_ID;
  readonly classCode = CLASS_CODE;
  readonly features: bigint;
  readonly queueSizes: readonly number[];
  readonly configSize: number;
  readonly #o: VirtioBlkOptions;
  readonly #backend: BlockBackend;
  readonly #sectors: number;
  readonly #config: BlkConfig;
  readonly #failures: Failures<Request>;
  readonly #header = new DataView(new ArrayBuffer(HEADER_BYTES));
  readonly #headerBytes = new Uint8Array(this.#header.buffer);
  #queues: readonly Virtqueue[] = [];
  #negotiated = 0n;
  /** Queues with chains pushed that the driver was not told of. */
  readonly #pushed: boolean[];
  /** Changes at a reset: what completes for an earlier one is nobody's. */
  #life = 0;

  constructor(options: VirtioBlkOptions) {
    const { name, backend, numQueues, queueSize, runState } = options;
    const { size, readOnly, discard, writeCache } = backend.info;
    this.name = name;
    this.#o = options;
    this.#backend = backend;
    this.#sectors = size / SECTOR;
    const offered: number[] = [BLK_F.SEG_MAX, BLK_F.BLK_SIZE, BLK_F.FLUSH, BLK_F.TOPOLOGY, BLK_F.CONFIG_WCE];
    if (readOnly) offered.push(BLK_F.RO);
    else offered.push(BLK_F.DISCARD, BLK_F.WRITE_ZEROES);
    if (numQueues > 1) offered.push(BLK_F.MQ);
    this.features = offered.reduce((bits, bit) => bits | (1n << BigInt(bit)), 0n);
    this.queueSizes = new Array<number>(numQueues).fill(queueSize);
    this.#pushed = new Array<boolean>(numQueues).fill(false);
    // Header and status take a descriptor each.
    const segMax = queueSize - 2;
    this.#config = new BlkConfig({ size, segMax, numQueues, writeback: writeCache, mayUnmap: discard });
    this.configSize = this.#config.size;
    this.#failures = new Failures(name, backend.info, runState, (requests) => {
      for (const request of requests) this.#submit(request);
      this.#notifyDriver();
    });
    backend.onBatch = () => this.#notifyDriver();
  }

  readConfig(offset: number, width: Width): number {
    return this.#config.read(offset, width);
  }

  writeConfig(offset: number, width: Width, value: number): void {
    const writeback = this.#config.written(offset, width, value);
    if (writeback === undefined) return;
    // Before the start it is not known yet what the driver takes; start() undoes what it was not to write.
    if (this.#queues.length === 0 || this.#has(BLK_F.CONFIG_WCE)) this.#config.writeback = writeback;
  }

  start(features: bigint, queues: readonly Virtqueue[]): void {
    this.#negotiated = features;
    this.#queues = queues;
    // Section 5.2.5.1: a driver that knows neither the switch nor flushes expects that what was written is written.
    if (!this.#has(BLK_F.CONFIG_WCE)) this.#config.writeback = this.#has(BLK_F.FLUSH);
  }

  notify(queue: number): void {
    const from = this.#queues[queue];
    if (from === undefined) return;
    for (let chain = from.pop(); chain !== undefined; chain = from.pop()) {
      if (!this.#begin(queue, chain)) break;
    }
    this.#notifyDriver();
  }

  reset(): void {
    this.#life++;
    this.#failures.forget();
    this.#backend.drain(); // the host may be writing to memory that the guest now uses for something else
    this.#queues = [];
    this.#negotiated = 0n;
    this.#pushed.fill(false);
    this.#config.writeback = this.#backend.info.writeCache;
  }

  /** What is under way is waited for. Throws an Error if requests wait for the machine to go on. */
  save(): StateValue {
    this.#backend.drain();
    if (this.#failures.waiting > 0) {
      throw new Error(`${this.name}: requests that the host failed wait for "cont", and cannot be saved`);
    }
    return { writeback: this.#config.writeback };
  }

  load(state: StateValue): void {
    const { writeback } = state as { readonly [field: string]: StateValue };
    this.#config.writeback = expectBoolean(this.name, "writeback", writeback);
  }

  #has(bit: number): boolean {
    return (this.#negotiated & (1n << BigInt(bit))) !== 0n;
  }

  /** False: the driver made a mistake, and the device has stopped. */
  #begin(queue: number, chain: Chain): boolean {
    const toDevice = bytesOf(chain.readable);
    const toDriver = bytesOf(chain.writable) - 1;
    if (toDevice < HEADER_BYTES || toDriver < 0) {
      this.#o.host.needsReset(`${this.name}: a request without header or status`);
      return false;
    }
    const header = this.#header;
    gather(chain.readable, 0, this.#headerBytes);
    const type = header.getUint32(0, true);
    const sector = header.getUint32(8, true) + header.getUint32(12, true) * 2 ** 32;
    switch (type) {
      case BLK_T.IN:
        this.#transfer(queue, chain, OP.read, sector, toDriver);
        return true;
      case BLK_T.OUT:
        this.#transfer(queue, chain, OP.write, sector, toDevice - HEADER_BYTES);
        return true;
      case BLK_T.FLUSH:
        this.#submit({ queue, chain, op: OP.flush, flags: 0, offset: 0, length: 0, buffers: [] });
        return true;
      case BLK_T.GET_ID:
        this.#giveId(queue, chain, toDriver);
        return true;
      case BLK_T.DISCARD:
        return this.#range(queue, chain, OP.discard, BLK_F.DISCARD, toDevice - HEADER_BYTES);
      case BLK_T.WRITE_ZEROES:
        return this.#range(queue, chain, OP.writeZeroes, BLK_F.WRITE_ZEROES, toDevice - HEADER_BYTES);
      default:
        this.#finish(queue, chain, BLK_S.UNSUPP);
        return true;
    }
  }

  #transfer(queue: number, chain: Chain, op: BlockOp, sector: number, length: number): void {
    const write = op === OP.write;
    if (length % SECTOR !== 0 || !this.#onDisk(sector, length / SECTOR) || (write && this.#backend.info.readOnly)) {
      this.#finish(queue, chain, BLK_S.IOERR);
      return;
    }
    const buffers = write
      ? sliceBuffers(chain.readable, HEADER_BYTES, length)
      : sliceBuffers(chain.writable, 0, length);
    this.#submit({ queue, chain, op, flags: this.#through(write), offset: sector * SECTOR, length, buffers });
  }

  /** Discard and write-zeroes: one range, since max_*_seg is 1. */
  #range(queue: number, chain: Chain, op: BlockOp, feature: number, bytes: number): boolean {
    if (!this.#has(feature)) {
      this.#finish(queue, chain, BLK_S.UNSUPP);
      return true;
    }
    if (bytes < RANGE_BYTES) {
      this.#o.host.needsReset(`${this.name}: a discard or write-zeroes without its range`);
      return false;
    }
    const range = this.#header;
    gather(chain.readable, HEADER_BYTES, this.#headerBytes);
    const sector = range.getUint32(0, true) + range.getUint32(4, true) * 2 ** 32;
    const count = range.getUint32(8, true);
    const flags = range.getUint32(12, true);
    const known = op === OP.writeZeroes ? RANGE_UNMAP : 0;
    if (bytes > RANGE_BYTES || (flags & ~known) !== 0) this.#finish(queue, chain, BLK_S.UNSUPP);
    else if (count > MAX_RANGE_SECTORS || !this.#onDisk(sector, count)) this.#finish(queue, chain, BLK_S.IOERR);
    else if (count === 0) this.#finish(queue, chain, BLK_S.OK);
    else {
      const unmap = (flags & RANGE_UNMAP) !== 0 ? FLAG.UNMAP : 0;
      const through = this.#through(op === OP.writeZeroes);
      const [offset, length] = [sector * SECTOR, count * SECTOR];
      this.#submit({ queue, chain, op, flags: unmap | through, offset, length, buffers: [] });
    }
    return true;
  }

  #giveId(queue: number, chain: Chain, room: number): void {
    const id = new Uint8Array(Math.min(room, ID_BYTES));
    for (let i = 0; i < Math.min(id.length, this.#o.serial.length); i++) id[i] = this.#o.serial.charCodeAt(i);
    let done = 0;
    for (const buffer of sliceBuffers(chain.writable, 0, id.length)) {
      buffer.set(id.subarray(done, done + buffer.length));
      done += buffer.length;
    }
    this.#finish(queue, chain, BLK_S.OK);
  }

  #submit(request: Request): void {
    const life = this.#life;
    this.#backend.submit(request, (result) => {
      if (life === this.#life) this.#completed(request, result);
    });
  }

  #completed(request: Request, result: BlockResult): void {
    const action = result === 0 ? "ignore" : this.#failures.meet(request, result);
    if (action === "wait") return;
    this.#finish(request.queue, request.chain, action === "ignore" ? BLK_S.OK : BLK_S.IOERR);
  }

  /** The status is the last byte that the driver gave; all before it counts as written, as in QEMU. */
  #finish(queue: number, chain: Chain, status: number): void {
    let last = chain.writable.length - 1;
    while (chain.writable[last]!.length === 0) last--;
    const buffer = chain.writable[last]!;
    buffer[buffer.length - 1] = status;
    this.#queues[queue]!.push(chain, bytesOf(chain.writable));
    this.#pushed[queue] = true;
  }

  #notifyDriver(): void {
    for (let queue = 0; queue < this.#pushed.length; queue++) {
      if (!this.#pushed[queue]) continue;
      this.#pushed[queue] = false;
      this.#queues[queue]?.notifyDriver();
    }
  }

  /** FUA for a write while the write cache is off. */
  #through(write: boolean): number {
    return write && !this.#config.writeback ? FLAG.FUA : 0;
  }

  #onDisk(sector: number, count: number): boolean {
    return sector <= this.#sectors && count <= this.#sectors - sector;
  }
}

function bytesOf(buffers: readonly Uint8Array[]): number {
  let bytes = 0;
  for (let i = 0; i < buffers.length; i++) bytes += buffers[i]!.length;
  return bytes;
}

/** Copies `into.length` bytes from byte `from` on; they are known to be there. */
function gather(buffers: readonly Uint8Array[], from: number, into: Uint8Array): void {
  let done = 0;
  for (const piece of sliceBuffers(buffers, from, into.length)) {
    into.set(piece, done);
    done += piece.length;
  }
}
