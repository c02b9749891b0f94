/**
 * The character back ends of one run, on the main thread: COM1, the debug console and -chardev to stdio or files, and the
 * monitor that shares the terminal with the guest (Ctrl-A c).
 * Leaves out: the devices in front of them (hw/serial.ts, hw/debugcon.ts).
 */
import { createCharChannel } from "./backend/char-channel.ts";
import { type ByteSink, CharPump } from "./backend/char-pump.ts";
import { type ConsoleCommand, MUX_HELP } from "./backend/mux.ts";
import { FileSink, StreamSink } from "./backend/sinks.ts";
import { StdioInput } from "./backend/stdio.ts";
import type { Chardev, CharSpec } from "./cli/char-spec.ts";

type Line = { readonly channel: SharedArrayBuffer; readonly pump: CharPump };

export type ConsoleEvents = {
  /** Ctrl-A x, or Ctrl-C on a terminal without the multiplexer. */
  readonly onQuit: () => void;
  /** A line typed at the monitor; the answer is printed. */
  readonly onMonitor: (line: string) => Promise<string>;
  /** What the guest wrote to a back end, on its way out. */
  readonly onOutput?: (which: string, bytes: Uint8Array) => void;
  /** Wakes the device thread. */
  readonly notify: () => void;
};

const PROMPT = "(qemu) ";

export class Console {
  readonly #lines = new Map<string, Line>();
  readonly #events: ConsoleEvents;
  #input: StdioInput | undefined;
  #monitor = false;
  #typed = "";

  private constructor(events: ConsoleEvents) {
    this.#events = events;
  }

  /** Opens files and begins to read the terminal; throws an Error, fit for the user, if a file cannot be written. */
  static async open(
    serial: CharSpec,
    debugcon: CharSpec,
    chardevs: readonly Chardev[],
    events: ConsoleEvents,
  ): Promise<Console> {
    const made = new Console(events);
    await made.#add("serial", serial);
    await made.#add("debugcon", debugcon);
    for (const { id, spec } of chardevs) await made.#add(`chardev ${id}`, spec);
    return made;
  }

  /** The channel to hand to the device thread; null: nothing is plugged in. */
  channel(which: string): SharedArrayBuffer | null {
    return this.#lines.get(which)?.channel ?? null;
  }

  /** The device thread says that a channel has output, or room. */
  notified(which: string): void {
    this.#lines.get(which)?.pump.notified();
  }

  /** Writes out everything that the guest wrote, gives the terminal back and closes the files. */
  async close(): Promise<void> {
    this.#input?.close();
    for (const { pump } of this.#lines.values()) await pump.close();
  }

  async #add(which: string, spec: CharSpec): Promise<void> {
    if (spec.kind === "none") return;
    const channel = createCharChannel();
    const sink = spec.kind === "file" ? await FileSink.open(spec.path) : new StreamSink(process.stdout);
    const { onOutput } = this.#events;
    const seen = onOutput === undefined ? sink : watched(sink, (bytes) => onOutput(which, bytes));
    const pump = new CharPump(channel, seen, this.#events.notify, (error) => {
      process.stderr.write(`qemu-user: output of ${which} is lost: ${error.message}\n`);
    });
    this.#lines.set(which, { channel, pump });
    if (spec.kind !== "stdio" || this.#input) return;
    const target = {
      feed: (bytes: Uint8Array) => (this.#monitor ? this.#type(bytes) : pump.feed(bytes)),
      onRoom: (callback: () => void) => pump.onRoom(callback),
      get backlog() {
        return pump.backlog;
      },
    };
    this.#input = new StdioInput(target, { mux: spec.mux, onCommand: (command) => this.#command(command) });
  }

  #command(command: ConsoleCommand): void {
    switch (command) {
      case "help":
        process.stderr.write(MUX_HELP.replaceAll("\n", "\r\n"));
        break;
      case "monitor":
        this.#monitor = !this.#monitor;
        if (this.#monitor) process.stderr.write(`\r\nmonitor; "help" lists its commands, C-a c goes back\r\n${PROMPT}`);
        else process.stderr.write("\r\n");
        break;
      default:
        this.#events.onQuit();
    }
  }

  /** Line editing of the monitor: echo and backspace. */
  #type(bytes: Uint8Array): boolean {
    for (const char of new TextDecoder().decode(bytes)) {
      if (char === "\r" || char === "\n") {
        const line = this.#typed;
        this.#typed = "";
        process.stderr.write("\r\n");
        void this.#events.onMonitor(line.trim()).then((answer) => {
          process.stderr.write(`${answer.replaceAll("\n", "\r\n")}${this.#monitor ? PROMPT : ""}`);
        });
      } else if (char === "\x7f" || char === "\b") {
        if (this.#typed !== "") process.stderr.write("\b \b");
        this.#typed = this.#typed.slice(0, -1);
      } else if (char >= " ") {
        this.#typed += char;
        process.stderr.write(char);
      }
    }
    return true;
  }
}

function watched(sink: ByteSink, look: (bytes: Uint8Array) => void): ByteSink {
  return {
    write(bytes) {
      look(bytes);
      return sink.write(bytes);
    },
    close: () => sink.close(),
  };
}
