/** The virtio block device, driven through queues that a test fills by hand, in front of a disk in memory. */
import { describe, expect, test } from "vitest";
import { type BlockBackend, type BlockInfo, type BlockRequest, FLAG, OP } from "../../../qemu-user/block/block.ts";
import { VirtioBlk } from "../../../qemu-user/virtio/blk.ts";
import type { Chain, Virtqueue } from "../../../qemu-user/virtio/virtio.ts";
import { ERRNO } from "../../../shared/errno.ts";
import { GuestMemory } from "../../../shared/guest-memory.ts";

const SECTORS = 64;
const T = { IN: 0, OUT: 1, SCSI: 2, FLUSH: 4, GET_ID: 8, DISCARD: 11, WRITE_ZEROES: 13 };
const [OK, IOERR, UNSUPP] = [0, 1, 2];

class FakeQueue implements Virtqueue {
  readonly available: Chain[] = [];
  readonly used: (readonly [Chain, number])[] = [];
  interrupts = 0;

  pop(): Chain | undefined {
    return this.available.shift();
  }

  push(chain: Chain, written: number): void {
    this.used.push([chain, written]);
  }

  notifyDriver(): void {
    this.interrupts++;
  }
}

/** A disk in memory that fails or delays when told to. */
class FakeDisk implements BlockBackend {
  onBatch = () => {};
  readonly info: BlockInfo;
  readonly bytes = Uint8Array.from({ length: SECTORS * 512 }, (_, n) => n >> 9);
  readonly requests: BlockRequest[] = [];
  /** The errno of the next requests. */
  fail = 0;
  /** Requests wait for poll(). */
  slow = false;
  readonly #waiting: (() => void)[] = [];

  constructor(changes: Partial<BlockInfo>) {
    this.info = {
      size: SECTORS * 512,
      readOnly: false,
      discard: true,
      writeCache: true,
      writeErrors: "enospc",
      readErrors: "report",
      ...changes,
    };
  }

  submit(request: BlockRequest, done: (result: number) => void): void {
    this.requests.push(request);
    const act = () => done(this.fail || this.#run(request));
    if (this.slow) this.#waiting.push(act);
    else act();
  }

  poll(): boolean {
    const due = this.#waiting.splice(0);
    for (const act of due) act();
    if (due.length > 0) this.onBatch();
    return due.length > 0;
  }

  drain(): void {
    this.poll();
  }

  #run({ op, offset, length, buffers }: BlockRequest): number {
    let at = offset;
    for (const buffer of buffers) {
      if (op === OP.read) buffer.set(this.bytes.subarray(at, at + buffer.length));
      else this.bytes.set(buffer, at);
      at += buffer.length;
    }
    if (op === OP.writeZeroes) this.bytes.fill(0, offset, offset + length);
    return 0;
  }
}

function header(type: number, sector: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setUint32(0, type, true);
  view.setBigUint64(8, BigInt(sector), true);
  return new Uint8Array(view.buffer);
}

function range(sector: number, count: number, flags = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(16));
  view.setBigUint64(0, BigInt(sector), true);
  view.setUint32(8, count, true);
  view.setUint32(12, flags, true);
  return new Uint8Array(view.buffer);
}

const buffer = (length: number, value = 0xee) => new Uint8Array(length).fill(value);

function board({ numQueues = 1, features = -1n, serial = "S1", ...info }: BoardOptions = {}) {
  const disk = new FakeDisk(info);
  const mistakes: string[] = [];
  const stops: string[] = [];
  const continuing: (() => void)[] = [];
  const blk = new VirtioBlk({
    name: "disk0",
    backend: disk,
    host: {
      needsReset: (reason) => mistakes.push(reason),
      configChanged: () => {},
      memory: new GuestMemory(new ArrayBuffer(4096), []),
    },
    runState: { stop: (reason) => stops.push(reason), onContinue: (callback) => continuing.push(callback) },
    serial,
    numQueues,
    queueSize: 128,
  });
  const queues = Array.from({ length: numQueues }, () => new FakeQueue());
  blk.start(blk.features & features, queues);
  /** One request; its status, or undefined if it is not answered yet. */
  const ask = (readable: readonly Uint8Array[], writable: readonly Uint8Array[] = [], queue = 0) => {
    const status = buffer(1);
    queues[queue]!.available.push({ head: 0, readable, writable: [...writable, status] });
    blk.notify(queue);
    return status[0] === 0xee ? undefined : status[0];
  };
  const cont = () => {
    for (const callback of continuing) callback();
  };
  return { blk, disk, queues, queue: queues[0]!, mistakes, stops, ask, cont };
}

