/**
 * Frames to a session: the envelope, what ends a connection and what does not, floods and back-pressure
 * (kvm-core/server/session.ts). Which argument a request takes is ioctls.test.ts's.
 */
import { closeSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeBody, encodeFrame, FrameReader, MAX_FRAME } from "../../../shared/frame.ts";
import { IOCTLS } from "../../../shared/ioctls.ts";
import { connectUnix, sendMessage } from "../../../shared/native.ts";
import { sealed, TestServer, until } from "./support.ts";

let server: TestServer;
beforeAll(() => {
  server = new TestServer();
});
afterAll(() => server.close());

const VERSION = IOCTLS.KVM_GET_API_VERSION.nr;
type Reply = readonly [number, string, unknown];

/** A session whose frames are the test's own bytes. */
async function raw() {
  const client = await server.connect();
  const { socket } = client;
  socket.removeAllListeners("data");
  const replies: Reply[] = [];
  const reader = new FrameReader();
  let closed = false;
  const read = (chunk: Buffer) =>
    void reader.push(chunk, (body) => replies.push(decodeBody(Buffer.from(body)) as Reply));
  socket.on("data", read);
  socket.on("close", () => {
    closed = true;
  });
  return {
    client,
    socket,
    replies,
    send: (...frames: (Uint8Array | readonly unknown[])[]) =>
      socket.write(Buffer.concat(frames.map((frame) => (frame instanceof Uint8Array ? frame : encodeFrame(frame))))),
    reply: async (id: number): Promise<Reply> => {
      await until(() => replies.some((reply) => reply[0] === id), `the reply to ${id}`);
      return replies.find((reply) => reply[0] === id)!;
    },
    closed: () => until(() => closed, "the connection to be closed"),
    stillOpen: () => !closed,
  };
}

/** The server serves another client, and has nothing to report. */
async function stillUp(): Promise<void> {
  const other = await server.connect();
  expect(await other.request("KVM_GET_API_VERSION", 0, {})).toEqual({ version: 12 });
  other.close();
  expect(server.reports).toEqual([]);
}

describe("what does not speak the protocol is disconnected", () => {
  const uint32 = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
  };
  test.each<[string, Uint8Array]>([
    ["a length over the limit", uint32(MAX_FRAME + 1)],
    ["the largest length", uint32(0xffff_ffff)],
    ["an empty frame", uint32(0)],
    ["no MessagePack", Buffer.concat([uint32(1), Buffer.from([0xc1])])],
    ["an extension type", Buffer.concat([uint32(6), Buffer.from([0xd6, 0xff, 0, 0, 0, 0])])],
    ["deep nesting", Buffer.concat([uint32(10_000), Buffer.alloc(10_000, 0x91)])],
    ["a list of four thousand million", Buffer.concat([uint32(5), Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff])])],
    ["no list", encodeFrame({ id: 1 })],
    ["three elements", encodeFrame([1, VERSION, 0])],
    ["five elements", encodeFrame([1, VERSION, 0, {}, 0])],
    ["id 0", encodeFrame([0, VERSION, 0, {}])],
    ["a negative id", encodeFrame([-1, VERSION, 0, {}])],
    ["an id over 32 bits", encodeFrame([2 ** 32, VERSION, 0, {}])],
    ["a text as id", encodeFrame(["1", VERSION, 0, {}])],
    ["no id", encodeFrame([null, VERSION, 0, {}])],
  ])("%s", async (_what, bytes) => {
    const { send, closed, replies } = await raw();
    send(bytes);
    await closed();
    expect(replies).toEqual([]);
    await stillUp();
  });

  test("requests before it are answered, those after it are not begun", async () => {
    const { send, closed, client, replies } = await raw();
    await client.pass(sealed(4096));
    send([1, VERSION, 0, {}], [0, VERSION, 0, {}], [2, IOCTLS.KVM_CREATE_VM.nr, 0, { type: 0, name: "after" }]);
    await closed();
    expect(replies.map(([id]) => id)).not.toContain(2);
    const other = await server.connect();
    expect((await other.request("SPLITVM_LIST_VMS", 0, {})).vms).toEqual([]);
    other.close();
  });
});

describe("a bad request is refused and the connection goes on", () => {
  const big = "x".repeat(MAX_FRAME - 1000);
  test.each<[string, unknown[], string]>([
    ["an unknown number", [0xffff, 0, {}], "ENOTTY"],
    ["a number that is a text", ["KVM_RUN", 0, {}], "EINVAL"],
    ["a number that is a long text", [big, 0, {}], "EINVAL"],
    ["a number that is a list", [[[[]]], 0, {}], "EINVAL"],
    ["a number that is a map", [{ toString: 1 }, 0, {}], "EINVAL"],
    ["a negative number", [-1, 0, {}], "EINVAL"],
    ["a fraction as handle", [VERSION, 0.5, {}], "EINVAL"],
    ["a negative handle", [VERSION, -1, {}], "EINVAL"],
    ["a map as handle", [VERSION, {}, {}], "EINVAL"],
    ["a handle that nobody has", [IOCTLS.KVM_CREATE_VCPU.nr, 99, { id: 0 }], "EBADF"],
    ["a handle of another kind", [IOCTLS.KVM_CREATE_VCPU.nr, 0, { id: 0 }], "ENOTTY"],
    ["a system request on a handle that nobody has", [VERSION, 99, {}], "EBADF"],
    ["no argument", [VERSION, 0, null], "EINVAL"],
    ["a list as argument", [VERSION, 0, []], "EINVAL"],
    ["bytes as argument", [VERSION, 0, new Uint8Array(3)], "EINVAL"],
    ["an unknown field", [VERSION, 0, { extra: 1 }], "EINVAL"],
    ["an unknown field of a long name", [VERSION, 0, { [big]: 1 }], "EINVAL"],
    ["a dead handle and a bad argument: the handle comes first", [IOCTLS.KVM_RUN.nr, 99, 7], "EBADF"],
  ])("%s", async (_what, rest, errno) => {
    const { send, reply, client } = await raw();
    send([7, ...rest]);
    const [, code, reason] = await reply(7);
    expect(code).toBe(errno);
    expect(reason).toBeTypeOf("string");
    expect((reason as string).length).toBeLessThanOrEqual(512);
    send([8, VERSION, 0, {}]);
    expect(await reply(8)).toEqual([8, "", { version: 12 }]);
    client.close();
    await stillUp();
  });
});

