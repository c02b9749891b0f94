/** The one-port devices: debug console and isa-debug-exit, through the bus. */
import { describe, expect, test } from "vitest";
import { DebugConsole } from "../../../qemu-user/hw/debugcon.ts";
import { option, testBoard } from "../support/fakes.ts";

describe("debug console at 0xe9", () => {
  test("prints what is written, and reads as 0xe9", () => {
    const { pc, debugcon } = testBoard();
    for (const c of "hi\n") pc.ports.write(0xe9, 1, c.charCodeAt(0));
    expect([debugcon.text, pc.ports.read(0xe9, 1)]).toEqual(["hi\n", 0xe9]);
  });

  test("without a back end still reads as 0xe9", () => {
    const device = new DebugConsole(null);
    device.write(0, 1, 0x41);
    expect(device.read(0, 1)).toBe(0xe9);
  });
});

describe("isa-debug-exit", () => {
  test.each([
    [0, 1],
    [1, 3],
    [0x10, 0x21],
  ])("writing %i ends with status %i", (value, status) => {
    const { pc, exits } = testBoard();
    pc.ports.write(0xf4, 1, value);
    pc.ports.write(0xf4, 4, value);
    expect(exits).toEqual([status, status]);
    expect(pc.ports.read(0xf4, 1)).toBe(0);
  });

  test("where the command line puts it, and then only there", () => {
    const { pc, exits } = testBoard(option("isa-debug-exit", { iobase: 0x501, iosize: 2 }));
    pc.ports.write(0xf4, 1, 0);
    pc.ports.write(0x501, 1, 0);
    expect(exits).toEqual([1]);
    expect(pc.ports.read(0xf4, 1)).toBe(0xff);
  });
});
