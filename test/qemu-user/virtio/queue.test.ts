/** Both rings behind the transport: what a driver may do, everything that it must not, and when it is interrupted. */
import { beforeEach, describe, expect, test } from "vitest";
import { TakenChain } from "../../../qemu-user/virtio/chain.ts";
import { VIRTIO_F } from "../../../qemu-user/virtio/features.ts";
import { GuestMemory } from "../../../shared/guest-memory.ts";
import { type Buffer, INDIRECT, type PackedDriver, queueAt, RAM, type SplitDriver, writeDescriptor } from "./driver.ts";
import { echoBoard } from "./echo.ts";

const OK = 15;
const NEEDS_RESET = 0x40;
const SIZE = 8;
const IN = 0x80000;
const OUT = 0x90000;
const TABLE = 0xa0000;
const ALL_RINGS = VIRTIO_F.RING_INDIRECT_DESC | VIRTIO_F.RING_EVENT_IDX;

let board: ReturnType<typeof echoBoard>;
beforeEach(() => {
  board = echoBoard();
});

const begin = (features: bigint) => {
  board.driver.begin(features);
  const queue = board.driver.queue(0, SIZE);
  board.driver.go();
  return queue;
};
const text = (at: number, length: number) => String.fromCharCode(...board.memory.slice(at, length)!);
const put = (at: number, value: string) => board.memory.write(at, new TextEncoder().encode(value));
/** INTA rose; acknowledges it. */
const interrupted = () => board.driver.isr() !== 0;

function expectStopped(reason: string | RegExp): void {
  expect(board.driver.status).toBe(OK | NEEDS_RESET);
  expect(board.log.at(-1)).toMatch(reason);
  expect(interrupted()).toBe(true);
  // Nothing more happens, whatever the driver says; a reset brings the device back.
  board.driver.kick(0);
  board.driver.kick(1);
  expect(board.echo.held).toEqual([]);
  const queue = begin(0n);
  queue.add({ at: IN, length: 1 }, { at: OUT, length: 1, writable: true });
  board.driver.kick(0);
  expect(queue.used()).toEqual([[0, 1]]);
}

