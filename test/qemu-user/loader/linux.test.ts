/**
 * Linux kernels: what the loader puts into the zero page and into the registers, and headers that lie.
 * Document: Documentation/arch/x86/boot.rst, zero-page.rst.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type LoadedKernel, loadKernel } from "../../../qemu-user/loader/loader.ts";
import { memoryMap } from "../../../qemu-user/machine/memory-map.ts";
import { GuestMemory } from "../../../shared/guest-memory.ts";
import { concat, elf, note, PT_NOTE, u32Bytes } from "../support/images.ts";

const MiB = 1024 * 1024;
const RAM = 64 * MiB;
const CODE = Uint8Array.of(0xde, 0xad, 0xbe, 0xef);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "linux-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

type Header = Partial<
  Record<
    "version" | "setupSects" | "loadflags" | "alignment" | "xloadflags" | "cmdlineSize" | "initSize" | "flag",
    number
  >
> & {
  readonly relocatable?: boolean;
  readonly pref?: bigint;
  readonly initrdMax?: number;
};

/** A bzImage with one setup sector, unless said otherwise. */
function image(header: Header = {}, code = CODE): Buffer {
  const sectors = header.setupSects ?? 1;
  const file = Buffer.alloc(((sectors || 4) + 1) * 512);
  file.writeUInt8(sectors, 0x1f1);
  file.writeUInt16LE(header.flag ?? 0xaa55, 0x1fe);
  file.writeUInt16LE(0x6aeb, 0x200);
  file.write("HdrS", 0x202, "latin1");
  file.writeUInt16LE(header.version ?? 0x20f, 0x206);
  file.writeUInt8(header.loadflags ?? 1, 0x211);
  file.writeUInt32LE(header.initrdMax ?? 0x7fff_ffff, 0x22c);
  file.writeUInt32LE(header.alignment ?? 2 * MiB, 0x230);
  file.writeUInt8(header.relocatable === false ? 0 : 1, 0x234);
  file.writeUInt16LE(header.xloadflags ?? 1, 0x236);
  file.writeUInt32LE(header.cmdlineSize ?? 2047, 0x238);
  file.writeBigUInt64LE(header.pref ?? BigInt(16 * MiB), 0x258);
  file.writeUInt32LE(header.initSize ?? MiB, 0x260);
  return Buffer.concat([file, code]);
}

function path(name: string, content: Uint8Array): string {
  const at = join(folder, name);
  writeFileSync(at, content);
  return at;
}

function boot(
  kernel: Uint8Array,
  append = "",
  initrd?: Uint8Array,
): { memory: GuestMemory; loaded: LoadedKernel; zero: number } {
  const map = memoryMap(RAM);
  const memory = new GuestMemory(new ArrayBuffer(RAM), map.slots);
  memory.fill(0, RAM, 0xcc); // whatever was there before must not show
  const files = { kernel: path("kernel", kernel), initrd: initrd && path("initrd", initrd), append };
  const loaded = loadKernel(files, memory, map.entries);
  return { memory, loaded, zero: Number(loaded.regs.rsi) };
}

function text(memory: GuestMemory, at: number): string {
  let end = at;
  while (memory.readU8(end) !== 0) end++;
  return Buffer.from(memory.slice(at, end - at)!).toString();
}

describe("the 64-bit entry", () => {
  test("is 0x200 behind where the kernel wants to be, in 64-bit mode", () => {
    const { memory, loaded } = boot(image());
    expect(loaded).toMatchObject({ kind: "linux", entry: 16 * MiB + 0x200 });
    expect([...memory.slice(16 * MiB, 4)!]).toEqual([...CODE]);
    expect(loaded.sregs).toMatchObject({ efer: 0x500n, cr4: 0x20n, cr0: 0x8000_0011n });
    expect(loaded.sregs.cs).toMatchObject({ selector: 0x10, l: 1, db: 0 });
    expect(loaded.sregs.ds).toMatchObject({ selector: 0x18 });
  });

  test("has tables that map each of the first 4 GiB to itself", () => {
    const { memory, loaded } = boot(image());
    const entry = (at: number) => memory.readU32(at) & ~0xfff;
    const pdpt = entry(Number(loaded.sregs.cr3));
    for (const address of [0, 2 * MiB, 16 * MiB, 0xe000_0000, 0xffff_ffff]) {
      const directory = entry(pdpt + Math.floor(address / 2 ** 30) * 8);
      const at = directory + (Math.floor(address / (2 * MiB)) % 512) * 8;
      expect(memory.readU32(at)).toBe(((address & -(2 * MiB)) | 0x83) >>> 0);
      expect(memory.readU32(at + 4)).toBe(0);
    }
  });

  test("has the GDT that the protocol asks for", () => {
    const { memory, loaded } = boot(image());
    const gdt = Number(loaded.sregs.gdt.base);
    expect([memory.readU32(gdt + 0x10), memory.readU32(gdt + 0x14)]).toEqual([0xffff, 0x00af_9a00]);
    expect([memory.readU32(gdt + 0x18), memory.readU32(gdt + 0x1c)]).toEqual([0xffff, 0x00cf_9200]);
  });
});

