/** The board: what lies where, what -device does to it, and its memory map. */
import { describe, expect, test } from "vitest";
import { memoryMap } from "../../../qemu-user/machine/memory-map.ts";
import { LEVEL_GSIS } from "../../../qemu-user/machine/pc.ts";
import { option, PciDriver, testBoard } from "../support/fakes.ts";

const MiB = 1024 * 1024;

describe("the board", () => {
  test("has these ports", () => {
    const map = testBoard()
      .pc.ports.regions()
      .map(({ base, size, device }) => [base, size, device.name]);
    expect(map).toEqual([
      [0x60, 1, "i8042-data"],
      [0x64, 1, "i8042-command"],
      [0x70, 2, "rtc"],
      [0x80, 16, "dma-page"],
      [0x92, 1, "port92"],
      [0xb2, 2, "acpi-smi"],
      [0xe9, 1, "debugcon"],
      [0xf4, 4, "isa-debug-exit"],
      [0x3f8, 8, "serial"],
      [0x510, 12, "fw_cfg"],
      [0x600, 0x40, "acpi-pm"],
      [0xcf8, 4, "pci-address"],
      [0xcfc, 4, "pci-data"],
    ]);
  });

  test("has no memory of devices but ECAM without -device", () => {
    expect(
      testBoard()
        .pc.mmio.regions()
        .map(({ base, size, device }) => [base, size, device.name]),
    ).toEqual([[0xe000_0000, 0x10_0000, "pci-ecam"]]);
  });

  test("wires INTA of slot n to GSI 10, 11, 10, 11, and slots may share one", () => {
    const { pc, lines } = testBoard(...[4, 5, 6, 7].map((addr) => option("splitvm-test", { addr })));
    const pci = new PciDriver(pc);
    expect([4, 5, 6, 7].map((slot) => pci.read(slot, 0x3c, 1))).toEqual([10, 11, 10, 11]);
    expect(LEVEL_GSIS).toEqual([9, 10, 11]);
    const io = (slot: number) => pci.read(slot, 0x10) & ~3;
    pc.ports.write(io(4) + 0x10, 4, 1);
    pc.ports.write(io(6) + 0x10, 4, 1);
    pc.ports.write(io(4) + 0x0c, 4, 1);
    expect([lines.get(10)!.level, lines.get(11)!.level]).toEqual([true, false]);
    pc.ports.write(io(6) + 0x0c, 4, 1);
    expect([lines.get(10)!.level, lines.get(10)!.edges]).toEqual([false, 1]);
  });

  test("gives each BAR a place of its own, aligned to its size", () => {
    const { pc } = testBoard(option("splitvm-test"), option("splitvm-test"));
    expect(pc.mmio.regions().map(({ base }) => base)).toEqual([
      0xe000_0000, 0xe010_0000, 0xe010_1000, 0xe010_2000, 0xe010_3000,
    ]);
    expect(
      pc.ports
        .regions()
        .slice(-2)
        .map(({ base }) => base),
    ).toEqual([0xc000, 0xc040]);
  });

  test("names devices by id, or by kind and number", () => {
    const { pc } = testBoard(option("splitvm-test"), option("splitvm-test", {}, "mine"), option("splitvm-test"));
    expect([...pc.devices.keys()]).toEqual([
      "debugcon",
      "serial",
      "rtc",
      "dma-page",
      "i8042",
      "port92",
      "acpi-pm",
      "fw_cfg",
      "pci",
      "reset-control",
      "piix3",
      "piix4-pm",
      "isa-debug-exit.0",
      "splitvm-test.0",
      "mine",
      "splitvm-test.2",
    ]);
  });

  test.each([
    ["the same id twice", [option("splitvm-test", {}, "a"), option("splitvm-test", {}, "a")], /id=a/],
    [
      "the same slot twice",
      [option("splitvm-test", { addr: 3 }), option("splitvm-test", { addr: 3 })],
      /slot 3 is already/,
    ],
    ["a port that is taken", [option("isa-debug-exit", { iobase: 0x3f8 })], /isa-debug-exit .* overlaps serial/],
    ["ports past the end", [option("isa-debug-exit", { iobase: 0xffff })], /is not a range/],
  ])("refuses %s", (_, devices, message) => {
    expect(() => testBoard(...devices)).toThrow(message);
  });

  test("refuses the state of a machine with other devices", () => {
    const plain = testBoard().pc;
    const more = testBoard(option("splitvm-test")).pc;
    expect(() => plain.load(more.save())).toThrow("pc: this machine has no device splitvm-test.0");
    expect(() => more.load(plain.save())).toThrow("pc: the saved machine has no device splitvm-test.0");
    expect(() => plain.load({ version: 9 })).toThrow(/pc: saved state has version 9/);
  });
});

describe("memory map", () => {
  test("RAM in one slot; the hole below 1 MiB is reserved", () => {
    expect(memoryMap(128 * MiB)).toEqual({
      ramSize: 128 * MiB,
      slots: [{ gpa: 0, size: 128 * MiB, at: 0 }],
      entries: [
        { base: 0, size: 0x9_fc00, type: 1 },
        { base: 0x9_fc00, size: 0x400, type: 2 },
        { base: 0xf_0000, size: 0x1_0000, type: 2 },
        { base: MiB, size: 127 * MiB, type: 1 },
      ],
    });
  });

  test("up to the PCI hole", () => {
    expect(memoryMap(3584 * MiB).ramSize).toBe(0xe000_0000);
  });

  test.each([
    [3585 * MiB, "-m: 3585M are more than the 3584M below the PCI hole"],
    [4096 * MiB, "-m: 4G are more than"],
    [MiB, "-m: at least 2M"],
    [4 * MiB + 1, "-m: 4194305 bytes are not a whole number"],
    [Number.NaN, "-m: NaN"],
  ])("%d bytes are refused", (size, message) => {
    expect(() => memoryMap(size)).toThrow(message);
  });
});
