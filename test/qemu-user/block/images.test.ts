/** Images on the host: raw files and overlays, what a host refuses, locks. */
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type BlockRequest, FLAG, OP, sliceBuffers } from "../../../qemu-user/block/block.ts";
import { closeDrive, imageOf, openDrive } from "../../../qemu-user/block/drive.ts";
import { type FileCalls, HOST_CALLS } from "../../../qemu-user/block/host-file.ts";
import { CLUSTER, OverlayImage } from "../../../qemu-user/block/overlay.ts";
import { RawImage } from "../../../qemu-user/block/raw-file.ts";
import { ERRNO } from "../../../shared/errno.ts";
import { drive } from "./support.ts";

const FOLDER = mkdtempSync(join(tmpdir(), "splitvm-block-"));
afterAll(() => rmSync(FOLDER, { recursive: true }));

let made = 0;
/** A file whose byte n is n / 512, so that each sector is known by its bytes. */
function file(size: number): string {
  const path = join(FOLDER, `${made++}.img`);
  writeFileSync(path, Buffer.from(Uint8Array.from({ length: size }, (_, n) => (n >> 9) & 0xff)));
  return path;
}

const bytes = (length: number, value: number) => new Uint8Array(length).fill(value);
const read = (offset: number, ...buffers: Uint8Array[]): BlockRequest => request(OP.read, offset, buffers);
const write = (offset: number, ...buffers: Uint8Array[]): BlockRequest => request(OP.write, offset, buffers);

function request(op: BlockRequest["op"], offset: number, buffers: readonly Uint8Array[], flags = 0): BlockRequest {
  return { op, flags, offset, length: buffers.reduce((sum, { length }) => sum + length, 0), buffers };
}

const range = (op: BlockRequest["op"], offset: number, length: number, flags = 0): BlockRequest => ({
  op,
  flags,
  offset,
  length,
  buffers: [],
});

/** The host's calls, of which some go wrong first. */
function calls(wrong: Partial<FileCalls>): FileCalls {
  return { ...HOST_CALLS, ...wrong };
}

const refuse = (errno: number) => () => {
  throw Object.assign(new Error("refused"), { errno: -errno });
};

test("sliceBuffers cuts across buffers", () => {
  const buffers = [Uint8Array.of(0, 1), new Uint8Array(0), Uint8Array.of(2, 3, 4), Uint8Array.of(5)];
  expect(sliceBuffers(buffers, 1, 3).map((b) => [...b])).toEqual([[1], [2, 3]]);
  expect(sliceBuffers(buffers, 5, 9).map((b) => [...b])).toEqual([[5]]);
  expect(sliceBuffers(buffers, 6, 9)).toEqual([]);
});

