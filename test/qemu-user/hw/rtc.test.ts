/** The real-time clock and CMOS memory, through the bus: MC146818A data sheet. */
import { describe, expect, test } from "vitest";
import { RAM_SIZE, type TestBoard, testBoard } from "../support/fakes.ts";

const SECOND = 1e9;
const get = ({ pc }: TestBoard, at: number): number => {
  pc.ports.write(0x70, 1, at);
  return pc.ports.read(0x71, 1);
};
const set = ({ pc }: TestBoard, at: number, value: number): void => {
  pc.ports.write(0x70, 1, at);
  pc.ports.write(0x71, 1, value);
};
const TIME = [0x32, 9, 8, 7, 4, 2, 0];
const time = (board: TestBoard) => TIME.map((at) => get(board, at).toString(16).padStart(2, "0")).join(" ");

test("a word at the index's port is the index and then the data, as on the ISA bus", () => {
  const board = testBoard();
  board.pc.ports.write(0x70, 2, 0xa540);
  expect(get(board, 0x40)).toBe(0xa5);
  board.pc.ports.write(0x70, 1, 0x40);
  expect(board.pc.ports.read(0x70, 2)).toBe(0xa5ff);
  board.pc.ports.write(0x70, 4, 0x5a41);
  expect(get(board, 0x41)).toBe(0x5a);
});

describe("the time", () => {
  test("is the wall clock's, in BCD and 24 hours, over the end of a leap February", () => {
    const board = testBoard();
    expect([time(board), get(board, 6)]).toEqual(["20 24 02 28 23 59 57", 4]);
    board.clock.advance(3 * SECOND);
    expect(time(board)).toBe("20 24 02 29 00 00 00");
    board.clock.advance(86_400 * SECOND);
    expect(time(board)).toBe("20 24 03 01 00 00 00");
  });

  test("in binary, and in 12 hours with PM in bit 7; 12 is midnight", () => {
    const board = testBoard();
    set(board, 0xb, 0x06);
    expect([get(board, 4), get(board, 2)]).toEqual([23, 59]);
    set(board, 0xb, 0x00);
    expect(get(board, 4)).toBe(0x91);
    board.clock.advance(3 * SECOND);
    expect(get(board, 4)).toBe(0x12);
    board.clock.advance(12 * 3600 * SECOND);
    expect(get(board, 4)).toBe(0x92);
  });

  test("stands still under SET, is set by its release, and the offset is kept over reset, save and load", () => {
    const board = testBoard();
    set(board, 0xb, 0x82);
    for (const [i, value] of [0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58].entries()) set(board, TIME[i]!, value);
    board.clock.advance(10 * SECOND);
    expect(time(board)).toBe("19 99 12 31 23 59 58");
    set(board, 0xb, 0x02);
    board.clock.advance(3 * SECOND);
    expect(time(board)).toBe("20 00 01 01 00 00 01");
    board.pc.reset();
    expect(time(board)).toBe("20 00 01 01 00 00 01");
    const other = testBoard();
    other.clock.advance(14 * SECOND);
    other.pc.load(JSON.parse(JSON.stringify(board.pc.save())));
    expect(time(other)).toBe("20 00 01 01 00 00 02");
  });

  test("the first update comes half a second after the divider is released", () => {
    const board = testBoard();
    set(board, 0xa, 0x70);
    set(board, 0, 0x10);
    board.clock.advance(5 * SECOND);
    set(board, 0xa, 0x26);
    board.clock.advance(0.49 * SECOND);
    expect(get(board, 0)).toBe(0x10);
    board.clock.advance(0.02 * SECOND);
    expect(get(board, 0)).toBe(0x11);
  });

  test("UIP is set for 244 us before an update, and never under SET", () => {
    const board = testBoard();
    expect(get(board, 0xa)).toBe(0x26);
    board.clock.advance(SECOND - 300_000);
    expect(get(board, 0xa)).toBe(0x26);
    board.clock.advance(100_000);
    expect(get(board, 0xa)).toBe(0xa6);
    set(board, 0xb, 0x82);
    expect(get(board, 0xa)).toBe(0x26);
  });

  test("whatever bytes are written, it goes on", () => {
    const board = testBoard();
    for (let value = 0; value < 256; value++) {
      for (let at = 0; at < 128; at++) set(board, at, (value * 7 + at * 13) & 0xff);
      for (let at = 0; at < 128; at++) expect(get(board, at)).toBeLessThan(256);
      board.clock.advance(SECOND);
    }
  });
});

