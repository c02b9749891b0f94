/**
 * What a terminal shows that got these bytes: its rows as text, and as runs of one look each.
 * Document: xterm.js's API, which emulates the terminal (ECMA-48, DEC VT100 and later).
 * Left out: what has scrolled off the top, and answers to what the bytes ask the terminal.
 */
import xterm from "@xterm/headless";

export const COLUMNS = 80;
export const ROWS = 25;

/** Neighbouring cells that look alike. */
export interface Run {
  readonly column: number;
  readonly text: string;
  /** One of the terminal's 256 colours; -1: the one that text has unless told. */
  readonly colour: number;
  readonly bold: boolean;
}

export class Screen {
  readonly #terminal: InstanceType<typeof xterm.Terminal>;

  constructor(columns = COLUMNS, rows = ROWS) {
    this.#terminal = new xterm.Terminal({ cols: columns, rows, scrollback: 0, allowProposedApi: true });
  }

  /** Resolves when the bytes show. */
  write(bytes: Uint8Array | string): Promise<void> {
    return new Promise((resolve) => this.#terminal.write(bytes, resolve));
  }

  /** The rows, without the blanks at their ends. */
  lines(): readonly string[] {
    const { active } = this.#terminal.buffer;
    return Array.from({ length: this.#terminal.rows }, (_, row) =>
      active.getLine(row)!.translateToString(true).trimEnd(),
    );
  }

  /** Where the next character goes. */
  cursor(): { readonly column: number; readonly row: number } {
    const { cursorX, cursorY } = this.#terminal.buffer.active;
    return { column: cursorX, row: cursorY };
  }

  /** The rows as runs; runs of blanks are left out. */
  runs(): readonly (readonly Run[])[] {
    return this.lines().map((text, row) => this.#runs(row, text.length));
  }

  #runs(row: number, end: number): readonly Run[] {
    const line = this.#terminal.buffer.active.getLine(row)!;
    const runs: { column: number; text: string; colour: number; bold: boolean }[] = [];
    for (let column = 0; column < end; column++) {
      const cell = line.getCell(column)!;
      const colour = cell.isFgPalette() ? cell.getFgColor() : -1;
      const bold = cell.isBold() !== 0;
      const last = runs.at(-1);
      if (last !== undefined && last.colour === colour && last.bold === bold) last.text += cell.getChars() || " ";
      else runs.push({ column, text: cell.getChars() || " ", colour, bold });
    }
    return runs.filter(({ text }) => text.trim() !== "");
  }
}