describe("a raw image", () => {
  const options = { discard: true, noFlush: false };
  const raw = (path: string, wrong: Partial<FileCalls> = {}) =>
    new RawImage(openSync(path, "r+"), options, calls(wrong));

  test("scatters and gathers", () => {
    const image = raw(file(4096));
    const [a, b] = [bytes(100, 0), bytes(924, 0)];
    expect(image.run(read(1024, a, b))).toBe(0);
    expect([a[99], b[0], b[411], b[412], b[923]]).toEqual([2, 2, 2, 3, 3]);
    expect(image.run(write(512, bytes(300, 7), bytes(212, 8)))).toBe(0);
    const sector = bytes(512, 0);
    expect(image.run(read(512, sector))).toBe(0);
    expect([sector[299], sector[300]]).toEqual([7, 8]);
  });

  test("goes on after short transfers and interruptions", () => {
    let turn = 0;
    const some: (real: FileCalls["readv"]) => FileCalls["readv"] = (real) => (fd, buffers, position) => {
      if (turn++ % 2 === 0) return refuse(ERRNO.EINTR)();
      return real(fd, [buffers[0]!.subarray(0, 100)], position);
    };
    const path = file(4096);
    const image = raw(path, { readv: some(HOST_CALLS.readv), writev: some(HOST_CALLS.writev) });
    expect(image.run(write(1024, bytes(512, 9), bytes(512, 10)))).toBe(0);
    expect([...readFileSync(path).subarray(1023, 1025), readFileSync(path)[2047]]).toEqual([1, 9, 10]);
    const back = bytes(1024, 0);
    expect(image.run(read(1024, back))).toBe(0);
    expect([back[0], back[511], back[512], back[1023]]).toEqual([9, 9, 10, 10]);
  });

  test("takes more buffers than one call does", () => {
    const image = raw(file(2048 * 3));
    const buffers = Array.from({ length: 2048 }, (_, n) => bytes(3, n & 0xff));
    expect(image.run(write(0, ...buffers))).toBe(0);
    const back = bytes(2048 * 3, 0);
    expect(image.run(read(0, back))).toBe(0);
    expect([back[3 * 1023], back[3 * 1024 + 1], back[3 * 2047 + 2]]).toEqual([255, 0, 255]);
  });

  test("reads zeroes where its file was cut", () => {
    const path = file(4096);
    const image = raw(path);
    ftruncateSync(openSync(path, "r+"), 1000);
    const back = bytes(1024, 0xee);
    expect(image.run(read(512, back))).toBe(0);
    expect([back[487], back[488], back[1023]]).toEqual([1, 0, 0]);
  });

  test("gives the host's errno", () => {
    expect(raw(file(512), { writev: refuse(ERRNO.ENOSPC) }).run(write(0, bytes(512, 1)))).toBe(ERRNO.ENOSPC);
    expect(raw(file(512), { readv: refuse(ERRNO.EIO) }).run(read(0, bytes(512, 1)))).toBe(ERRNO.EIO);
    expect(raw(file(512), { writev: () => 0 }).run(write(0, bytes(512, 1)))).toBe(ERRNO.EIO);
    const readOnly = new RawImage(openSync(file(512), "r"), options);
    expect(readOnly.run(write(0, bytes(512, 1)))).toBe(ERRNO.EBADF);
  });

  test("a flush, and a write with FUA, reach fdatasync; cache=unsafe spares both", () => {
    let syncs = 0;
    const counting = calls({ fdatasync: () => syncs++ });
    const fd = openSync(file(512), "r+");
    const image = new RawImage(fd, options, counting);
    image.run(write(0, bytes(512, 1)));
    expect(syncs).toBe(0);
    image.run(range(OP.flush, 0, 0));
    image.run(request(OP.write, 0, [bytes(512, 1)], FLAG.FUA));
    expect(syncs).toBe(2);
    new RawImage(fd, { discard: true, noFlush: true }, counting).run(range(OP.flush, 0, 0));
    expect(syncs).toBe(2);
    expect(raw(file(512), { fdatasync: refuse(ERRNO.EIO) }).run(range(OP.flush, 0, 0))).toBe(ERRNO.EIO);
  });

  test("a flush that has failed fails for ever: the host may have dropped what it could not write", () => {
    let broken = true;
    const fdatasync = () => {
      if (broken) refuse(ERRNO.EIO)();
    };
    const image = raw(file(512), { fdatasync });
    expect(image.run(range(OP.flush, 0, 0))).toBe(ERRNO.EIO);
    broken = false;
    expect(image.run(range(OP.flush, 0, 0))).toBe(ERRNO.EIO);
    expect(image.run(request(OP.write, 0, [bytes(512, 1)], FLAG.FUA))).toBe(ERRNO.EIO);
    expect(image.run(write(0, bytes(512, 1)))).toBe(0);
  });

  test("a discard makes a hole, and only with discard=unmap", () => {
    const path = file(1024 * 1024);
    const before = statSync(path).blocks;
    const fd = openSync(path, "r+");
    new RawImage(fd, { discard: false, noFlush: false }).run(range(OP.discard, 0, 512 * 1024));
    expect(statSync(path).blocks).toBe(before);
    expect(new RawImage(fd, options).run(range(OP.discard, 0, 512 * 1024))).toBe(0);
    expect(statSync(path)).toMatchObject({ size: 1024 * 1024, blocks: before / 2 });
    expect(readFileSync(path)[512 * 1024 - 1]).toBe(0);
    closeSync(fd);
  });

  test("a discard that the file system does not have succeeds", () => {
    for (const errno of [ERRNO.ENODEV, ERRNO.ENOTTY, 38, 95]) {
      expect(raw(file(4096), { fallocate: refuse(errno) }).run(range(OP.discard, 0, 4096))).toBe(0);
    }
    expect(raw(file(4096), { fallocate: refuse(ERRNO.EIO) }).run(range(OP.discard, 0, 4096))).toBe(ERRNO.EIO);
  });

  test.each([0, FLAG.UNMAP])("zeroes with flags %i, also where the file system makes none", (flags) => {
    for (const wrong of [{}, { fallocate: refuse(95) }, { fallocate: refuse(38) }]) {
      const path = file(600 * 1024);
      expect(raw(path, wrong).run(range(OP.writeZeroes, 512, 599 * 1024, flags))).toBe(0);
      const after = readFileSync(path);
      expect(after.length).toBe(600 * 1024);
      expect(after.subarray(512, 512 + 599 * 1024).every((byte) => byte === 0)).toBe(true);
      expect(after[600 * 1024 - 1]).toBe((600 * 2 - 1) & 0xff);
    }
  });
});

