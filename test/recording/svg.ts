/**
 * Frames of a terminal as an animated SVG that needs no script: what a row shows for a time is a text of its own, and CSS shows
 * and hides it.
 * Document: SVG 2, CSS Animations Level 1.
 * Left out: backgrounds, underlines and every colour but the sixteen: a shell on a serial line uses no more.
 */
import type { Run } from "../support/screen.ts";

/** What a terminal shows from `at` on, in ms of the picture's time. */
export interface Frame {
  readonly at: number;
  readonly rows: readonly (readonly Run[])[];
  readonly cursor: { readonly column: number; readonly row: number };
}

/** What the title bar's clock shows from `at` on. */
export interface Tick {
  readonly at: number;
  readonly text: string;
}

export interface Picture {
  readonly title: string;
  readonly columns: number;
  readonly frames: readonly Frame[];
  readonly ticks: readonly Tick[];
  /** How long it plays before it begins again, in ms. */
  readonly length: number;
}

/** A piece of the picture, and when it shows. */
interface Shown {
  readonly content: string;
  readonly from: number;
  readonly to: number;
}

const CELL = { width: 8.4, height: 18, baseline: 13 };
const BAR = 30;
const MARGIN = 12;
/** Black to white, then the same brighter; bold text of the first eight is of the second, as terminals do. */
const COLOURS = (
  "#3b4048 #e06c75 #98c379 #d19a66 #61afef #c678dd #56b6c2 #abb2bf " +
  "#5c6370 #ff7b86 #b5e890 #e5c07b #7cc4ff #de8ff0 #6fd3e0 #ffffff"
).split(" ");
const STYLE = `text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#d7dae0;white-space:pre}
.f{visibility:hidden}.f,.l,.c{animation-timing-function:step-end;animation-iteration-count:infinite}
.b{font-weight:bold}.c{fill:#d7dae0;opacity:.6}`;

/** A document that plays the frames; where nothing is animated, or its user wants no motion, it shows the last one. */
export function animatedSvg(picture: Picture): string {
  const { title, columns, frames, length } = picture;
  const rows = frames[0]?.rows.length ?? 0;
  const width = round(columns * CELL.width + 2 * MARGIN);
  const height = BAR + rows * CELL.height + 2 * MARGIN;
  const pieces = [
    ...Array.from({ length: rows }, (_, row) =>
      timesOf(frames, (frame) => rowText(frame.rows[row] ?? [], row), length),
    ).flat(),
    ...timesOf(picture.ticks, ({ text }) => clockText(text, width), length),
  ];
  const { keyframes, groups } = animate(pieces, length);
  const { column, row } = frames.at(-1)?.cursor ?? { column: 0, row: 0 };
  return `<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" role="img" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">
<title>${escaped(title)}</title>
<style>${STYLE}
@media (prefers-reduced-motion:no-preference){.f,.l,.c{animation-duration:${length}ms}}
${keyframes}
${cursorKeyframes(frames, length)}</style>
<rect width="100%" height="100%" rx="8" fill="#1e2127"/><path d="M0 ${BAR}H${width}" stroke="#3b4048"/>
<text x="${round(width / 2)}" y="20" text-anchor="middle">${escaped(title)}</text>
<rect class="c" style="animation-name:c" transform="${place(column, row, "")}" x="${MARGIN}" y="${BAR + MARGIN}" width="${CELL.width}" height="${CELL.height}"/>
${groups}
</svg>
`;
}

/** The spans in which a piece of the frames stays the same; those without content are left out. */
function timesOf<T extends { readonly at: number }>(
  steps: readonly T[],
  draw: (step: T) => string,
  end: number,
): Shown[] {
  const spans: { content: string; from: number; to: number }[] = [];
  for (const step of steps) {
    const content = draw(step);
    const last = spans.at(-1);
    if (last?.content === content) continue;
    if (last !== undefined) last.to = step.at;
    spans.push({ content, from: step.at, to: end });
  }
  return spans.filter(({ content, from, to }) => content !== "" && from < to);
}

/** Pieces that come and go together are a group with an animation. */
function animate(pieces: readonly Shown[], length: number): { readonly keyframes: string; readonly groups: string } {
  const together = Map.groupBy(pieces, ({ from, to }) => `${from} ${to}`);
  const keyframes: string[] = [];
  const groups: string[] = [];
  for (const shown of together.values()) {
    const { from, to } = shown[0]!;
    const name = `k${groups.length}`;
    const stays = to >= length;
    const steps = stays ? "0%{visibility:hidden}" : "";
    const end = stays ? "" : `${percent(to, length)}{visibility:hidden}`;
    keyframes.push(`@keyframes ${name}{${from > 0 ? steps : ""}${percent(from, length)}{visibility:visible}${end}}`);
    const content = shown.map((piece) => piece.content).join("");
    groups.push(`<g class="${stays ? "l" : "f"}" style="animation-name:${name}">${content}</g>`);
  }
  return { keyframes: keyframes.join("\n"), groups: groups.join("\n") };
}

function cursorKeyframes(frames: readonly Frame[], length: number): string {
  const places = frames.map(({ at, cursor }) => ({ at, transform: place(cursor.column, cursor.row) }));
  const moves = places.filter(({ transform }, i) => transform !== places[i - 1]?.transform);
  return `@keyframes c{${moves.map(({ at, transform }) => `${percent(at, length)}{transform:${transform}}`).join("")}}`;
}

function rowText(runs: readonly Run[], row: number): string {
  const y = BAR + MARGIN + row * CELL.height + CELL.baseline;
  return runs.map((run) => runText(run, y)).join("");
}

/** `textLength` keeps to the grid whatever the font. */
function runText({ column, text, colour, bold }: Run, y: number): string {
  const blanks = text.length - text.trimStart().length;
  const shown = text.trim();
  const fill = COLOURS[bold && colour >= 0 && colour < 8 ? colour + 8 : colour];
  const look = `${bold ? ' class="b"' : ""}${fill === undefined ? "" : ` style="fill:${fill}"`}`;
  const x = round(MARGIN + (column + blanks) * CELL.width);
  return `<text x="${x}" y="${y}" textLength="${round(shown.length * CELL.width)}"${look}>${escaped(shown)}</text>`;
}

function clockText(text: string, width: number): string {
  return text === "" ? "" : `<text x="${round(width - MARGIN)}" y="20" text-anchor="end">${escaped(text)}</text>`;
}

/** For CSS, which wants units, or for an attribute, which wants none. */
function place(column: number, row: number, unit = "px"): string {
  return `translate(${round(column * CELL.width)}${unit},${row * CELL.height}${unit})`;
}

function percent(at: number, length: number): string {
  return `${Math.round((at / length) * 1e5) / 1e3}%`;
}

function round(pixels: number): number {
  return Math.round(pixels * 10) / 10;
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** XML knows no control characters, not even escaped. */
function escaped(text: string): string {
  return text.replace(/\p{Cc}/gu, "?").replace(/[&<>"]/g, (character) => ENTITIES[character]!);
}
