/**
 * A drive as the command line asks for it, and its image, opened: what the threads that serve it need to know.
 * Follows: QEMU's -drive and -blockdev; its file locks (block/file-posix.c), so that it and we respect each other's.
 * Left out: block devices of the host, formats other than raw, images that change size.
 */
import { closeSync, constants, fdatasyncSync, fstatSync, openSync, type Stats, unlinkSync } from "node:fs";
import { join } from "node:path";
import { lockedByOthers, lockShared } from "../../shared/native.ts";
import type { BlockImage, BlockInfo, ErrorPolicy } from "./block.ts";
import { SECTOR } from "./block.ts";
import { OverlayImage } from "./overlay.ts";
import { RawImage, type RawOptions } from "./raw-file.ts";

/** Who does the work: the device's thread, a thread for it, or the main thread's event loop. */
export type AioMode = "sync" | "threads" | "async";
export type CacheMode = "writeback" | "writethrough" | "unsafe";

export interface DriveOption {
  readonly id: string;
  readonly path: string;
  readonly readOnly: boolean;
  /** Writes go to a temporary file. */
  readonly snapshot: boolean;
  /** Discards give space back to the host. */
  readonly discard: boolean;
  readonly cache: CacheMode;
  readonly aio: AioMode;
  readonly writeErrors: ErrorPolicy;
  readonly readErrors: ErrorPolicy;
  /** The `-object iothread` that serves it; undefined: with aio=threads a thread of its own. */
  readonly ioThread: string | undefined;
  /** Refuses an image that another program has open, and keeps others from opening it. */
  readonly locking: boolean;
}

/** An open drive; passes between threads, which all share descriptors. */
export interface OpenDrive {
  readonly option: DriveOption;
  readonly fd: number;
  /** The overlay's file, or -1. */
  readonly top: number;
  /** Bytes. */
  readonly size: number;
}

/** Opens and locks. Throws an Error, fit for the user, if the image cannot be a disk. */
export function openDrive(option: DriveOption): OpenDrive {
  const { path } = option;
  const writes = !option.readOnly && !option.snapshot;
  const fd = open(path, writes ? constants.O_RDWR : constants.O_RDONLY, writes);
  let top = -1;
  try {
    const size = sizeOf(path, fstatSync(fd));
    if (option.locking) lock(path, fd, writes);
    if (option.snapshot && !option.readOnly) top = temporaryFile();
    return { option, fd, top, size };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** What was written is on the disk then, as when QEMU closes an image; cache=unsafe leaves that to the host. */
export function closeDrive({ option, fd, top }: OpenDrive): void {
  const flush = !option.readOnly && !option.snapshot && option.cache !== "unsafe";
  try {
    if (flush) fdatasyncSync(fd);
  } catch (error) {
    process.stderr.write(`qemu-user: ${option.path}: what was written last may be lost: ${(error as Error).message}\n`);
  }
  closeSync(fd);
  if (top >= 0) closeSync(top);
}

export function infoOf({ option, size }: OpenDrive): BlockInfo {
  const { readOnly, discard, cache, writeErrors, readErrors } = option;
  return { size, readOnly, discard, writeCache: cache !== "writethrough", writeErrors, readErrors };
}

export function rawOptionsOf({ option }: OpenDrive): RawOptions {
  return { discard: option.discard, noFlush: option.cache === "unsafe" };
}

/** For the thread that serves it; an overlay's map is in this object, so there is to be one only. */
export function imageOf(drive: OpenDrive): BlockImage {
  const { fd, top, size } = drive;
  return top >= 0 ? new OverlayImage(fd, top, size) : new RawImage(fd, rawOptionsOf(drive));
}

function open(path: string, flags: number, writes: boolean): number {
  try {
    return openSync(path, flags);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new Error(`${path}: there is no such image`);
    const hint = "; readonly=on or snapshot=on would do without writing to it";
    if (writes && (code === "EACCES" || code === "EROFS" || code === "EPERM")) {
      throw new Error(`${path}: cannot be opened for writing${hint}`);
    }
    if (code === "EISDIR") throw new Error(`${path}: is a directory; an image is a file`);
    throw new Error(`${path}: cannot be opened: ${message}`);
  }
}

function sizeOf(path: string, stat: Stats): number {
  if (stat.isDirectory()) throw new Error(`${path}: is a directory; an image is a file`);
  if (stat.isBlockDevice()) throw new Error(`${path}: is a block device; only image files are built yet`);
  if (!stat.isFile()) throw new Error(`${path}: is no ordinary file, so it has no size`);
  if (stat.size === 0) throw new Error(`${path}: is empty; truncate -s SIZE makes a disk of it`);
  if (stat.size % SECTOR !== 0) {
    const more = Math.ceil(stat.size / SECTOR) * SECTOR;
    throw new Error(
      `${path}: its ${stat.size} bytes are not whole sectors of ${SECTOR}; truncate -s ${more} would fill the last one`,
    );
  }
  return stat.size;
}

/**
 * QEMU's protocol: a lock on byte 100+n says "I do n", one on byte 200+n "nobody else may do n". All locks are shared
 * ones; who finds another's in the way has lost.
 */
const DOES = 100;
const FORBIDS = 200;
/** BLK_PERM_*: bits of QEMU's block/block-common.h. */
const READ = 0;
const WRITE = 1;
const RESIZE = 3;

function lock(path: string, fd: number, writes: boolean): void {
  const does = writes ? [READ, WRITE] : [READ];
  const forbids = [WRITE, RESIZE];
  const held = [...does.map((bit) => DOES + bit), ...forbids.map((bit) => FORBIDS + bit)];
  const against = [...does.map((bit) => FORBIDS + bit), ...forbids.map((bit) => DOES + bit)];
  // First ours, then a look at theirs: of two that come at once, at least one sees the other.
  const got = held.every((byte) => lockShared(fd, byte, 1));
  if (got && !against.some((byte) => lockedByOthers(fd, byte, 1))) return;
  const what = writes ? "another program has it open" : "another program writes to it";
  throw new Error(`${path}: ${what}; file.locking=off would open it all the same, and may destroy it`);
}

/** An empty file without a name, where QEMU makes its own. */
function temporaryFile(): number {
  const folder = process.env["TMPDIR"] ?? "/var/tmp";
  const path = join(folder, `splitvm-${process.pid}-${Math.random().toString(36).slice(2)}`);
  try {
    const fd = openSync(path, "wx+", 0o600);
    unlinkSync(path);
    return fd;
  } catch (error) {
    throw new Error(`snapshot=on needs a temporary file: ${(error as Error).message}; TMPDIR can name another folder`);
  }
}
