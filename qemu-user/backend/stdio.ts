/**
 * Standard input as the source of a console, and the terminal behind it: raw while the guest has it, restored at any end.
 * Follows: termios(3) raw mode; QEMU's -serial stdio and -nographic.
 * Left out: the window size, and stopping with Ctrl-Z. After SIGKILL the terminal stays as it was: nobody can act then.
 */
import type { ReadStream } from "node:tty";
import type { InputTarget } from "./link.ts";
import { type ConsoleCommand, ConsoleInput } from "./mux.ts";

/** The part of process.stdin that is used; a pipe has no `setRawMode`. */
export type InputStream = Pick<ReadStream, "on" | "off" | "pause" | "resume"> &
  Partial<Pick<ReadStream, "isTTY" | "isRaw" | "setRawMode">>;

/** The part of `process` that is used. */
export interface ExitEvents {
  on(event: "exit", listener: () => void): unknown;
  off(event: "exit", listener: () => void): unknown;
}

export interface StdioOptions {
  /** Ctrl-A commands (-nographic). Without, Ctrl-C on a terminal is the command "interrupt". */
  readonly mux: boolean;
  readonly onCommand: (command: ConsoleCommand) => void;
  readonly stdin?: InputStream;
  readonly events?: ExitEvents;
}

/** Beyond this, what is typed at a guest that does not read is dropped. */
const TYPEAHEAD_BYTES = 64 * 1024;

export class StdioInput {
  readonly #stdin: InputStream;
  readonly #events: ExitEvents;
  readonly #pump: InputTarget;
  readonly #input: ConsoleInput;
  readonly #onCommand: (command: ConsoleCommand) => void;
  readonly #wasRaw: boolean;
  #open = true;

  /** Begins to read. A terminal becomes raw, and cooked again on `close` and whenever the process exits, also by a crash. */
  constructor(pump: InputTarget, { mux, onCommand, stdin = process.stdin, events = process }: StdioOptions) {
    this.#stdin = stdin;
    this.#events = events;
    this.#pump = pump;
    this.#onCommand = onCommand;
    this.#input = new ConsoleInput(mux ? "mux" : stdin.isTTY === true ? "signals" : "plain");
    this.#wasRaw = stdin.isRaw === true;
    events.on("exit", this.#restore);
    stdin.on("data", this.#onData);
    stdin.on("error", this.#onEnd);
    pump.onRoom(() => {
      if (this.#open) stdin.resume();
    });
    if (stdin.isTTY === true) stdin.setRawMode?.(true);
    stdin.resume();
  }

  /** Stops reading and gives the terminal back. Safe to call twice. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#stdin.off("data", this.#onData);
    this.#stdin.off("error", this.#onEnd);
    this.#stdin.pause();
    this.#events.off("exit", this.#restore);
    this.#restore();
  }

  readonly #onData = (bytes: Uint8Array): void => {
    for (const piece of this.#input.take(bytes)) {
      if (typeof piece === "string") this.#onCommand(piece);
      else this.#feed(piece);
    }
  };

  /** Never waits, so that a command behind it gets through also when the guest reads nothing. */
  #feed(input: Uint8Array): void {
    // A terminal is never paused, or Ctrl-A x would wait behind what the guest does not read.
    if (this.#stdin.isTTY === true && this.#pump.backlog > TYPEAHEAD_BYTES) return;
    if (!this.#pump.feed(input) && this.#stdin.isTTY !== true) this.#stdin.pause();
  }

  /** A terminal that went away is the end of input, not of the guest. */
  readonly #onEnd = (): void => this.close();

  readonly #restore = (): void => {
    if (this.#stdin.isTTY === true) this.#stdin.setRawMode?.(this.#wasRaw);
  };
}
