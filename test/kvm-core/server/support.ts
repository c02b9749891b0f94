/**
 * A Server in the test's own process, with its acceptor thread, and clients that do not block: shared/hello.ts waits
 * for the server's answer in a system call, which here would wait for itself.
 */
import { closeSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { afterAll, afterEach, expect } from "vitest";
import { compileInterpreter } from "../../../kvm-core/engine/engine.ts";
import { startAcceptor } from "../../../kvm-core/server/acceptor.ts";
import { Server } from "../../../kvm-core/server/server.ts";
import { Channel } from "../../../shared/channel.ts";
import { KvmError } from "../../../shared/errno.ts";
import { encodeFrame } from "../../../shared/frame.ts";
import { HELLO_REPLY, HELLO_VERSION, MAX_HELLO, parseHello } from "../../../shared/hello.ts";
import type { Arg, IoctlName, Ret } from "../../../shared/ioctls.ts";
import {
  addSeals,
  connectUnix,
  eventfd,
  listenUnix,
  memfdCreate,
  receiveMessage,
  SEALS_FIXED,
  sendMessage,
} from "../../../shared/native.ts";

/** What a hello was answered; undefined where the server closed the connection without a word. */
export type Answer = {
  readonly error: string;
  readonly message: string;
  readonly token: string;
  readonly ids: number[];
};

const pause = (ms = 1) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `look` says so. */
export async function until(look: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 20_000; !look(); await pause())
    if (Date.now() > end) throw new Error(`waited for ${what}`);
}

/** A memfd as kvm-core wants it, or with other seals. The caller closes it. */
export function sealed(size: number, seals = SEALS_FIXED): number {
  const fd = memfdCreate("test", size);
  addSeals(fd, seals);
  return fd;
}

/** The errno that a request is refused with, or "" where it is not. */
export async function codeOf(request: Promise<unknown>): Promise<string> {
  try {
    await request;
    return "";
  } catch (error) {
    expect(error).toBeInstanceOf(KvmError);
    return (error as KvmError).code;
  }
}

export class Client {
  readonly channel: Channel;
  readonly socket: Socket;
  readonly token: string;
  readonly #server: TestServer;

  constructor(server: TestServer, fd: number, token: string) {
    this.#server = server;
    this.token = token;
    this.socket = new Socket({ fd, readable: true, writable: true });
    this.channel = new Channel(this.socket);
  }

  request<N extends IoctlName>(name: N, handle: number, arg: Arg<N>): Promise<Ret<N>> {
    return this.channel.request(name, handle, arg);
  }

  /** The errno of a request whose argument need not be one. */
  refusal(name: IoctlName, handle: number, arg: unknown): Promise<string> {
    return codeOf(this.channel.request(name, handle, arg as never));
  }

  async createVm(name: string): Promise<number> {
    return (await this.request("KVM_CREATE_VM", 0, { type: 0, name })).vm;
  }

  /** Passes a descriptor, which is closed here; its id. */
  async pass(fd: number): Promise<number> {
    const { answer } = await this.#server.hello({ kind: "pass", token: this.token, descriptors: [fd] });
    closeSync(fd);
    if (answer?.error !== "") throw new Error(`pass: ${answer?.message}`);
    return answer.ids[0]!;
  }

  async fetch(id: number): Promise<number> {
    const { answer, descriptors } = await this.#server.hello({ kind: "fetch", token: this.token, id });
    if (answer?.error !== "") throw new KvmError((answer?.error as "EBADF") ?? "EPIPE", answer?.message ?? "");
    return descriptors[0]!;
  }

  close(): void {
    this.channel.close();
  }
}

export type Hello = {
  readonly kind?: string;
  readonly version?: number;
  readonly token?: string;
  readonly id?: number;
  readonly descriptors?: readonly number[];
  /** Instead of a hello. */
  readonly bytes?: Uint8Array;
};

let started = 0;

export class TestServer {
  readonly path = `@splitvm-unit-${process.pid}-${started++}`;
  readonly reports: string[] = [];
  readonly server: Server;
  readonly #listenFd: number;
  readonly #stopFd: number;
  readonly #acceptor: ReturnType<typeof startAcceptor>;
  readonly #clients: Client[] = [];

  constructor() {
    this.server = new Server(compileInterpreter(), (line) => this.reports.push(line));
    this.#listenFd = listenUnix(this.path, 64);
    this.#stopFd = eventfd(0, 0);
    this.#acceptor = startAcceptor({ listenFd: this.#listenFd, stopFd: this.#stopFd }, (connection) =>
      this.server.accepted(connection),
    );
  }

  /** Says hello and waits for the answer; a session's socket is the caller's (`fd`), others are closed. */
  async hello(hello: Hello): Promise<{ fd: number; answer: Answer | undefined; descriptors: number[] }> {
    const { kind = "session", version = HELLO_VERSION, token = "", id = 0, descriptors = [] } = hello;
    const fd = connectUnix(this.path);
    try {
      sendMessage(fd, hello.bytes ?? encodeFrame({ version, kind, token, id }), descriptors);
      let message = receiveMessage(fd, MAX_HELLO, 1, 0);
      for (; message === null; message = receiveMessage(fd, MAX_HELLO, 1, 0)) await pause();
      const answer = message.bytes.length === 0 ? undefined : (parseHello(HELLO_REPLY, message.bytes) as Answer);
      const keep = kind === "session" && answer?.error === "";
      if (!keep) closeSync(fd);
      return { fd: keep ? fd : -1, answer, descriptors: message.fds };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  async connect(): Promise<Client> {
    const { fd, answer } = await this.hello({});
    const client = new Client(this, fd, answer!.token);
    this.#clients.push(client);
    return client;
  }

  /** Closes what connect() gave; a client may have closed itself. */
  disconnect(): void {
    for (const client of this.#clients.splice(0)) client.close();
  }

  /** Ends everything; every vCPU thread has ended then. */
  async close(): Promise<void> {
    this.disconnect();
    await this.server.close();
    const ended = new Promise((resolve) => this.#acceptor.once("exit", resolve));
    writeSync(this.#stopFd, new BigUint64Array([1n]));
    await ended;
    closeSync(this.#stopFd);
    closeSync(this.#listenFd);
  }
}

/** A server for all tests of a file. Behind each its clients are closed, their VMs have to end, and nothing may have been reported, such as EIO. */
export function useServer(): TestServer {
  const server = new TestServer();
  afterAll(() => server.close());
  afterEach(async () => {
    server.disconnect();
    await until(() => server.server.vms.size === 0, "the VMs to end");
    expect(server.reports).toEqual([]);
  });
  return server;
}
