/** Drives end to end: requests from a device's thread, served at once, by I/O threads, and by the event loop. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, describe, expect, test } from "vitest";
import { type BlockBackend, type BlockRequest, OP } from "../../../qemu-user/block/block.ts";
import type { DriveOption } from "../../../qemu-user/block/drive.ts";
import { BlockHost } from "../../../qemu-user/device/block-host.ts";
import { connectDrives } from "../../../qemu-user/device/drives.ts";
import { drive } from "./support.ts";

const FOLDER = mkdtempSync(join(tmpdir(), "splitvm-drives-"));
afterAll(() => rmSync(FOLDER, { recursive: true }));

const SIZE = 1024 * 1024;
const MEMORY = new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true });
const ram = (at: number, length: number) => new Uint8Array(MEMORY.buffer, at, length);

let made = 0;
function image(): string {
  const path = join(FOLDER, `${made++}.img`);
  writeFileSync(path, Buffer.alloc(SIZE, 0x11));
  return path;
}

/** Names of this process's threads. */
const threads = () =>
  readdirSync("/proc/self/task").map((task) => {
    try {
      return readFileSync(`/proc/self/task/${task}/comm`, "utf8").trim();
    } catch {
      return ""; // it ended meanwhile
    }
  });

/** Drives, and a device's thread that polls: this one. Doorbells ring at `area` 0, or by message at -1. */
async function withDrives(
  options: readonly DriveOption[],
  act: (backends: readonly BlockBackend[], host: BlockHost) => Promise<void>,
  area = 0,
): Promise<{ notices: number }> {
  const failures: Error[] = [];
  let notices = 0;
  const host = new BlockHost(options, {
    memory: MEMORY,
    area,
    notify: () => notices++,
    onFailure: (error) => failures.push(error),
  });
  const backends = connectDrives(host.starts, {
    memory: MEMORY.buffer,
    tellMain: (id) => host.notified(id),
    stopping: () => false,
  });
  try {
    await act([...backends.values()], host);
  } finally {
    await host.close();
  }
  expect(failures).toEqual([]);
  return { notices };
}

/** Submits and waits, letting the event loop run. */
async function run(backend: BlockBackend, request: BlockRequest): Promise<number> {
  let result = -1;
  backend.submit(request, (given) => {
    result = given;
  });
  for (const end = Date.now() + 10_000; result < 0 && Date.now() < end; ) {
    backend.poll();
    await setTimeout(1);
  }
  return result;
}

function request(op: BlockRequest["op"], offset: number, ...buffers: Uint8Array[]): BlockRequest {
  return { op, flags: 0, offset, length: buffers.reduce((sum, { length }) => sum + length, 0), buffers };
}

describe.each(["sync", "threads", "async"] as const)("aio=%s", (aio) => {
  test("writes, flushes and reads, in many small pieces, too", async () => {
    const path = image();
    await withDrives([drive(path, { aio })], async ([disk]) => {
      const pieces = Array.from({ length: 200 }, (_, n) => ram(65536 + 1024 * n, 512));
      for (const [n, piece] of pieces.entries()) piece.fill(n);
      expect(await run(disk!, request(OP.write, 512, ...pieces))).toBe(0);
      expect(await run(disk!, request(OP.flush, 0))).toBe(0);
      const file = readFileSync(path);
      expect([file[511], file[512], file[512 * 100], file[512 * 200], file[512 * 201]]).toEqual([
        0x11, 0, 99, 199, 0x11,
      ]);
      const back = ram(1024 * 1024, 200 * 512);
      expect(await run(disk!, request(OP.read, 512, back))).toBe(0);
      expect([back[0], back[512 * 150]]).toEqual([0, 150]);
      expect(await run(disk!, { op: OP.writeZeroes, flags: 0, offset: 512, length: 1024, buffers: [] })).toBe(0);
      expect(readFileSync(path)[512 * 2]).toBe(0);
    });
  });

  test("takes more requests at once than its ring has slots, and tells of each once", async () => {
    await withDrives([drive(image(), { aio })], async ([disk]) => {
      const results: number[] = [];
      let batches = 0;
      disk!.onBatch = () => batches++;
      for (let n = 0; n < 300; n++) {
        disk!.submit(request(OP.write, n * 512, ram(65536 + n * 512, 512).fill(n)), (result) => results.push(result));
      }
      for (const end = Date.now() + 10_000; results.length < 300 && Date.now() < end; ) {
        disk!.poll();
        await setTimeout(1);
      }
      expect(results).toEqual(new Array(300).fill(0));
      expect(batches).toBeLessThanOrEqual(300);
      const back = ram(1024 * 1024, 512);
      expect(await run(disk!, request(OP.read, 299 * 512, back))).toBe(0);
      expect(back[0]).toBe(299 & 0xff);
    });
  });

  test("gives the host's errno", async () => {
    await withDrives([drive(image(), { aio, readOnly: true })], async ([disk]) => {
      expect(await run(disk!, request(OP.write, 0, ram(0, 512)))).toBe(9); // EBADF: the descriptor cannot write
    });
  });
});

test("drain() waits for an I/O thread without an event loop", async () => {
  await withDrives([drive(image())], async ([disk]) => {
    let results = 0;
    for (let n = 0; n < 100; n++) disk!.submit(request(OP.write, n * 512, ram(65536, 512)), () => results++);
    disk!.drain();
    expect(results).toBe(100);
    expect(disk!.poll()).toBe(false);
  });
});

test("an overlay in an I/O thread", async () => {
  const path = image();
  await withDrives([drive(path, { snapshot: true })], async ([disk]) => {
    expect(await run(disk!, request(OP.write, 65536 - 512, ram(65536, 1024).fill(0x77)))).toBe(0);
    const back = ram(1024 * 1024, 2048);
    expect(await run(disk!, request(OP.read, 65536 - 1024, back))).toBe(0);
    expect([back[511], back[512], back[1535], back[1536]]).toEqual([0x11, 0x77, 0x77, 0x11]);
  });
  expect(readFileSync(path).every((byte) => byte === 0x11)).toBe(true);
});

test("disks that name the same iothread share it, others have one each, and none stays", async () => {
  const options = [
    drive(image(), { id: "a", ioThread: "io0" }),
    drive(image(), { id: "b", ioThread: "io0" }),
    drive(image(), { id: "c" }),
  ];
  await withDrives(options, async (disks) => {
    for (const disk of disks) expect(await run(disk, request(OP.flush, 0))).toBe(0);
    expect(
      threads()
        .filter((name) => name.startsWith("io "))
        .sort(),
    ).toEqual(["io c", "io io0"]);
  });
  expect(threads().filter((name) => name.startsWith("io "))).toEqual([]);
});

test("in message mode an I/O thread tells by messages", async () => {
  const { notices } = await withDrives(
    [drive(image())],
    async ([disk]) => {
      expect(await run(disk!, request(OP.flush, 0))).toBe(0);
      await setTimeout(50);
    },
    -1,
  );
  expect(notices).toBe(1);
});

test("nothing stays open if one image is refused", () => {
  const path = image();
  const options = [drive(path), drive(join(FOLDER, "none"), { id: "d1" })];
  const host = { memory: MEMORY, area: -1, notify: () => {}, onFailure: () => {} };
  expect(() => new BlockHost(options, host)).toThrow(/none: there is no such image/);
  const links = readdirSync("/proc/self/fd");
  expect(() => new BlockHost(options, host)).toThrow(/none: there is no such image/); // and not: it is open already
  expect(readdirSync("/proc/self/fd").length).toBe(links.length);
});
