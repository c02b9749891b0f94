/**
 * Where a character back end's output ends up on the host: standard output or a file.
 * Follows: QEMU's -serial file:PATH (created or truncated).
 * Left out: what also gives input: sockets (socket.ts), pseudo terminals (pty.ts), the terminal (stdio.ts).
 */
import { type FileHandle, open } from "node:fs/promises";
import type { Writable } from "node:stream";
import type { ByteSink } from "./char-pump.ts";

/** A stream that somebody else owns, usually process.stdout. It is not closed. */
export class StreamSink implements ByteSink {
  readonly #stream: Writable;
  #fail: ((error: Error) => void) | undefined;

  constructor(stream: Writable) {
    this.#stream = stream;
    // A failed write comes through its callback and as an event; without a listener the event ends the process.
    stream.on("error", this.#onError);
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#fail = reject;
      this.#stream.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  async close(): Promise<void> {
    this.#stream.off("error", this.#onError);
  }

  readonly #onError = (error: Error) => this.#fail?.(error);
}

export class FileSink implements ByteSink {
  readonly #file: FileHandle;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Creates or empties the file. Throws an Error, fit for the user, if it cannot be written. */
  static async open(path: string): Promise<FileSink> {
    try {
      return new FileSink(await open(path, "w"));
    } catch (error) {
      throw new Error(`${path}: cannot be written: ${(error as Error).message}`);
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done);
      done += bytesWritten;
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