describe("an overlay", () => {
  const size = 3 * CLUSTER + 1024; // the last cluster is short
  function overlay(wrong: Partial<FileCalls> = {}) {
    const path = file(size);
    const top = join(FOLDER, `${made++}.top`);
    return { path, top, image: new OverlayImage(openSync(path, "r"), openSync(top, "wx+"), size, calls(wrong)) };
  }

  test("writes and reads across clusters, and leaves the base alone", () => {
    const { path, image } = overlay();
    const before = readFileSync(path);
    const expected = Buffer.from(before);
    const put = (offset: number, length: number, value: number) => {
      expected.fill(value, offset, offset + length);
      expect(image.run(write(offset, bytes(length - 10, value), bytes(10, value)))).toBe(0);
    };
    put(CLUSTER - 512, 1024, 0xa1); // two clusters, a part of each
    put(2 * CLUSTER, CLUSTER, 0xa2); // a whole one
    put(3 * CLUSTER + 512, 512, 0xa3); // the short one
    put(CLUSTER, 512, 0xa4); // one that is the overlay's already
    const back = bytes(size, 0);
    expect(image.run(read(0, ...sliceBuffers([back], 0, 1000), back.subarray(1000)))).toBe(0);
    expect(Buffer.compare(back, expected)).toBe(0);
    expect(Buffer.compare(readFileSync(path), before)).toBe(0);
  });

  test("zeroes", () => {
    const { image, top } = overlay();
    expect(image.run(range(OP.writeZeroes, 512, 2 * CLUSTER))).toBe(0);
    const back = bytes(size, 1);
    expect(image.run(read(0, back))).toBe(0);
    expect(back.subarray(512, 512 + 2 * CLUSTER).every((byte) => byte === 0)).toBe(true);
    expect(back[512 + 2 * CLUSTER]).toBe((1 + 2 * 128) & 0xff);
    expect(statSync(top).blocks * 512).toBeLessThan(2 * CLUSTER);
    expect(image.run(range(OP.flush, 0, 0))).toBe(0);
    expect(image.run(range(OP.discard, 0, CLUSTER))).toBe(0);
  });

  test("a full host leaves the disk as it was", () => {
    let room = CLUSTER + 512; // the copy of one cluster and the write to it
    const writev: FileCalls["writev"] = (fd, buffers, position) => {
      if (room === 0) return refuse(ERRNO.ENOSPC)();
      const some = sliceBuffers(buffers, 0, room);
      const count = HOST_CALLS.writev(fd, some, position);
      room -= count;
      return count;
    };
    const { image } = overlay({ writev });
    expect(image.run(write(512, bytes(512, 0xb1)))).toBe(0);
    room = 700; // a short write first, then ENOSPC
    expect(image.run(write(CLUSTER + 512, bytes(512, 0xb2)))).toBe(ERRNO.ENOSPC);
    const back = bytes(2 * CLUSTER, 0);
    expect(image.run(read(0, back))).toBe(0);
    expect([back[511], back[512], back[1024]]).toEqual([0, 0xb1, 2]);
    expect([...back.subarray(CLUSTER, CLUSTER + 1), back[CLUSTER + 512], back[CLUSTER + 1024]]).toEqual([
      128, 129, 130,
    ]);
    room = Number.MAX_SAFE_INTEGER; // somebody made room: the guest repeats its write
    expect(image.run(write(CLUSTER + 512, bytes(512, 0xb2)))).toBe(0);
    expect(image.run(read(0, back))).toBe(0);
    expect([back[CLUSTER], back[CLUSTER + 512], back[CLUSTER + 1024]]).toEqual([128, 0xb2, 130]);
  });
});

describe("opening a drive", () => {
  const refused = (path: string, changes = {}) => {
    expect(() => closeDrive(openDrive(drive(path, changes)))).toThrow(Error);
    try {
      openDrive(drive(path, changes));
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };

  test("names what cannot be a disk", () => {
    expect(refused(join(FOLDER, "none"))).toMatch(/none: there is no such image/);
    expect(refused(FOLDER)).toMatch(/is a directory; an image is a file/);
    expect(refused(FOLDER, { readOnly: true })).toMatch(/is a directory; an image is a file/);
    expect(refused("/dev/null")).toMatch(/no ordinary file/);
    expect(refused(file(0))).toMatch(/is empty; truncate -s SIZE makes a disk of it/);
    expect(refused(file(1000))).toMatch(/its 1000 bytes are not whole sectors of 512; truncate -s 1024/);
  });

  test("a second writer is refused, and so is a reader of what is written to", () => {
    const path = file(4096);
    const first = openDrive(drive(path));
    expect(refused(path)).toMatch(/another program has it open; file.locking=off/);
    expect(refused(path, { readOnly: true })).toMatch(/another program writes to it/);
    expect(refused(path, { snapshot: true })).toMatch(/another program writes to it/);
    closeDrive(openDrive(drive(path, { locking: false })));
    closeDrive(first);
    const readers = [openDrive(drive(path, { readOnly: true })), openDrive(drive(path, { snapshot: true }))];
    expect(refused(path)).toMatch(/another program has it open/);
    readers.forEach(closeDrive);
    closeDrive(openDrive(drive(path)));
  });

  test("snapshot=on writes beside the image, in TMPDIR", () => {
    const path = file(4096);
    const opened = openDrive(drive(path, { snapshot: true }));
    const image = imageOf(opened);
    expect(image.run(write(0, bytes(512, 0xcc)))).toBe(0);
    const back = bytes(512, 0);
    expect(image.run(read(0, back))).toBe(0);
    expect([back[0], readFileSync(path)[0]]).toEqual([0xcc, 0]);
    closeDrive(opened);
    const { TMPDIR } = process.env;
    process.env["TMPDIR"] = join(FOLDER, "nowhere");
    try {
      expect(refused(path, { snapshot: true })).toMatch(/snapshot=on needs a temporary file: ENOENT.*TMPDIR can name/);
    } finally {
      if (TMPDIR === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = TMPDIR;
    }
  });
});
