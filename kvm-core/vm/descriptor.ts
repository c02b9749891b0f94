/**
 * Descriptors of sealed memfds, counted: a session's table, a VM's slots and servers may all hold the same one, and
 * the last to let go closes it.
 * Leaves out: how they travel (shared/hello.ts).
 */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { KvmError } from "../../shared/errno.ts";
import {
  addSeals,
  F_SEAL_FUTURE_WRITE,
  getSeals,
  mapFixed,
  memfdCreate,
  PROT_READ,
  PROT_WRITE,
  SEALS_FIXED,
} from "../../shared/native.ts";

export class Descriptor {
  readonly fd: number;
  #holders = 1;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** A memfd of our own: fixed in size. */
  static create(name: string, size: number): Descriptor {
    const fd = memfdCreate(name, size);
    addSeals(fd, SEALS_FIXED);
    return new Descriptor(fd);
  }

  /**
   * A memfd that only this process writes, through the mapping at `at` that is made here: once it is sealed
   * against further writable mappings, what readers get is a read-only descriptor.
   */
  static createForReaders(name: string, memory: Uint8Array, at: number, size: number): Descriptor {
    const fd = memfdCreate(name, size);
    try {
      mapFixed(memory, at, size, fd, 0, PROT_READ | PROT_WRITE);
      addSeals(fd, SEALS_FIXED | F_SEAL_FUTURE_WRITE);
      return new Descriptor(openSync(`/proc/self/fd/${fd}`, constants.O_RDONLY));
    } finally {
      closeSync(fd);
    }
  }

  hold(): this {
    this.#holders++;
    return this;
  }

  release(): void {
    if (--this.#holders === 0) closeSync(this.fd);
  }

  /**
   * Maps a part of what a client passed over a range of linear memory, readable and writable; nothing is mapped on
   * failure. EINVAL as requireMemory(), and where the file is open or sealed against writing.
   */
  map(memory: Uint8Array, at: number, length: number, offset: number, what: string): void {
    this.requireMemory(offset + length, what);
    try {
      mapFixed(memory, at, length, this.fd, offset, PROT_READ | PROT_WRITE);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EACCES" || code === "EPERM") throw new KvmError("EINVAL", `${what} cannot be written`);
      throw error;
    }
  }

  /**
   * Checks what a client claims: a memfd that can neither shrink nor grow, at least `bytes` long. An unsealed one
   * that is truncated later would kill this process with SIGBUS. EINVAL otherwise.
   */
  requireMemory(bytes: number, what: string): void {
    let seals = 0;
    try {
      seals = getSeals(this.fd);
    } catch {
      throw new KvmError("EINVAL", `${what} is no memfd`);
    }
    if ((seals & SEALS_FIXED) !== SEALS_FIXED)
      throw new KvmError("EINVAL", `${what} lacks the seals F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_SEAL`);
    const size = fstatSync(this.fd).size;
    if (size < bytes) throw new KvmError("EINVAL", `${what} has ${size} bytes, ${bytes} are needed`);
  }
}
