/** Console input: Ctrl-A commands, signal keys, raw mode and its end. */
import { EventEmitter } from "node:events";
import { describe, expect, test } from "vitest";
import {
  type ConsoleCommand,
  ConsoleInput,
  type InputMode,
  MUX_HELP,
  type MuxOutput,
} from "../../../qemu-user/backend/mux.ts";
import { type InputStream, StdioInput } from "../../../qemu-user/backend/stdio.ts";

const CTRL_A = "\x01";

describe("ConsoleInput", () => {
  /** Input as text in brackets, commands as words. */
  const pieces = (output: MuxOutput) =>
    output.map((piece) => (typeof piece === "string" ? piece : [Buffer.from(piece).toString("latin1")]));

  test.each<[InputMode, string, (ConsoleCommand | string[])[]]>([
    ["mux", "hello\r", [["hello\r"]]],
    ["mux", `${CTRL_A}x`, ["quit"]],
    ["mux", `${CTRL_A}h`, ["help"]],
    ["mux", `${CTRL_A}?`, ["help"]],
    ["mux", `a${CTRL_A}cb`, [["a"], "monitor", ["b"]]],
    ["mux", `${CTRL_A}cstop\r${CTRL_A}cls\r`, ["monitor", ["stop\r"], "monitor", ["ls\r"]]],
    ["mux", `${CTRL_A}${CTRL_A}`, [[CTRL_A]]],
    ["mux", `${CTRL_A}${CTRL_A}x`, [[`${CTRL_A}x`]]],
    ["mux", `${CTRL_A}zq`, [["q"]]],
    ["mux", "\x03\x1c", [["\x03\x1c"]]],
    ["signals", "a\x03b\x1c", [["a"], "interrupt", ["b"], "abort"]],
    ["signals", `${CTRL_A}x`, [[`${CTRL_A}x`]]],
    ["plain", `${CTRL_A}x\x03`, [[`${CTRL_A}x\x03`]]],
  ])("%s: %j", (mode, typed, output) => {
    expect(pieces(new ConsoleInput(mode).take(Buffer.from(typed, "latin1")))).toEqual(output);
  });

  test("a command may come in two pieces", () => {
    const input = new ConsoleInput("mux");
    expect(input.take(Buffer.from(CTRL_A))).toEqual([]);
    expect(input.take(Buffer.from("x"))).toEqual(["quit"]);
  });

  test("every byte value passes", () => {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    const doubled = Uint8Array.from([...all].flatMap((byte) => (byte === 1 ? [1, 1] : [byte])));
    expect(new ConsoleInput("mux").take(doubled)).toEqual([all]);
  });

  test("help names each key", () => {
    for (const key of ["C-a h", "C-a x", "C-a c", "C-a C-a"]) expect(MUX_HELP).toContain(key);
  });
});

class FakeTerminal extends EventEmitter {
  readonly isTTY: boolean;
  isRaw = false;
  flowing = false;

  constructor(isTTY: boolean) {
    super();
    this.isTTY = isTTY;
  }

  setRawMode(raw: boolean): this {
    this.isRaw = raw;
    return this;
  }

  pause(): this {
    this.flowing = false;
    return this;
  }

  resume(): this {
    this.flowing = true;
    return this;
  }
}

/** A guest that takes `room` bytes. */
class FakeTarget {
  room = Number.POSITIVE_INFINITY;
  backlog = 0;
  text = "";
  #onRoom = () => {};

  feed(bytes: Uint8Array): boolean {
    this.text += Buffer.from(bytes).toString("latin1");
    this.backlog = Math.max(0, this.backlog + bytes.length - this.room);
    return this.backlog === 0;
  }

  onRoom(callback: () => void): void {
    this.#onRoom = callback;
  }

  makeRoom(): void {
    this.backlog = 0;
    this.#onRoom();
  }
}

function setup(isTTY: boolean, mux: boolean) {
  const terminal = new FakeTerminal(isTTY);
  const events = new EventEmitter();
  const target = new FakeTarget();
  const commands: ConsoleCommand[] = [];
  const stdin = terminal as unknown as InputStream;
  const input = new StdioInput(target, { mux, onCommand: (command) => commands.push(command), stdin, events });
  return { terminal, events, target, commands, input };
}

describe("StdioInput", () => {
  test("a terminal is raw until close", () => {
    const { terminal, events, input } = setup(true, true);
    expect([terminal.isRaw, terminal.flowing]).toEqual([true, true]);
    input.close();
    input.close();
    expect([terminal.isRaw, terminal.flowing, terminal.listenerCount("data"), events.listenerCount("exit")]).toEqual([
      false,
      false,
      0,
      0,
    ]);
  });

  test("a terminal is given back when the process ends, however", () => {
    const { terminal, events } = setup(true, true);
    events.emit("exit");
    expect(terminal.isRaw).toBe(false);
  });

  test("a terminal that was raw before stays so", () => {
    const terminal = new FakeTerminal(true);
    terminal.isRaw = true;
    const stdin = terminal as unknown as InputStream;
    const input = new StdioInput(new FakeTarget(), {
      mux: true,
      onCommand: () => {},
      stdin,
      events: new EventEmitter(),
    });
    input.close();
    expect(terminal.isRaw).toBe(true);
  });

  test("a terminal that goes away is closed", () => {
    const { terminal, input } = setup(true, true);
    terminal.emit("error", new Error("EIO"));
    expect([terminal.flowing, terminal.listenerCount("data")]).toEqual([false, 0]);
    input.close();
  });

  test("Ctrl-C: to the guest with the multiplexer, to us without it, plain data in a pipe", () => {
    for (const [isTTY, mux, text, commands] of [
      [true, true, "\x03", []],
      [true, false, "", ["interrupt"]],
      [false, false, "\x03", []],
    ] as const) {
      const s = setup(isTTY, mux);
      s.terminal.emit("data", Buffer.from("\x03"));
      expect([s.target.text, s.commands]).toEqual([text, commands]);
    }
  });

  test("a pipe is paused while the guest does not read, and loses nothing", () => {
    const { terminal, target } = setup(false, false);
    target.room = 2;
    terminal.emit("data", Buffer.from("abc"));
    expect(terminal.flowing).toBe(false);
    target.makeRoom();
    expect([terminal.flowing, target.text]).toEqual([true, "abc"]);
  });

  test("a terminal is not paused, so that Ctrl-A x gets through; too much typing is dropped", () => {
    const { terminal, target, commands } = setup(true, true);
    target.room = 0;
    terminal.emit("data", Buffer.alloc(65 * 1024, "a"));
    terminal.emit("data", Buffer.from("b"));
    terminal.emit("data", Buffer.from(`${CTRL_A}x`));
    expect([terminal.flowing, target.text.includes("b"), commands]).toEqual([true, false, ["quit"]]);
  });

  test("after close nothing is resumed", () => {
    const { terminal, target, input } = setup(false, false);
    input.close();
    target.makeRoom();
    expect(terminal.flowing).toBe(false);
  });
});
