/** The keyboard controller, through the bus, in the order in which Linux's i8042 driver probes it. */
import { describe, expect, test } from "vitest";
import { type TestBoard, testBoard } from "../support/fakes.ts";

const FULL = 0x01;
const AUX = 0x20;
const status = ({ pc }: TestBoard) => pc.ports.read(0x64, 1);
const data = ({ pc }: TestBoard, value: number) => pc.ports.write(0x60, 1, value);
const command = ({ pc }: TestBoard, value: number, ...parameters: number[]) => {
  pc.ports.write(0x64, 1, value);
  for (const parameter of parameters) pc.ports.write(0x60, 1, parameter);
};
/** All that can be read; bytes of the aux device with 0x100. */
function drain(board: TestBoard): number[] {
  const bytes: number[] = [];
  while ((status(board) & FULL) !== 0 && bytes.length < 64) {
    const aux = (status(board) & AUX) !== 0 ? 0x100 : 0;
    bytes.push(aux | board.pc.ports.read(0x60, 1));
  }
  return bytes;
}

describe("the controller", () => {
  test("passes what Linux asks of it: self test, mode, aux loop, connector tests", () => {
    const board = testBoard();
    expect(drain(board)).toEqual([]);
    command(board, 0xaa);
    expect(drain(board)).toEqual([0x55]);
    command(board, 0x20);
    expect(drain(board)).toEqual([0x65]);
    command(board, 0x60, 0x74);
    command(board, 0x20);
    expect(drain(board)).toEqual([0x74]);
    command(board, 0xd3, 0x5a);
    expect(drain(board)).toEqual([0x15a]);
    for (const test of [0xa9, 0xab]) {
      command(board, test);
      expect(drain(board)).toEqual([0]);
    }
    const mode = () => {
      command(board, 0x20);
      return drain(board)[0]!;
    };
    command(board, 0xa8);
    expect(mode() & 0x20).toBe(0);
    command(board, 0xa7);
    expect(mode() & 0x20).toBe(0x20);
  });

  test("raises IRQ 1 and IRQ 12 for what is theirs, an edge for each byte", () => {
    const board = testBoard();
    const edges = () => [board.lines.get(1)!.edges, board.lines.get(12)!.edges];
    command(board, 0x60, 0x47);
    data(board, 0xff);
    expect([edges(), drain(board), edges()]).toEqual([
      [1, 0],
      [0xfa, 0xaa],
      [2, 0],
    ]);
    command(board, 0xd3, 0x5a);
    expect([edges(), drain(board), board.lines.get(12)!.level]).toEqual([[2, 1], [0x15a], false]);
    command(board, 0x60, 0x44);
    data(board, 0xee);
    expect([edges(), drain(board)]).toEqual([[2, 1], [0xee]]);
  });

  test("a disabled connector keeps its bytes", () => {
    const board = testBoard();
    command(board, 0xd4, 0xf2);
    command(board, 0xa7);
    expect(drain(board)).toEqual([0x1fa]); // it was on its way
    command(board, 0xa8);
    expect(drain(board)).toEqual([0x100]);
  });

  test("resets the machine by 0xfe and by the output port, and nothing else of 0xf0 to 0xff with bit 0 set", () => {
    const board = testBoard();
    for (const value of [0xff, 0xf1]) command(board, value);
    expect(board.power).toEqual([]);
    command(board, 0xfe);
    command(board, 0xd1, 0xfe);
    expect(board.power).toEqual(["reset", "reset"]);
  });

  test("has line A20 in common with port 0x92", () => {
    const board = testBoard();
    const a20 = () => {
      command(board, 0xd0);
      return [drain(board)[0]! & 2, board.pc.ports.read(0x92, 1) & 2];
    };
    expect(a20()).toEqual([2, 2]);
    command(board, 0xd1, 0xdd);
    expect(a20()).toEqual([0, 0]);
    board.pc.ports.write(0x92, 1, 2);
    expect(a20()).toEqual([2, 2]);
    command(board, 0xdd);
    expect(a20()).toEqual([0, 0]);
    command(board, 0xdf);
    expect(a20()).toEqual([2, 2]);
  });
});

describe("the keyboard", () => {
  test.each([
    ["reset", [0xff], [0xfa, 0xaa]],
    ["identify, translated", [0xf2], [0xfa, 0xab, 0x41]],
    ["LEDs", [0xed, 0x07], [0xfa, 0xfa]],
    ["typematic rate", [0xf3, 0x00], [0xfa, 0xfa]],
    ["scan code set, translated", [0xf0, 0x00], [0xfa, 0xfa, 0x41]],
    ["enable", [0xf4], [0xfa]],
    ["what there is not", [0x12], [0xfe]],
    ["a command instead of an argument", [0xed, 0xf4], [0xfa, 0xfa]],
  ])("%s", (_, bytes, answers) => {
    const board = testBoard();
    const read: number[] = [];
    for (const byte of bytes) {
      data(board, byte);
      read.push(...drain(board));
    }
    expect(read).toEqual(answers);
  });

  test("untranslated says what it is", () => {
    const board = testBoard();
    command(board, 0x60, 0x05);
    data(board, 0xf2);
    expect(drain(board)).toEqual([0xfa, 0xab, 0x83]);
  });
});

describe("the mouse", () => {
  test.each([
    ["reset", [0xff], [0xfa, 0xaa, 0x00]],
    ["identify", [0xf2], [0xfa, 0x00]],
    ["status after setting resolution and rate", [0xe8, 3, 0xf3, 60, 0xe9], [0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0, 3, 60]],
    ["what there is not", [0xe1], [0xfe]],
  ])("%s", (_, bytes, answers) => {
    const board = testBoard();
    const read: number[] = [];
    for (const byte of bytes) {
      command(board, 0xd4, byte);
      read.push(...drain(board));
    }
    expect(read).toEqual(answers.map((byte) => byte | 0x100));
  });
});

describe("state", () => {
  test("survives any bytes, and save and load", () => {
    const board = testBoard();
    let x = 1;
    for (let i = 0; i < 20_000; i++) {
      x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
      const value = x >>> 24;
      if ((x & 0x300) === 0) command(board, value);
      else if ((x & 0x300) === 0x100) board.pc.ports.read(0x60, 1);
      else data(board, value);
    }
    const other = testBoard();
    const state = JSON.parse(JSON.stringify(board.pc.save()));
    other.pc.load(state);
    expect(other.pc.save()).toEqual(state);
    expect(drain(other)).toEqual(drain(board));
  });

  test("that was not saved by it is refused", () => {
    const device = testBoard().pc.devices.get("i8042")!;
    const state = device.save();
    const queue = new Array<number>(17).fill(0);
    for (const bad of [
      { version: 2 },
      { mode: 256 },
      { full: 1 },
      { aux: { queue, pending: 0, last: 0 } },
      { from: 3 },
    ]) {
      expect(() => device.load({ ...state, ...bad })).toThrow(/i8042: saved/);
    }
  });
});
