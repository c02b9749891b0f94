/**
 * One client's connection: frames in, replies and notices out, and everything that dies with it.
 * Requests on one connection begin in the order in which they came; a KVM_RUN that waits for its vCPU does not hold up the ones
 * after it. A client that sends faster than it is served, or does not read, is no longer read from (back-pressure).
 * Leaves out: what requests do (system-, vm- and vcpu-ioctls.ts).
 */
import type { Socket } from "node:net";
import { KvmError } from "../../shared/errno.ts";
import { check } from "../../shared/fields.ts";
import { decodeBody, encodeFrame, FrameReader } from "../../shared/frame.ts";
import { ioctlByNumber, IOCTLS, type IoctlName } from "../../shared/ioctls.ts";
import type { Vcpu } from "../vcpu/vcpu.ts";
import type { Peer } from "../vm/device-servers.ts";
import { Descriptors, Handles } from "./handles.ts";
import type { Server } from "./server.ts";
import { SYSTEM_IOCTLS } from "./system-ioctls.ts";
import { VCPU_IOCTLS } from "./vcpu-ioctls.ts";
import { VM_IOCTLS } from "./vm-ioctls.ts";

/** Requests under way and bytes unread by the client at which the session stops reading. */
const MAX_UNDER_WAY = 64;
const MAX_UNSENT = 1 << 20;

type AnyHandler = (self: unknown, arg: unknown) => unknown;

export class ServerSession {
  readonly server: Server;
  readonly peer: Peer;
  readonly token: string;
  readonly handles = new Handles();
  readonly descriptors = new Descriptors();
  readonly #socket: Socket;
  #underWay = 0;
  #ended = false;
  /** Lines of in_asm that wait until the client reads. */
  #unsentTrace: (() => void)[] = [];

  constructor(server: Server, socket: Socket, peer: Peer, token: string) {
    this.server = server;
    this.peer = peer;
    this.token = token;
    this.#socket = socket;
    const reader = new FrameReader();
    socket.on("data", (chunk: Buffer) => {
      if (!reader.push(chunk, (body) => this.#receive(body))) this.#end();
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

  #receive(body: Uint8Array): void {
    if (this.#ended) return;
    const frame = decodeBody(body);
    // Without an id there is nothing to answer to: the client does not speak this protocol.
    if (!Array.isArray(frame) || frame.length !== 4 || !Number.isInteger(frame[0]) || frame[0] <= 0) {
      this.#end();
      return;
    }
    const [id, number, handle, arg] = frame as [number, unknown, unknown, unknown];
    this.#underWay++;
    if (this.#underWay >= MAX_UNDER_WAY) this.#socket.pause();
    this.#serve(number, handle, arg)
      .then(
        (value) => this.#send([id, "", value]),
        (error: Error) => this.#refuse(id, error),
      )
      .finally(() => {
        this.#underWay--;
        this.#resume();
      });
  }

  async #serve(number: unknown, handle: unknown, arg: unknown): Promise<unknown> {
    const name = ioctlByNumber(number);
    if (name === undefined) throw new KvmError("ENOTTY", `there is no request ${String(number)}`);
    if (!Number.isInteger(handle)) throw new KvmError("EINVAL", "the handle is no number");
    const checked = check(IOCTLS[name].arg, arg, name);
    const [handler, self] = this.#resolve(name, handle as number);
    return handler(self, checked);
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

  #refuse(id: number, error: Error): void {
    if (error instanceof KvmError) {
      this.#send([id, error.code, error.message.slice(error.code.length + 2)]);
      return;
    }
    // A host failure (mmap: ENOMEM, …) or our own mistake: the client learns the text, the log the place.
    this.server.report(error.stack ?? error.message);
    this.#send([id, "EIO", error.message]);
  }

  /** False when the client should read before it gets more. */
  #send(frame: unknown): boolean {
    if (this.#ended) return true;
    this.#socket.write(encodeFrame(frame));
    if (this.#socket.writableLength <= MAX_UNSENT) return true;
    this.#socket.pause();
    return false;
  }

  #drained(): void {
    const waiting = this.#unsentTrace;
    this.#unsentTrace = [];
    for (const taken of waiting) taken();
    this.#resume();
  }

  #resume(): void {
    if (!this.#ended && this.#underWay < MAX_UNDER_WAY && this.#socket.writableLength <= MAX_UNSENT)
      this.#socket.resume();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#socket.destroy();
    this.#drained();
    const vms = this.handles.vms();
    this.handles.clear();
    for (const vm of vms) vm.sessionEnded(this);
    this.descriptors.clear();
    this.server.sessionEnded(this);
  }
}
