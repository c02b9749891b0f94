/**
 * What a terminal of 80 columns and 25 rows shows that got these bytes.
 * Document: ECMA-48 (CUP, ED), DEC VT100.
 * Left out: attributes, scrolling, erasing a part, and every other sequence: no program that the tests look at needs them.
 */

const COLUMNS = 80;
const ROWS = 25;
const ESC = "\x1b";
/** What follows ESC: [ parameters final. */
const CONTROL = /^\[([0-9;?]*)([@-~])/;

const blank = (): string[][] => Array.from({ length: ROWS }, () => Array<string>(COLUMNS).fill(" "));

/** The rows, without the blanks at their ends. */
export function screen(bytes: string): readonly string[] {
  let cells = blank();
  let row = 0;
  let column = 0;
  const print = (text: string) => {
    for (const character of text) {
      if (character === "\n") row = Math.min(row + 1, ROWS - 1);
      else if (character === "\r") column = 0;
      else if (character >= " " && column < COLUMNS) cells[row]![column++] = character;
    }
  };
  const [first = "", ...sequences] = bytes.split(ESC);
  print(first);
  for (const sequence of sequences) {
    const [whole = "", parameters = "", final] = CONTROL.exec(sequence) ?? [sequence.slice(0, 1)];
    if (final === "H") {
      const [down = 1, right = 1] = parameters.split(";").map((n) => Number(n) || 1);
      row = Math.min(down, ROWS) - 1;
      column = Math.min(right, COLUMNS) - 1;
    } else if (final === "J") {
      cells = blank();
    }
    print(sequence.slice(whole.length));
  }
  return cells.map((line) => line.join("").trimEnd());
}
