/**
 * The character back ends of one run, on the main thread: COM1, the debug console and -chardev to stdio, files, sockets
 * or pseudo terminals, and the monitor that shares the terminal with the guest (Ctrl-A c).
 * Leaves out: the devices in front of them (hw/serial.ts, hw/debugcon.ts).
 */
import { setTimeout } from "node:timers/promises";
import { createCharChannel, setScreenSize } from "./backend/char-channel.ts";
import { type ByteSink, CharPump } from "./backend/char-pump.ts";
import type { CharLink } from "./backend/link.ts";
import { type ConsoleCommand, MUX_HELP } from "./backend/mux.ts";
import { PtyLink } from "./backend/pty.ts";
import { FileSink, StreamSink } from "./backend/sinks.ts";
import { describeSocket, SocketLink } from "./backend/socket.ts";
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
/** How long the last output may take when the user wants the end, in ms. */
const HURRY_MS = 1_000;

export class Console {
  readonly #lines = new Map<string, Line>();
  readonly #events: ConsoleEvents;
  #input: StdioInput | undefined;
  #monitor = false;
  #typed = "";
  #forget: () => void = () => {};
  #hurried = false;
  #giveUp: () => void = () => {};
  readonly #givenUp = new Promise<void>((resolve) => {
    this.#giveUp = resolve;
  });

  constructor(events: ConsoleEvents) {
    this.#events = events;
  }

  /**
   * Opens files and sockets, begins to read the terminal, and waits for clients where it was told to. Throws an Error, fit
   * for the user, if something cannot be opened.
   */
  async open(serial: CharSpec, debugcon: CharSpec, chardevs: readonly Chardev[]): Promise<void> {
    const waits = [await this.#add("serial", "serial0", serial), await this.#add("debugcon", "debugcon", debugcon)];
    for (const { id, spec } of chardevs) waits.push(await this.#add(`chardev ${id}`, id, spec));
    await Promise.all(waits.map((wait) => wait?.()));
  }

  /** The channel to hand to the device thread; null: nothing is plugged in. */
  channel(which: string): SharedArrayBuffer | null {
    return this.#lines.get(which)?.channel ?? null;
  }

  /** The device thread says that a channel has output, or room. */
  notified(which: string): void {
    this.#lines.get(which)?.pump.notified();
  }

  /**
   * The user wants the end: a reader of the guest's output who takes nothing is waited for HURRY_MS longer. Until then the device
   * thread may wait for room, and close() for the last bytes.
   */
  hurry(): void {
    if (this.#hurried) return;
    this.#hurried = true;
    void setTimeout(HURRY_MS).then(() => {
      for (const { pump } of this.#lines.values()) pump.giveUp();
      this.#giveUp();
    });
  }

  /** Writes out everything that the guest wrote, gives the terminal back and closes the files. */
  async close(): Promise<void> {
    this.#input?.close();
    this.#forget();
    const closed = Promise.all([...this.#lines.values()].map(({ pump }) => pump.close()));
    await Promise.race([closed, this.#givenUp]);
  }

  /** Resolves with what to wait for before the guest starts. */
  async #add(which: string, label: string, spec: CharSpec): Promise<(() => Promise<void>) | undefined> {
    if (spec.kind === "none") return undefined;
    const channel = createCharChannel();
    const sink = await openSink(label, spec);
    const { onOutput } = this.#events;
    const seen = onOutput === undefined ? sink : watched(sink, (bytes) => onOutput(which, bytes));
    const pump = new CharPump(channel, seen, this.#events.notify, (error) => {
      report(`output of ${which} is lost: ${error.message}`);
    });
    this.#lines.set(which, { channel, pump });
    if (spec.kind === "stdio") this.#followSize(channel);
    if ("start" in sink) sink.start(pump);
    if (spec.kind === "socket" && spec.wait && sink instanceof SocketLink) {
      return () => {
        report(`${label} waits for somebody to connect to ${describeSocket(spec)}; with wait=off it would not`);
        return sink.connected;
      };
    }
    if (spec.kind !== "stdio" || this.#input) return undefined;
    const target = {
      feed: (bytes: Uint8Array) => (this.#monitor ? this.#type(bytes) : pump.feed(bytes)),
      onRoom: (callback: () => void) => pump.onRoom(callback),
      get backlog() {
        return pump.backlog;
      },
    };
    this.#input = new StdioInput(target, { mux: spec.mux, onCommand: (command) => this.#command(command) });
    return undefined;
  }

  /** A terminal tells how large it is, at first and when that changes. */
  #followSize(channel: SharedArrayBuffer): void {
    const { stdout } = process;
    if (!stdout.isTTY) return;
    const tell = () => {
      setScreenSize(channel, stdout.columns, stdout.rows);
      this.#events.notify();
    };
    tell();
    stdout.on("resize", tell);
    this.#forget = () => stdout.off("resize", tell);
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

function report(line: string): void {
  process.stderr.write(`qemu-user: ${line}\n`);
}

async function openSink(label: string, spec: Exclude<CharSpec, { kind: "none" }>): Promise<ByteSink | CharLink> {
  switch (spec.kind) {
    case "file":
      return FileSink.open(spec.path);
    case "socket":
      return SocketLink.open(spec, report);
    case "pty": {
      const pty = new PtyLink(report);
      process.stderr.write(`char device redirected to ${pty.path} (label ${label})\n`); // scripts look for QEMU's words
      return pty;
    }
    case "stdio":
      return new StreamSink(process.stdout);
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
