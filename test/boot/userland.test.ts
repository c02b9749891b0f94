/**
 * Programs of a distribution in a Debian guest, over the virtio console: each result is compared with that of the same busybox,
 * run by the host's processor.
 * What is run is test/guest/debian/check/userland.sh.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { MODE } from "../guest/debian/newc.ts";
import { debianFile } from "../support/debian.ts";
import { type Arch, DebianGuest, PATIENCE, scratch } from "../support/debian-guest.ts";

const SCRIPT = fileURLToPath(new URL("../guest/debian/check/userland.sh", import.meta.url));
const CONSOLE = [
  ...["-serial", "none", "-chardev", "stdio,id=c0", "-device", "virtio-console-pci,chardev=c0"],
  ...["-device", "virtio-rng-pci"],
];

/** What the host's processor makes of the script. */
function byHost(arch: Arch): string[] {
  const busybox = debianFile(arch, "root/bin/busybox");
  const programs = scratch();
  spawnSync(busybox, ["--install", "-s", programs]); // links to the path that it was called by
  const ran = spawnSync(busybox, ["sh", SCRIPT, scratch()], {
    env: { PATH: programs }, // nothing of the host's own
    encoding: "latin1",
    maxBuffer: 1 << 26,
  });
  expect(ran).toMatchObject({ status: 0, stderr: "" });
  return ran.stdout.split("\n");
}

test.each([
  ["amd64", "patch"],
  ["amd64", "wasm"],
  ["i386", "wasm"],
] as const)(
  "%s on %s: every result is the host's",
  async (arch, accel) => {
    const files = [{ name: "userland.sh", mode: MODE.file, data: readFileSync(SCRIPT) }];
    const guest = await DebianGuest.boot(["-accel", accel, ...CONSOLE], { arch, files, append: "agent=hvc0" });
    await guest.ok("mkdir /tmp/check");
    const inGuest = (await guest.ok("sh /userland.sh /tmp/check 2>&1")).split("\n");
    const expected = byHost(arch);
    expect(expected.length).toBeGreaterThan(20_040); // the numbers, and the results before them
    expect(inGuest.slice(0, 100)).toEqual(expected.slice(0, 100));
    expect(inGuest.length).toBe(expected.length);
    expect(inGuest.findIndex((line, i) => line !== expected[i])).toBe(-1);

    // An editor with a person's keys: it asks the terminal for nothing, and draws.
    await guest.ok("stty -F /dev/hvc0 rows 24 cols 80; seq 1 40 >/tmp/edited");
    guest.type("vi /tmp/edited\n");
    await guest.says("/tmp/edited");
    guest.type("3Gdd5Goadded by keys\x1b:wq\n");
    await guest.says("agent-status=0.\n");
    expect(await guest.ok("sed -n '2,6p' /tmp/edited")).toBe("2\n4\n5\n6\nadded by keys\n");
    expect(await guest.trouble()).toEqual([]);
    expect(await guest.powerOff()).toMatchObject({ status: 0 });
  },
  PATIENCE,
);