describe.each([
  ["split", 0n],
  ["packed", VIRTIO_F.RING_PACKED],
])("%s", (kind, ring) => {
  const packed = kind === "packed";
  /** Writes an indirect table and gives the buffer that refers to it. */
  const table = (buffers: readonly Buffer[], length = 16 * buffers.length): Buffer => {
    buffers.forEach((buffer, i) => {
      const at = TABLE + 16 * i;
      if (!packed) writeDescriptor(board.memory, at, buffer, i + 1 < buffers.length ? i + 1 : undefined);
      else {
        writeDescriptor(board.memory, at, buffer);
        board.memory.writeU16(at + 14, (buffer.flags ?? 0) | (buffer.writable === true ? 2 : 0));
      }
    });
    return { at: TABLE, length, flags: INDIRECT };
  };

  test("chains go round the ring many times, in every length", () => {
    const queue = begin(ring | ALL_RINGS);
    for (let round = 0; round < 70_000 / 100; round++) {
      const pieces = 1 + (round % (SIZE - 1));
      put(IN, `message ${round}`.padEnd(16));
      const readable = Array.from({ length: pieces }, (_, i) => ({ at: IN + i, length: 1 }));
      queue.add(...readable, { at: OUT, length: 16, writable: true });
      board.driver.kick(0);
      expect(queue.used().map(([, length]) => length)).toEqual([pieces]);
      expect(text(OUT, pieces)).toBe(`message ${round}`.padEnd(16).slice(0, pieces));
    }
    expect(board.driver.status).toBe(OK);
  });

  test("chains can be returned in any order", () => {
    const queue = begin(ring);
    board.echo.hold = true;
    for (const i of [0, 1, 2]) queue.add({ at: IN, length: 1 }, { at: OUT + i, length: 1, writable: true });
    board.driver.kick(0);
    expect(board.echo.held).toHaveLength(3);
    const ids = [2, 0, 0].flatMap((index) => {
      board.echo.finish(index);
      return queue.used().map(([id]) => id);
    });
    expect(ids).toEqual(packed ? [2, 0, 1] : [4, 0, 2]);
  });

  test("a chain is returned once, and never after a reset", () => {
    const queue = begin(ring);
    board.echo.hold = true;
    queue.add({ at: OUT, length: 1, writable: true });
    board.driver.kick(0);
    const { chain } = board.echo.held[0]!;
    const old = board.echo.queues[0]!;
    board.echo.finish();
    old.push(chain, 1);
    expect(queue.used()).toHaveLength(1);
    board.echo.hold = true;
    queue.add({ at: OUT, length: 1, writable: true });
    board.driver.kick(0);
    const late = board.echo.held[0]!.chain;
    const fresh = begin(ring);
    old.push(late, 1);
    old.notifyDriver();
    expect(fresh.used()).toEqual([]);
    expect(old.pop()).toBeUndefined();
  });

  test("an indirect table is followed, also behind other descriptors; a buffer of no bytes is left out", () => {
    const queue = begin(ring | ALL_RINGS);
    put(IN, "abcdef");
    queue.add(
      table([
        { at: IN, length: 4 },
        { at: IN, length: 0 },
        { at: OUT, length: 6, writable: true },
      ]),
    );
    board.driver.kick(0);
    expect(queue.used()).toEqual([[0, 4]]);
    expect(text(OUT, 4)).toBe("abcd");
    queue.add(
      { at: IN, length: 2 },
      table([
        { at: IN + 4, length: 2 },
        { at: OUT, length: 6, writable: true },
      ]),
    );
    board.driver.kick(0);
    expect(queue.used()).toEqual([[1, 4]]);
    expect(text(OUT, 4)).toBe("abef");
  });

  test("an indirect table may have more entries than the queue", () => {
    const queue = begin(ring | ALL_RINGS);
    queue.add(table(Array.from({ length: 100 }, () => ({ at: IN, length: 1 }))));
    board.driver.kick(0);
    expect(queue.used()).toHaveLength(1);
  });

  const far: readonly (readonly [string, number, number])[] = [
    ["past the end", RAM, 1],
    ["that leaves RAM", RAM - 4, 8],
    ["above 4 GiB", 2 ** 40, 4],
    ["at the end of all addresses", 2 ** 64 - 2 ** 12, 4096],
  ];
  test.each(far)("a buffer %s stops the device", (_, at, length) => {
    begin(ring).add({ at, length, writable: true });
    board.driver.kick(0);
    expectStopped(/queue 0 has a descriptor's range outside RAM/);
  });

  test("a chain of more than 4 GiB stops the device, even in pieces that RAM has", () => {
    const chain = new TakenChain(0);
    for (let i = 0; i < 2 ** 32 / RAM; i++) expect(chain.add(board.memory, 0, RAM, false)).toBeUndefined();
    expect(chain.add(board.memory, 0, 1, false)).toBe("a chain of more than 4 GiB");
    const queue = begin(ring | ALL_RINGS);
    queue.add(
      table([
        { at: 0, length: 0xffff_ffff },
        { at: 0, length: 2 },
      ]),
    );
    board.driver.kick(0);
    expectStopped(/outside RAM/);
  });

  test("a readable buffer behind a writable one stops the device", () => {
    begin(ring).add({ at: OUT, length: 1, writable: true }, { at: IN, length: 1 });
    board.driver.kick(0);
    expectStopped(/readable descriptor behind a writable one/);
  });

  test.each([0, 8, 17, 15])("an indirect table of %i bytes stops the device", (length) => {
    begin(ring | ALL_RINGS).add(table([{ at: IN, length: 1 }], length));
    board.driver.kick(0);
    expectStopped(new RegExp(`an indirect table of ${length} bytes`));
  });

  test("indirect tables outside RAM, too long, nested, with a next, or not negotiated stop the device", () => {
    const mistakes: readonly (readonly [bigint, () => readonly Buffer[], RegExp])[] = [
      [ALL_RINGS, () => [{ at: RAM - 16, length: 32, flags: INDIRECT }], /an indirect table outside RAM/],
      [ALL_RINGS, () => [{ at: 2 ** 63, length: 32, flags: INDIRECT }], /an indirect table outside RAM/],
      [ALL_RINGS, () => [table([{ at: TABLE, length: 16, flags: INDIRECT }])], /an indirect table within another/],
      [
        ALL_RINGS,
        () => [table([{ at: IN, length: 1 }]), { at: IN, length: 1 }],
        /an indirect descriptor with a next one/,
      ],
      [0n, () => [{ at: TABLE, length: 16, flags: INDIRECT }], /an indirect descriptor that was not negotiated/],
    ];
    for (const [features, buffers, reason] of mistakes) {
      const queue = begin(ring | features);
      queue.add(...buffers());
      board.driver.kick(0);
      expectStopped(reason);
    }
    begin(ring | ALL_RINGS).add(table(Array.from({ length: 1025 }, () => ({ at: IN, length: 1 }))));
    board.driver.kick(0);
    expectStopped(/too long/);
  });

  test("interrupts come once for a batch, unless the driver wants none", () => {
    const queue = begin(ring);
    for (let i = 0; i < 3; i++) queue.add({ at: OUT, length: 1, writable: true });
    board.driver.kick(0);
    expect(queue.used()).toHaveLength(3);
    expect(board.slot.intx.edges).toBe(1);
    expect(interrupted()).toBe(true);
    queue.suppress();
    queue.add({ at: OUT, length: 1, writable: true });
    board.driver.kick(0);
    expect(queue.used()).toHaveLength(1);
    expect(interrupted()).toBe(false);
    board.driver.kick(0); // nothing was returned
    expect(interrupted()).toBe(false);
  });

  test("with event indices, interrupts come when the used position passes the driver's", () => {
    const queue = begin(ring | ALL_RINGS);
    queue.add({ at: OUT, length: 1, writable: true });
    board.driver.kick(0);
    queue.used();
    board.driver.isr();
    for (let round = 0; round < 50; round++) {
      const after = 1 + (round % 5);
      queue.interruptAfter(after);
      for (let i = 1; i <= after + 2; i++) {
        queue.add({ at: OUT, length: 1, writable: true });
        board.driver.kick(0);
        expect(interrupted(), `${i} of ${after} in round ${round}`).toBe(i === after);
      }
      expect(queue.used()).toHaveLength(after + 2);
    }
  });

  test("a buffer over two slots of memory is two views", () => {
    const two = new GuestMemory(new ArrayBuffer(0x3000), [
      { gpa: 0x1000, size: 0x1000, at: 0x2000 },
      { gpa: 0, size: 0x1000, at: 0 },
    ]);
    const chain = new TakenChain(0);
    expect(chain.add(two, 0xff0, 0x20, true)).toBeUndefined();
    expect(chain.writable.map((view) => [view.byteOffset, view.length])).toEqual([
      [0xff0, 0x10],
      [0x2000, 0x10],
    ]);
  });
});

describe("split only", () => {
  const split = (features = 0n) => begin(features) as SplitDriver;

  test.each([SIZE, 255, 65535])("a head of %i stops the device", (head) => {
    split().publish(head);
    board.driver.kick(0);
    expectStopped(/a descriptor's index outside the table/);
  });

  test("a next outside the table stops the device", () => {
    split().add({ at: IN, length: 1, next: SIZE }, { at: IN, length: 1 });
    board.driver.kick(0);
    expectStopped(/a descriptor's index outside the table/);
  });

  test("a loop stops the device, in the ring and in an indirect table", () => {
    const queue = split();
    queue.describe(0, { at: IN, length: 1 }, 1);
    queue.describe(1, { at: IN, length: 1 }, 0);
    queue.publish(0);
    board.driver.kick(0);
    expectStopped(/a chain that loops/);
    const again = split(ALL_RINGS);
    writeDescriptor(board.memory, TABLE, { at: IN, length: 1 }, 0);
    again.add({ at: TABLE, length: 16, flags: INDIRECT });
    board.driver.kick(0);
    expectStopped(/a chain that loops/);
  });

  test("a next outside an indirect table stops the device", () => {
    const queue = split(ALL_RINGS);
    writeDescriptor(board.memory, TABLE, { at: IN, length: 1 }, 1);
    queue.add({ at: TABLE, length: 16, flags: INDIRECT });
    board.driver.kick(0);
    expectStopped(/a descriptor's index outside the table/);
  });

  test("an available index that jumps stops the device", () => {
    const queue = split();
    board.memory.writeU16(queue.at.driver + 2, SIZE + 1);
    board.driver.kick(0);
    expectStopped(/an available index that jumps by 9/);
  });

  test("one that goes back does, too", () => {
    const queue = split();
    queue.add({ at: IN, length: 1 });
    board.driver.kick(0);
    board.memory.writeU16(queue.at.driver + 2, 0);
    board.driver.kick(0);
    expectStopped(/an available index that jumps by 65535/);
  });

  test("more chains than the queue has entries stop the device", () => {
    const queue = split();
    board.echo.hold = true;
    for (let i = 0; i < SIZE; i++) queue.add({ at: IN, length: 1 });
    board.driver.kick(0);
    expect(board.echo.held).toHaveLength(SIZE);
    queue.publish(0);
    board.driver.kick(0);
    board.echo.held.length = 0;
    board.echo.hold = false;
    expectStopped(/more chains than the queue's size/);
  });

  test("the available event is where the device stopped looking", () => {
    const queue = split(ALL_RINGS);
    expect(queue.availEvent).toBe(0);
    for (let i = 1; i <= 20; i++) {
      queue.add({ at: IN, length: 1 });
      board.driver.kick(0);
      expect(queue.availEvent).toBe(i);
    }
  });

  test("indices run over 65536", () => {
    const queue = split(ALL_RINGS);
    for (let i = 0; i < 66_000; i += 6) {
      for (let n = 0; n < 6; n++) queue.add({ at: OUT, length: 1, writable: true });
      board.driver.kick(0);
      if (queue.used().length !== 6) throw new Error(`lost at ${i}`);
    }
    expect(board.driver.status).toBe(OK);
  });
});

describe("packed only", () => {
  const packed = (features = 0n) => begin(VIRTIO_F.RING_PACKED | features) as PackedDriver;

  test("a chain without end stops the device", () => {
    packed().add(...Array.from({ length: SIZE }, () => ({ at: IN, length: 1, flags: 1 })));
    board.driver.kick(0);
    expectStopped(/longer than the ring/);
  });

  test("a size that is no power of two will do", () => {
    board.driver.begin(VIRTIO_F.RING_PACKED | ALL_RINGS);
    const queue = board.driver.queue(0, 5);
    board.driver.go();
    for (let i = 0; i < 33; i++) {
      queue.add({ at: IN, length: 2 }, { at: OUT, length: 2, writable: true });
      board.driver.kick(0);
      expect(queue.used()).toEqual([[i, 2]]);
    }
  });

  test.each([
    ["descriptor ring", { desc: 0x10008 }],
    ["driver event structure", { driver: 0x18002 }],
    ["device event structure", { device: 0x1c002 }],
    ["driver event structure", { driver: RAM }],
  ])("a %s that is misplaced stops the device", (part, at) => {
    board.driver.begin(VIRTIO_F.RING_PACKED);
    board.driver.queue(0, SIZE, at);
    board.driver.go();
    expectStopped(new RegExp(`queue 0 has a ${part} outside RAM, or not aligned`));
  });

  test("the device's event structure says where it stopped looking", () => {
    const queue = packed(ALL_RINGS);
    const event = () => [board.memory.readU16(queueAt(0).device), board.memory.readU16(queueAt(0).device + 2)];
    expect(event()).toEqual([0x8000, 2]);
    for (let i = 1; i <= SIZE + 1; i++) {
      queue.add({ at: IN, length: 1 });
      board.driver.kick(0);
      queue.used();
      expect(event()).toEqual([i < SIZE ? 0x8000 | i : i - SIZE, 2]);
    }
  });

  test("a driver that returns nothing useful gets its id and WRITE only for what was written", () => {
    const queue = packed();
    queue.add({ at: IN, length: 1 });
    board.driver.kick(0);
    expect(board.memory.readU16(queueAt(0).desc + 14)).toBe(0x8080);
    queue.add({ at: IN, length: 1 }, { at: OUT, length: 1, writable: true });
    board.driver.kick(0);
    expect(board.memory.readU16(queueAt(0).desc + 16 + 14)).toBe(0x8082);
  });
});
