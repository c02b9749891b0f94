/**
 * `make recording`: a session of `make run`, as it goes, becomes the picture of README.md.
 *   record.ts FILE.svg
 * Left out: the build, which the recording would show if something were to be built: `make recording` does it before.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Screen } from "../support/screen.ts";
import { type Chunk, type Line, recordSession } from "./session.ts";
import { animatedSvg, type Frame } from "./svg.ts";
import { LONGEST_PAUSE, Timeline } from "./timeline.ts";

const COLUMNS = 80;
const ROWS = 24;
const HOST = "$ ";
/** BusyBox's shell asks for the cursor's place after its prompt. */
const GUEST = "# \x1b[6n";

const LINES: readonly Line[] = [
  { prompt: HOST, text: "make run" },
  { prompt: GUEST, text: "uname -a" },
  { prompt: GUEST, text: "cat /mnt/hello.txt" },
  { prompt: GUEST, text: "ls -l /dev/vda" },
  { prompt: GUEST, text: "head -c 16 /dev/hwrng | hexdump -C" },
  { prompt: GUEST, text: "poweroff" },
];

/** Output that comes within this time is one frame, in ms: the eye sees no more. */
const FRAME = 40;
/** How long the end stays, in ms. */
const STILL = 4_000;

/** The frames with the session's own times. */
async function framesOf(chunks: readonly Chunk[]): Promise<readonly Frame[]> {
  const screen = new Screen(COLUMNS, ROWS);
  const frames: Frame[] = [];
  for (const [i, { at, bytes }] of chunks.entries()) {
    await screen.write(bytes);
    const next = chunks[i + 1];
    if (next === undefined || next.at - at >= FRAME) frames.push({ at, rows: screen.runs(), cursor: screen.cursor() });
  }
  return frames;
}

async function record(path: string): Promise<void> {
  const folder = fileURLToPath(new URL("../..", import.meta.url));
  const chunks = await recordSession({ columns: COLUMNS, rows: ROWS, folder }, LINES, HOST);
  const frames = await framesOf(chunks);
  const timeline = new Timeline(frames.map(({ at }) => at));
  const shown = frames.map((frame) => ({ ...frame, at: timeline.at(frame.at) }));
  const ticks = timeline.seconds().map(({ at, second }) => ({ at, text: `${second} s` }));
  const length = (shown.at(-1)?.at ?? 0) + STILL;
  const svg = animatedSvg({ title: "splitvm: make run", columns: COLUMNS, frames: shown, ticks, length });
  writeFileSync(path, svg);
  const seconds = (length / 1000).toFixed(1);
  process.stderr.write(
    `recording: ${path}, ${seconds} s, pauses of at most ${LONGEST_PAUSE / 1000} s, ${svg.length} bytes\n`,
  );
}

const [, , path] = process.argv;
if (path === undefined) throw new Error("record.ts FILE.svg");
await record(path);
