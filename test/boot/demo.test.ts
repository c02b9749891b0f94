/**
 * The demo guest, as `make run` boots it: the same output, byte for byte, under every engine and in both modes.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { guest, qemuUser } from "../support/qemu-user.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "splitvm-"));
  writeFileSync(join(folder, "module.txt"), "a module");
});
afterAll(() => rmSync(folder, { recursive: true }));

const COMMON = ["-append", "hello", "-device", "splitvm-test", "-no-reboot"];

function boot(bits: 64 | 32, accel: string, mode: string) {
  const kernel = guest(`demo${bits}`);
  return qemuUser("run", "-kernel", kernel, "-accel", accel, "--mode", mode, "-nographic", ...COMMON);
}

describe.each([64, 32] as const)("demo%i.elf", (bits) => {
  let expected: string;
  beforeAll(async () => {
    const { stdout, stderr, status } = await boot(bits, "patch", "page");
    expect(stderr).toBe("");
    expect(status).toBe(33); // isa-debug-exit: (0x10 << 1) | 1
    expected = stdout;
  });

  it("reports that everything is right", () => {
    expect(expected).toContain("interrupt: 1, right");
    expect(expected).toContain("demo: done");
    expect(expected).not.toContain("WRONG");
  });

  it.each([
    ["patch", "message"],
    ["interp", "page"],
    ["interp", "message"],
    ["wasm", "page"],
    ["wasm", "message"],
  ])("prints the same under %s in %s mode", async (accel, mode) => {
    const { stdout, stderr, status } = await boot(bits, accel, mode);
    expect(stderr).toBe("");
    expect(stdout).toBe(expected);
    expect(status).toBe(33);
  });
});

it("the guest's report is right with RAM beyond 2 GiB, where offsets have their sign bit set", async () => {
  const { stdout, stderr, status } = await qemuUser(
    "run",
    "-kernel",
    guest("demo64"),
    "-m",
    "3G",
    "-nographic",
    ...COMMON,
  );
  expect(stderr).toBe("");
  expect(stdout).toContain("3072 MiB");
  expect(stdout).toContain("demo: done");
  expect(stdout).not.toContain("WRONG");
  expect(status).toBe(33);
});

describe("where the output goes", () => {
  it("-serial file: has it all, and stdout nothing", async () => {
    const file = join(folder, "out.txt");
    const { stdout, status } = await qemuUser("run", "-kernel", guest("demo64"), "-serial", `file:${file}`, ...COMMON);
    expect(status).toBe(33);
    expect(stdout).toBe("");
    expect(readFileSync(file, "latin1")).toContain("demo: done");
  });

  it("-initrd is a module", async () => {
    const module = join(folder, "module.txt");
    const { stdout } = await qemuUser(
      "run",
      "-kernel",
      guest("demo64"),
      "-initrd",
      `${module} x=1`,
      "-nographic",
      ...COMMON,
    );
    expect(stdout).toMatch(/module: .*module\.txt.*8 bytes/);
  });

  it("-d exits,in_asm -D writes both", async () => {
    const log = join(folder, "log.txt");
    const args = ["-kernel", guest("bench64"), "-append", "run=nothing", "-d", "exits,in_asm", "-D", log, "-nographic"];
    const { status } = await qemuUser("run", ...args);
    expect(status).toBe(33);
    const text = readFileSync(log, "utf8");
    expect(text).toMatch(/^KVM_EXIT_IO {3}in {2}0x1234 size 1 = 0xff$/m);
    expect(text).toMatch(/\blgdt\b/);
  });
});

describe("what a guest does wrong", () => {
  it("reads all ones where nothing is, and -d unimp says so once an address", async () => {
    const machine = ["-kernel", guest("bench64"), "-append", "run=nothing", "-nographic"];
    const { stdout, stderr } = await qemuUser("run", ...machine, "-d", "unimp");
    expect(stdout).toContain("port 1234: ff ffff ffffffff");
    expect(stdout).toContain("memory d0000000: ff ffff ffffffff ffffffffffffffff");
    expect(stderr.match(/^port: \w+ \w+ unclaimed address 0x1234$/gm)).toHaveLength(1);
    expect(stderr.match(/0xd0000000/g)).toHaveLength(1);
    expect((await qemuUser("run", ...machine)).stderr).toBe("");
  });

  it("a triple fault with -no-reboot ends with a register dump", async () => {
    const { stderr, status } = await qemuUser(
      "run",
      "-kernel",
      guest("bench64"),
      "-append",
      "run=triple",
      "-nographic",
      "-no-reboot",
    );
    expect(status).toBe(1);
    expect(stderr).toContain("triple fault");
    expect(stderr).toMatch(/RIP=[0-9a-f]{16}/);
  });
});

describe("kernels that are none", () => {
  it.each([
    ["missing", () => join(folder, "no-such-file"), /cannot be read/],
    ["no kernel", () => join(folder, "module.txt"), /not a multiboot, PVH or Linux kernel \(bzImage or vmlinux\)/],
  ])("%s: one line and status 1", async (_what, path, reason) => {
    const { stderr, status } = await qemuUser("run", "-kernel", path());
    expect(status).toBe(1);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(stderr).toContain(path());
    expect(stderr).toMatch(reason);
  });
});