type BoardOptions = Partial<BlockInfo> & { numQueues?: number; features?: bigint; serial?: string };

const bit = (n: number) => 1n << BigInt(n);

describe("what it tells the driver", () => {
  test("features", () => {
    const common = bit(2) | bit(6) | bit(9) | bit(10) | bit(11);
    expect(board().blk.features).toBe(common | bit(13) | bit(14));
    expect(board({ readOnly: true }).blk.features).toBe(common | bit(5));
    expect(board({ numQueues: 4 }).blk.features).toBe(common | bit(12) | bit(13) | bit(14));
    expect(board({ numQueues: 4 }).blk.queueSizes).toEqual([128, 128, 128, 128]);
    expect(board().blk).toMatchObject({ deviceId: 2, classCode: 0x01_0000, configSize: 60 });
  });

  test("configuration", () => {
    const { blk } = board({ numQueues: 3, discard: false });
    const words = [0, 4, 8, 12, 16, 20, 24, 28, 36, 40, 44, 48, 52].map((offset) => blk.readConfig(offset, 4));
    expect(words).toEqual([SECTORS, 0, 0, 126, 0, 512, 0, 0, 0x3f_ffff, 1, 1, 0x3f_ffff, 1]);
    expect([blk.readConfig(32, 1), blk.readConfig(34, 2), blk.readConfig(56, 1)]).toEqual([1, 3, 0]);
    expect(board().blk.readConfig(56, 1)).toBe(1);
    expect([blk.readConfig(60, 4), blk.readConfig(58, 4)]).toEqual([0xffff_ffff, 0xffff_ffff]);
  });

  test("only writeback can be written, and a reset restores it", () => {
    const { blk } = board();
    blk.writeConfig(0, 4, 7);
    expect(blk.readConfig(0, 4)).toBe(SECTORS);
    blk.writeConfig(32, 4, 0xffff_fffe);
    expect(blk.readConfig(32, 4)).toBe(0x0001_0000);
    blk.reset();
    expect(blk.readConfig(32, 1)).toBe(1);
    const without = board({ features: ~bit(11) });
    without.blk.writeConfig(32, 1, 0);
    expect(without.blk.readConfig(32, 1)).toBe(1);
  });
});

