/**
 * The initial file system of a Debian guest: busybox, /init, and the modules that this machine's devices need.
 * Document: Linux Documentation/filesystems/ramfs-rootfs-initramfs.rst.
 * Left out: what is downloaded: fetch.ts.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { loadOrder } from "./kernel-modules.ts";
import { MODE, type NewcEntry, newc } from "./newc.ts";

const INIT = fileURLToPath(new URL("./init.sh", import.meta.url));
/** What the board's devices need, and a file system for disks with the checksum that it looks up by name as it mounts. */
const MODULES = [
  ...["button", "evdev", "qemu_fw_cfg", "virtio_pci", "virtio_blk", "virtio_console", "virtio_rng"],
  ...["crc32c_generic", "ext4"],
];

/**
 * @param busybox path of a static busybox
 * @param modules lib/modules/VERSION of the kernel
 */
export function initramfs(busybox: string, modules: string): Buffer {
  const order = loadOrder(modules, MODULES);
  const directories = ["bin", "dev", "modules"].map((name) => ({ name, mode: MODE.directory }));
  const entries: NewcEntry[] = [
    ...directories,
    // The kernel opens it for /init before that has mounted anything.
    { name: "dev/console", mode: MODE.charDevice, major: 5, minor: 1 },
    { name: "bin/busybox", mode: MODE.program, data: readFileSync(busybox) },
    { name: "init", mode: MODE.program, data: readFileSync(INIT) },
    { name: "modules/order", mode: MODE.file, data: Buffer.from(order.map(({ name }) => `${name}\n`).join("")) },
    ...order.map(({ name, path }) => ({ name: `modules/${name}.ko`, mode: MODE.file, data: readFileSync(path) })),
  ];
  return gzipSync(newc(entries), { level: 1 });
}

/** An initramfs in `folder` that is the one at `path` with more files: the kernel unpacks archives one behind the other. Its path. */
export function initramfsWith(path: string, folder: string, more: readonly NewcEntry[]): string {
  const made = join(folder, "initrd.img");
  writeFileSync(made, Buffer.concat([readFileSync(path), gzipSync(newc(more))]));
  return made;
}
