/** Kernels, modules and what a kernel is told, read back out of guest memory; and files that are no kernels. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type LoadedKernel, loadKernel } from "../../../qemu-user/loader/loader.ts";
import { memoryMap } from "../../../qemu-user/machine/memory-map.ts";
import { GuestMemory } from "../../../shared/guest-memory.ts";
import { concat, elf, multibootHeader, note, PT_NOTE, u32Bytes } from "../support/images.ts";

const MiB = 1024 * 1024;
const RAM = 16 * MiB;
const CODE = Uint8Array.of(0xde, 0xad, 0xbe, 0xef);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "loader-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: Uint8Array | string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function boot(kernel: string, append = "", initrd?: string): { memory: GuestMemory; loaded: LoadedKernel } {
  const map = memoryMap(RAM);
  const memory = new GuestMemory(new ArrayBuffer(RAM), map.slots);
  memory.fill(0, RAM, 0xcc); // whatever was there before must not show
  return { memory, loaded: loadKernel({ kernel, initrd, append }, memory, map.entries) };
}

function bytes(memory: GuestMemory, at: number, length: number): number[] {
  return [...memory.slice(at, length)!];
}

function text(memory: GuestMemory, at: number): string {
  let end = at;
  while (end < RAM && memory.readU8(end) !== 0) end++;
  return Buffer.from(memory.slice(at, end - at)!).toString();
}

const multibootElf32 = () =>
  elf({
    bits: 32,
    entry: 0x10_000c,
    segments: [{ paddr: MiB, bytes: concat(multibootHeader(3), CODE), memorySize: 0x20 }],
  });

const pvhElf = (bits: 32 | 64, entry = u32Bytes(0x10_0000), name = "Xen", type = 18) =>
  elf({
    bits,
    entry: 0x7777,
    segments: [
      { paddr: MiB, bytes: CODE, memorySize: 16 },
      { type: PT_NOTE, paddr: 0, bytes: concat(note("GNU", 1, CODE), note(name, type, entry)) },
    ],
  });

describe("multiboot", () => {
  test("ELF32: segments, zeroed rest, entry, magic", () => {
    const { memory, loaded } = boot(file("mb32", multibootElf32()));
    expect([loaded.kind, loaded.entry]).toEqual(["multiboot", 0x10_000c]);
    expect(bytes(memory, 0x10_000c, 5)).toEqual([...CODE, 0]);
    expect([memory.readU8(0x10_001f), memory.readU8(0x10_0020)]).toEqual([0, 0xcc]);
    expect([loaded.regs.rip, loaded.regs.rax, loaded.regs.rflags]).toEqual([0x10_000cn, 0x2bad_b002n, 2n]);
  });

  test("ELF64, linked high: the entry point is translated to where its segment lies", () => {
    const high = 0xffff_ffff_8000_0000n;
    const image = elf({
      bits: 64,
      entry: high + 0x10_000cn,
      segments: [{ vaddr: high + 0x10_0000n, paddr: MiB, bytes: concat(multibootHeader(0), CODE) }],
    });
    expect(boot(file("mb64", image)).loaded.entry).toBe(0x10_000c);
  });

  test("address fields: any file, with and without an end and a bss", () => {
    const at = 2 * MiB;
    const before = new Uint8Array(16).fill(0x90);
    const image = (loadEnd: number, bssEnd: number) =>
      concat(before, multibootHeader(0x1_0000, [at + 16, at, loadEnd, bssEnd, at + 48]), CODE, CODE);
    const whole = boot(file("flat", image(0, 0)));
    expect([whole.loaded.entry, whole.memory.readU8(at + 56)]).toEqual([at + 48, 0xcc]);
    expect(bytes(whole.memory, at + 48, 8)).toEqual([...CODE, ...CODE]);
    const part = boot(file("flat-bss", image(at + 52, at + 64)));
    expect(bytes(part.memory, at + 48, 17)).toEqual([...CODE, ...new Array(12).fill(0), 0xcc]);
  });

  test("address fields win over ELF headers, as for a 64-bit kernel", () => {
    const header = multibootHeader(0x1_0000, [MiB, MiB, 0, 0, MiB + 32]);
    const image = elf({
      bits: 64,
      entry: 0xdead_beef_0000n,
      segments: [{ paddr: 2 ** 40, bytes: concat(header, CODE) }],
    });
    const { memory, loaded } = boot(file("mb64-flat", image));
    expect([loaded.entry, ...bytes(memory, MiB + 32, 4)]).toEqual([MiB + 32, ...CODE]);
  });

  test("the information structure", () => {
    const { memory, loaded } = boot(file("mb-info", multibootElf32()), "a=1 b");
    const info = Number(loaded.regs.rbx);
    const u32 = (at: number) => memory.readU32(info + at);
    expect(u32(0)).toBe(0x1 | 0x4 | 0x8 | 0x40 | 0x200);
    expect([u32(4), u32(8)]).toEqual([639, 15 * 1024]);
    expect(text(memory, u32(16))).toBe(`${join(folder, "mb-info")} a=1 b`);
    expect(u32(20)).toBe(0);
    expect(text(memory, u32(64))).toBe("qemu-user");
    const entries = [];
    for (let at = u32(48); at < u32(48) + u32(44); at += memory.readU32(at) + 4) {
      entries.push([8, 12, 4, 16, 20].map((offset) => memory.readU32(at + offset)));
    }
    expect(entries).toEqual([
      [0, 0x9_fc00, 0, 0, 1],
      [0, 0x400, 0x9_fc00, 0, 2],
      [0, 0x1_0000, 0xf_0000, 0, 2],
      [0, 15 * MiB, MiB, 0, 1],
    ]);
    expect(u32(12) | u32(28) | u32(52) | u32(72)).toBe(0); // fields that are not valid
  });

  test("modules: on pages of their own above the kernel, with name and arguments", () => {
    const one = file(
      "one.bin",
      Uint8Array.from({ length: 5000 }, (_, i) => i),
    );
    const two = file("two,comma", "second");
    const empty = file("empty", "");
    const initrd = `${one} x=1 y,${two.replaceAll(",", ",,")},${empty}`;
    const { memory, loaded } = boot(file("mb-mods", multibootElf32()), "", initrd);
    const info = Number(loaded.regs.rbx);
    const table = memory.readU32(info + 24);
    const modules = [0, 1, 2].map((i) => [0, 4, 8, 12].map((at) => memory.readU32(table + 16 * i + at)));
    expect(memory.readU32(info + 20)).toBe(3);
    expect(modules.map(([start, end, , reserved]) => [start, end! - start!, reserved])).toEqual([
      [MiB + 0x1000, 5000, 0],
      [MiB + 0x3000, 6, 0],
      [MiB + 0x4000, 0, 0],
    ]);
    expect(modules.map((module) => text(memory, module[2]!))).toEqual([`${one} x=1 y`, two, empty]);
    expect(bytes(memory, MiB + 0x1000, 5000)).toEqual(Array.from({ length: 5000 }, (_, i) => i & 0xff));
    expect(bytes(memory, MiB + 0x3000, 6)).toEqual([...Buffer.from("second")]);
  });

  test("the information structure keeps clear of a kernel in low memory", () => {
    const image = concat(multibootHeader(0x1_0000, [0x9000, 0x9000, 0, 0, 0x9020]), CODE);
    const { memory, loaded } = boot(file("low", image));
    expect(Number(loaded.regs.rbx)).toBeGreaterThanOrEqual(0x9024);
    expect(bytes(memory, 0x9020, 4)).toEqual([...CODE]);
  });
});

describe("PVH", () => {
  test.each([
    ["ELF32", 32, u32Bytes(0x10_0000)],
    ["ELF64, 8-byte note", 64, concat(u32Bytes(0x10_0000), u32Bytes(0))],
  ] as const)("%s: entry from the note, not from the header", (name, bits, entry) => {
    const { memory, loaded } = boot(file(name, pvhElf(bits, entry)));
    expect([loaded.kind, loaded.entry, loaded.regs.rip]).toEqual(["pvh", 0x10_0000, 0x10_0000n]);
    expect(bytes(memory, MiB, 5)).toEqual([...CODE, 0]);
  });

  test("hvm_start_info, version 1", () => {
    const module = file("m.bin", "module");
    const { memory, loaded } = boot(file("pvh-info", pvhElf(64)), "a=1", `${module} args`);
    const info = Number(loaded.regs.rbx);
    const u32 = (at: number) => memory.readU32(info + at);
    expect([u32(0), u32(4), u32(8), u32(12), u32(32), u32(48), u32(52)]).toEqual([0x336e_c578, 1, 0, 1, 0, 4, 0]);
    expect([u32(20), u32(28), u32(36), u32(44)]).toEqual([0, 0, 0, 0]); // high halves
    expect(text(memory, u32(24))).toBe("a=1");
    const [modlist, memmap] = [u32(16), u32(40)];
    expect([memory.readU32(modlist), memory.readU32(modlist + 8)]).toEqual([MiB + 0x1000, 6]);
    expect(text(memory, memory.readU32(modlist + 16))).toBe(`${module} args`);
    const map = [0, 1, 2, 3].map((i) => [0, 8, 16, 20].map((at) => memory.readU32(memmap + 24 * i + at)));
    expect(map).toEqual([
      [0, 0x9_fc00, 1, 0],
      [0x9_fc00, 0x400, 2, 0],
      [0xf_0000, 0x1_0000, 2, 0],
      [MiB, 15 * MiB, 1, 0],
    ]);
  });

  test("without modules there is no list", () => {
    const { memory, loaded } = boot(file("pvh-bare", pvhElf(32)));
    expect(memory.readU32(Number(loaded.regs.rbx) + 16)).toBe(0);
  });

  test("multiboot comes first where a kernel is both", () => {
    const image = elf({
      bits: 32,
      entry: MiB + 12,
      segments: [
        { paddr: MiB, bytes: concat(multibootHeader(0), CODE) },
        { type: PT_NOTE, paddr: 0, bytes: note("Xen", 18, u32Bytes(MiB)) },
      ],
    });
    expect(boot(file("both", image)).loaded.kind).toBe("multiboot");
  });
});

test("the boot CPU is in 32-bit flat protected mode, paging off", () => {
  const { sregs } = boot(file("state", multibootElf32())).loaded;
  expect([sregs.cr0, sregs.cr3, sregs.cr4, sregs.efer]).toEqual([0x11n, 0n, 0n, 0n]);
  expect(sregs.cs).toMatchObject({
    base: 0n,
    limit: 0xffff_ffff,
    type: 0xb,
    present: 1,
    dpl: 0,
    db: 1,
    s: 1,
    l: 0,
    g: 1,
  });
  for (const segment of [sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss]) {
    expect(segment).toMatchObject({
      base: 0n,
      limit: 0xffff_ffff,
      type: 0x3,
      present: 1,
      db: 1,
      s: 1,
      g: 1,
      unusable: 0,
    });
  }
  expect(sregs.tr).toMatchObject({ base: 0n, limit: 0x67, type: 0xb, present: 1, s: 0 });
  // A kernel that goes back to real mode finds the vectors where firmware has them.
  expect(sregs.idt).toEqual({ base: 0n, limit: 0x3ff });
});

describe("no kernel, in one line that names file and reason", () => {
  const segment = (extra: object) => () =>
    elf({
      bits: 64,
      entry: MiB + 12,
      segments: [{ paddr: MiB, bytes: concat(multibootHeader(0), CODE), ...extra }],
    });
  const flat =
    (...addresses: number[]) =>
    () =>
      concat(multibootHeader(0x1_0000, addresses), CODE);
  const linux = () => {
    const image = new Uint8Array(1024);
    image.set(Buffer.from("HdrS"), 0x202);
    return image;
  };

  test.each<[string, () => Uint8Array | string, string | RegExp]>([
    ["empty", () => "", "not a multiboot, PVH or Linux kernel (bzImage or vmlinux)"],
    ["text", () => "#!/bin/sh\n", "not a multiboot, PVH or Linux kernel (bzImage or vmlinux)"],
    ["bzImage", linux, /a Linux kernel without its boot flag/],
    ["wrong checksum", () => multibootHeader(0, [], 1), "not a multiboot, PVH or Linux kernel (bzImage or vmlinux)"],
    [
      "header too far",
      () => concat(new Uint8Array(8192 - 8), multibootHeader(0)),
      "not a multiboot, PVH or Linux kernel (bzImage or vmlinux)",
    ],
    ["no note", () => pvhElf(64, u32Bytes(MiB), "Xen", 5), "not a multiboot, PVH or Linux kernel (bzImage or vmlinux)"],
    [
      "another's note",
      () => pvhElf(64, u32Bytes(MiB), "Sun", 18),
      "not a multiboot, PVH or Linux kernel (bzImage or vmlinux)",
    ],
    ["note of 2 bytes", () => pvhElf(64, Uint8Array.of(1, 2)), "PVH entry note has 2 bytes"],
    ["note points nowhere", () => pvhElf(64, u32Bytes(0x50_0000)), "entry point 0x500000 lies outside the kernel"],
    ["video", () => multibootHeader(4), /asks for a video mode/],
    ["unknown demand", () => multibootHeader(0x8000), /asks for multiboot features 0x8000/],
    ["header alone", () => multibootHeader(0), /without addresses in a file that is not ELF/],
    ["ARM", () => elf({ bits: 64, machine: 183, entry: 0, segments: [] }), /another processor/],
    ["class 3", () => elf({ bits: 64, elfClass: 3, entry: 0, segments: [] }), /unknown class/],
    [
      "shared object",
      () => elf({ bits: 64, type: 3, entry: 0, segments: [] }),
      /not an executable with fixed addresses/,
    ],
    ["cut off", () => elf({ bits: 64, entry: 0, segments: [] }).slice(0, 40), /ELF header lies outside the file/],
    ["headers outside", () => elf({ bits: 64, entry: 0, segments: [], phnum: 9 }), /program header table lies outside/],
    ["odd headers", () => elf({ bits: 64, entry: 0, segments: [], phnum: 1, phentsize: 8 }), /unknown size/],
    ["segment outside the file", segment({ offset: 2 ** 33 }), "ELF segment lies outside the file"],
    ["segment past 2^63", segment({ offset: 2n ** 64n - 1n }), "ELF segment lies outside the file"],
    ["segment shrinks", segment({ memorySize: 1 }), /larger in the file than in memory/],
    ["segment too large", segment({ memorySize: RAM }), "does not fit in RAM: needs 17 MiB of 16 MiB"],
    ["segment above 4 GiB", segment({ paddr: 2 ** 32 }), /lies above 4 GiB/],
    ["segment at 2^64", segment({ paddr: 2n ** 64n - 1n }), /lies above 4 GiB/],
    [
      "segment in the hole",
      segment({ paddr: 0x9_fff8 }),
      "ELF segment at 0x9fff8 lies in the hole of the first megabyte",
    ],
    ["nothing to load", segment({ type: 5 }), "ELF with nothing to load"],
    ["flat, header before load", flat(MiB, MiB + 4, 0, 0, MiB), /does not fit the header's place/],
    ["flat, before the file", flat(MiB + 4, MiB, 0, 0, MiB), /does not fit the header's place/],
    ["flat, backwards", flat(MiB, MiB, MiB - 1, 0, MiB), /run backwards/],
    ["flat, bss backwards", flat(MiB, MiB, MiB + 36, MiB + 8, MiB), /run backwards/],
    ["flat, past the end", flat(MiB, MiB, MiB + 37, 0, MiB), /reach past the end of the file/],
    ["flat, entry outside", flat(MiB, MiB, 0, 0, MiB + 36), "entry point 0x100024 lies outside the kernel"],
    ["flat, too large", flat(MiB, MiB, 0, 0xffff_ffff, MiB), "does not fit in RAM: needs 4096 MiB of 16 MiB"],
    ["flat, cut off", () => multibootHeader(0x1_0000, [MiB]), /address fields are cut off/],
  ])("%s", (name, make, reason) => {
    const path = file("bad", make());
    let message = "";
    try {
      boot(path);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message.startsWith(`${path}: `), name).toBe(true);
    expect(message.slice(path.length + 2)).toMatch(reason);
    expect(message).not.toContain("\n");
  });

  test("segments that overlap", () => {
    const image = elf({
      bits: 32,
      entry: MiB,
      segments: [
        { paddr: MiB, bytes: concat(multibootHeader(0), CODE) },
        { paddr: MiB + 8, bytes: CODE },
      ],
    });
    expect(() => boot(file("overlap", image))).toThrow(/ELF segment at 0x100008 overlaps another part of the kernel/);
  });

  test("missing, a folder, a pipe", () => {
    expect(() => boot(join(folder, "nowhere"))).toThrow(`${folder}/nowhere: cannot be read: no such file or directory`);
    expect(() => boot(folder)).toThrow(`${folder}: cannot be read: is a directory`);
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    expect(() => boot(pipe)).toThrow(`${pipe}: cannot be read: not a regular file`);
  });

  test("modules: missing, too large, without a name", () => {
    const kernel = file("k", multibootElf32());
    expect(() => boot(kernel, "", "/no/such,x")).toThrow("/no/such: cannot be read: no such file or directory");
    expect(() => boot(kernel, "", "")).toThrow("-initrd: a file name is missing");
    const large = file("large", new Uint8Array(15 * MiB));
    expect(() => boot(kernel, "", large)).toThrow(`${large}: does not fit in RAM: needs 17 MiB of 16 MiB`);
  });

  test("a command line too long for any gap", () => {
    expect(() => boot(file("k2", multibootElf32()), "x".repeat(RAM))).toThrow(/k2: does not fit in RAM/);
  });
});

test("random damage to a good kernel gives a kernel or one line, never anything else", () => {
  let x = 12345;
  const next = (below: number) => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x % below;
  };
  const good = [multibootElf32(), pvhElf(32), pvhElf(64)];
  const map = memoryMap(RAM);
  const memory = new GuestMemory(new ArrayBuffer(RAM), map.slots);
  let refused = 0;
  for (let round = 0; round < 600; round++) {
    const image = good[round % good.length]!.slice();
    for (let n = next(4); n >= 0; n--) image[next(image.length)] = [0, 1, 0x7f, 0x80, 0xff, next(256)][next(6)]!;
    const path = file("damaged", next(5) === 0 ? image.slice(0, next(image.length)) : image);
    try {
      loadKernel({ kernel: path, initrd: undefined, append: "" }, memory, map.entries);
    } catch (error) {
      refused++;
      expect((error as Error).name).toBe("LoaderError");
      expect((error as Error).message).toMatch(/^[^\n]*damaged: [^\n]+$/);
    }
  }
  expect(refused).toBeGreaterThan(100);
});
