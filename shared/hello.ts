/**
 * Connections and descriptors. libuv drops descriptors that arrive by SCM_RIGHTS, so they ride only beside the hello
 * of a connection, which the addon sends and receives before the socket is handed to node:net. Later ones use a
 * further short connection that names the session by its token.
 *   session  -> {token}                the connection goes on with frames
 *   pass     + descriptors -> {ids}    the session may now name them in requests
 *   fetch    -> {} + the descriptor    that an answer named
 * A hello is one frame (frame.ts), at most MAX_HELLO bytes.
 * Leaves out: accepting (kvm-core/acceptor.ts).
 */
import { randomBytes } from "node:crypto";
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { Channel } from "./channel.ts";
import { isErrno, KvmError } from "./errno.ts";
import { check, type Fields } from "./fields.ts";
import { decodeBody, encodeFrame } from "./frame.ts";
import { connectUnix, receiveMessage, sendMessage } from "./native.ts";

export const MAX_HELLO = 1024;
/** Descriptors beside one hello. */
export const MAX_DESCRIPTORS = 16;
/** How long either side waits for the other's hello. */
export const HELLO_TIMEOUT_MS = 5_000;
export const HELLO_VERSION = 1;

export const HELLO = {
  version: "u32",
  /** "session", "pass" or "fetch". */
  kind: "string",
  /** The session's token; empty for "session". */
  token: "string",
  /** The descriptor to fetch; 0 otherwise. */
  id: "u32",
} as const satisfies Fields;

export const HELLO_REPLY = {
  /** An errno name, or empty. */
  error: "string",
  message: "string",
  token: "string",
  ids: { list: "u32", max: MAX_DESCRIPTORS },
} as const satisfies Fields;

/** The one frame that `bytes` holds, checked against `fields`; throws EINVAL. */
export function parseHello<F extends Fields>(fields: F, bytes: Uint8Array): ReturnType<typeof check<F>> {
  const size = bytes.length >= 4 ? new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) : -1;
  if (size !== bytes.length - 4) throw new KvmError("EINVAL", "the hello is not one whole frame");
  return check(fields, decodeBody(bytes.subarray(4)), "hello");
}

/** A fresh session token: whoever knows it may pass and fetch descriptors. */
export function newToken(): string {
  return randomBytes(16).toString("hex");
}

function exchange(path: string, kind: string, token: string, id: number, descriptors: readonly number[]) {
  const fd = connectUnix(path);
  let answered: readonly number[] = [];
  try {
    sendMessage(fd, encodeFrame({ version: HELLO_VERSION, kind, token, id }), [...descriptors]);
    const answer = receiveMessage(fd, MAX_HELLO, 1, HELLO_TIMEOUT_MS);
    if (!answer || answer.bytes.length === 0) throw new KvmError("ECONNRESET", `${path} did not answer the hello`);
    answered = answer.fds;
    const reply = parseHello(HELLO_REPLY, answer.bytes);
    if (reply.error !== "") throw new KvmError(isErrno(reply.error) ? reply.error : "EIO", reply.message);
    return { fd, reply, descriptors: answered };
  } catch (error) {
    for (const descriptor of answered) closeSync(descriptor);
    closeSync(fd);
    throw error;
  }
}

/** A client's session with the kvm-core that listens at `path` ("@name" is an abstract socket). */
export class Session {
  readonly path: string;
  readonly channel: Channel;
  readonly #token: string;

  private constructor(path: string, channel: Channel, token: string) {
    this.path = path;
    this.channel = channel;
    this.#token = token;
  }

  /** Connects; throws the addon's error (ENOENT, ECONNREFUSED) or KvmError. Blocks for the hello, once. */
  static connect(path: string): Session {
    const { fd, reply } = exchange(path, "session", "", 0, []);
    return new Session(path, new Channel(new Socket({ fd, readable: true, writable: true })), reply.token);
  }

  /** Passes descriptors; the ids name them in requests. The caller keeps its own copies. */
  pass(descriptors: readonly number[]): number[] {
    const { fd, reply } = exchange(this.path, "pass", this.#token, 0, descriptors);
    closeSync(fd);
    return reply.ids;
  }

  /** Fetches a descriptor that an answer named; the caller owns it. */
  fetch(id: number): number {
    const { fd, descriptors } = exchange(this.path, "fetch", this.#token, id, []);
    closeSync(fd);
    if (descriptors.length !== 1) throw new KvmError("EIO", `no descriptor came with the answer for ${id}`);
    return descriptors[0]!;
  }

  close(): void {
    this.channel.close();
  }
}
