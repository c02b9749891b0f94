/** pc-testdev, through the bus: QEMU's hw/misc/pc-testdev.c. */
import { describe, expect, test } from "vitest";
import { option, testBoard } from "../support/fakes.ts";

const MEMORY = 0xff00_0000;
const board = () => testBoard(option("pc-testdev"));

describe("pc-testdev", () => {
  test("holds four bytes at 0xe0 and again at 0xe4, in any width", () => {
    const { pc } = board();
    pc.ports.write(0xe0, 4, 0x1234_5678);
    pc.ports.write(0xe1, 1, 0xab);
    expect([pc.ports.read(0xe0, 4), pc.ports.read(0xe6, 2)]).toEqual([0x1234_ab78, 0x1234]);
    expect(() => pc.ports.write(0xe8, 4, 0x1000)).not.toThrow();
  });

  test("holds 64 KiB of memory", () => {
    const { pc } = board();
    pc.mmio.write(MEMORY + 0xfffe, 2, 0x5aa5);
    expect([pc.mmio.read(MEMORY + 0xfffe, 2), pc.mmio.read(MEMORY + 0xfffe, 4)]).toEqual([0x5aa5, 0xffff_5aa5]);
  });

  test("moves interrupt lines, which a board's other sources share", () => {
    const { pc, lines } = board();
    pc.ports.write(0x2004, 1, 1);
    pc.ports.write(0x2017, 1, 0x80);
    expect([lines.get(4)!.level, lines.get(23)!.level, lines.get(5)!.level]).toEqual([true, true, false]);
    pc.ports.write(0x2004, 1, 0);
    expect([lines.get(4)!.level, lines.get(4)!.edges]).toEqual([false, 1]);
    pc.ports.write(0x2000, 4, 0x0100_0001);
    expect([0, 1, 2, 3].map((gsi) => lines.get(gsi)!.level)).toEqual([true, false, false, true]);
    pc.reset();
    expect([...lines.values()].some((line) => line.level)).toBe(false);
  });

  test("saves and loads, and refuses what it did not save", () => {
    const [from, to] = [board(), board()];
    from.pc.ports.write(0xe0, 4, 0x8765_4321);
    from.pc.mmio.write(MEMORY + 8, 4, 7);
    from.pc.ports.write(0x2009, 1, 1);
    to.pc.load(JSON.parse(JSON.stringify(from.pc.save())));
    expect([to.pc.ports.read(0xe0, 4), to.pc.mmio.read(MEMORY + 8, 4), to.lines.get(9)!.level]).toEqual([
      0x8765_4321,
      7,
      true,
    ]);
    const device = to.pc.devices.get("pc-testdev.0")!;
    for (const bad of [{ version: 2 }, { levels: 2 ** 24 }, { memory: [256] }, { bytes: [1, 2, 3, 4, 5] }]) {
      expect(() => device.load({ ...device.save(), ...bad })).toThrow(/pc-testdev: saved/);
    }
  });

  test("is there once", () => {
    expect(() => testBoard(option("pc-testdev"), option("pc-testdev"))).toThrow(/overlaps/);
  });
});
