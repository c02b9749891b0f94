/** CodeMap: which pages a write notes, and whom it kicks. */
import { beforeEach, describe, expect, test } from "vitest";
import { CODE_MAP, CODE_MAP_BYTES, CodeMap } from "../../shared/code-map.ts";
import { KICK_SLEEPING, KICKED } from "../../shared/mailbox.ts";

const AT = 0x1000;
const KICKS = [0x100, 0x200];
const PAGES = 2 ** 20;
let words: Int32Array;
let map: CodeMap;

beforeEach(() => {
  words = new Int32Array(new SharedArrayBuffer(AT + CODE_MAP_BYTES));
  map = new CodeMap(words.buffer, AT, KICKS);
});

const bit = (field: number, n: number) => (words[(AT + field) / 4 + (n >>> 5)]! >>> (n & 31)) & 1;
function setCode(...pages: number[]): void {
  for (const page of pages) words[(AT + CODE_MAP.code) / 4 + (page >>> 5)]! |= 1 << (page & 31);
}
function noted(): number[] {
  const found: number[] = [];
  for (let word = 0; word < PAGES / 32; word++) {
    const bits = words[(AT + CODE_MAP.written) / 4 + word]!;
    expect(bit(CODE_MAP.summary, word)).toBe(bits === 0 ? 0 : 1);
    for (let n = 0; n < 32; n++) if ((bits >>> n) & 1) found.push(word * 32 + n);
  }
  return found;
}
const posted = () => words[(AT + CODE_MAP.posted) / 4]!;
const kicks = () => KICKS.map((at) => words[at / 4]!);

describe("a write", () => {
  test("to pages without code notes nothing and kicks nobody", () => {
    setCode(4, 6);
    map.written(5 * 4096, 4096);
    map.written(0, 4 * 4096);
    map.written(7 * 4096, 2 ** 32 - 7 * 4096);
    expect([noted(), posted(), kicks()]).toEqual([[], 0, [0, 0]]);
  });

  test("notes the pages with code that it touches, and no other", () => {
    setCode(1, 2, 3, 31, 32, 33, 40, 63, 64, 95, 96);
    map.written(2 * 4096 + 4095, 2);
    expect([noted(), posted(), kicks()]).toEqual([[2, 3], 1, [KICKED, KICKED]]);
    map.written(31 * 4096, 33 * 4096);
    expect(noted()).toEqual([2, 3, 31, 32, 33, 40, 63]);
    map.written(64 * 4096, 1);
    map.written(95 * 4096 + 1, 4096);
    expect([noted(), posted()]).toEqual([[2, 3, 31, 32, 33, 40, 63, 64, 95, 96], 4]);
  });

  test("reaches the first page and the last", () => {
    setCode(0, PAGES - 1);
    map.written(0, 2 ** 32);
    expect(noted()).toEqual([0, PAGES - 1]);
  });

  test("of nothing says nothing", () => {
    setCode(0, PAGES - 1);
    map.written(0, 0);
    map.written(2 ** 32, 0);
    expect([noted(), posted()]).toEqual([[], 0]);
  });

  test("leaves a halted vCPU asleep, and its kick to be seen", () => {
    setCode(0);
    words[KICKS[0]! / 4] = KICK_SLEEPING;
    map.written(1, 1);
    expect(kicks()).toEqual([KICK_SLEEPING | KICKED, KICKED]);
  });
});
