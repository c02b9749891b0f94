/** A virtio device on the board, through PCI configuration space, BARs and MSI-X alone, as firmware and a driver find it. */
import { expect, test } from "vitest";
import { option, PciDriver, testBoard } from "../support/fakes.ts";

test("the entropy device is found, set up by its capabilities, and serves a request", () => {
  const { pc, memory, msi } = testBoard(option("virtio-rng-pci"));
  const pci = new PciDriver(pc);
  const slot = [...Array(32).keys()].find((n) => pci.read(n, 0) === 0x1044_1af4)!;
  const found = new Map<number, { bar: number; offset: number; at: number; id: number }>();
  const ids: number[] = [];
  for (let at = pci.read(slot, 0x34, 1); at !== 0; at = pci.read(slot, at + 1, 1)) {
    const id = pci.read(slot, at, 1);
    ids.push(id);
    if (id !== 9) continue;
    found.set(pci.read(slot, at + 3, 1), { id, at, bar: pci.read(slot, at + 4, 1), offset: pci.read(slot, at + 8) });
  }
  expect([...found.keys()]).toEqual([1, 2, 3, 5]);
  expect(ids).toContain(0x11);
  const base = (type: number) => {
    const { bar, offset } = found.get(type)!;
    return (pci.read(slot, 0x10 + 4 * bar) & ~0xf) + offset;
  };
  const common = base(1) >>> 0;
  const set = (at: number, width: 1 | 2 | 4, value: number) => pc.mmio.write(common + at, width, value);
  const get = (at: number, width: 1 | 2 | 4) => pc.mmio.read(common + at, width);
  pci.write(slot, 4, 6, 2);
  expect(get(0x12, 2)).toBe(1);

  // The same register through the window of PCI_CFG.
  const window = found.get(5)!.at;
  pci.write(slot, window + 4, 4, 1);
  pci.write(slot, window + 8, 0x12);
  pci.write(slot, window + 12, 2);
  expect(pci.read(slot, window + 16, 2)).toBe(1);

  for (const status of [0, 1, 3]) set(0x14, 1, status);
  set(0x08, 4, 1);
  set(0x0c, 4, 1); // VERSION_1
  set(0x14, 1, 11);
  set(0x18, 2, 8);
  for (const [register, at] of [
    [0x20, 0x10000],
    [0x28, 0x18000],
    [0x30, 0x1c000],
  ] as const) {
    set(register, 4, at);
    set(register + 4, 4, 0);
  }
  set(0x1c, 2, 1);
  set(0x14, 1, 15);
  expect(get(0x14, 1)).toBe(15);
  memory.writeU32(0x10000, 0x20000);
  memory.writeU32(0x10008, 64);
  memory.writeU16(0x1000c, 2);
  memory.writeU16(0x18002, 1);
  pc.mmio.write(base(2) >>> 0, 2, 0);
  expect(memory.readU16(0x1c002)).toBe(1);
  expect(memory.readU32(0x1c008)).toBe(64);
  expect(pc.mmio.read(base(3) >>> 0, 1)).toBe(1);

  // The same with MSI-X: vector 1 for the queue.
  const bar1 = pci.read(slot, 0x14);
  let capability = pci.read(slot, 0x34, 1);
  while (pci.read(slot, capability, 1) !== 0x11) capability = pci.read(slot, capability + 1, 1);
  expect(pci.read(slot, capability + 2, 2) & 0x7ff).toBe(1); // two vectors
  pci.write(slot, capability + 2, 0x8000, 2);
  pc.mmio.write(bar1 + 16, 4, 0xfee0_0000);
  pc.mmio.write(bar1 + 20, 4, 0);
  pc.mmio.write(bar1 + 24, 4, 0x4031);
  pc.mmio.write(bar1 + 28, 4, 0);
  set(0x1a, 2, 1);
  expect(get(0x1a, 2)).toBe(1);
  memory.writeU16(0x18002, 2); // the same chain again
  pc.mmio.write(base(2) >>> 0, 2, 0);
  expect(memory.readU16(0x1c002)).toBe(2);
  expect(msi.sent).toEqual(["fee00000 4031"]);
  expect(pc.mmio.read(base(3) >>> 0, 1)).toBe(0);
});
