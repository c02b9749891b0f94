/**
 * Commands in console input: Ctrl-A and a letter, or the terminal's signal keys.
 * Follows: QEMU's character multiplexer ("Keys in the character backend multiplexer"); termios' INTR and QUIT keys.
 * Left out: C-a s, C-a t and C-a b (disks, time stamps, break), and job control (Ctrl-Z).
 */

/** What the input asks of us, besides being input. */
export type ConsoleCommand = "quit" | "help" | "monitor" | "interrupt" | "abort";

/** In the order in which it was typed: what goes to the guest or to the monitor, and commands. */
export type MuxOutput = readonly (Uint8Array | ConsoleCommand)[];

const CTRL_A = 0x01;

interface Key {
  readonly command: ConsoleCommand;
  readonly help: string;
}

/** After Ctrl-A. */
const KEYS: Readonly<Record<string, Key>> = {
  h: { command: "help", help: "print this help" },
  "?": { command: "help", help: "print this help" },
  x: { command: "quit", help: "exit" },
  c: { command: "monitor", help: "switch between console and monitor" },
};

/** A raw terminal makes no signals; without the multiplexer these bytes stand for them. */
const SIGNAL_KEYS: Readonly<Record<number, ConsoleCommand>> = { 3: "interrupt", 28: "abort" };

/** What Ctrl-A h prints. */
export const MUX_HELP = [
  ...Object.entries(KEYS)
    .filter(([key]) => key !== "?")
    .map(([key, { help }]) => `C-a ${key}    ${help}`),
  "C-a C-a  send C-a",
  "",
].join("\n");

/** `mux`: Ctrl-A commands, and everything else to the guest (-nographic). `signals`: Ctrl-C ends us (-serial stdio on a terminal). */
export type InputMode = "mux" | "signals" | "plain";

export class ConsoleInput {
  readonly #mode: InputMode;
  #escaped = false; // a Ctrl-A was the last byte, perhaps of the piece before

  constructor(mode: InputMode) {
    this.#mode = mode;
  }

  /** Splits a piece of input. A Ctrl-A before any other key is swallowed with it, as QEMU does. */
  take(bytes: Uint8Array): MuxOutput {
    if (this.#mode === "plain") return [bytes];
    const output: (Uint8Array | ConsoleCommand)[] = [];
    let input: number[] = [];
    const command = (what: ConsoleCommand) => {
      if (input.length > 0) output.push(Uint8Array.from(input));
      input = [];
      output.push(what);
    };
    for (const byte of bytes) {
      const signal = this.#mode === "signals" ? SIGNAL_KEYS[byte] : undefined;
      if (signal !== undefined) command(signal);
      else if (this.#mode === "signals") input.push(byte);
      else if (this.#escaped) {
        this.#escaped = false;
        const key = KEYS[String.fromCharCode(byte)];
        if (byte === CTRL_A) input.push(CTRL_A);
        else if (key !== undefined) command(key.command);
      } else if (byte === CTRL_A) this.#escaped = true;
      else input.push(byte);
    }
    if (input.length > 0) output.push(Uint8Array.from(input));
    return output;
  }
}
