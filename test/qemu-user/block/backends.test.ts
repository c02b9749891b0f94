/** What a failing host and the end of a run do to back ends: aio=async's flushes, aio=sync's last requests. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { AsyncServer } from "../../../qemu-user/block/async-server.ts";
import { RingBackend, SyncBackend } from "../../../qemu-user/block/backends.ts";
import { type BlockInfo, type BlockRequest, FLAG, OP } from "../../../qemu-user/block/block.ts";
import { createRequestRing } from "../../../qemu-user/block/request-ring.ts";
import { ERRNO } from "../../../shared/errno.ts";

const INFO: BlockInfo = {
  size: 4096,
  readOnly: false,
  discard: true,
  writeCache: true,
  writeErrors: "report",
  readErrors: "report",
};

let folder: string;
let path: string;
let fd: number;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "splitvm-backends-"));
  path = join(folder, "disk.img");
  writeFileSync(path, Buffer.alloc(INFO.size, 0x11));
  fd = openSync(path, "r+");
});
afterEach(() => {
  closeSync(fd);
  rmSync(folder, { recursive: true });
});

test("aio=async: a flush that has failed fails for ever, and so does what has to be on the disk", async () => {
  const memory = new SharedArrayBuffer(8192);
  const ring = createRequestRing();
  const sync = { errno: ERRNO.EIO as number, calls: 0 };
  const options = { discard: true, noFlush: false };
  const server = new AsyncServer(
    ring,
    memory,
    fd,
    options,
    () => {},
    (_fd, done) => {
      sync.calls++;
      done(sync.errno === 0 ? null : Object.assign(new Error("refused"), { errno: -sync.errno }));
    },
  );
  const backend = new RingBackend(INFO, { ring, memory, notify: () => server.notified(), stopping: () => false });
  const run = async (op: BlockRequest["op"], flags: number, bytes = 0) => {
    let result = -1;
    const buffers = bytes === 0 ? [] : [new Uint8Array(memory, 0, bytes)];
    const length = op === OP.writeZeroes ? 512 : bytes;
    backend.submit({ op, flags, offset: 512, length, buffers }, (given) => {
      result = given;
    });
    await server.drain();
    backend.poll();
    return result;
  };
  sync.errno = 0;
  expect(await run(OP.writeZeroes, FLAG.FUA)).toBe(0);
  expect([sync.calls, readFileSync(path)[512], readFileSync(path)[1024]]).toEqual([1, 0, 0x11]);
  sync.errno = ERRNO.EIO;
  expect(await run(OP.flush, 0)).toBe(ERRNO.EIO);
  sync.errno = 0; // the host says that all is well, and has forgotten what it lost
  expect(await run(OP.flush, 0)).toBe(ERRNO.EIO);
  expect(await run(OP.write, FLAG.FUA, 512)).toBe(ERRNO.EIO);
  expect(await run(OP.writeZeroes, FLAG.FUA)).toBe(ERRNO.EIO);
  expect(await run(OP.write, 0, 512)).toBe(0);
});

test("aio=sync: what comes when the thread is to end is not begun", () => {
  const seen: number[] = [];
  let stopping = false;
  const image = {
    run: ({ offset }: BlockRequest) => {
      seen.push(offset);
      return 0;
    },
  };
  const backend = new SyncBackend(INFO, image, () => stopping);
  let answers = 0;
  const submit = (offset: number) =>
    backend.submit({ op: OP.flush, flags: 0, offset, length: 0, buffers: [] }, () => answers++);
  submit(0);
  stopping = true;
  submit(512);
  expect([seen, answers]).toEqual([[0], 1]);
});