describe("requests", () => {
  test("read and write, however they are cut", () => {
    const { disk, queue, ask } = board();
    const [a, b] = [buffer(100), buffer(924)];
    expect(ask([header(T.IN, 3)], [a, b])).toBe(OK);
    expect([a[0], b[411], b[412]]).toEqual([3, 3, 4]);
    expect(queue.used[0]![1]).toBe(1025);
    const head = header(T.OUT, 5);
    expect(ask([head.subarray(0, 7), Uint8Array.of(...head.subarray(7), 9, 9), buffer(510, 8)])).toBe(OK);
    expect([...disk.bytes.subarray(5 * 512 - 1, 5 * 512 + 3), disk.bytes[6 * 512 - 1], disk.bytes[6 * 512]]).toEqual([
      4, 9, 9, 8, 8, 6,
    ]);
    expect(queue.used[1]![1]).toBe(1);
  });

  test("status at the end of the data's buffer, and behind it an empty one", () => {
    const { blk, queue } = board();
    const data = buffer(513);
    queue.available.push({ head: 0, readable: [header(T.IN, 2)], writable: [data, buffer(0)] });
    blk.notify(0);
    expect([data[0], data[511], data[512]]).toEqual([2, 2, OK]);
  });

  test("one interrupt for a batch, at once or later", () => {
    const { blk, disk, queue } = board();
    const some = () => {
      for (let n = 0; n < 5; n++)
        queue.available.push({ head: n, readable: [header(T.IN, n)], writable: [buffer(513)] });
      blk.notify(0);
    };
    some();
    expect([queue.used.length, queue.interrupts]).toEqual([5, 1]);
    disk.slow = true;
    some();
    expect([queue.used.length, queue.interrupts]).toEqual([5, 1]);
    disk.poll();
    expect([queue.used.length, queue.interrupts]).toEqual([10, 2]);
  });

  test("flush, get-id", () => {
    const { disk, ask } = board({ serial: "a-serial" });
    expect(ask([header(T.FLUSH, 0)])).toBe(OK);
    expect(disk.requests).toMatchObject([{ op: OP.flush }]);
    const id = buffer(20);
    expect(ask([header(T.GET_ID, 0)], [id.subarray(0, 3), id.subarray(3)])).toBe(OK);
    expect(Buffer.from(id).toString("latin1")).toBe("a-serial".padEnd(20, "\0"));
    expect(ask([header(T.GET_ID, 0)], [buffer(4)])).toBe(OK);
  });

  test("discard and write-zeroes", () => {
    const { disk, ask } = board();
    expect(ask([header(T.DISCARD, 0), range(4, 2)])).toBe(OK);
    expect(ask([header(T.WRITE_ZEROES, 0), range(6, 2, 1)])).toBe(OK);
    expect(disk.requests).toMatchObject([
      { op: OP.discard, offset: 4 * 512, length: 1024, flags: 0 },
      { op: OP.writeZeroes, offset: 6 * 512, length: 1024, flags: FLAG.UNMAP },
    ]);
    expect(ask([header(T.DISCARD, 0), range(4, 0)])).toBe(OK);
    expect(disk.requests.length).toBe(2);
    expect(ask([header(T.DISCARD, 0), range(4, 2, 1)])).toBe(UNSUPP);
    expect(ask([header(T.WRITE_ZEROES, 0), range(4, 2, 2)])).toBe(UNSUPP);
    expect(ask([header(T.DISCARD, 0), range(4, 2), range(8, 2)])).toBe(UNSUPP);
    expect(ask([header(T.DISCARD, 0), range(SECTORS - 1, 2)])).toBe(IOERR);
    expect(ask([header(T.DISCARD, 0), range(0, 0x40_0000)])).toBe(IOERR);
    expect(board({ readOnly: true }).ask([header(T.DISCARD, 0), range(4, 2)])).toBe(UNSUPP);
  });

  test("beyond the disk, or no whole sectors", () => {
    const { disk, ask } = board();
    expect(ask([header(T.IN, SECTORS - 1)], [buffer(512)])).toBe(OK);
    expect(ask([header(T.IN, SECTORS - 1)], [buffer(1024)])).toBe(IOERR);
    expect(ask([header(T.IN, SECTORS)], [buffer(512)])).toBe(IOERR);
    expect(ask([header(T.IN, Number.MAX_SAFE_INTEGER)], [buffer(512)])).toBe(IOERR);
    expect(ask([header(T.OUT, SECTORS), buffer(512)])).toBe(IOERR);
    expect(ask([header(T.IN, 0)], [buffer(511)])).toBe(IOERR);
    expect(ask([header(T.OUT, 0), buffer(100)])).toBe(IOERR);
    expect(disk.requests.length).toBe(1);
  });

  test("a read-only disk is not written to", () => {
    const { disk, ask } = board({ readOnly: true });
    expect(ask([header(T.OUT, 0), buffer(512)])).toBe(IOERR);
    expect(ask([header(T.IN, 0)], [buffer(512)])).toBe(OK);
    expect(disk.requests.length).toBe(1);
  });

  test("what is not known", () => {
    const { ask } = board();
    for (const type of [T.SCSI, 5, 10, 14, 0x8000_0000, 0xffff_ffff]) {
      expect(ask([header(type, 0)])).toBe(UNSUPP);
    }
  });

  test("a mistake stops the device", () => {
    for (const [readable, writable] of [
      [[buffer(15)], [buffer(1)]],
      [[header(T.IN, 0)], []],
      [[header(T.IN, 0)], [buffer(0)]],
      [[header(T.DISCARD, 0), buffer(15)], [buffer(1)]],
    ] as const) {
      const { blk, queue, mistakes } = board();
      queue.available.push({ head: 0, readable, writable }, { head: 1, readable, writable });
      blk.notify(0);
      expect([mistakes.length, queue.used.length, queue.available.length]).toEqual([1, 0, 1]);
      expect(mistakes[0]).toMatch(/^disk0: a (request without header or status|discard or write-zeroes without)/);
    }
  });

  test("several queues answer each in its own", () => {
    const { queues, ask } = board({ numQueues: 2 });
    expect(ask([header(T.IN, 1)], [buffer(512)], 1)).toBe(OK);
    expect(queues.map(({ used, interrupts }) => [used.length, interrupts])).toEqual([
      [0, 0],
      [1, 1],
    ]);
    board().blk.notify(7); // no such queue: nothing happens
  });
});

