/**
 * One client's connection: frames in, replies and notices out, and everything that dies with it.
 * Requests on one connection begin in the order in which they came; a KVM_RUN that waits for its vCPU does not hold up the ones
 * after it. A client that sends faster than it is served, or does not read, is no longer read from (back-pressure).
 * Leaves out: what requests do (system-, vm- and vcpu-ioctls.ts).
 */
import { Socket } from "node:net";
import { KvmError } from "../../shared/errno.ts";
import { check, checkField } from "../../shared/fields.ts";
import { decodeBody, encodeFrame, FrameReader } from "../../shared/frame.ts";
import { IOCTLS, type IoctlName, ioctlByNumber } from "../../shared/ioctls.ts";
import { poll } from "../../shared/native.ts";
import type { Vcpu } from "../vcpu/vcpu.ts";
import type { Peer } from "../vm/device-servers.ts";
import { Descriptors, Handles } from "./handles.ts";
import type { Server } from "./server.ts";
import { SYSTEM_IOCTLS } from "./system-ioctls.ts";
import { VCPU_IOCTLS } from "./vcpu-ioctls.ts";
import { VM_IOCTLS } from "./vm-ioctls.ts";

/** Requests under way and bytes unread by the client at which the session begins no further request and stops reading. */
const MAX_UNDER_WAY = 64;
const MAX_UNSENT = 1 << 20;
/** How often a client that is not read from is looked at: libuv reports an end only to who reads. */
const WATCH_MS = 500;
/** An error's text may quote what the client sent; of that it gets back this much. */
const MAX_REASON = 512;

type AnyHandler = (self: unknown, arg: unknown) => unknown;

export class ServerSession {
  readonly server: Server;
  readonly peer: Peer;
  readonly token: string;
  readonly handles = new Handles();
  readonly descriptors = new Descriptors();
  readonly #socket: Socket;
  readonly #fd: number;
  #underWay = 0;
  #ended = false;
  /** Frames that came in and wait for their turn: at most what one read from the socket completes. */
  #frames: Uint8Array[] = [];
  /** Lines of in_asm that wait until the client reads. */
  #unsentTrace: (() => void)[] = [];
  /** Runs while the socket is not read from: only then would the client's end go unnoticed. */
  #watch: NodeJS.Timeout | undefined;

