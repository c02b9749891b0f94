/**
 * A Unix or TCP socket as a character back end: listening, with one client at a time, or connected to a server.
 * Follows: QEMU's socket back end (chardev/char-socket.c): while one client is there others wait for its end, and a connection
 * that was made by us is not made again.
 * Left out: telnet, TLS, abstract names.
 */
import { existsSync, lstatSync, unlinkSync } from "node:fs";
import { createConnection, createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import { type CharLink, type InputTarget, STALL_MS } from "./link.ts";

export type SocketAddress =
  | { readonly path: string }
  /** `host` empty: every address of this machine for a server, this machine for a client. */
  | { readonly host: string; readonly port: number };

export interface SocketSpec {
  readonly kind: "socket";
  readonly address: SocketAddress;
  /** Listens; else connects. */
  readonly server: boolean;
  /** A server that does not start the guest before somebody is connected. */
  readonly wait: boolean;
  readonly nodelay: boolean;
}

/** Clients that wait for the one that is there to leave; more are turned away. */
const MAX_WAITING = 8;
/** How long the last output may take at the end, in ms. */
const LAST_MS = 1_000;

/** As QEMU writes it. */
export function describeSocket({ address, server }: SocketSpec): string {
  const where = "path" in address ? `unix:${address.path}` : `tcp:${address.host}:${address.port}`;
  return server ? `${where},server=on` : where;
}

export class SocketLink implements CharLink {
  readonly #spec: SocketSpec;
  readonly #report: (line: string) => void;
  #server: Server | undefined;
  #client: Socket | undefined;
  readonly #waiting: Socket[] = [];
  #input: InputTarget | undefined;
  #stalled = false;
  #taken: () => void = () => {};
  /** Resolves when the first client is there. */
  readonly connected = new Promise<void>((resolve) => {
    this.#taken = resolve;
  });

  private constructor(spec: SocketSpec, report: (line: string) => void) {
    this.#spec = spec;
    this.#report = report;
  }

  /** Listens or connects. `report`: a line for the user. Throws an Error, fit for the user, if neither is possible. */
  static async open(spec: SocketSpec, report: (line: string) => void): Promise<SocketLink> {
    const made = new SocketLink(spec, report);
    const { address } = spec;
    try {
      if (spec.server) await made.#listen(address);
      else made.#take(await connect(address));
    } catch (error) {
      throw new Error(`${describeSocket(spec)}: ${explain(error as NodeJS.ErrnoException, spec)}`);
    }
    return made;
  }

  start(input: InputTarget): void {
    this.#input = input;
    input.onRoom(() => this.#client?.resume());
    this.#client?.resume();
  }

  write(bytes: Uint8Array): Promise<void> {
    const client = this.#client;
    if (client === undefined || this.#stalled) return Promise.resolve();
    // A copy: after a stall the bytes are the pump's again and the socket still has them.
    if (client.write(Uint8Array.from(bytes))) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        client.off("drain", done).off("close", done);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#stall(client);
        done();
      }, STALL_MS);
      client.on("drain", done).on("close", done);
    });
  }

  /** Sends what is left, and leaves no file behind. */
  async close(): Promise<void> {
    this.#server?.close(); // unlinks the path
    for (const socket of this.#waiting.splice(0)) socket.destroy();
    const client = this.#client;
    if (client === undefined) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, LAST_MS);
      client.once("close", resolve).end(() => {
        clearTimeout(timer);
        resolve();
      });
    });
    client.destroy();
  }

  async #listen(address: SocketAddress): Promise<void> {
    if ("path" in address) await makeRoom(address.path);
    const server = createServer({ pauseOnConnect: true, noDelay: this.#spec.nodelay }, (socket) => {
      socket.on("error", () => {}); // "close" follows
      if (this.#client === undefined) this.#take(socket);
      else if (this.#waiting.length < MAX_WAITING) this.#wait(socket);
      else socket.destroy();
    });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(listenOptions(address), () => {
        server
          .off("error", reject)
          .on("error", (error) => this.#report(`${describeSocket(this.#spec)}: ${error.message}`));
        resolve();
      });
    });
    // A process that ends without close() leaves no file either.
    if ("path" in address) process.once("exit", () => server.listening && unlinkSync(address.path));
  }

  #wait(socket: Socket): void {
    this.#waiting.push(socket);
    socket.once("close", () => {
      const at = this.#waiting.indexOf(socket);
      if (at >= 0) this.#waiting.splice(at, 1);
    });
  }

  #take(socket: Socket): void {
    this.#client = socket;
    this.#stalled = false;
    socket.on("error", () => {});
    socket.on("data", (bytes: Buffer) => {
      if (!this.#input?.feed(bytes)) socket.pause();
    });
    socket.once("close", () => {
      this.#client = undefined;
      const next = this.#waiting.shift();
      if (next !== undefined) this.#take(next);
    });
    if (this.#input === undefined) socket.pause();
    else socket.resume();
    this.#taken();
  }

  #stall(client: Socket): void {
    this.#stalled = true;
    this.#report(`${describeSocket(this.#spec)}: the client reads nothing; output is dropped until it does`);
    client.once("drain", () => {
      if (this.#client === client) this.#stalled = false;
    });
  }
}

function connect(address: SocketAddress): Promise<Socket> {
  const socket = createConnection("path" in address ? address : { ...address, host: address.host || "localhost" });
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
}

function listenOptions(address: SocketAddress): ListenOptions {
  if ("path" in address) return { path: address.path };
  return { port: address.port, host: address.host || "0.0.0.0" };
}

/** A socket that nobody listens at any more is removed. Throws if something else is there. */
async function makeRoom(path: string): Promise<void> {
  if (!existsSync(dirname(path))) throw new Error("there is no such folder"); // libuv would say EACCES
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw new Error("there is a file of that name, and it is no socket; choose another path");
  const other = await connect({ path }).catch((error: NodeJS.ErrnoException) => error);
  if (!(other instanceof Error)) {
    other.destroy();
    throw new Error("another program listens there; choose another path");
  }
  if ((other as NodeJS.ErrnoException).code !== "ECONNREFUSED") throw other;
  unlinkSync(path);
}

function explain({ code, message }: NodeJS.ErrnoException, { address }: SocketSpec): string {
  switch (code) {
    case "EADDRINUSE":
      return "another program listens there; choose another port, or end that program";
    case "EADDRNOTAVAIL":
      return "this machine has no such address to listen at";
    case "ENOTFOUND":
      return "there is no host of that name";
    case "ECONNREFUSED":
      return "nobody listens there; start that program first, or listen with server=on";
    case "ENOENT":
      return "there is no such socket; start its program first, or listen with server=on";
    case "EACCES":
      return "port" in address ? "ports below 1024 are not for ordinary users" : "permission denied";
    default:
      return message;
  }
}
