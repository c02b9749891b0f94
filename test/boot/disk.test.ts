/**
 * Disks in a Debian guest: ext4 on virtio-blk is made, filled, unmounted, checked; and again after qemu-user was killed while the
 * guest wrote. mke2fs and e2fsck are the host's, with their libraries: dynamic linking runs, too.
 */
import { spawnSync } from "node:child_process";
import { closeSync, ftruncateSync, openSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { e2fsprogs } from "../guest/debian/disk.ts";
import { DebianGuest, hostProgram, PATIENCE, scratch } from "../support/debian-guest.ts";
import { until } from "../support/qemu-user.ts";

const MKE2FS = e2fsprogs("mke2fs");
const E2FSCK = e2fsprogs("e2fsck");
const MIB = 2 ** 20;

function image(folder: string, size: number): string {
  const path = join(folder, "disk.img");
  const fd = openSync(path, "w");
  ftruncateSync(fd, size);
  closeSync(fd);
  return path;
}

const disk = (path: string, more = "") => [
  ...["-drive", `file=${path},if=none,id=d0,format=raw${more}`, "-device", "virtio-blk-pci,drive=d0,serial=SPLITVM1"],
];

const PROGRAMS = () => [...hostProgram(MKE2FS), ...hostProgram(E2FSCK)];

test.each([
  ["patch", ""],
  ["wasm", ",aio=async"],
  ["patch", ",aio=sync"],
])(
  "on %s%s: ext4 is made, filled, and clean after an unmount; discard gives space back",
  async (accel, more) => {
    const path = image(scratch(), 96 * MIB);
    const files = PROGRAMS();
    const guest = await DebianGuest.boot(
      ["-accel", accel, ...disk(path, `${more},discard=unmap`), "-device", "virtio-rng-pci"],
      { files },
    );
    expect(await guest.ok("cat /sys/block/vda/serial /sys/block/vda/size")).toBe("SPLITVM1196608\n");
    await guest.ok(`${MKE2FS} -q -t ext4 /dev/vda 2>&1`);
    await guest.ok("mount -t ext4 /dev/vda /mnt");
    await guest.ok("mkdir /mnt/d && for i in $(seq 1 200); do seq $i 2000 >/mnt/d/$i || break; done");
    await guest.ok("dd if=/dev/hwrng of=/mnt/random bs=4096 count=1 2>/dev/null");
    expect(await guest.ok("stat -c %s /mnt/random")).toMatch(/^(?!0)\d+\n$/);
    await guest.ok("dd if=/dev/zero of=/mnt/zero bs=1M count=32 2>/dev/null");
    const sum = await guest.ok("cd /mnt/d && cat $(ls | sort -n) | sha256sum; cd /");
    await guest.ok("umount /mnt");
    const full = statSync(path).blocks;
    await guest.ok("mount -t ext4 /dev/vda /mnt && rm /mnt/zero && sync && fstrim /mnt");
    await guest.ok("umount /mnt");
    expect(statSync(path).blocks).toBeLessThan(full - (24 * MIB) / 512);
    expect(await guest.run(`${E2FSCK} -fn /dev/vda 2>&1`)).toMatchObject({ status: 0 });
    await guest.ok("mount -t ext4 -o ro /dev/vda /mnt");
    expect(await guest.ok("cd /mnt/d && cat $(ls | sort -n) | sha256sum; cd /")).toBe(sum);
    expect(await guest.trouble()).toEqual([]);
    expect(await guest.powerOff()).toMatchObject({ status: 0 });
    expect(spawnSync(E2FSCK, ["-fn", path]).status).toBe(0);
  },
  PATIENCE,
);

test.each(["patch", "wasm"])(
  "on %s: what was fsynced is there after qemu-user was killed during writes",
  async (accel) => {
    const path = image(scratch(), 64 * MIB);
    const files = PROGRAMS();
    const guest = await DebianGuest.boot(["-accel", accel, ...disk(path)], { files });
    await guest.ok(`${MKE2FS} -q -t ext4 /dev/vda 2>&1 && mount -t ext4 /dev/vda /mnt`);
    // Each file's name is printed once it is said to be on the disk; it never ends by itself.
    guest.type(
      'i=0; while :; do i=$((i+1)); seq $i $((i+3000)) | dd of=/mnt/$i conv=fsync 2>/dev/null; echo "fsynced=$i,"; done\n',
    );
    let synced = 0;
    while (synced < 25) {
      await guest.says("fsynced=");
      synced = Number(await guest.says(","));
    }
    guest.running.child.kill("SIGKILL");
    await guest.running.finished;

    const again = await DebianGuest.boot(["-accel", accel, ...disk(path)], { files });
    await again.ok("grep -q ' /mnt ' /proc/mounts || mount -t ext4 /dev/vda /mnt");
    for (let i = 1; i <= synced; i++) {
      expect(await again.run(`seq ${i} ${i + 3000} | cmp - /mnt/${i}`)).toMatchObject({ status: 0, output: "" });
    }
    await again.ok("umount /mnt");
    expect(await again.run(`${E2FSCK} -fn /dev/vda 2>&1`)).toMatchObject({ status: 0 });
    expect(await again.powerOff()).toMatchObject({ status: 0 });
  },
  PATIENCE,
);

test(
  "snapshot=on leaves the image as it was; a read-only disk cannot be written",
  async () => {
    const folder = scratch();
    const path = image(folder, 8 * MIB);
    const before = readFileSync(path);
    const writer = await DebianGuest.boot(disk(path, ",snapshot=on"));
    await writer.ok("seq 1 100000 | dd of=/dev/vda conv=fsync 2>/dev/null");
    expect(await writer.ok("head -c 6 /dev/vda")).toBe("1\n2\n3\n");
    expect(await writer.powerOff()).toMatchObject({ status: 0 });
    expect(readFileSync(path).equals(before)).toBe(true);
    const reader = await DebianGuest.boot(disk(path, ",readonly=on"));
    expect(await reader.ok("cat /sys/block/vda/ro")).toBe("1\n");
    expect((await reader.run("dd if=/dev/urandom of=/dev/vda bs=512 count=1 2>&1")).status).not.toBe(0);
    expect(await reader.powerOff()).toMatchObject({ status: 0 });
    expect(readFileSync(path).equals(before)).toBe(true);
  },
  PATIENCE,
);

test.each([
  ["with a monitor", ["-nographic"], /file too large; the guest is stopped, "cont" in the monitor/],
  ["without one", [], /file too large; the guest is stopped, and without a monitor/],
] as const)(
  "werror=stop %s: a host without room stops the guest, and nothing is lost when it goes on",
  async (_, more, report) => {
    const path = image(scratch(), 32 * MIB);
    const guest = await DebianGuest.boot([...disk(path, ",werror=stop"), ...more]);
    const { child, stderr, finished } = guest.running;
    const limit = (bytes: string) => spawnSync("prlimit", [`--pid=${child.pid}`, `--fsize=${bytes}:unlimited`]);
    expect(limit(String(4 * MIB)).status).toBe(0);
    guest.type("tr '\\0' a </dev/zero | dd of=/dev/vda bs=1M count=16 iflag=fullblock conv=fsync 2>&1\n");
    await until(() => report.test(stderr()), "the report");
    if (more.length === 0) {
      child.kill("SIGTERM");
      expect((await finished).status).toBe(143);
      return;
    }
    limit("unlimited");
    guest.type("\x01ccont\n\x01c"); // in one piece
    await guest.says("agent-status=0.\n");
    expect(await guest.powerOff()).toMatchObject({ status: 0 });
    expect(
      readFileSync(path)
        .subarray(0, 16 * MIB)
        .every((byte) => byte === 0x61),
    ).toBe(true);
  },
  PATIENCE,
);
