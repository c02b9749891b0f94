/**
 * A pseudo terminal as a character back end: a terminal program opens its other side, and may close and open it again.
 * Follows: pty(7); QEMU's -serial pty.
 * Left out: what is written last and not read at once is lost when the guest ends: the kernel throws it away.
 */
import { closeSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { ReadStream } from "node:tty";
import { duplicate, openPty, POLLHUP, POLLIN, poll } from "../../shared/native.ts";
import { type CharLink, type InputTarget, STALL_MS } from "./link.ts";

/** How often one looks whether somebody has opened the other side, in ms: the kernel does not say so. */
const LOOK_MS = 100;
/** The kernel's buffer is full: how long to the next try, in ms. */
const ROOM_MS = 10;

export class PtyLink implements CharLink {
  /** Of the other side. */
  readonly path: string;
  readonly #fd: number;
  readonly #report: (line: string) => void;
  #input: InputTarget | undefined;
  /** While somebody has the other side open. Of a descriptor of its own, which it closes when they leave. */
  #reader: ReadStream | undefined;
  #looking: NodeJS.Timeout | undefined;
  #stalled = false;
  #closed = false;

  /** `report`: a line for the user. Throws an Error if the host has no pseudo terminal left. */
  constructor(report: (line: string) => void) {
    const { fd, path } = openPty();
    this.#fd = fd;
    this.path = path;
    this.#report = report;
  }

  start(input: InputTarget): void {
    this.#input = input;
    input.onRoom(() => this.#reader?.resume());
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
    this.#looking.unref();
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#look();
    let since = Date.now();
    for (let done = 0; done < bytes.length && this.#reader !== undefined; ) {
      const count = this.#writeSome(bytes.subarray(done));
      done += count;
      if (count > 0) {
        since = Date.now();
        this.#stalled = false;
      } else if (this.#stalled || this.#closed) return;
      else if (Date.now() - since > STALL_MS) {
        this.#stalled = true;
        this.#report(`${this.path}: whoever has it open reads nothing; output is dropped until it does`);
      } else await sleep(ROOM_MS);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#looking);
    this.#reader?.destroy();
    this.#reader = undefined;
    closeSync(this.#fd);
  }

  #writeSome(bytes: Uint8Array): number {
    try {
      return writeSync(this.#fd, bytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EAGAIN") return 0;
      throw error;
    }
  }

  /** Begins to read if somebody has come. */
  #look(): void {
    if (this.#reader !== undefined || this.#closed) return;
    const [ready = 0] = poll([this.#fd], [POLLIN], 0);
    if ((ready & POLLHUP) !== 0) return;
    const reader = new ReadStream(duplicate(this.#fd));
    this.#reader = reader;
    this.#stalled = false;
    reader.on("data", (bytes: Uint8Array) => {
      if (!this.#input?.feed(bytes)) reader.pause();
    });
    const gone = () => {
      reader.destroy();
      if (this.#reader === reader) this.#reader = undefined;
    };
    reader.on("error", gone).on("end", gone).on("close", gone); // EIO: the other side is closed
  }
}
