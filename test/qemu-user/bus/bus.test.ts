/** Bus: dispatch, misses, straddling accesses, counting, change notices. */
import { describe, expect, test } from "vitest";
import { Bus, type RegionChange } from "../../../qemu-user/bus/bus.ts";
import type { BusDevice } from "../../../qemu-user/bus/interfaces.ts";

/** Bytes that remember every access. */
class Bytes implements BusDevice {
  readonly name: string;
  readonly calls: string[] = [];
  readonly bytes: Uint8Array;

  constructor(name: string, size: number) {
    this.name = name;
    this.bytes = new Uint8Array(size);
  }

  read(offset: number, width: number): number {
    this.calls.push(`r${width}@${offset}`);
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + this.bytes[offset + i]!;
    return value;
  }

  write(offset: number, width: number, value: number): void {
    this.calls.push(`w${width}@${offset}`);
    for (let i = 0; i < width; i++) this.bytes[offset + i] = value >>> (8 * i);
  }
}

function setup() {
  const log: string[] = [];
  const bus = new Bus("port", 0x1_0000, (line) => log.push(line));
  const a = new Bytes("a", 8);
  const b = new Bytes("b", 4);
  bus.map(0x100, 8, a);
  bus.map(0x108, 4, b);
  return { bus, a, b, log };
}

describe("dispatch", () => {
  test("the device sees offset and width, the caller a u32", () => {
    const { bus, a, b } = setup();
    bus.write(0x104, 4, -1);
    bus.write(0x108, 2, 0x12345);
    expect([bus.read(0x104, 4), bus.read(0x108, 2), bus.read(0x105, 1)]).toEqual([0xffff_ffff, 0x2345, 0xff]);
    expect(a.calls).toEqual(["w4@4", "r4@4", "r1@5"]);
    expect(b.calls).toEqual(["w2@0", "r2@0"]);
  });

  test("8 bytes are two accesses, low first, and one exit", () => {
    const { bus, a } = setup();
    bus.write64(0x100, 0x1111_1111, 0x2222_2222);
    const out = new Uint32Array(2);
    bus.read64(0x100, out);
    expect([...out]).toEqual([0x1111_1111, 0x2222_2222]);
    expect(a.calls).toEqual(["w4@0", "w4@4", "r4@0", "r4@4"]);
    expect(bus.accesses).toBe(2);
  });

  test("8 bytes are one access where the device can", () => {
    const { bus } = setup();
    const seen: number[] = [];
    bus.map(0x200, 8, {
      name: "wide",
      read: () => 0,
      write: () => {},
      read64: (_offset, out) => out.set([5, 6]),
      write64: (offset, lo, hi) => seen.push(offset, lo, hi),
    });
    const out = new Uint32Array(2);
    bus.read64(0x200, out);
    bus.write64(0x200, 7, 8);
    expect([...out, ...seen]).toEqual([5, 6, 0, 7, 8]);
  });
});

describe("nobody home", () => {
  test("reads as ones, swallows writes, is told of once an address", () => {
    const { bus, log } = setup();
    expect([bus.read(0x50, 1), bus.read(0x50, 2), bus.read(0x52, 4)]).toEqual([0xff, 0xffff, 0xffff_ffff]);
    bus.write(0x60, 1, 0);
    bus.write(0x60, 1, 0);
    expect(log).toEqual([
      "port: read of unclaimed address 0x50",
      "port: read of unclaimed address 0x52",
      "port: write to unclaimed address 0x60",
    ]);
  });

  test("a guest cannot fill the log", () => {
    const { bus, log } = setup();
    for (let at = 0x1000; at < 0x3000; at++) bus.read(at, 1);
    expect(log).toHaveLength(65);
    expect(log.at(-1)).toBe("port: further unclaimed addresses are not reported");
  });

  test("past the end of the bus", () => {
    const { bus } = setup();
    expect([bus.read(0xffff, 4), bus.read(2 ** 40, 4)]).toEqual([0xffff_ffff, 0xffff_ffff]);
  });
});

describe("straddling", () => {
  test("from device to device: byte by byte", () => {
    const { bus, a, b } = setup();
    bus.write(0x106, 4, 0x4433_2211);
    expect([...a.bytes.slice(6), ...b.bytes.slice(0, 2)]).toEqual([0x11, 0x22, 0x33, 0x44]);
    expect(bus.read(0x106, 4)).toBe(0x4433_2211);
    expect(a.calls).toEqual(["w1@6", "w1@7", "r1@6", "r1@7"]);
    expect(bus.accesses).toBe(2);
  });

  test("into the void: its bytes are ones, and nothing is logged", () => {
    const { bus, log } = setup();
    expect([bus.read(0x10a, 4), bus.read(0xfe, 4)]).toEqual([0xffff_0000, 0x0000_ffff]);
    expect(log).toEqual([]);
  });
});

describe("map", () => {
  test.each([
    [0x0ff, 2],
    [0x107, 1],
    [0x107, 2],
    [0x0f0, 0x100],
  ])("overlap at %i of %i names both", (base, size) => {
    const { bus } = setup();
    expect(() => bus.map(base, size, new Bytes("c", size))).toThrow(/port bus: c \(.*\) overlaps a \(0x100-0x107\)/);
    expect(bus.tryMap(base, size, new Bytes("c", size))).toBe(false);
    expect(bus.regions()).toHaveLength(2);
  });

  test.each([
    [-1, 4],
    [0xffff, 2],
    [0x10, 0],
    [0.5, 1],
  ])("%d of %d is no range", (base, size) => {
    const { bus } = setup();
    expect(() => bus.map(base, size, new Bytes("c", 4))).toThrow(/is not a range/);
  });

  test("changes are told, regions are sorted, an unmapped one is gone", () => {
    const { bus, a } = setup();
    const changes: RegionChange[] = [];
    bus.onChange = (change) => changes.push(change);
    bus.map(0x80, 1, new Bytes("low", 1), [{ offset: 0, size: 1, kind: "coalesced" }]);
    bus.read(0x100, 1);
    bus.unmap(0x100);
    expect(changes.map(({ kind, region }) => `${kind} ${region.device.name}`)).toEqual(["map low", "unmap a"]);
    expect(changes[0]!.region.posted).toEqual([{ offset: 0, size: 1, kind: "coalesced" }]);
    expect(bus.regions().map((region) => region.base)).toEqual([0x80, 0x108]);
    expect(bus.read(0x100, 1)).toBe(0xff);
    expect(a.calls).toEqual(["r1@0"]);
    expect(() => bus.unmap(0x100)).toThrow(/no region begins at 0x100/);
  });
});

test("writes to a posted range are no exits, others to the same region are", () => {
  const { bus } = setup();
  const bell = new Bytes("bell", 8);
  bus.map(0x300, 8, bell, [{ offset: 4, size: 4, kind: "ioeventfd" }]);
  bus.write(0x304, 4, 1);
  expect(bus.accesses).toBe(0);
  bus.write(0x304, 2, 1);
  bus.write(0x300, 4, 1);
  bus.read(0x304, 4);
  expect(bus.accesses).toBe(3);
  expect(bell.calls).toEqual(["w4@4", "w2@4", "w4@0", "r4@4"]);
});
