/**
 * aio=async: a raw image served by the event loop of the main thread, many requests at a time, on libuv's thread pool.
 * Follows: node:fs' callback functions; raw-file.ts says what each request means.
 * Left out: overlays, whose copying must not overtake itself: those are served by a thread of their own.
 */
import { fdatasync, readv, writev } from "node:fs";
import { ERRNO } from "../../shared/errno.ts";
import { type BlockRequest, type BlockResult, FLAG, OP } from "./block.ts";
import { bytesOf, errnoOf, remaining } from "./host-file.ts";
import { RawImage, type RawOptions } from "./raw-file.ts";
import { RequestReceiver } from "./request-ring.ts";

type Sync = (fd: number, done: (error: NodeJS.ErrnoException | null) => void) => void;

export class AsyncServer {
  readonly #receiver: RequestReceiver;
  readonly #fd: number;
  readonly #o: RawOptions;
  readonly #rare: RawImage;
  readonly #notify: () => void;
  readonly #sync: Sync;
  #underWay = 0;
  /** As HostFile.sync(): a flush that has failed fails for ever. */
  #lost: BlockResult = 0;
  #idle: () => void = () => {};

  /** `notify` tells the device's thread of completions. The descriptor stays the caller's to close; `sync` is the tests'. */
  constructor(
    ring: SharedArrayBuffer,
    memory: ArrayBufferLike,
    fd: number,
    options: RawOptions,
    notify: () => void,
    sync: Sync = fdatasync,
  ) {
    this.#receiver = new RequestReceiver(ring, memory);
    this.#fd = fd;
    this.#o = options;
    this.#rare = new RawImage(fd, options);
    this.#notify = notify;
    this.#sync = sync;
  }

  /** Call when the device's thread says that there are requests. */
  notified(): void {
    for (let slot = this.#receiver.take(); slot >= 0; slot = this.#receiver.take()) this.#serve(slot);
  }

  /** Resolves when nothing is under way; then the descriptor may be closed. */
  drain(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle = resolve;
      if (this.#underWay === 0) resolve();
    });
  }

  #serve(slot: number): void {
    const request = this.#receiver.requestOf(slot);
    this.#underWay++;
    const finish = (result: BlockResult): void => {
      this.#receiver.complete(slot, result);
      this.#underWay--;
      this.#notify();
      if (this.#underWay === 0) this.#idle();
    };
    const flush = (result: BlockResult): void => {
      if (result !== 0 || this.#o.noFlush) finish(result);
      else {
        this.#sync(this.#fd, (error) => {
          if (error) this.#lost ||= errnoOf(error);
          finish(this.#lost);
        });
      }
    };
    const after = (request.flags & FLAG.FUA) !== 0 ? flush : finish;
    if (request.op === OP.read) this.#transfer(request, 0, finish);
    else if (request.op === OP.write) this.#transfer(request, 0, after);
    else if (request.op === OP.flush) flush(0);
    // Holes and zeroes are the file system's metadata: quick, where it has them.
    else after(this.#rare.run({ ...request, flags: request.flags & ~FLAG.FUA }));
  }

  /** From `done` bytes on to the end. */
  #transfer(request: BlockRequest, done: number, finish: (result: BlockResult) => void): void {
    const { op, offset, length, buffers } = request;
    if (done === length) {
      finish(0);
      return;
    }
    const rest = remaining(buffers, done);
    const after = (error: NodeJS.ErrnoException | null, count: number): void => {
      if (error) {
        if (errnoOf(error) === ERRNO.EINTR) this.#transfer(request, done, finish);
        else finish(errnoOf(error));
      } else if (count > 0) {
        this.#transfer(request, done + count, finish);
      } else if (op === OP.read) {
        for (const buffer of rest) buffer.fill(0); // beyond the file's end: somebody has cut it
        this.#transfer(request, done + bytesOf(rest), finish);
      } else finish(ERRNO.EIO);
    };
    (op === OP.read ? readv : writev)(this.#fd, rest, offset + done, after);
  }
}