describe("interrupts on IRQ 8", () => {
  const irq = (board: TestBoard) => board.lines.get(8)!;

  test("update-ended: once a second if C is read, and only then", () => {
    const board = testBoard();
    set(board, 0xb, 0x12);
    board.clock.advance(SECOND);
    expect([irq(board).level, get(board, 0xc), irq(board).level, get(board, 0xc)]).toEqual([true, 0xd0, false, 0]);
    board.clock.advance(5 * SECOND);
    expect(irq(board).edges).toBe(2);
  });

  test("periodic: at the rate of A", () => {
    const board = testBoard();
    set(board, 0xb, 0x42);
    for (let i = 0; i < 64; i++) {
      board.clock.advance(SECOND / 64);
      get(board, 0xc);
    }
    expect(irq(board).edges).toBe(64);
    set(board, 0xa, 0x20);
    board.clock.advance(SECOND);
    expect(irq(board).edges).toBe(64);
  });

  test("alarm: at its time, or whenever a wildcard matches", () => {
    const board = testBoard();
    for (const [at, value] of [
      [1, 5],
      [3, 0],
      [5, 0],
    ] as const)
      set(board, at, value);
    set(board, 0xb, 0x22);
    board.clock.advance(7 * SECOND);
    expect([irq(board).edges, get(board, 0xc) & 0xa0]).toEqual([0, 0]);
    board.clock.advance(SECOND);
    expect([irq(board).edges, get(board, 0xc) & 0xa0]).toEqual([1, 0xa0]);
    for (const at of [3, 5]) set(board, at, 0xff);
    for (let i = 0; i < 120; i++) {
      board.clock.advance(SECOND);
      get(board, 0xc);
    }
    expect(irq(board).edges).toBe(3);
  });

  test("flags show without interrupts, and enabling one with its flag set raises the line", () => {
    const board = testBoard();
    board.clock.advance(SECOND);
    expect([get(board, 0xc), irq(board).edges, board.clock.timers.next]).toEqual([0x50, 0, Number.POSITIVE_INFINITY]);
    board.clock.advance(SECOND);
    set(board, 0xb, 0x12);
    expect(irq(board).level).toBe(true);
    board.pc.reset();
    expect(irq(board).level).toBe(false);
  });
});

describe("CMOS memory", () => {
  test("says how much RAM there is", () => {
    const board = testBoard();
    const word = (at: number) => get(board, at) | (get(board, at + 1) << 8);
    expect([word(0x15), word(0x17), word(0x30), word(0x34)]).toEqual([
      640,
      RAM_SIZE / 1024 - 1024,
      RAM_SIZE / 1024 - 1024,
      0,
    ]);
    expect([0x5b, 0x5c, 0x5d].map((at) => get(board, at))).toEqual([0, 0, 0]);
  });

  test("keeps bytes over reset, but for the reset code; bit 7 of the index is the NMI mask", () => {
    const board = testBoard();
    set(board, 0xc0, 0x5a);
    set(board, 0x0f, 5);
    expect([get(board, 0x40), get(board, 0x0f), get(board, 0xd)]).toEqual([0x5a, 5, 0x80]);
    board.pc.reset();
    expect([get(board, 0x40), get(board, 0x0f)]).toEqual([0x5a, 0]);
  });

  test("refuses a state that it did not save", () => {
    const rtc = testBoard().pc.devices.get("rtc")!;
    const state = rtc.save();
    for (const bad of [{ version: 2 }, { index: 128 }, { cmos: [1] }, { offset: Number.NaN }, { phase: "x" }]) {
      expect(() => rtc.load({ ...state, ...bad })).toThrow(/rtc: saved/);
    }
  });
});
