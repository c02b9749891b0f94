/**
 * One connection of the fuzzer: sends generated frames, judges the answers, knows the handles that it was given.
 * An answer is wrong when it is EIO (kvm-core met what it did not expect), when it has another shape than the IOCTLS
 * table says, or when it does not come.
 */
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { isErrno } from "../../shared/errno.ts";
import { check } from "../../shared/fields.ts";
import { decodeBody, encodeFrame, FrameReader } from "../../shared/frame.ts";
import { HELLO_REPLY, HELLO_TIMEOUT_MS, HELLO_VERSION, MAX_HELLO, parseHello } from "../../shared/hello.ts";
import { IOCTLS, type IoctlName } from "../../shared/ioctls.ts";
import { connectUnix, receiveMessage, sendMessage } from "../../shared/native.ts";
import type { Generated } from "./generator.ts";

/** Handles of each kind that are remembered. */
const REMEMBERED = 6;
const ANSWER_MS = 30_000;
/** How long a KVM_RUN is left alone, then kicked, before its VM is destroyed: it may wait for a server that nobody plays. */
const KICK_EVERY_MS = 20;
const KICKS = 10;

/** What went wrong, with the frame that did it. */
export class Finding extends Error {}

function hello(path: string, kind: string, token: string, descriptors: readonly number[]) {
  const fd = connectUnix(path);
  sendMessage(fd, encodeFrame({ version: HELLO_VERSION, kind, token, id: 0 }), [...descriptors]);
  const answer = receiveMessage(fd, MAX_HELLO, 0, HELLO_TIMEOUT_MS);
  if (!answer || answer.bytes.length === 0) throw new Finding(`kvm-core did not answer the hello "${kind}"`);
  return { fd, reply: parseHello(HELLO_REPLY, answer.bytes) };
}

export class Connection {
  vms: number[] = [];
  vcpus: number[] = [];
  readonly descriptors: number[];
  closed = false;
  #id = 1;
  readonly #socket: Socket;
  /** Requests without an answer. */
  readonly #open = new Map<number, Generated>();
  #finding: Finding | undefined;
  #changed: () => void = () => {};

  constructor(path: string, memfds: readonly number[]) {
    const session = hello(path, "session", "", []);
    this.#socket = new Socket({ fd: session.fd, readable: true, writable: true });
    const passed = hello(path, "pass", session.reply.token, memfds);
    closeSync(passed.fd);
    this.descriptors = passed.reply.ids;
    const reader = new FrameReader();
    this.#socket.on("data", (chunk: Buffer) => {
      if (!reader.push(chunk, (body) => this.#answer(decodeBody(body)))) this.#found("kvm-core's frame is too long");
      this.#changed();
    });
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => {
      this.closed = true;
      this.#changed();
    });
  }

  get nextId(): number {
    return this.#id++;
  }

  /** Sends frames; those that are well formed have to be answered. */
  send(frames: readonly Generated[]): void {
    for (const frame of frames) if (frame.wellFormed) this.#open.set(frame.id, frame);
    this.#socket.write(Buffer.concat(frames.map(({ frame }) => frame)));
  }

  /** A request of our own. */
  request(name: IoctlName, handle: number, arg: object): void {
    const id = this.nextId;
    this.send([{ name, id, frame: encodeFrame([id, IOCTLS[name].nr, handle, arg]), wellFormed: true }]);
  }

  /** Waits until everything was answered or the connection was closed. Throws a Finding. */
  async settle(): Promise<void> {
    this.request("KVM_GET_API_VERSION", 0, {});
    const deadline = Date.now() + ANSWER_MS;
    for (let kicks = 0; this.#open.size > 0 && !this.closed; ) {
      if (this.#finding) throw this.#finding;
      if (await this.#wait(KICK_EVERY_MS)) continue;
      if (Date.now() > deadline) {
        const [frame] = this.#open.values();
        throw new Finding(`no answer within ${ANSWER_MS} ms to ${describe(frame!)}`);
      }
      if (kicks++ < KICKS) for (const vcpu of this.vcpus) this.request("SPLITVM_KICK", vcpu, {});
      else if (kicks === KICKS + 1) for (const vm of this.vms) this.request("SPLITVM_DESTROY_VM", vm, {});
    }
    this.#open.clear();
    if (this.#finding) throw this.#finding;
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Frames without an answer, for the report of a kvm-core that ended. */
  get unanswered(): string[] {
    return [...this.#open.values()].map(describe);
  }

  /** True when something arrived in time. */
  #wait(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), ms);
      this.#changed = () => {
        clearTimeout(timer);
        this.#changed = () => {};
        resolve(true);
      };
    });
  }

  #found(what: string): void {
    this.#finding ??= new Finding(what);
  }

  #answer(frame: unknown): void {
    if (!Array.isArray(frame) || frame.length !== 3) {
      this.#found("kvm-core sent a malformed frame");
      return;
    }
    const [id, status, value] = frame as [number, unknown, unknown];
    if (id === 0) return;
    const request = this.#open.get(id);
    this.#open.delete(id);
    const asked = request ? describe(request) : `a frame that took id ${id}`;
    if (status !== "") {
      if (!isErrno(status) || status === "EIO" || typeof value !== "string")
        this.#found(`${status} (${value}) for ${asked}`);
      return;
    }
    if (!request || request.name === "bytes") return;
    try {
      this.#learn(request.name, check(IOCTLS[request.name].ret, value, "answer"));
    } catch (error) {
      this.#found(`${(error as Error).message} in the answer to ${asked}`);
    }
  }

  #learn(name: IoctlName, answer: object): void {
    if (name === "KVM_CREATE_VM" || name === "SPLITVM_OPEN_VM")
      this.vms = [(answer as { vm: number }).vm, ...this.vms].slice(0, REMEMBERED);
    if (name === "KVM_CREATE_VCPU" || name === "SPLITVM_OPEN_VCPU")
      this.vcpus = [(answer as { vcpu: number }).vcpu, ...this.vcpus].slice(0, REMEMBERED);
  }
}

/** A frame as a person can send it again. */
export function describe({ name, frame }: Generated): string {
  const text = JSON.stringify(decodeBody(frame.subarray(4)), (_key, value) =>
    typeof value === "bigint" ? `${value}n` : value instanceof Uint8Array ? `${value.length} bytes` : value,
  );
  const hex = frame.toString("hex");
  return `${name}: ${text ?? "no MessagePack"} [${hex.slice(0, 2000)}${hex.length > 2000 ? "…" : ""}]`;
}
