/** Port 0x92, reset control at 0xcf9, and the DMA page registers, through the bus. */
import { expect, test } from "vitest";
import { PciDriver, testBoard } from "../support/fakes.ts";

test("port 0x92 resets when bit 0 rises, and only then", () => {
  const { pc, power } = testBoard();
  for (const value of [2, 3, 3, 2]) pc.ports.write(0x92, 1, value);
  expect([power, pc.ports.read(0x92, 1)]).toEqual([["reset"], 2]);
  pc.ports.write(0x92, 1, 1);
  expect(power).toEqual(["reset", "reset"]);
});

test("a byte at 0xcf9 with bit 2 resets; four bytes at 0xcf8 are still PCI's", () => {
  const { pc, power } = testBoard();
  pc.ports.write(0xcf9, 1, 0x02);
  expect([power, pc.ports.read(0xcf9, 1)]).toEqual([[], 2]);
  pc.ports.write(0xcf9, 1, 0x06);
  expect([power, pc.ports.read(0xcf9, 1)]).toEqual([["reset"], 2]);
  pc.ports.write(0xcf8, 4, 0x8000_0600);
  expect([new PciDriver(pc).read(0, 0), power.length]).toEqual([0x1237_8086, 1]);
  pc.reset();
  expect(pc.ports.read(0xcf9, 1)).toBe(0);
});

test("the DMA page registers hold what is written, in any width", () => {
  const { pc, log } = testBoard();
  pc.ports.write(0x80, 4, 0x1234_5678);
  pc.ports.write(0x8f, 1, 0x9a);
  expect([pc.ports.read(0x81, 2), pc.ports.read(0x8f, 1), log]).toEqual([0x3456, 0x9a, []]);
  const other = testBoard();
  other.pc.load(JSON.parse(JSON.stringify(pc.save())));
  expect(other.pc.ports.read(0x80, 4)).toBe(0x1234_5678);
});

test("refuse states that they did not save", () => {
  const { devices } = testBoard().pc;
  expect(() => devices.get("port92")!.load({ version: 1, stored: 256 })).toThrow(/port92: saved stored/);
  expect(() => devices.get("reset-control")!.load({ version: 1, kind: 3 })).toThrow(/reset-control: saved kind/);
  expect(() => devices.get("dma-page")!.load({ version: 1, bytes: [256] })).toThrow(/dma-page: saved bytes/);
});
