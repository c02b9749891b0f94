/**
 * Memory files and mappings of the native addon.
 * Implements: memfd_create(2), fcntl(2) "File Sealing", fallocate(2), mmap(2).
 * Leaves out: refused arguments (test/shared/native.test.ts).
 */
import fs from "node:fs";
import { setImmediate } from "node:timers/promises";
import v8 from "node:v8";
import vm from "node:vm";
import { describe, expect, it } from "vitest";
import * as native from "../../../shared/native.ts";
import { inProcess, inShell, memfd, PAGE, wasmBytes } from "./support.ts";

describe("memory files", () => {
  it("makes a file of the size asked for, closed on exec, without seals", () => {
    const fd = memfd(3 * PAGE, "guest-ram");
    expect(fs.fstatSync(fd).size).toBe(3 * PAGE);
    expect(fs.readlinkSync(`/proc/self/fd/${fd}`)).toBe("/memfd:guest-ram (deleted)");
    expect(fs.readFileSync(`/proc/self/fdinfo/${fd}`, "utf8")).toMatch(/flags:\s*02\d{6}$/m); // O_CLOEXEC is 02000000
    expect(native.getSeals(fd)).toBe(0);
  });

  it("leaves no descriptor behind when the size cannot be", () => {
    const { output } = inShell(
      "ulimit -f 8",
      `import fs from "node:fs";
       process.on("SIGXFSZ", () => {});
       const before = fs.readdirSync("/proc/self/fd").length;
       let error;
       try { native.memfdCreate("huge", 1 << 20); } catch (thrown) { error = thrown; }
       console.log(error.message, fs.readdirSync("/proc/self/fd").length - before);`,
    );
    expect(output).toBe("EFBIG: file too large, ftruncate 0\n");
  });

  it("refuses to change the size of a sealed file, and further seals", () => {
    const fd = memfd();
    native.addSeals(fd, native.SEALS_FIXED);
    expect(native.getSeals(fd)).toBe(native.F_SEAL_SHRINK | native.F_SEAL_GROW | native.F_SEAL_SEAL);
    expect(() => fs.ftruncateSync(fd, 0)).toThrow(expect.objectContaining({ code: "EPERM" }));
    expect(() => fs.ftruncateSync(fd, 3 * PAGE)).toThrow(expect.objectContaining({ code: "EPERM" }));
    expect(() => native.addSeals(fd, native.F_SEAL_WRITE)).toThrow(expect.objectContaining({ code: "EPERM" }));
  });

  it("gives back the pages of a punched hole", () => {
    const fd = memfd();
    fs.writeSync(fd, Buffer.alloc(2 * PAGE, 7));
    expect(fs.fstatSync(fd).blocks).toBe((2 * PAGE) / 512);
    native.fallocate(fd, native.FALLOC_FL_PUNCH_HOLE | native.FALLOC_FL_KEEP_SIZE, PAGE, PAGE);
    expect(fs.fstatSync(fd)).toMatchObject({ size: 2 * PAGE, blocks: PAGE / 512 });
    const bytes = Buffer.alloc(2 * PAGE);
    fs.readSync(fd, bytes, 0, bytes.length, 0);
    expect([bytes[PAGE - 1], bytes[PAGE], bytes[2 * PAGE - 1]]).toEqual([7, 0, 0]);
    expect(() => native.fallocate(fd, 0, 0, 0)).toThrow(
      expect.objectContaining({ code: "EINVAL", syscall: "fallocate" }),
    );
  });
});

describe("mappings", () => {
  const RW = native.PROT_READ | native.PROT_WRITE;

  it("shows one file's bytes through two WebAssembly memories, at the offset asked for", () => {
    const fd = memfd();
    const [one, other] = [wasmBytes(), wasmBytes()];
    native.mapFixed(one, 4 * PAGE, 2 * PAGE, fd, 0, RW);
    native.mapFixed(other, 0, PAGE, fd, PAGE, RW);
    one[5 * PAGE + 3] = 42;
    expect(other[3]).toBe(42);
    other[4] = 43;
    expect(one[5 * PAGE + 4]).toBe(43);
    const read = Buffer.alloc(1);
    fs.readSync(fd, read, 0, 1, PAGE + 3);
    expect(read[0]).toBe(42);
    expect(other[PAGE + 3]).toBe(0); // the page after it is still the memory's own
  });

  it("counts a range from the start of the view", () => {
    const fd = memfd();
    fs.writeSync(fd, Buffer.from([9]));
    const bytes = wasmBytes();
    native.mapFixed(bytes.subarray(2 * PAGE), PAGE, PAGE, fd, 0, native.PROT_READ);
    expect([bytes[0], bytes[PAGE], bytes[2 * PAGE], bytes[3 * PAGE]]).toEqual([0, 0, 0, 9]);
  });

  it("refuses a file's range that is misaligned or beyond the file's end", () => {
    const fd = memfd();
    const bytes = wasmBytes();
    expect(() => native.mapFixed(bytes, 0, PAGE, fd, 1, RW)).toThrow(RangeError);
    expect(() => native.mapFixed(bytes, 0, 2 * PAGE, fd, PAGE, RW)).toThrow(RangeError);
    expect(() => native.mapFixed(bytes, 0, PAGE, fd, 2 ** 52, RW)).toThrow(RangeError);
    expect(() => native.mapReadOnly(fd, 2 * PAGE + 1)).toThrow(RangeError);
    expect(() => native.mapReadOnly(fd, 0)).toThrow(RangeError);
  });

  it("replaces a mapping by zero pages of its own", () => {
    const fd = memfd();
    const bytes = wasmBytes();
    native.mapFixed(bytes, 0, PAGE, fd, 0, RW);
    bytes[0] = 7;
    native.mapAnonymous(bytes, 0, PAGE);
    expect(bytes[0]).toBe(0);
    bytes[0] = 8;
    const read = Buffer.alloc(1);
    fs.readSync(fd, read, 0, 1, 0);
    expect(read[0]).toBe(7);
  });

  it("follows the file in a read-only buffer", () => {
    const fd = memfd();
    const words = new Uint32Array(native.mapReadOnly(fd, 2 * PAGE));
    expect(words.byteLength).toBe(2 * PAGE);
    fs.writeSync(fd, Buffer.from([1, 2, 0, 0]), 0, 4, PAGE);
    expect(Atomics.load(words, PAGE / 4)).toBe(0x201);
  });

  it("unmaps a read-only buffer once it is collected", async () => {
    v8.setFlagsFromString("--expose-gc");
    const collect: () => void = vm.runInNewContext("gc");
    const mapped = () => fs.readFileSync("/proc/self/maps", "utf8").includes("/memfd:collected");
    const fd = memfd(PAGE, "collected");
    (() => native.mapReadOnly(fd, PAGE))();
    expect(mapped()).toBe(true);
    await expect
      .poll(async () => {
        collect();
        await setImmediate();
        return mapped();
      })
      .toBe(false);
  });

  it.each([
    ["touching what mapNone left", "native.mapNone(bytes, 0, 4096); bytes[0] = 1;"],
    ["writing to a read-only page", "native.mapFixed(bytes, 0, 4096, fd, 0, native.PROT_READ); bytes[0] = 1;"],
    ["writing to a read-only buffer", "new Uint8Array(native.mapReadOnly(fd, 4096))[0] = 1;"],
  ])("%s is a SIGSEGV", (_name, body) => {
    const { signal } = inProcess(`
      const bytes = new Uint8Array(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer);
      const fd = native.memfdCreate("x", 4096);
      ${body}`);
    expect(signal).toBe("SIGSEGV");
  });
});
