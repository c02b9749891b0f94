/**
 * Reading and writing a file of the host at an offset, to the last byte: short transfers, interruptions, errno.
 * Follows: preadv(2), pwritev(2), fdatasync(2), fallocate(2).
 * Left out: O_DIRECT, io_uring.
 */
import { fdatasyncSync, readvSync, writevSync } from "node:fs";
import { ERRNO } from "../../shared/errno.ts";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, fallocate } from "../../shared/native.ts";
import { type BlockResult, sliceBuffers } from "./block.ts";

/** The system calls that images are made of; tests put their own in their place. */
export interface FileCalls {
  /** Bytes transferred, perhaps fewer than asked for; throws as `node:fs` does. */
  readv(fd: number, buffers: readonly Uint8Array[], position: number): number;
  writev(fd: number, buffers: readonly Uint8Array[], position: number): number;
  fdatasync(fd: number): void;
  fallocate(fd: number, mode: number, offset: number, length: number): void;
}

export const HOST_CALLS: FileCalls = { readv: readvSync, writev: writevSync, fdatasync: fdatasyncSync, fallocate };

/** IOV_MAX of Linux: more buffers in one call are EINVAL. */
const IOV_MAX = 1024;

/** linux/falloc.h */
const FALLOC_FL_ZERO_RANGE = 0x10;
/** ENODEV, ENOTTY, ENOSYS, EOPNOTSUPP: what file systems say of an operation that they do not have. */
const UNSUPPORTED: readonly number[] = [ERRNO.ENODEV, ERRNO.ENOTTY, 38, 95];

const ZEROES = new Uint8Array(256 * 1024);

/** An open file of the host. Every function gives 0 or an errno, and never throws for what the host refuses. */
export class HostFile {
  readonly fd: number;
  readonly #calls: FileCalls;
  #lost: BlockResult = 0;

  constructor(fd: number, calls: FileCalls = HOST_CALLS) {
    this.fd = fd;
    this.#calls = calls;
  }

  /** Fills the buffers from `position` on. Beyond the file's end there are zeroes: somebody has cut the file. */
  read(buffers: readonly Uint8Array[], position: number): BlockResult {
    return transfer(
      (rest, at) => {
        const count = this.#calls.readv(this.fd, rest, at);
        if (count > 0) return count;
        for (const buffer of rest) buffer.fill(0);
        return bytesOf(rest);
      },
      buffers,
      position,
    );
  }

  /** Writes the buffers at `position`. */
  write(buffers: readonly Uint8Array[], position: number): BlockResult {
    return transfer(
      (rest, at) => {
        const count = this.#calls.writev(this.fd, rest, at);
        if (count > 0) return count;
        throw Object.assign(new Error("write wrote nothing"), { errno: -ERRNO.EIO });
      },
      buffers,
      position,
    );
  }

  /**
   * What was written is on the disk. Once this has failed it always fails: the host has told us, forgets, and may have
   * dropped the pages, so that a second fdatasync(2) that succeeds says nothing of them (QEMU: page_cache_inconsistent).
   */
  sync(): BlockResult {
    this.#lost ||= attempt(() => this.#calls.fdatasync(this.fd));
    return this.#lost;
  }

  /** Gives a range back to the host; it reads as zeroes then. Some errno of isUnsupported() where the file system cannot. */
  punchHole(offset: number, length: number): BlockResult {
    return attempt(() => this.#calls.fallocate(this.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length));
  }

  /** Makes a range read as zeroes, by a hole only if `unmap`. */
  writeZeroes(offset: number, length: number, unmap: boolean): BlockResult {
    const mode = unmap ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
    const result = attempt(() => this.#calls.fallocate(this.fd, mode, offset, length));
    if (!isUnsupported(result)) return result;
    for (let done = 0; done < length; done += ZEROES.length) {
      const error = this.write([ZEROES.subarray(0, Math.min(ZEROES.length, length - done))], offset + done);
      if (error !== 0) return error;
    }
    return 0;
  }
}

/** True for the errno of an operation that the file system does not have; QEMU's translate_err has the same. */
export function isUnsupported(result: BlockResult): boolean {
  return UNSUPPORTED.includes(result);
}

/** The errno of an Error of `node:fs` or of the native addon. */
export function errnoOf(error: unknown): number {
  const { errno } = error as NodeJS.ErrnoException;
  return typeof errno === "number" && errno !== 0 ? Math.abs(errno) : ERRNO.EIO;
}

export function bytesOf(buffers: readonly Uint8Array[]): number {
  let bytes = 0;
  for (let i = 0; i < buffers.length; i++) bytes += buffers[i]!.length;
  return bytes;
}

/** What is still to be transferred after `done` bytes: as many buffers as one call takes. */
export function remaining(buffers: readonly Uint8Array[], done: number): readonly Uint8Array[] {
  if (done === 0 && buffers.length <= IOV_MAX) return buffers;
  return sliceBuffers(buffers, done, Number.POSITIVE_INFINITY).slice(0, IOV_MAX);
}

function transfer(
  call: (buffers: readonly Uint8Array[], position: number) => number,
  buffers: readonly Uint8Array[],
  position: number,
): BlockResult {
  const length = bytesOf(buffers);
  for (let done = 0; done < length; ) {
    try {
      done += call(remaining(buffers, done), position + done);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno !== ERRNO.EINTR) return errno; // libuv repeats an interrupted write, and not an interrupted read
    }
  }
  return 0;
}

function attempt(call: () => void): BlockResult {
  for (;;) {
    try {
      call();
      return 0;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno !== ERRNO.EINTR) return errno;
    }
  }
}
