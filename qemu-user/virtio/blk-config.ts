/**
 * The configuration space of a virtio block device, and the numbers of its specification.
 * Follows: VIRTIO 1.2, sections 5.2.3 "Feature bits", 5.2.4 "Device configuration layout" and 5.2.6 "Device Operation".
 * Left out: geometry, secure erase, zones.
 */
import { SECTOR } from "../block/block.ts";
import { ALL_ONES, type Width } from "../bus/interfaces.ts";

/** VIRTIO_BLK_F_*, as bit numbers. */
export const BLK_F = {
  SEG_MAX: 2,
  RO: 5,
  BLK_SIZE: 6,
  FLUSH: 9,
  TOPOLOGY: 10,
  CONFIG_WCE: 11,
  MQ: 12,
  DISCARD: 13,
  WRITE_ZEROES: 14,
} as const;

/** VIRTIO_BLK_T_* */
export const BLK_T = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8, DISCARD: 11, WRITE_ZEROES: 13 } as const;

/** VIRTIO_BLK_S_* */
export const BLK_S = { OK: 0, IOERR: 1, UNSUPP: 2 } as const;

/** VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP */
export const RANGE_UNMAP = 1;

/** type, reserved, sector */
export const HEADER_BYTES = 16;
/** sector, num_sectors, flags */
export const RANGE_BYTES = 16;
/** VIRTIO_BLK_ID_BYTES: what GET_ID gives, at most. */
export const ID_BYTES = 20;

/** Sectors of one discard or write-zeroes: QEMU's BDRV_REQUEST_MAX_SECTORS. Bounds how long one request takes. */
export const MAX_RANGE_SECTORS = 0x3f_ffff;

const OFFSET = {
  capacity: 0,
  segMax: 12,
  blkSize: 20,
  writeback: 32,
  numQueues: 34,
  maxDiscardSectors: 36,
  maxDiscardSeg: 40,
  discardAlignment: 44,
  maxZeroesSectors: 48,
  maxZeroesSeg: 52,
  zeroesMayUnmap: 56,
} as const;

const BYTES = 60;

export interface BlkLimits {
  /** In bytes. */
  readonly size: number;
  readonly segMax: number;
  readonly numQueues: number;
  readonly writeback: boolean;
  readonly mayUnmap: boolean;
}

export class BlkConfig {
  readonly size = BYTES;
  readonly #bytes = new Uint8Array(BYTES);

  constructor({ size, segMax, numQueues, writeback, mayUnmap }: BlkLimits) {
    const view = new DataView(this.#bytes.buffer);
    view.setBigUint64(OFFSET.capacity, BigInt(size / SECTOR), true);
    view.setUint32(OFFSET.segMax, segMax, true);
    view.setUint32(OFFSET.blkSize, SECTOR, true);
    // The topology stays zero: a physical block is a logical one, nothing is better aligned or larger.
    view.setUint16(OFFSET.numQueues, numQueues, true);
    view.setUint32(OFFSET.maxDiscardSectors, MAX_RANGE_SECTORS, true);
    view.setUint32(OFFSET.maxDiscardSeg, 1, true);
    view.setUint32(OFFSET.discardAlignment, 1, true);
    view.setUint32(OFFSET.maxZeroesSectors, MAX_RANGE_SECTORS, true);
    view.setUint32(OFFSET.maxZeroesSeg, 1, true);
    view.setUint8(OFFSET.zeroesMayUnmap, mayUnmap ? 1 : 0);
    this.writeback = writeback;
  }

  get writeback(): boolean {
    return this.#bytes[OFFSET.writeback] !== 0;
  }

  set writeback(on: boolean) {
    this.#bytes[OFFSET.writeback] = on ? 1 : 0;
  }

  read(offset: number, width: Width): number {
    if (offset + width > BYTES) return ALL_ONES[width];
    let value = 0;
    for (let i = 0; i < width; i++) value |= this.#bytes[offset + i]! << (8 * i);
    return value >>> 0;
  }

  /** What a write of the driver makes of `writeback`, the only field that it may write; undefined: nothing. */
  written(offset: number, width: Width, value: number): boolean | undefined {
    const byte = OFFSET.writeback - offset;
    return byte >= 0 && byte < width ? ((value >>> (8 * byte)) & 1) !== 0 : undefined;
  }
}
