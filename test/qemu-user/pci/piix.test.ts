/** ECAM, and the PIIX's functions on the board. */
import { beforeEach, expect, test } from "vitest";
import { option, PciDriver, type TestBoard, testBoard } from "../support/fakes.ts";

let board: TestBoard;
const ECAM = 0xe000_0000;
const at = (slot: number, fn: number, register: number) => ECAM + (slot << 15) + (fn << 12) + register;

beforeEach(() => {
  board = testBoard(option("splitvm-test"));
});

test("ECAM and mechanism 1 show the same registers", () => {
  const pci = new PciDriver(board.pc);
  const { mmio } = board.pc;
  expect([mmio.read(at(0, 0, 0), 4), mmio.read(at(2, 0, 0), 4)]).toEqual([pci.read(0, 0), pci.read(2, 0)]);
  mmio.write(at(2, 0, 0x14), 4, 0xf000_0000);
  expect([pci.read(2, 0x14), mmio.read(0xf000_0000, 4)]).toEqual([0xf000_0000, 0x544d_5653]);
  expect([mmio.read(at(2, 1, 0), 4), mmio.read(at(31, 7, 0xffc), 4)]).toEqual([0xffff_ffff, 0xffff_ffff]);
  mmio.write(at(3, 0, 4), 4, 0);
});

test("ISA bridge and power management are functions 0 and 3 of slot 1", () => {
  const { mmio } = board.pc;
  expect([0, 1, 2, 3].map((fn) => mmio.read(at(1, fn, 0), 4))).toEqual([
    0x7000_8086, 0xffff_ffff, 0xffff_ffff, 0x7113_8086,
  ]);
  expect([mmio.read(at(1, 0, 8), 4) >>> 8, mmio.read(at(1, 3, 8), 4) >>> 8]).toEqual([0x06_0100, 0x06_8000]);
  expect([0, 1, 2].map((slot) => mmio.read(at(slot, 0, 0x0e), 1))).toEqual([0, 0x80, 0]);
  expect([mmio.read(at(1, 3, 0x40), 4), mmio.read(at(1, 3, 0x80), 1), mmio.read(at(1, 3, 0x3c), 2)]).toEqual([
    0x601, 1, 0x109,
  ]);
});

test("PIRQ routes are state, and reset brings them back", () => {
  const { mmio } = board.pc;
  mmio.write(at(1, 0, 0x60), 4, 0x0b0a_0b0a);
  const saved = JSON.parse(JSON.stringify(board.pc.save()));
  board.pc.reset();
  expect(mmio.read(at(1, 0, 0x60), 4)).toBe(0x8080_8080);
  board.pc.load(saved);
  expect(mmio.read(at(1, 0, 0x60), 4)).toBe(0x0b0a_0b0a);
});

test("slot 1 is taken", () => {
  expect(() => testBoard(option("splitvm-test", { addr: 1 }))).toThrow("PCI slot 1 is already taken");
});

test("a BAR is not decoded over RAM, the IOAPIC or the local APICs", () => {
  const { mmio } = board.pc;
  for (const base of [0x10_0000, 0xfec0_0000, 0xfee0_0000]) {
    mmio.write(at(2, 0, 0x14), 4, base);
    expect(mmio.regions().map((region) => region.base)).not.toContain(base);
  }
});
