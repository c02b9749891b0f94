/** Every device's register map, on a live device: rules that hold whatever the device is. A new map gets a row here. */
import { describe, expect, test } from "vitest";
import { Bus } from "../../../qemu-user/bus/bus.ts";
import type { RegisterDevice, RegMap } from "../../../qemu-user/bus/regmap.ts";
import { ACPI_PM_REGISTERS, AcpiPm } from "../../../qemu-user/hw/acpi-pm.ts";
import { PIIX3_REGISTERS, PIIX4_PM_REGISTERS, piix3, piix4Pm } from "../../../qemu-user/hw/piix.ts";
import { SERIAL_REGISTERS, Uart16550 } from "../../../qemu-user/hw/serial.ts";
import { SPLITVM_TEST_REGISTERS, SplitvmTest } from "../../../qemu-user/hw/splitvm-test.ts";
import { CONFIG_REGISTERS, ConfigSpace } from "../../../qemu-user/pci/config-space.ts";
import { VIRTIO_COMMON_REGISTERS } from "../../../qemu-user/virtio/common-config.ts";
import { FakeBackend, FakeClock, FakeLine, testBoard } from "../support/fakes.ts";
import { echoBoard } from "../virtio/echo.ts";

function uart(dlab: boolean): Uart16550 {
  const device = new Uart16550(new FakeLine(), new FakeBackend());
  device.write(3, 1, dlab ? 0x80 : 0);
  return device;
}

const { memory } = testBoard();

function testDevice(): SplitvmTest {
  const slot = { intx: new FakeLine(), busMaster: () => true, msix: { enabled: false, notify() {} } };
  return new SplitvmTest({ name: "test", slot, memory, exits: () => 0, journal: true });
}

function configSpace(): ConfigSpace {
  const [ports, mmio] = [new Bus("port", 2 ** 16), new Bus("memory", 2 ** 32)];
  const config = new ConfigSpace(new FakeLine());
  const places = [0xd000, 0xe100_0000, 0xe200_0000];
  config.connect(testDevice(), { ports, mmio }, { command: 3, place: () => places.shift()!, interruptLine: 11 });
  return config;
}

function acpiPm(): AcpiPm {
  const clock = new FakeClock();
  return new AcpiPm({ sci: new FakeLine(), power: () => {}, clock, timers: clock.timers });
}

interface Case<D extends RegisterDevice> {
  readonly map: RegMap<D>;
  readonly make: () => D;
}

const entry = <D extends RegisterDevice>(map: RegMap<D>, make: () => D) =>
  ({ map, make }) as unknown as Case<RegisterDevice>;

const CASES: readonly (readonly [string, Case<RegisterDevice>])[] = [
  ["acpi-pm", entry(ACPI_PM_REGISTERS, acpiPm)],
  ["serial", entry(SERIAL_REGISTERS, () => uart(false))],
  ["serial with DLAB", entry(SERIAL_REGISTERS, () => uart(true))],
  ["pci-config", entry(CONFIG_REGISTERS, configSpace)],
  ["piix3", entry(PIIX3_REGISTERS, piix3)],
  ["piix4-pm", entry(PIIX4_PM_REGISTERS, () => piix4Pm(0))],
  ["splitvm-test", entry(SPLITVM_TEST_REGISTERS, testDevice)],
  ["virtio-common", entry(VIRTIO_COMMON_REGISTERS, () => echoBoard().pci.config)],
];

/** A small generator, so that a failure can be repeated. */
function randomBits(seed: number): (width: number) => number {
  let x = seed;
  return (width) => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return width === 4 ? x : x % 2 ** (8 * width);
  };
}

describe.each(CASES)("%s", (_, { map, make }) => {
  test("a write to a register changes none of its read-only and reserved bits, and sets none to be cleared", () => {
    const next = randomBits(7);
    for (const row of map.rows.filter((candidate) => !candidate.wo)) {
      for (let round = 0; round < 40; round++) {
        const device = make();
        if (row.when !== undefined && !row.when(device)) continue;
        const fixed = (row.ro | row.rsvd) >>> 0;
        device.regs[row.id] = (device.regs[row.id]! & ~row.w1c) | (next(row.width) & row.w1c);
        const before = device.regs[row.id]!;
        map.write(device, row.at, row.width, next(row.width));
        expect((device.regs[row.id]! & fixed) >>> 0, row.name).toBe((before & fixed) >>> 0);
        expect((device.regs[row.id]! & ~before & row.w1c) >>> 0, row.name).toBe(0);
      }
    }
  });

  test("random accesses of any width and place give u32 values and never throw", () => {
    const next = randomBits(99);
    const device = make();
    for (let round = 0; round < 2000; round++) {
      const width = ([1, 2, 4] as const)[next(1) % 3]!;
      const offset = next(2) % (map.size + 4);
      if ((next(1) & 1) === 0) map.write(device, offset, width, next(4));
      const value = map.read(device, offset, width);
      expect(Number.isInteger(value) && value >= 0 && value < 2 ** (8 * width)).toBe(true);
    }
  });

  test("save and load give the same registers", () => {
    const next = randomBits(5);
    const device = make();
    for (const row of map.rows) map.write(device, row.at, row.width, next(row.width));
    const other = make();
    map.load(other, JSON.parse(JSON.stringify(map.save(device))));
    expect(map.save(other)).toEqual(map.save(device));
  });
});
