/**
 * Where -d writes: lines to a file, or to stderr. Each thread that logs has its own on the same descriptor.
 * Follows: link.ts. A reader that takes nothing holds the writer up for a bounded time only; then lines are lost until it reads
 * again. What cannot be written at all (a full disk, a pipe that nobody reads any more) is lost, and the guest goes on.
 * Left out: opening and closing.
 */
import { writeSync } from "node:fs";
import { STALL_MS } from "./link.ts";

/** The pipe is full: how long to the next try, in ms. */
const ROOM_MS = 5;

export class LineLog {
  readonly #fd: number;
  readonly #report: (line: string) => void;
  readonly #sleep = new Int32Array(new SharedArrayBuffer(4));
  #stalled = false;
  #failed = false;
  /** The rest of a line of which a part has been written. */
  #rest: Uint8Array = new Uint8Array(0);

  /** `report`: a line for the user, once. */
  constructor(fd: number, report: (line: string) => void) {
    this.#fd = fd;
    this.#report = report;
  }

  line(text: string): void {
    if (this.#failed || !this.#write(this.#rest)) return;
    this.#write(Buffer.from(`${text}\n`));
  }

  /** False: not all of it. Of a line that was begun the rest is kept. */
  #write(bytes: Uint8Array): boolean {
    let done = 0;
    for (let waits = 0; done < bytes.length; ) {
      const count = this.#some(bytes.subarray(done));
      if (count > 0) {
        this.#stalled = false;
        waits = 0;
        done += count;
      } else if (this.#failed || this.#stalled) break;
      else if (waits++ * ROOM_MS > STALL_MS) {
        this.#stalled = true;
        this.#lose("nobody reads it; lines are lost until somebody does");
      } else Atomics.wait(this.#sleep, 0, 0, ROOM_MS);
    }
    if (done > 0 || bytes === this.#rest) this.#rest = bytes.subarray(done);
    return done === bytes.length;
  }

  #some(bytes: Uint8Array): number {
    try {
      return writeSync(this.#fd, bytes);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "EAGAIN") return 0; // stderr can be a pipe that does not block, or a terminal's
      this.#failed = true;
      this.#lose(message);
      return 0;
    }
  }

  #lose(why: string): void {
    this.#report(`the log of -d is lost: ${why}`);
  }
}
