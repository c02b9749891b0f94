/**
 * Connections: hellos good and bad, and descriptors by pass and fetch (shared/hello.ts, kvm-core/server/acceptor.ts).
 */
import { closeSync, fstatSync, ftruncateSync, readdirSync, readlinkSync } from "node:fs";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { MAX_HANDLES } from "../../../kvm-core/server/handles.ts";
import { encodeFrame } from "../../../shared/frame.ts";
import { HELLO_VERSION, MAX_DESCRIPTORS, MAX_HELLO } from "../../../shared/hello.ts";
import { connectUnix, memfdCreate, sendMessage } from "../../../shared/native.ts";
import { codeOf, sealed, TestServer, until } from "./support.ts";

let server: TestServer;
beforeAll(() => {
  server = new TestServer();
});
afterAll(() => server.close());

const good = { version: HELLO_VERSION, kind: "session", token: "", id: 0 };

/** memfds open in this process, which is the server's. */
function memfds(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("/memfd:");
    } catch {
      return false;
    }
  }).length;
}

test("a session gets a token of its own, and serves requests", async () => {
  const [a, b] = [await server.connect(), await server.connect()];
  expect(a.token).toMatch(/^[0-9a-f]{32}$/);
  expect(b.token).not.toBe(a.token);
  expect(await a.request("KVM_GET_API_VERSION", 0, {})).toEqual({ version: 12 });
  a.close();
  b.close();
});

