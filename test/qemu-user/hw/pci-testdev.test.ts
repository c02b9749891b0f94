/** pci-testdev as kvm-unit-tests' driver speaks to it. */
import { beforeEach, describe, expect, test } from "vitest";
import type { Bus } from "../../../qemu-user/bus/bus.ts";
import { option, PciDriver, type TestBoard, testBoard } from "../support/fakes.ts";

const [WIDTH, OFFSET, DATA, COUNT, NAME] = [1, 4, 8, 12, 16] as const;
let board: TestBoard;
let pci: PciDriver;
let memory: number;
let ports: number;

beforeEach(() => {
  board = testBoard(option("pci-testdev"));
  pci = new PciDriver(board.pc);
  memory = pci.read(2, 0x10);
  ports = pci.read(2, 0x14) & ~3;
});

const name = (bus: Bus, base: number) => {
  let text = "";
  for (let at = base + NAME; ; at++) {
    const byte = bus.read(at, 1);
    if (byte === 0) return text;
    text += String.fromCharCode(byte);
  }
};

test("is 1b36:0005 with a BAR of memory and one of ports, and no interrupt", () => {
  expect([pci.read(2, 0), pci.read(2, 8), pci.read(2, 0x3c, 2) >> 8]).toEqual([0x0005_1b36, 0xff00_0000, 0]);
  expect([pci.read(2, 0x10) & 0xf, pci.read(2, 0x14) & 3]).toEqual([0, 1]);
});

describe.each([
  ["mmio", 2048],
  ["portio", 131],
] as const)("%s", (kind, first) => {
  let bus: Bus;
  let base: number;
  beforeEach(() => {
    bus = kind === "mmio" ? board.pc.mmio : board.pc.ports;
    base = kind === "mmio" ? memory : ports;
  });

  test.each([
    [0, "no-eventfd", 0xfa],
    [1, "wildcard-eventfd", 0xce],
    [2, "datamatch-eventfd", 0xfa],
  ])("test %i", (number, text, data) => {
    bus.write(base, 1, number);
    expect([bus.read(base + WIDTH, 1), bus.read(base + OFFSET, 4), bus.read(base + DATA, 4)]).toEqual([
      1,
      first + number,
      data,
    ]);
    expect(name(bus, base)).toBe(`${kind}-${text}`);
    for (let i = 0; i < 300; i++) bus.write(base + first + number, 1, data);
    bus.write(base + first + number, 1, 0x11);
    bus.write(base + first + number + 1, 1, data);
    expect(bus.read(base + COUNT, 4)).toBe(number === 1 ? 301 : 300);
  });

  test("test 3 there is none", () => {
    bus.write(base, 1, 3);
    expect([bus.read(base + WIDTH, 1), bus.read(base + NAME, 4)]).toEqual([0, 0]);
    bus.write(base + first, 1, 0xfa);
  });
});

test("the places of the eventfd tests may be posted", () => {
  const posted = board.pc.mmio.regions().find(({ base }) => base === memory)?.posted;
  expect(posted).toEqual([
    { offset: 2049, size: 1, kind: "ioeventfd" },
    { offset: 2050, size: 1, kind: "ioeventfd" },
  ]);
});

test("save, load and reset", () => {
  board.pc.ports.write(ports, 1, 0);
  board.pc.ports.write(ports + 131, 1, 0xfa);
  const state = JSON.parse(JSON.stringify(board.pc.save()));
  const other = testBoard(option("pci-testdev")).pc;
  other.load(state);
  expect([other.ports.read(ports + COUNT, 4), name(other.ports, ports)]).toEqual([1, "portio-no-eventfd"]);
  other.reset();
  expect(other.ports.read(ports + WIDTH, 1)).toBe(0);
  expect(() => other.load({ ...state, devices: { ...state.devices, "pci-testdev.0": { version: 1 } } })).toThrow(
    "pci-testdev.0: saved ports",
  );
});