test("an envelope's integers may be of any MessagePack width", async () => {
  const { socket, reply, client } = await raw();
  // [uint 64 5, uint 64 0, uint 64 0, {}]
  const u64 = (n: number) => [0xcf, 0, 0, 0, 0, 0, 0, 0, n];
  const body = Buffer.from([0x94, ...u64(5), ...u64(VERSION), ...u64(0), 0x80]);
  socket.write(Buffer.concat([Buffer.from([body.length, 0, 0, 0]), body]));
  expect(await reply(5)).toEqual([5, "", { version: 12 }]);
  client.close();
});

test("a frame byte by byte is one frame", async () => {
  const { socket, reply, client } = await raw();
  for (const byte of encodeFrame([3, VERSION, 0, {}])) {
    socket.write(Buffer.from([byte]));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  expect(await reply(3)).toEqual([3, "", { version: 12 }]);
  client.close();
});

test("requests in one packet are begun in their order", async () => {
  const { send, reply, replies, client } = await raw();
  send(
    [1, IOCTLS.KVM_CREATE_VM.nr, 0, { type: 0, name: "order" }],
    [2, IOCTLS.KVM_CREATE_VM.nr, 0, { type: 0, name: "order" }],
    [3, IOCTLS.SPLITVM_LIST_VMS.nr, 0, {}],
  );
  await reply(3);
  expect(replies.map(([id, code]) => [id, code])).toEqual([
    [1, ""],
    [2, "EEXIST"],
    [3, ""],
  ]);
  client.close();
});

test("a connection that ends in the middle of a frame takes its VM with it", async () => {
  const { send, reply, socket } = await raw();
  send([1, IOCTLS.KVM_CREATE_VM.nr, 0, { type: 0, name: "half" }]);
  await reply(1);
  socket.write(encodeFrame([2, VERSION, 0, {}]).subarray(0, 6));
  await new Promise((resolve) => setTimeout(resolve, 5));
  socket.destroy();
  await until(() => server.server.vms.size === 0, "the VM to end");
  await stillUp();
});

describe("back-pressure", () => {
  /** Bytes of requests whose answers are 256 KiB each: a flood's worth. */
  async function flooded(count: number) {
    const session = await raw();
    const { client } = session;
    const vm = await (async () => {
      session.send([1, IOCTLS.KVM_CREATE_VM.nr, 0, { type: 0, name: `flood-${count}` }]);
      return ((await session.reply(1))[2] as { vm: number }).vm;
    })();
    const memfd = await client.pass(sealed(1 << 20));
    const slot = { slot: 0, flags: 0, guest_phys_addr: 0n, memory_size: 1n << 20n, memfd, memfd_offset: 0n };
    session.send([2, IOCTLS.KVM_SET_USER_MEMORY_REGION.nr, vm, slot]);
    expect((await session.reply(2))[1]).toBe("");
    const flood = Array.from({ length: count }, (_, i) =>
      encodeFrame([i + 10, IOCTLS.SPLITVM_READ_GUEST.nr, vm, { address: 0n, length: 256 * 1024 }]),
    );
    return { ...session, flood: Buffer.concat(flood) };
  }

  test("a client that floods and does not read costs bounded memory; others are served; then it gets all its answers", async () => {
    const count = 2000; // 500 MB of answers
    const { socket, flood, replies, client } = await flooded(count);
    socket.pause();
    const before = process.memoryUsage().arrayBuffers;
    socket.write(flood);
    let most = 0;
    for (let i = 0; i < 50; i++) {
      await stillUp();
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }
    // 64 requests under way of 256 KiB each, what is in both sides' sockets, and garbage that is not collected yet
    expect(most).toBeLessThan(150 * 2 ** 20);
    replies.splice(0);
    socket.resume();
    let got = 0;
    for (const end = Date.now() + 50_000; got < count && Date.now() < end; ) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      for (const [, code, value] of replies.splice(0)) {
        expect(code).toBe("");
        expect((value as { data: Uint8Array }).data.length).toBe(256 * 1024);
        got++;
      }
    }
    expect(got).toBe(count);
    client.close();
  });

  test("a client that floods, does not read and goes is noticed", async () => {
    const { socket, flood } = await flooded(500);
    socket.pause();
    socket.write(flood);
    await stillUp();
    socket.destroy();
    await until(() => !server.server.vms.has("flood-500"), "the VM to end");
  });

  test("connections that say nothing hold up nobody who speaks", async () => {
    const silent = Array.from({ length: 40 }, () => connectUnix(server.path));
    await stillUp();
    for (const fd of silent) closeSync(fd);
  });

  test("half a hello at a time is no hello", async () => {
    const fd = connectUnix(server.path);
    sendMessage(fd, Buffer.from([40]), []);
    await stillUp();
    closeSync(fd);
  });
});
