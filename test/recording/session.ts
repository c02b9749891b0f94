/**
 * A shell in a pseudo terminal that somebody types at: what it wrote, and when.
 * Document: pty(7), stty(1), setsid(1).
 * Left out: answers of a terminal to what programs ask it; a shell does without.
 */
import { spawn, spawnSync } from "node:child_process";
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { ReadStream } from "node:tty";
import { openPty } from "../../shared/native.ts";

/** What is typed when the output ends with `prompt`. */
export interface Line {
  readonly prompt: string;
  readonly text: string;
}

export interface Chunk {
  /** In ms since the beginning. */
  readonly at: number;
  readonly bytes: Buffer;
}

export interface Terminal {
  readonly columns: number;
  readonly rows: number;
  readonly folder: string;
}

/** How long a prompt may be waited for, in ms. */
const PATIENCE = 60_000;
/** Between a prompt and the first key, and between two keys, in ms; the latter is varied by as much as half of it. */
const THINK = 700;
const KEY = 90;

/** Types the lines at an interactive shell, in order, and returns what it wrote up to the last prompt, `end`. */
export async function recordSession(
  terminal: Terminal,
  lines: readonly Line[],
  end: string,
): Promise<readonly Chunk[]> {
  const { fd, path } = openPty();
  const other = openSync(path, constants.O_RDWR | constants.O_NOCTTY);
  const size = ["rows", `${terminal.rows}`, "cols", `${terminal.columns}`];
  const stty = spawnSync("stty", ["sane", ...size], { stdio: [other, "ignore", "inherit"] });
  if (stty.status !== 0) throw new Error("stty failed");
  const chunks: Chunk[] = [];
  const reader = new ReadStream(fd);
  const start = performance.now();
  reader.on("data", (bytes: Buffer) => chunks.push({ at: performance.now() - start, bytes }));
  reader.on("error", () => {}); // EIO: the shell has gone
  // Nothing of the make that runs this, and no start-up file of the user's.
  const env = { PATH: process.env["PATH"], HOME: process.env["HOME"], TERM: "xterm-256color", PS1: end };
  const shell = spawn("setsid", ["--ctty", "sh", "-i"], { cwd: terminal.folder, env, stdio: [other, other, other] });
  closeSync(other);
  try {
    for (const { prompt, text } of lines) {
      await prompted(chunks, prompt);
      await type(fd, text);
    }
    await prompted(chunks, end);
    return chunks.slice();
  } finally {
    shell.kill("SIGHUP");
    reader.destroy();
  }
}

/** Throws an Error, with the end of what came instead, if the prompt does not come. */
async function prompted(chunks: readonly Chunk[], prompt: string): Promise<void> {
  const before = performance.now();
  const tail = () => Buffer.concat(chunks.slice(-20).map(({ bytes }) => bytes)).toString("latin1");
  while (!tail().endsWith(prompt)) {
    if (performance.now() - before > PATIENCE) throw new Error(`no prompt ${JSON.stringify(prompt)} after ${tail()}`);
    await sleep(20);
  }
}

/** As a person does, more or less. */
async function type(fd: number, text: string): Promise<void> {
  await sleep(THINK);
  for (const [i, key] of [...text, "\r"].entries()) {
    writeSync(fd, key);
    await sleep(KEY + (((i * 37) % 11) / 10 - 0.5) * KEY);
  }
}
