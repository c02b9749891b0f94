/**
 * A vmlinux as -kernel: Debian's, unpacked from its bzImage, by its PVH note and, with that note spoiled, by Linux's own protocol.
 * Document: Documentation/arch/x86/boot.rst ("payload_offset"), Xen's elfnote.h.
 * Leaves out: 32-bit kernels: Debian compresses those with XZ.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { debianFile, trouble } from "../support/debian.ts";
import { unlz4 } from "../support/lz4.ts";
import { start } from "../support/qemu-user.ts";

const PATIENCE = 240_000;
const SECTOR = 512;
/** A script that pack.ts does not put there: /init says so, and then powers off. */
const APPEND = "console=ttyS0 panic=-1 splitvm.script=/nothing";
/** Note header of XEN_ELFNOTE_PHYS32_ENTRY: lengths of name and contents, type, name. */
const PVH_NOTE = Buffer.from("04000000 08000000 12000000 58656e00".replaceAll(" ", ""), "hex");
const NOTE_TYPE = 8;
const NO_SUCH_TYPE = 99;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "vmlinux-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function vmlinux(): Buffer {
  const image = readFileSync(debianFile("amd64", "vmlinuz"));
  const code = (image.readUInt8(0x1f1) + 1) * SECTOR;
  const payload = code + image.readUInt32LE(0x248);
  return unlz4(image.subarray(payload, payload + image.readUInt32LE(0x24c)));
}

test.each([
  ["pvh", "patch"],
  ["linux", "wasm"],
])(
  "%s on %s: boots to /init and ends",
  async (protocol, accel) => {
    const kernel = vmlinux();
    const note = kernel.indexOf(PVH_NOTE);
    expect(note).toBeGreaterThan(0);
    if (protocol === "linux") kernel.writeUInt32LE(NO_SUCH_TYPE, note + NOTE_TYPE);
    const path = join(folder, "vmlinux");
    writeFileSync(path, kernel);
    const machine = ["-accel", accel, "-m", "256M", "-nographic", "-no-reboot", "-append", APPEND];
    const guest = start("run", ...machine, "-kernel", path, "-initrd", debianFile("amd64", "initrd.img"));
    onTestFinished(() => void guest.child.kill("SIGKILL"));
    const { status, stdout } = await guest.finished;
    expect(stdout).toContain("splitvm: Debian GNU/Linux shell, Linux 6");
    expect(stdout).toContain(`Command line: ${APPEND}`);
    expect(trouble(stdout)).toEqual([]);
    expect(status).toBe(0);
  },
  PATIENCE,
);
