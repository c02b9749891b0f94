/** Sockets as back ends: who is connected gets the output, one at a time; nobody holds the guest up; no file stays. */
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { STALL_MS } from "../../../qemu-user/backend/link.ts";
import { describeSocket, type SocketAddress, SocketLink, type SocketSpec } from "../../../qemu-user/backend/socket.ts";

let folder: string;
let path: string;
let links: SocketLink[];
let sockets: Socket[];
let said: string[];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "splitvm-"));
});
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  path = join(folder, "socket");
  [links, sockets, said] = [[], [], []];
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  for (const link of links) await link.close();
  rmSync(path, { force: true });
});

const spec = (address: SocketAddress, server = true): SocketSpec => ({
  kind: "socket",
  address,
  server,
  wait: false,
  nodelay: false,
});

async function open(asked: SocketSpec): Promise<SocketLink> {
  const link = await SocketLink.open(asked, (line) => said.push(line));
  links.push(link);
  return link;
}

/** A client that is connected, and what it has read. */
async function client(to = path): Promise<{ socket: Socket; text: () => string }> {
  const socket = createConnection({ path: to });
  sockets.push(socket);
  let text = "";
  socket.on("data", (bytes: Buffer) => {
    text += bytes.toString();
  });
  socket.on("error", () => {});
  await once(socket, "connect");
  return { socket, text: () => text };
}

/** Takes input, as long as `room` says so. */
function target() {
  const made = {
    got: "",
    room: true,
    backlog: 0,
    again: () => {},
    feed(bytes: Uint8Array): boolean {
      made.got += Buffer.from(bytes).toString();
      return made.room;
    },
    onRoom(callback: () => void): void {
      made.again = callback;
    },
  };
  return made;
}

const bytes = (text: string) => Buffer.from(text);

describe("a server", () => {
  test("gives output to who is connected, drops it when nobody is, and passes input on", async () => {
    const link = await open(spec({ path }));
    const input = target();
    link.start(input);
    await link.write(bytes("nobody "));
    const one = await client();
    await link.connected;
    await link.write(bytes("hello"));
    one.socket.write("typed");
    await vi.waitFor(() => expect([one.text(), input.got]).toEqual(["hello", "typed"]));
  });

  test("has one client at a time: the next gets what comes after the first has left", async () => {
    const link = await open(spec({ path }));
    const input = target();
    link.start(input);
    const one = await client();
    await link.connected;
    const two = await client();
    two.socket.write("two");
    one.socket.write("one");
    await vi.waitFor(() => expect(input.got).toBe("one"));
    await link.write(bytes("first"));
    await vi.waitFor(() => expect(one.text()).toBe("first"));
    one.socket.end();
    await vi.waitFor(() => expect(input.got).toBe("onetwo"));
    await link.write(bytes("second"));
    await vi.waitFor(() => expect(two.text()).toBe("second"));
  });

  test("stops reading while the guest has no room", async () => {
    const link = await open(spec({ path }));
    const input = target();
    input.room = false;
    link.start(input);
    const one = await client();
    one.socket.write("a");
    await vi.waitFor(() => expect(input.got).toBe("a"));
    one.socket.write("b");
    await sleep(50);
    expect(input.got).toBe("a");
    input.room = true;
    input.again();
    await vi.waitFor(() => expect(input.got).toBe("ab"));
  });

  test("a client that reads nothing is waited for, but not for ever, and gets output again when it reads", async () => {
    const link = await open(spec({ path }));
    link.start(target());
    const one = await client();
    await link.connected;
    one.socket.pause();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      let waiting = false;
      for (let i = 0; i < 10_000 && !waiting; i++) {
        const written = link.write(new Uint8Array(16 * 1024).fill(0x61)).then(() => "written");
        waiting = (await Promise.race([written, new Promise((resolve) => setImmediate(resolve))])) !== "written";
        if (waiting) {
          await vi.advanceTimersByTimeAsync(STALL_MS);
          expect(await written).toBe("written");
        }
      }
      expect(waiting).toBe(true);
      expect(said).toEqual([expect.stringContaining("the client reads nothing; output is dropped until it does")]);
      await link.write(bytes("dropped"));
    } finally {
      vi.useRealTimers();
    }
    one.socket.resume();
    await vi.waitFor(async () => {
      await link.write(bytes("!"));
      expect(one.text().endsWith("!")).toBe(true);
    });
    expect(one.text()).not.toContain("dropped");
  });

  test("leaves no file, and close sends what is left", async () => {
    const link = await open(spec({ path }));
    const one = await client();
    await link.connected;
    await link.write(bytes("last"));
    await link.close();
    expect(existsSync(path)).toBe(false);
    await vi.waitFor(() => expect(one.text()).toBe("last"));
  });

  test("a client that goes in the middle of a write is no failure", async () => {
    const link = await open(spec({ path }));
    link.start(target());
    const one = await client();
    await link.connected;
    one.socket.destroy();
    for (let i = 0; i < 50; i++) await link.write(new Uint8Array(16 * 1024));
    await client();
  });

  test("takes the place of a socket that nobody listens at any more", async () => {
    const dead = createServer().listen(path);
    await once(dead, "listening");
    const other = join(folder, "moved");
    // The name outlives its listener.
    const { renameSync } = await import("node:fs");
    renameSync(path, other);
    dead.close();
    await once(dead, "close");
    renameSync(other, path);
    await open(spec({ path }));
    await client();
  });

  test("on TCP", async () => {
    const port = await freePort();
    const link = await open(spec({ host: "127.0.0.1", port }));
    link.start(target());
    const socket = createConnection({ host: "127.0.0.1", port });
    sockets.push(socket);
    await link.connected;
    await link.write(bytes("hi"));
    const [data] = (await once(socket, "data")) as [Buffer];
    expect(data.toString()).toBe("hi");
  });
});

describe("a client", () => {
  test("connects, and drops output when the server has gone", async () => {
    const server = await open(spec({ path }));
    const input = target();
    server.start(input);
    const link = await open(spec({ path }, false));
    link.start(target());
    await link.write(bytes("hi"));
    await vi.waitFor(() => expect(input.got).toBe("hi"));
    await server.close();
    await sleep(20);
    await link.write(bytes("gone"));
  });
});

describe("refused, with what to do", () => {
  const refuses = async (asked: SocketSpec, message: string) =>
    expect(SocketLink.open(asked, () => {})).rejects.toThrow(`${describeSocket(asked)}: ${message}`);

  test("a path with a file", async () => {
    writeFileSync(path, "");
    await refuses(spec({ path }), "there is a file of that name, and it is no socket; choose another path");
    expect(existsSync(path)).toBe(true);
  });

  test("a path that another program listens at", async () => {
    await open(spec({ path }));
    await refuses(spec({ path }), "another program listens there; choose another path");
    await client();
  });

  test("a folder that is not there", async () => {
    await refuses(spec({ path: join(folder, "none", "socket") }), "there is no such folder");
  });

  test("a port in use", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    await refuses(spec({ host: "127.0.0.1", port }), "another program listens there; choose another port");
    other.close();
  });

  test("nobody to connect to", async () => {
    await refuses(spec({ path }, false), "there is no such socket; start its program first");
    await refuses(
      spec({ host: "127.0.0.1", port: await freePort() }, false),
      "nobody listens there; start that program",
    );
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
