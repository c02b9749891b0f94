/**
 * The client's end of a connection: requests by name, replies matched by id, notices to a listener.
 * Leaves out: how the socket came to be (hello.ts).
 */
import type { Socket } from "node:net";
import { isErrno, KvmError } from "./errno.ts";
import { check } from "./fields.ts";
import { decodeBody, encodeFrame, FrameReader } from "./frame.ts";
import { type Arg, IOCTLS, type IoctlName, type Ret } from "./ioctls.ts";

type Waiting = {
  readonly name: IoctlName;
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
};

export class Channel {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #closed: KvmError | undefined;
  /** Called once when the connection has ended, with the reason. */
  onClose: (reason: KvmError) => void = () => {};
  /** Called for each notice; `in_asm` brings a line of text. */
  onNotice: (kind: string, value: unknown) => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    const reader = new FrameReader();
    socket.on("data", (chunk: Buffer) => {
      if (!reader.push(chunk, (body) => this.#receive(body)))
        this.#close(new KvmError("EIO", "kvm-core sent a frame that is too long"));
    });
    socket.on("error", (error) => this.#close(new KvmError("ECONNRESET", `kvm-core: ${error.message}`)));
    socket.on("close", () => this.#close(new KvmError("ECONNRESET", "kvm-core closed the connection")));
  }

  /** Sends a request; rejects with the KvmError that kvm-core answered, or ECONNRESET when the connection ends. */
  request<N extends IoctlName>(name: N, handle: number, arg: Arg<N>): Promise<Ret<N>> {
    if (this.#closed) return Promise.reject(this.#closed);
    const id = this.#nextId;
    this.#nextId = id === 0xffff_ffff ? 1 : id + 1;
    return new Promise<Ret<N>>((resolve, reject) => {
      const frame = encodeFrame([id, IOCTLS[name].nr, handle, arg]); // throws before anything waits for an answer
      this.#waiting.set(id, { name, resolve, reject });
      this.#socket.write(frame);
    });
  }

  /** Ends the connection; handles on it die with it. */
  close(): void {
    this.#close(new KvmError("EBADF", "the connection was closed"));
  }

  #receive(body: Uint8Array): void {
    const frame = decodeBody(body);
    if (!Array.isArray(frame) || frame.length !== 3) {
      this.#close(new KvmError("EIO", "kvm-core sent a malformed frame"));
      return;
    }
    const [id, status, value] = frame as [unknown, unknown, unknown];
    if (id === 0) {
      this.onNotice(String(status), value);
      return;
    }
    const waiting = this.#waiting.get(id as number);
    if (!waiting) return;
    this.#waiting.delete(id as number);
    if (status !== "") {
      waiting.reject(new KvmError(isErrno(status) ? status : "EIO", `${waiting.name}: ${String(value)}`));
      return;
    }
    try {
      waiting.resolve(check(IOCTLS[waiting.name].ret, value, waiting.name) as never);
    } catch (error) {
      waiting.reject(error as Error);
    }
  }

  #close(reason: KvmError): void {
    if (this.#closed) return;
    this.#closed = reason;
    this.#socket.destroy();
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
    this.onClose(reason);
  }
}