describe("the write cache", () => {
  const flagsOfWrite = (options: BoardOptions, writeback?: number) => {
    const { blk, disk, ask } = board(options);
    if (writeback !== undefined) blk.writeConfig(32, 1, writeback);
    ask([header(T.OUT, 0), buffer(512)]);
    return disk.requests[0]!.flags;
  };

  test("is on, unless drive or driver say otherwise", () => {
    expect(flagsOfWrite({})).toBe(0);
    expect(flagsOfWrite({ writeCache: false })).toBe(FLAG.FUA);
    expect(flagsOfWrite({ writeCache: false }, 1)).toBe(0);
    expect(flagsOfWrite({}, 0)).toBe(FLAG.FUA);
  });

  test("is the driver's to choose also before it starts, if it then has the switch", () => {
    const before = (features: bigint) => {
      const { blk, disk, queues, ask } = board();
      blk.reset();
      blk.writeConfig(32, 1, 0);
      blk.start(blk.features & features, queues);
      ask([header(T.OUT, 0), buffer(512)]);
      return disk.requests[0]!.flags;
    };
    expect(before(-1n)).toBe(FLAG.FUA);
    expect(before(~bit(11))).toBe(0);
  });

  test("is off for a driver that knows no flush", () => {
    expect(flagsOfWrite({ features: ~(bit(9) | bit(11)) })).toBe(FLAG.FUA);
    expect(flagsOfWrite({ features: ~bit(11) })).toBe(0);
  });
});

describe("the host fails a request", () => {
  const read = [header(T.IN, 0)];
  const write = [header(T.OUT, 0), buffer(512, 7)];

  test.each([
    ["report", ERRNO.EIO, IOERR, 0],
    ["report", ERRNO.ENOSPC, IOERR, 0],
    ["ignore", ERRNO.EIO, OK, 0],
    ["enospc", ERRNO.EIO, IOERR, 0],
    ["enospc", ERRNO.ENOSPC, undefined, 1],
    ["stop", ERRNO.EIO, undefined, 1],
  ] as const)("werror=%s, errno %i", (writeErrors, errno, status, stopped) => {
    const { disk, stops, ask } = board({ writeErrors, readErrors: "report" });
    disk.fail = errno;
    expect(ask(write)).toBe(status);
    expect(stops.length).toBe(stopped);
    expect(ask(read, [buffer(512)])).toBe(IOERR);
    expect(stops.length).toBe(stopped);
  });

  test("rerror=stop", () => {
    const { disk, stops, ask } = board({ readErrors: "stop" });
    disk.fail = ERRNO.EIO;
    expect(ask(read, [buffer(512)])).toBe(undefined);
    expect(stops).toEqual(["disk0: read failed: EIO: i/o error"]);
  });

  test("what waits is repeated when the machine goes on, as often as it takes", () => {
    const { disk, queue, stops, ask, cont } = board();
    disk.fail = ERRNO.ENOSPC;
    ask(write);
    ask([header(T.OUT, 1), buffer(512, 8)]);
    expect(stops).toEqual(["disk0: write failed: no space left on the host"]);
    cont();
    expect([queue.used.length, stops.length]).toEqual([0, 2]);
    disk.fail = 0;
    cont();
    expect([disk.bytes[0], disk.bytes[512]]).toEqual([7, 8]);
    expect([queue.used.length, queue.interrupts]).toEqual([2, 1]);
    cont();
    expect(queue.used.length).toBe(2);
  });

  test("a reset gives up what waits and what is under way", () => {
    const { blk, disk, queue, ask, cont } = board();
    disk.fail = ERRNO.ENOSPC;
    ask(write);
    disk.fail = 0;
    disk.slow = true;
    ask(read, [buffer(512)]);
    blk.reset();
    cont();
    disk.poll();
    expect([queue.used.length, queue.interrupts]).toEqual([0, 0]);
  });

  test("state is not saved while requests wait", () => {
    const { blk, disk, queues, ask } = board();
    blk.writeConfig(32, 1, 0);
    const saved = blk.save();
    blk.reset();
    blk.load(saved);
    expect(blk.readConfig(32, 1)).toBe(0);
    expect(() => blk.load({})).toThrow("disk0: saved writeback is not true or false");
    blk.start(blk.features, queues);
    disk.fail = ERRNO.ENOSPC;
    ask(write);
    expect(() => blk.save()).toThrow(/disk0: requests that the host failed wait/);
  });
});
