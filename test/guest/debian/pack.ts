/**
 * `make guest`, second half: the initramfs of each guest that fetch.ts unpacked, FOLDER/ARCH/initrd.img.
 *   pack.ts FOLDER
 * Left out: what is in it: initramfs.ts.
 */
import { existsSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { initramfs } from "./initramfs.ts";

/** The first of these that exists: where /bin and /lib are links into /usr, packages name either. */
function found(...paths: readonly string[]): string {
  const path = paths.find((candidate) => existsSync(candidate));
  if (path === undefined) throw new Error(`none of these exists: ${paths.join(", ")}`);
  return path;
}

const folder = process.argv[2] ?? ".";
/** Those that kept a root: memtest86+ has no initramfs. */
const guests = readdirSync(folder).filter((name) => existsSync(join(folder, name, "packages")));
for (const name of guests.filter((each) => existsSync(join(folder, each, "root")))) {
  const place = join(folder, name);
  const root = join(place, "root");
  const modules = found(join(root, "lib/modules"), join(root, "usr/lib/modules"));
  const version = readdirSync(modules)[0]!;
  const busybox = found(join(root, "bin/busybox"), join(root, "usr/bin/busybox"));
  process.stderr.write(`guest: packing the initramfs of ${version}\n`);
  writeFileSync(join(place, "initrd.new"), initramfs(busybox, join(modules, version)));
  renameSync(join(place, "initrd.new"), join(place, "initrd.img"));
}
