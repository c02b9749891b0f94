/**
 * `make guest`: a disk with an ext4 file system and a few files, made without being root.
 *   disk.ts FILE
 * Document: mke2fs(8), "-d".
 * Left out: partitions. `make run` writes to the one of `make guest`; tests make their own.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const MIB = 1024 * 1024;
const SIZE = 64 * MIB;
/** Debian keeps it where an ordinary user's PATH does not lead. */
const SBIN = ["/usr/sbin", "/sbin"];

/** What lies on the disk, by path. */
export const DISK_FILES: Readonly<Record<string, string | Uint8Array>> = {
  "hello.txt": "hello from the disk\n",
  "folder/numbers.txt": Array.from({ length: 1000 }, (_, i) => `${i + 1}\n`).join(""),
  "zeros.bin": new Uint8Array(MIB),
};

/** The path of a program of e2fsprogs. Throws an Error, fit for the user, if it is not installed. */
export function e2fsprogs(program: string): string {
  const places = [...(process.env["PATH"] ?? "").split(delimiter), ...SBIN].map((place) => join(place, program));
  const found = places.find((place) => existsSync(place));
  if (found === undefined)
    throw new Error(`there is no ${program}, which Debian guests' disks need: install e2fsprogs`);
  return found;
}

/** Makes a sparse image at `path`. Throws an Error, fit for the user, without mke2fs. */
export function makeDisk(path: string): void {
  const mke2fs = e2fsprogs("mke2fs");
  const content = mkdtempSync(join(tmpdir(), "splitvm-disk-"));
  try {
    for (const [name, data] of Object.entries(DISK_FILES)) {
      mkdirSync(dirname(join(content, name)), { recursive: true });
      writeFileSync(join(content, name), data);
    }
    const fresh = `${path}.new`;
    writeFileSync(fresh, "");
    truncateSync(fresh, SIZE);
    const args = ["-q", "-F", "-t", "ext4", "-L", "splitvm", "-E", "root_owner=0:0", "-d", content, fresh];
    const { status, stderr, error } = spawnSync(mke2fs, args, { encoding: "utf8" });
    if (status !== 0) throw new Error(`${mke2fs} failed: ${error?.message ?? stderr.trim()}`);
    renameSync(fresh, path);
  } finally {
    rmSync(content, { recursive: true });
  }
}

const path = process.argv[2];
if (process.argv[1] === fileURLToPath(import.meta.url) && path !== undefined) {
  try {
    process.stderr.write(`guest: making ${path}\n`);
    makeDisk(path);
  } catch (error) {
    process.stderr.write(`guest: ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
