/**
 * A disk as the device in front of it sees it, and an image as the thread that serves it sees it.
 * Follows: the operations of virtio-blk (VIRTIO 1.2, section 5.2), which are those of QEMU's block layer.
 * Left out: formats other than raw, jobs, resizing.
 */

/** All offsets, lengths and sizes are whole numbers of these; a disk's size is, too. */
export const SECTOR = 512;

/** What is asked of a disk. `number`s, since they travel in shared memory. */
export const OP = { read: 0, write: 1, flush: 2, discard: 3, writeZeroes: 4 } as const;
export type BlockOp = (typeof OP)[keyof typeof OP];

/** Flags of a request. */
export const FLAG = {
  /** A write that is on the disk, and not in a cache, when it completes. */
  FUA: 1,
  /** writeZeroes: the space may be given back. */
  UNMAP: 2,
} as const;

export interface BlockRequest {
  readonly op: BlockOp;
  readonly flags: number;
  /** Bytes from the start of the disk. */
  readonly offset: number;
  /** Bytes: those of `buffers` for reads and writes. */
  readonly length: number;
  /** Views of guest RAM, for reads and writes. */
  readonly buffers: readonly Uint8Array[];
}

/** 0, or the errno of what failed, positive. */
export type BlockResult = number;

/** A disk's values that its device tells the guest. */
export interface BlockInfo {
  /** Bytes, a multiple of SECTOR. */
  readonly size: number;
  readonly readOnly: boolean;
  /** discard=unmap: discards reach the image; otherwise they succeed and do nothing. */
  readonly discard: boolean;
  /** cache=: whether a completed write may still be in a cache when the machine starts. */
  readonly writeCache: boolean;
  /** What the drive was told to do when the host fails it. */
  readonly writeErrors: ErrorPolicy;
  readonly readErrors: ErrorPolicy;
}

/** `enospc`: stop the machine when the host's disk is full, report everything else. */
export type ErrorPolicy = "report" | "ignore" | "stop" | "enospc";

/** A disk, on the thread of its device. Whoever submits a request has checked it against size and readOnly. */
export interface BlockBackend {
  readonly info: BlockInfo;
  /** `done` is called once, on this thread: before submit() returns, or from poll() or drain(). */
  submit(request: BlockRequest, done: (result: BlockResult) => void): void;
  /** Delivers what has completed; true if something had. Never waits. */
  poll(): boolean;
  /** Waits until everything submitted has been delivered, or the thread is to stop. */
  drain(): void;
  /** Called after a poll() or drain() that delivered: once for all of its `done`s. */
  onBatch: () => void;
}

/** An image, on the thread that serves it: it does a request at once, and waits for the host as long as that takes. */
export interface BlockImage {
  run(request: BlockRequest): BlockResult;
}

/** The bytes from `from` on, `length` of them, of buffers that follow each other. Allocates. */
export function sliceBuffers(buffers: readonly Uint8Array[], from: number, length: number): Uint8Array[] {
  const slices: Uint8Array[] = [];
  let at = 0;
  for (let i = 0; i < buffers.length && length > 0; i++) {
    const buffer = buffers[i]!;
    const skip = Math.max(from - at, 0);
    at += buffer.length;
    if (skip >= buffer.length) continue;
    const piece = Math.min(buffer.length - skip, length);
    slices.push(skip === 0 && piece === buffer.length ? buffer : buffer.subarray(skip, skip + piece));
    length -= piece;
  }
  return slices;
}
