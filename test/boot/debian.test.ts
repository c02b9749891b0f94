/**
 * Debian's own kernels, unmodified, from the bzImage to a shell that answers, on the engines that people use.
 * Document: README.md; what is booted is made by `make guest` (test/guest/debian).
 * Leaves out: disks and the virtio console: debian-disk.test.ts.
 */
import { expect, onTestFinished, test } from "vitest";
import { debianFile, trouble } from "../support/debian.ts";
import { type Running, start, until } from "../support/qemu-user.ts";

const PATIENCE = 240_000;

/** `more`: further options, and words for the kernel's command line. */
function boot(arch: "amd64" | "i386", accel: string, more: readonly string[], append = ""): Running {
  const machine = ["-accel", accel, "-m", "256M", "-nographic", "-append", `console=ttyS0 panic=-1${append}`];
  const files = ["-kernel", debianFile(arch, "vmlinuz"), "-initrd", debianFile(arch, "initrd.img")];
  const running = start("run", ...machine, ...files, ...more);
  onTestFinished(() => void running.child.kill("SIGKILL"));
  return running;
}

test.each([
  ["amd64", "patch", "x86_64"],
  ["amd64", "wasm", "x86_64"],
  ["i386", "patch", "i686"],
  ["i386", "wasm", "i686"],
] as const)(
  "%s on %s: to a shell that answers, and the clock runs",
  async (arch, accel, machine) => {
    const guest = boot(arch, accel, ["-no-reboot"]);
    const says = (text: string | RegExp): Promise<void> =>
      until(
        () => (typeof text === "string" ? guest.stdout().includes(text) : text.test(guest.stdout())),
        String(text),
        PATIENCE,
      );
    await says(`splitvm: Debian GNU/Linux shell, Linux 6`);
    await says("/root # ");
    const type = (line: string) => guest.child.stdin!.write(`${line}\n`);
    // What the terminal echoes is not what the shell prints.
    type("echo machine=$(uname -m) $((6 * 7))");
    await says(`machine=${machine} 42`);
    type("a=$(cut -d. -f1 /proc/uptime); sleep 2; b=$(cut -d. -f1 /proc/uptime); echo slept=$((b - a))");
    await says(/slept=[23]\b/);
    type("dmesg -n 1; ls -d /sys/module/ext4 /sys/module/virtio_blk; echo sum=$(seq 1000 | sha256sum | cut -c1-8)");
    await says("sum=67d4ff71");
    type("dmesg -r | grep '^<[0-4]>'; echo warnings=$?");
    await says("warnings=1"); // grep found none
    type("grep -L 'Not affected' /sys/devices/system/cpu/vulnerabilities/*; echo open=$?");
    await says(/vulnerabilities\/spectre_v1\s+open=0/); // its barriers are in the code, whatever the processor
    expect(guest.stdout()).toContain("/sys/module/virtio_blk");
    expect(trouble(guest.stdout())).toEqual([]);
    type("poweroff");
    expect(await guest.finished).toMatchObject({ status: 0 });
    expect(trouble(guest.stdout())).toEqual([]);
  },
  PATIENCE,
);

test.each([
  ["amd64", "patch"],
  ["i386", "wasm"],
] as const)(
  "%s on %s: reboot starts the machine anew, and poweroff ends it",
  async (arch, accel) => {
    const guest = boot(arch, accel, [], " quiet");
    const boots = () => guest.stdout().split("/root # ").length - 1;
    await until(() => boots() === 1, "the first shell", PATIENCE);
    guest.child.stdin!.write("reboot\n");
    await until(() => guest.stdout().split("Debian GNU/Linux shell").length === 3, "the second shell", PATIENCE);
    guest.child.stdin!.write("poweroff\n");
    expect(await guest.finished).toMatchObject({ status: 0 });
  },
  PATIENCE,
);

test(
  "fw_cfg is found with its items; SIGTERM presses the power button, and the guest powers off by itself",
  async () => {
    const more = ["-no-reboot", "-fw_cfg", "name=opt/splitvm,string=hello"];
    const guest = boot("amd64", "patch", more, " quiet");
    await until(() => guest.stdout().includes("/root # "), "the shell", PATIENCE);
    guest.child.stdin!.write(
      "cd /sys/firmware/qemu_fw_cfg; echo rev=$(cat rev) item=$(cat by_name/opt/splitvm/raw)!\n",
    );
    await until(() => guest.stdout().includes("rev=3 item=hello!"), "fw_cfg", PATIENCE);
    guest.child.kill("SIGTERM");
    const { status, stderr } = await guest.finished;
    expect(stderr).toContain("SIGTERM: the power button is pressed");
    expect(status).toBe(0);
  },
  PATIENCE,
);