test("a kernel without it starts at its beginning, in flat protected mode", () => {
  const { loaded } = boot(image({ xloadflags: 0 }));
  expect(loaded).toMatchObject({ entry: 16 * MiB, sregs: { efer: 0n, cr3: 0n, cr0: 0x11n } });
  expect(loaded.sregs.cs).toMatchObject({ selector: 0x10, l: 0, db: 1 });
});

describe("the zero page", () => {
  test("has the kernel's header, the command line, and nothing of what was in memory before", () => {
    const { memory, zero } = boot(image(), "console=ttyS0 quiet");
    expect(memory.readU32(zero + 0x202)).toBe(0x5372_6448);
    expect(text(memory, memory.readU32(zero + 0x228))).toBe("console=ttyS0 quiet");
    expect(memory.readU8(zero + 0x210)).toBe(0xff);
    expect(memory.readU8(zero + 0x211)).toBe(0x81);
    expect(memory.readU32(zero + 0x214)).toBe(16 * MiB);
    expect([...memory.slice(zero, 0x1e0)!].filter((byte) => byte === 0xcc)).toEqual([]);
    expect(memory.readU32(zero + 0x218)).toBe(0);
  });

  test("has the memory map", () => {
    const { memory, zero } = boot(image());
    const map = memoryMap(RAM).entries;
    expect(memory.readU8(zero + 0x1e8)).toBe(map.length);
    map.forEach(({ base, size, type }, i) => {
      const at = zero + 0x2d0 + 20 * i;
      expect([0, 4, 8, 12, 16].map((offset) => memory.readU32(at + offset))).toEqual([base, 0, size, 0, type]);
    });
  });

  test("says where the initrd is: as high as the kernel and RAM allow, on a page of its own", () => {
    const disk = Buffer.alloc(5000, 0x5a);
    for (const [initrdMax, base] of [
      [0x7fff_ffff, RAM - 8192],
      [40 * MiB - 1, 40 * MiB - 8192],
    ] as const) {
      const { memory, zero } = boot(image({ initrdMax }), "", disk);
      expect(memory.readU32(zero + 0x218)).toBe(base);
      expect(memory.readU32(zero + 0x21c)).toBe(5000);
      expect(Buffer.from(memory.slice(base, 5000)!).equals(disk)).toBe(true);
    }
  });
});

test("where the kernel would like to be is no RAM: it goes to the lowest place that its alignment allows", () => {
  const { loaded } = boot(image({ pref: BigInt(RAM) }));
  expect(loaded.entry).toBe(2 * MiB + 0x200);
});

test("a kernel older than pref_address goes to 1 MiB", () => {
  expect(boot(image({ version: 0x206, xloadflags: 0 })).loaded.entry).toBe(MiB);
});

