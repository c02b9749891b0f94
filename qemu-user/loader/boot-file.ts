/**
 * A file named on the command line, read in pieces: headers into buffers, contents straight into guest memory.
 * Follows: the rule that a file is hostile: every offset is checked against its size, every failure names file and reason.
 * Left out: pipes and devices, whose size is not known beforehand.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { getSystemErrorMessage } from "node:util";
import type { GuestMemory } from "../../shared/guest-memory.ts";
import { LoaderError } from "./loader-error.ts";

export class BootFile {
  readonly path: string;
  readonly size: number;
  readonly #fd: number;

  /** Throws a LoaderError if the file is missing, unreadable or not a regular file. The caller closes it. */
  constructor(path: string) {
    this.path = path;
    try {
      // Without O_NONBLOCK, opening a named pipe would wait for its writer.
      this.#fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      throw new LoaderError(path, `cannot be read: ${reason(error)}`);
    }
    const stat = fstatSync(this.#fd);
    if (!stat.isFile()) {
      this.close();
      throw new LoaderError(path, `cannot be read: ${stat.isDirectory() ? "is a directory" : "not a regular file"}`);
    }
    this.size = stat.size;
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** True if the range lies in the file. Offsets may be anything that a header says. */
  contains(offset: number, length: number): boolean {
    const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
    return whole && offset + length <= this.size;
  }

  /** A piece of the file. Throws a LoaderError saying that `what` is cut off if it does not lie in the file. */
  read(offset: number, length: number, what: string): DataView {
    if (!this.contains(offset, length)) throw new LoaderError(this.path, `${what} lies outside the file`);
    const bytes = new Uint8Array(length);
    this.#readInto(bytes, offset);
    return new DataView(bytes.buffer);
  }

  /** Copies a piece of the file into RAM at `gpa`, which the caller knows to be RAM. */
  load(offset: number, length: number, memory: GuestMemory, gpa: number, what: string): void {
    if (!this.contains(offset, length)) throw new LoaderError(this.path, `${what} lies outside the file`);
    const target = memory.slice(gpa, length);
    if (target !== undefined) {
      this.#readInto(target, offset);
      memory.written(gpa, length);
      return;
    }
    const bytes = new Uint8Array(length);
    this.#readInto(bytes, offset);
    if (!memory.write(gpa, bytes)) throw new LoaderError(this.path, `${what} does not lie in RAM`);
  }

  #readInto(target: Uint8Array, offset: number): void {
    for (let done = 0; done < target.length; ) {
      let count: number;
      try {
        count = readSync(this.#fd, target, done, target.length - done, offset + done);
      } catch (error) {
        throw new LoaderError(this.path, `cannot be read: ${reason(error)}`);
      }
      if (count === 0) throw new LoaderError(this.path, "cannot be read: it became shorter meanwhile");
      done += count;
    }
  }
}

/** The system's words for a failed call, without Node's frame around them. */
function reason(error: unknown): string {
  const { errno, message } = error as NodeJS.ErrnoException;
  return errno === undefined ? message : getSystemErrorMessage(errno);
}
