/**
 * Debian with a disk and a virtio console: its /init mounts the disk and gives the console a shell, both kernels' drivers at work.
 * Document: test/guest/debian/init.sh and disk.ts; what the disk holds afterwards is e2fsck(8)'s to judge.
 * Leaves out: images and caches of other kinds: test/qemu-user/block.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { DISK_FILES, e2fsprogs, makeDisk } from "../guest/debian/disk.ts";
import { debianFile, trouble } from "../support/debian.ts";
import { start, until } from "../support/qemu-user.ts";

const PATIENCE = 240_000;

test.each([
  ["amd64", "wasm"],
  ["i386", "patch"],
] as const)(
  "%s on %s: reads and writes an ext4 file system from a shell on hvc0, beside the one on ttyS0",
  async (arch, accel) => {
    const folder = mkdtempSync(join(tmpdir(), "debian-disk-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const disk = join(folder, "disk.img");
    const serial = join(folder, "serial.log");
    // `make run` writes to the one that `make guest` made.
    makeDisk(disk);
    const machine = ["-accel", accel, "-m", "256M", "-no-reboot", "-append", "console=ttyS0 panic=-1"];
    const files = ["-kernel", debianFile(arch, "vmlinuz"), "-initrd", debianFile(arch, "initrd.img")];
    const console = ["-serial", `file:${serial}`, "-chardev", "stdio,id=c", "-device", "virtio-console-pci,chardev=c"];
    const guest = start("run", ...machine, ...files, ...console, "-drive", `if=virtio,format=raw,file=${disk}`);
    onTestFinished(() => void guest.child.kill("SIGKILL"));
    let ended = false;
    void guest.finished.then(() => {
      ended = true;
    });
    const says = (text: string | RegExp) => {
      const said = () => (typeof text === "string" ? guest.stdout().includes(text) : text.test(guest.stdout()));
      return until(() => said() || ended, String(text), PATIENCE).then(() => {
        if (!said()) throw new Error(`the guest ended before it said ${text}: ${guest.stdout()}${guest.stderr()}`);
      });
    };
    const type = (line: string) => guest.child.stdin!.write(`${line}\n`);
    await says("/root # ");
    // What the terminal echoes is not what the shell prints.
    type("tty; cat /mnt/hello.txt; echo lines=$(wc -l </mnt/folder/numbers.txt)");
    await says("lines=1000");
    expect(guest.stdout()).toContain("/dev/hvc0");
    expect(guest.stdout()).toContain(`${DISK_FILES["hello.txt"]}`.trim());
    type(
      "seq 200000 >/mnt/new && sync && echo 3 >/proc/sys/vm/drop_caches; echo sum=$(sha256sum </mnt/new | cut -c1-8)",
    );
    await says("sum=5af7b952");
    type("exit");
    await until(() => guest.stdout().split("Enter 'help'").length === 3 || ended, "the next shell", PATIENCE);
    type("poweroff");
    expect(await guest.finished).toMatchObject({ status: 0 });
    const log = readFileSync(serial, "latin1");
    expect(log).toContain("splitvm: /dev/vda is mounted at /mnt");
    expect(log).toContain("/root # ");
    expect(trouble(log)).toEqual([]);
    const check = spawnSync(e2fsprogs("e2fsck"), ["-f", "-n", disk], { encoding: "utf8" });
    expect(check).toMatchObject({ status: 0 });
    expect(check.stdout).not.toContain("recovering journal");
    const read = spawnSync(e2fsprogs("debugfs"), ["-R", "cat /new", disk], { encoding: "utf8", maxBuffer: 1 << 22 });
    expect(read.stdout.endsWith("\n199999\n200000\n")).toBe(true);
  },
  PATIENCE,
);