describe("a bad hello is answered EINVAL and the connection closed", () => {
  test.each<[string, Uint8Array]>([
    ["another version", encodeFrame({ ...good, version: 2 })],
    ["an unknown kind", encodeFrame({ ...good, kind: "root" })],
    ["a field too many", encodeFrame({ ...good, uid: 0 })],
    ["a field too few", encodeFrame({ version: 1, kind: "session", token: "" })],
    ["a field of another type", encodeFrame({ ...good, id: "0" })],
    ["no map", encodeFrame([1, "session", "", 0])],
    ["no MessagePack", Buffer.from([2, 0, 0, 0, 0xc1, 0])],
    ["no frame", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["three bytes", Buffer.from([1, 0, 0])],
    ["a length beyond what came", Buffer.concat([Buffer.from([0xff, 0xff, 0xff, 0x7f]), Buffer.alloc(10)])],
    ["two frames", Buffer.concat([encodeFrame(good), encodeFrame(good)])],
    ["more than a hello can be", encodeFrame({ ...good, token: "x".repeat(MAX_HELLO) })],
  ])("%s", async (_what, bytes) => {
    const { answer } = await server.hello({ bytes });
    expect(answer?.error).toBe("EINVAL");
    expect(answer?.message).not.toMatch(/^EINVAL/); // the errno is not said twice
  });
});

test("a client that goes without a word, or in the middle of its hello, harms nobody", async () => {
  for (let i = 0; i < 20; i++) {
    const fd = connectUnix(server.path);
    if (i % 2) sendMessage(fd, encodeFrame(good).subarray(0, 7), []);
    closeSync(fd);
  }
  const client = await server.connect();
  expect(await client.request("KVM_GET_API_VERSION", 0, {})).toEqual({ version: 12 });
  client.close();
});

describe("descriptors", () => {
  beforeEach(() => until(() => memfds() === 0, "the sessions of the test before to end"));

  test("that were passed come back as the same file", async () => {
    const client = await server.connect();
    const fd = sealed(12288);
    const { ino } = fstatSync(fd);
    const id = await client.pass(fd);
    const back = await client.fetch(id);
    expect(fstatSync(back).ino).toBe(ino);
    closeSync(back);
    client.close();
  });

  test("several beside one hello get ids in their order; none gets none", async () => {
    const client = await server.connect();
    const fds = Array.from({ length: MAX_DESCRIPTORS }, (_, i) => {
      const fd = memfdCreate("several", 0);
      ftruncateSync(fd, i);
      return fd;
    });
    const { answer } = await server.hello({ kind: "pass", token: client.token, descriptors: fds });
    for (const fd of fds) closeSync(fd);
    expect(answer!.ids).toHaveLength(MAX_DESCRIPTORS);
    for (const [i, id] of answer!.ids.entries()) {
      const fd = await client.fetch(id);
      expect(fstatSync(fd).size).toBe(i);
      closeSync(fd);
    }
    expect((await server.hello({ kind: "pass", token: client.token })).answer).toMatchObject({ error: "", ids: [] });
    client.close();
  });

  test.each([
    ["a token that no session has", "0".repeat(32)],
    ["no token", ""],
  ])("with %s: EBADF, and none is kept", async (_what, token) => {
    const before = memfds();
    const fd = sealed(4096);
    const { answer } = await server.hello({ kind: "pass", token, descriptors: [fd] });
    expect(answer).toMatchObject({ error: "EBADF", message: "no session has this token" });
    closeSync(fd);
    expect((await server.hello({ kind: "fetch", token, id: 1 })).answer!.error).toBe("EBADF");
    expect(memfds()).toBe(before);
  });

  test("a token whose session has ended: EBADF", async () => {
    const client = await server.connect();
    client.close();
    const fd = sealed(4096);
    await expect
      .poll(async () => (await server.hello({ kind: "pass", token: client.token, descriptors: [fd] })).answer!.error)
      .toBe("EBADF");
    closeSync(fd);
  });

  test("too many beside one hello: refused, and none is kept", async () => {
    const client = await server.connect();
    const before = memfds();
    const fds = Array.from({ length: MAX_DESCRIPTORS + 1 }, () => sealed(4096));
    const { answer } = await server.hello({ kind: "pass", token: client.token, descriptors: fds });
    expect(answer?.error).toBe("EINVAL");
    for (const fd of fds) closeSync(fd);
    expect(memfds()).toBe(before);
    client.close();
  });

  test("beside a hello that wants none, or a bad one: closed", async () => {
    const before = memfds();
    const fd = sealed(4096);
    const session = await server.hello({ descriptors: [fd] });
    expect(session.answer!.error).toBe("");
    closeSync(session.fd);
    expect((await server.hello({ kind: "nonsense", descriptors: [fd] })).answer!.error).toBe("EINVAL");
    closeSync(fd);
    expect(memfds()).toBe(before);
  });

  test("fetching one that there is none of: EBADF", async () => {
    const client = await server.connect();
    for (const id of [0, 1, 0xffff_ffff]) expect(await codeOf(client.fetch(id))).toBe("EBADF");
    const other = await server.connect();
    const id = await other.pass(sealed(4096));
    expect(await codeOf(client.fetch(id))).toBe("EBADF"); // another session's
    client.close();
    other.close();
  });

  test("die with their session", async () => {
    const before = memfds();
    const client = await server.connect();
    for (let i = 0; i < 5; i++) await client.pass(sealed(4096));
    expect(memfds()).toBe(before + 5);
    client.close();
    await until(() => memfds() === before, "the descriptors to be closed");
  });

  test("can be let go of one by one (SPLITVM_CLOSE_DESCRIPTOR)", async () => {
    const client = await server.connect();
    const before = memfds();
    const id = await client.pass(sealed(4096));
    await client.request("SPLITVM_CLOSE_DESCRIPTOR", 0, { descriptor: id });
    expect(memfds()).toBe(before);
    expect(await client.refusal("SPLITVM_CLOSE_DESCRIPTOR", 0, { descriptor: id })).toBe("EBADF");
    client.close();
  });

  test("a session holds a bounded number of them: ENFILE, and of a hello either all or none", async () => {
    const client = await server.connect();
    const fd = sealed(4096);
    const sixteen = Array<number>(16).fill(fd);
    const pass = async (descriptors: readonly number[]) =>
      (await server.hello({ kind: "pass", token: client.token, descriptors })).answer!;
    for (let i = 0; i < MAX_HANDLES / 16 - 1; i++) expect((await pass(sixteen)).error).toBe("");
    expect((await pass([fd])).error).toBe("");
    const before = memfds();
    expect((await pass(sixteen)).error).toBe("ENFILE");
    expect(memfds()).toBe(before);
    expect((await pass(sixteen.slice(1))).error).toBe("");
    closeSync(fd);
    client.close();
  });
});
