/**
 * Writes a cpio archive in the "newc" format, which the kernel unpacks as its initial file system.
 * Document: Linux Documentation/driver-api/early-userspace/buffer-format.rst.
 * Left out: hard links, checksums, reading.
 */

/** A file of the archive. `data` is a link's target; directories and devices have none. */
export interface NewcEntry {
  /** Without a leading slash. */
  readonly name: string;
  /** Type and permission bits, as st_mode has them. */
  readonly mode: number;
  readonly data?: Uint8Array;
  /** Of a device. */
  readonly major?: number;
  readonly minor?: number;
}

export const MODE = {
  directory: 0o04_0755,
  file: 0o10_0644,
  program: 0o10_0755,
  link: 0o12_0777,
  charDevice: 0o02_0600,
};

const TRAILER = "TRAILER!!!";
/** Owner root, one link, time 0: the same archive whenever it is made. */
const NOBODY = 0;

function header(entry: NewcEntry, inode: number, size: number, nameSize: number): Buffer {
  const { mode, major = 0, minor = 0 } = entry;
  const links = 1;
  const fields = [inode, mode, NOBODY, NOBODY, links, 0, size, 0, 0, major, minor, nameSize, 0];
  return Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`, "latin1");
}

const padding = (length: number): Buffer => Buffer.alloc((4 - (length % 4)) % 4);

/** The archive. Directories have to come before what lies in them. */
export function newc(entries: readonly NewcEntry[]): Buffer {
  const parts: Buffer[] = [];
  [...entries, { name: TRAILER, mode: 0 }].forEach((entry: NewcEntry, i) => {
    const name = Buffer.from(`${entry.name}\0`, "utf8");
    const data = entry.data ?? new Uint8Array(0);
    const head = header(entry, entry.name === TRAILER ? 0 : i + 1, data.length, name.length);
    parts.push(head, name, padding(head.length + name.length), Buffer.from(data), padding(data.length));
  });
  return Buffer.concat(parts);
}