  /** `fd` is a connected socket, the session's from now on. */
  constructor(server: Server, fd: number, peer: Peer, token: string) {
    this.server = server;
    this.peer = peer;
    this.token = token;
    const socket = new Socket({ fd, readable: true, writable: true });
    this.#socket = socket;
    this.#fd = fd;
    const reader = new FrameReader();
    socket.on("data", (chunk: Buffer) => {
      const whole = reader.push(chunk, (body) => this.#frames.push(body));
      this.#serveFrames();
      if (!whole) this.#end();
    });
    socket.on("drain", () => this.#drained());
    socket.on("error", () => this.#end());
    socket.on("close", () => this.#end());
  }

  /** Sends the vCPU's in_asm lines to this client from now on. */
  listenToTrace(vcpu: Vcpu): void {
    vcpu.onTrace = (line, taken) => {
      if (this.#ended || this.#send([0, "in_asm", line])) taken();
      else this.#unsentTrace.push(taken);
    };
  }

  /** Ends a handle. The VM learns of it when it was the session's last one on it. */
  close(handle: number): void {
    const { vm } = this.handles.delete(handle);
    if (!this.handles.vms().has(vm)) vm.sessionEnded(this);
  }

  /** Ends the connection from this side. */
  destroy(): void {
    this.#end();
  }

  get #busy(): boolean {
    return this.#underWay >= MAX_UNDER_WAY || this.#socket.writableLength > MAX_UNSENT;
  }

  /** Begins requests in their order, as many as may be under way; then reads on, or leaves the client waiting. */
  #serveFrames(): void {
    while (!this.#ended && !this.#busy && this.#frames.length > 0) this.#receive(this.#frames.shift()!);
    if (this.#ended) return;
    if (this.#busy || this.#frames.length > 0) {
      this.#socket.pause();
      this.#watch ??= setInterval(() => {
        if (poll([this.#fd], [0], 0)[0] !== 0) this.#end();
      }, WATCH_MS);
    } else {
      this.#socket.resume();
      this.#stopWatching();
    }
  }

  #stopWatching(): void {
    clearInterval(this.#watch);
    this.#watch = undefined;
  }

  #receive(body: Uint8Array): void {
    const frame = decodeBody(body);
    let id: number;
    try {
      if (!Array.isArray(frame) || frame.length !== 4) throw new KvmError("EINVAL", "the frame is no request");
      id = checkField("u32", frame[0], "id");
      if (id === 0) throw new KvmError("EINVAL", "id 0 is for notices");
    } catch {
      this.#end(); // without an id there is nothing to answer to: the client does not speak this protocol
      return;
    }
    this.#underWay++;
    this.#serve(frame[1], frame[2], frame[3])
      .then(
        (value) => this.#answer(id, value),
        (error: Error) => this.#refuse(id, error),
      )
      .finally(() => {
        this.#underWay--;
        this.#serveFrames();
      });
  }

  /** The handle is looked at before the argument, as the kernel looks at the descriptor first. */
  async #serve(number: unknown, handle: unknown, arg: unknown): Promise<unknown> {
    const nr = checkField("u32", number, "request");
    const name = ioctlByNumber(nr);
    if (name === undefined) throw new KvmError("ENOTTY", `there is no request ${nr}`);
    const [handler, self] = this.#resolve(name, checkField("u32", handle, "handle"));
    return handler(self, check(IOCTLS[name].arg, arg, name));
  }

  #resolve(name: IoctlName, id: number): readonly [AnyHandler, unknown] {
    const row = IOCTLS[name];
    if (row.on === "system") {
      if (id !== 0) throw new KvmError(this.handles.has(id) ? "ENOTTY" : "EBADF", `${name} goes to handle 0`);
      return [SYSTEM_IOCTLS[name as keyof typeof SYSTEM_IOCTLS] as AnyHandler, this];
    }
    const handle = this.handles.get(id, row.on, row.needs);
    const table: Readonly<Record<string, unknown>> = row.on === "vm" ? VM_IOCTLS : VCPU_IOCTLS;
    return [table[name] as AnyHandler, { session: this, handle }];
  }

  /** A result that no frame can carry is our own mistake, and must not end the process. */
  #answer(id: number, value: unknown): void {
    try {
      this.#send([id, "", value]);
    } catch (error) {
      this.#refuse(id, error as Error);
    }
  }

  #refuse(id: number, error: Error): void {
    if (error instanceof KvmError) {
      this.#send([id, error.code, error.reason.slice(0, MAX_REASON)]);
      return;
    }
    // A host failure (mmap: ENOMEM, …) or our own mistake: the client learns the text, the log the place.
    this.server.report(error.stack ?? error.message);
    this.#send([id, "EIO", error.message.slice(0, MAX_REASON)]);
  }

  /** False when the client should read before it gets more. */
  #send(frame: unknown): boolean {
    if (this.#ended) return true;
    this.#socket.write(encodeFrame(frame));
    return this.#socket.writableLength <= MAX_UNSENT;
  }

  #drained(): void {
    const waiting = this.#unsentTrace;
    this.#unsentTrace = [];
    for (const taken of waiting) taken();
    this.#serveFrames();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#frames = [];
    this.#stopWatching();
    this.#socket.destroy();
    this.#drained();
    const vms = this.handles.vms();
    this.handles.clear();
    for (const vm of vms) vm.sessionEnded(this);
    this.descriptors.clear();
    this.server.sessionEnded(this);
  }
}
