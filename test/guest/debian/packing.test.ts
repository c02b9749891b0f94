/** The packers of the Debian guests: archives as cpio describes them, modules behind what they need, a disk. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { e2fsprogs, makeDisk } from "./disk.ts";
import { loadOrder } from "./kernel-modules.ts";
import { MODE, newc } from "./newc.ts";

/** Reads an archive back. */
function unpack(archive: Buffer): { name: string; mode: number; data: string; rdev: string }[] {
  const entries = [];
  for (let at = 0; ; ) {
    expect(archive.toString("latin1", at, at + 6)).toBe("070701");
    const field = (n: number) => Number.parseInt(archive.toString("latin1", at + 6 + n * 8, at + 14 + n * 8), 16);
    const name = archive.toString("utf8", at + 110, at + 110 + field(11) - 1);
    const data = Math.ceil((at + 110 + field(11)) / 4) * 4;
    if (name === "TRAILER!!!") {
      expect(data).toBe(archive.length);
      return entries;
    }
    const content = archive.toString("utf8", data, data + field(6));
    entries.push({ name, mode: field(1), data: content, rdev: `${field(9)}:${field(10)}` });
    at = Math.ceil((data + field(6)) / 4) * 4;
  }
}

test("an archive: names and contents of any length, types, devices", () => {
  const archive = newc([
    { name: "d", mode: MODE.directory },
    ...["", "1", "22", "333", "4444"].map((data, i) => ({
      name: "d/f".padEnd(4 + i, "x"),
      mode: MODE.file,
      data: Buffer.from(data),
    })),
    { name: "console", mode: MODE.charDevice, major: 5, minor: 1 },
    { name: "link", mode: MODE.link, data: Buffer.from("d/fx") },
  ]);
  expect(unpack(archive)).toEqual([
    { name: "d", mode: 0o040755, data: "", rdev: "0:0" },
    { name: "d/fx", mode: 0o100644, data: "", rdev: "0:0" },
    { name: "d/fxx", mode: 0o100644, data: "1", rdev: "0:0" },
    { name: "d/fxxx", mode: 0o100644, data: "22", rdev: "0:0" },
    { name: "d/fxxxx", mode: 0o100644, data: "333", rdev: "0:0" },
    { name: "d/fxxxxx", mode: 0o100644, data: "4444", rdev: "0:0" },
    { name: "console", mode: 0o020600, data: "", rdev: "5:1" },
    { name: "link", mode: 0o120777, data: "d/fx", rdev: "0:0" },
  ]);
});

test("modules: each behind those that it needs, once; what is built in is left out; a circle is an error", () => {
  const folder = mkdtempSync(join(tmpdir(), "modules-"));
  const module = (path: string, depends: string) => {
    mkdirSync(join(folder, path, ".."), { recursive: true });
    writeFileSync(join(folder, path), `ELF\0license=GPL\0depends=${depends}\0name=x\0`);
  };
  module("drivers/a-top.ko", "mid_one,mid_two");
  module("drivers/mid-one.ko", "base");
  module("fs/mid_two.ko", "base,built_in");
  module("base.ko", "");
  module("x.ko", "y");
  module("y.ko", "x");
  expect(loadOrder(folder, ["a_top", "base", "nowhere"]).map(({ name }) => name)).toEqual([
    "base",
    "mid_one",
    "mid_two",
    "a_top",
  ]);
  expect(() => loadOrder(folder, ["x"])).toThrow(/need each other: x, y, x/);
  rmSync(folder, { recursive: true });
});

test("a disk: ext4 of 64 MiB, sparse; without the tools it says what to install", () => {
  const folder = mkdtempSync(join(tmpdir(), "disk-"));
  try {
    const path = join(folder, "disk.img");
    makeDisk(path);
    const { size, blocks } = statSync(path);
    expect(size).toBe(64 << 20);
    expect(blocks * 512).toBeLessThan(size / 4);
    expect(readFileSync(path).readUInt16LE(1080)).toBe(0xef53); // what /init looks for
  } finally {
    rmSync(folder, { recursive: true });
  }
  expect(() => e2fsprogs("mke2fs-of-nobody")).toThrow(/no mke2fs-of-nobody.*install e2fsprogs/);
});