describe("a vmlinux", () => {
  const AT = 16 * MiB;
  const BUILD_SALT = note("Linux", 0x100, u32Bytes(0));
  const PVH = note("Xen", 18, u32Bytes(AT + 2));
  const vmlinux = (bits: 32 | 64, notes = BUILD_SALT, entry: number | bigint = AT): Uint8Array =>
    elf({
      bits,
      machine: bits === 64 ? 62 : 3,
      entry,
      segments: [
        { vaddr: bits === 64 ? 0xffff_ffff_8100_0000n : 0xc100_0000, paddr: AT, bytes: CODE, memorySize: MiB },
        { type: PT_NOTE, paddr: 0, bytes: notes },
      ],
    });

  test("starts at its ELF entry, physical or virtual, in the state that its class asks for", () => {
    const { memory, loaded } = boot(vmlinux(64));
    expect(loaded).toMatchObject({ kind: "linux", entry: AT, sregs: { efer: 0x500n, cr4: 0x20n, cr0: 0x8000_0011n } });
    expect(loaded.sregs.cs).toMatchObject({ selector: 0x10, l: 1, db: 0 });
    expect([...memory.slice(AT, 8)!]).toEqual([...CODE, 0, 0, 0, 0]);
    expect(boot(vmlinux(64, BUILD_SALT, 0xffff_ffff_8100_0001n)).loaded.entry).toBe(AT + 1);
    expect(boot(vmlinux(32)).loaded).toMatchObject({
      kind: "linux",
      entry: AT,
      sregs: { efer: 0n, cr3: 0n, cr0: 0x11n },
    });
    expect(boot(vmlinux(32, BUILD_SALT, 0xc100_0002)).loaded.entry).toBe(AT + 2);
  });

  test("gets a zero page with a header made for it, the command line and the initrd", () => {
    const { memory, zero } = boot(vmlinux(64), "quiet", Buffer.alloc(5000, 0x5a));
    expect([0x1fe, 0x206].map((at) => memory.readU16(zero + at))).toEqual([0xaa55, 0x20f]);
    expect([0x202, 0x214, 0x218, 0x21c].map((at) => memory.readU32(zero + at))).toEqual([
      0x5372_6448,
      AT,
      RAM - 8192,
      5000,
    ]);
    expect([memory.readU8(zero + 0x210), memory.readU8(zero + 0x211)]).toEqual([0xff, 0x81]);
    expect(text(memory, memory.readU32(zero + 0x228))).toBe("quiet");
    expect(memory.readU8(zero + 0x1e8)).toBe(memoryMap(RAM).entries.length);
    expect([...memory.slice(zero, 0x1e0)!].filter((byte) => byte === 0xcc)).toEqual([]);
  });

  test("with a PVH note starts there, as with QEMU", () => {
    expect(boot(vmlinux(64, concat(BUILD_SALT, PVH))).loaded).toMatchObject({ kind: "pvh", entry: AT + 2 });
  });

  test.each<[string, Uint8Array, RegExp]>([
    ["another's notes", vmlinux(64, note("Other", 0x100, u32Bytes(0))), /not a multiboot, PVH or Linux kernel/],
    ["an entry outside", vmlinux(64, BUILD_SALT, 8 * MiB), /entry point 0x800000 lies outside the kernel/],
    ["an entry where nothing can be", vmlinux(64, BUILD_SALT, 0xffff_0000_0000_0000n), /lies outside the kernel/],
  ])("%s: an error", (_name, kernel, message) => {
    expect(() => boot(kernel)).toThrow(message);
  });

  test("takes 2047 bytes of command line", () => {
    boot(vmlinux(64), "x".repeat(2047));
    expect(() => boot(vmlinux(64), "x".repeat(2048))).toThrow(/-append has 2048 bytes, this kernel takes 2047/);
  });
});

describe("what cannot be booted, and why", () => {
  test.each<[string, Uint8Array, RegExp]>([
    ["no boot flag", image({ flag: 0 }), /without its boot flag/],
    ["an old protocol", image({ version: 0x201 }), /boot protocol 2.01 is older than 2.06/],
    ["a zImage", image({ loadflags: 0 }), /zImage/],
    ["nothing behind the setup sectors", image({}, new Uint8Array(0)), /cut off/],
    ["more setup sectors than the file has", image({ setupSects: 1 }).fill(200, 0x1f1, 0x1f2), /cut off/],
    ["a file that ends in its header", image().subarray(0, 0x300), /header lies outside the file/],
    ["an alignment that is none", image({ pref: BigInt(RAM), alignment: 3 }), /kernel_alignment 0x3/],
    ["room for nothing", image({ initSize: RAM }), /RAM|memory/],
    ["room beyond 4 GiB", image({ initSize: 0xffff_ffff }), /RAM|memory|GiB/],
    ["a fixed place outside RAM", image({ relocatable: false, pref: 0xffff_ffff_ffff_f000n }), /4 GiB/],
    ["a fixed place over the vectors", image({ relocatable: false, pref: 0xa0000n }), /hole/],
  ])("%s", (_name, kernel, message) => {
    expect(() => boot(kernel)).toThrow(message);
  });

  test("a command line longer than the kernel takes", () => {
    expect(() => boot(image({ cmdlineSize: 3 }), "four")).toThrow(/-append has 4 bytes, this kernel takes 3/);
    boot(image({ cmdlineSize: 4 }), "four");
  });

  test("an initrd that does not fit, or that the kernel cannot reach", () => {
    expect(() => boot(image(), "", new Uint8Array(50 * MiB))).toThrow(/initrd: no room/);
    expect(() => boot(image({ initrdMax: 4095 }), "", CODE)).toThrow(/initrd: no room/);
  });
});
