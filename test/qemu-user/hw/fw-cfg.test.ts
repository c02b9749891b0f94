/** fw_cfg: QEMU's docs/specs/fw_cfg.rst. */
import { expect, test } from "vitest";
import { FwCfg } from "../../../qemu-user/hw/fw-cfg.ts";
import { GuestMemory } from "../../../shared/guest-memory.ts";

const SIZE = 0x1_0000;

function made() {
  const buffer = new ArrayBuffer(SIZE);
  const memory = new GuestMemory(buffer, [{ gpa: 0, size: SIZE, at: 0 }]);
  const device = new FwCfg(memory, new Map([[5, Uint8Array.of(1, 0)]]), [
    { name: "opt/b", bytes: Uint8Array.of(7, 8, 9) },
    { name: "etc/a", bytes: Uint8Array.of(1) },
  ]);
  const view = new DataView(buffer);
  const dma = (control: number, length: number, address: number): number => {
    view.setUint32(0x100, control);
    view.setUint32(0x104, length);
    view.setBigUint64(0x108, BigInt(address));
    device.write(8, 4, 0x0001_0000); // 0x100, big endian
    return view.getUint32(0x100);
  };
  const take = (key: number, n: number) => {
    device.write(0, 2, key);
    return Array.from({ length: n }, () => device.read(1, 1));
  };
  return { device, memory, view, dma, take };
}

test("signature, id, items, directory", () => {
  const { take, device } = made();
  expect(String.fromCharCode(...take(0, 4))).toBe("QEMU");
  expect(take(1, 5)).toEqual([3, 0, 0, 0, 0]);
  expect(take(5, 3)).toEqual([1, 0, 0]);
  expect(take(0x19, 17)).toEqual([0, 0, 0, 2, 0, 0, 0, 1, 0, 0x20, 0, 0, ...Buffer.from("etc/a")]);
  expect(take(0x21, 4)).toEqual([7, 8, 9, 0]);
  expect([device.read(4, 4), device.read(8, 4)]).toEqual([0x554d_4551, 0x4746_4320]);
});

test("DMA selects, skips and reads; hostile lengths get the error bit", () => {
  const { dma, view } = made();
  view.setUint32(0x200, 0xffff_ffff);
  expect(dma((0x21 << 16) | 8 | 4, 1, 0)).toBe(0);
  expect(dma(2, 4, 0x200)).toBe(0);
  expect(view.getUint32(0x200)).toBe(0x0809_0000);
  expect(dma((0x21 << 16) | 8 | 2, 0xffff_ffff, 0x200)).toBe(1);
  expect(dma(2, 16, SIZE - 8)).toBe(1);
  expect(dma(2, 1, 2 ** 53)).toBe(1);
  expect(dma(16, 1, 0x200)).toBe(1);
});

test("garbage does no harm, and state goes over", () => {
  const { device } = made();
  let x = 7;
  const random = (n: number) => {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((x / 2 ** 32) * n);
  };
  for (let i = 0; i < 20_000; i++) {
    const width = ([1, 2, 4] as const)[random(3)]!;
    if (random(2) === 0) device.read(random(12), width);
    else device.write(random(12), width, random(2 ** (8 * width)));
  }
  const other = made().device;
  other.load(device.save());
  expect(other.save()).toEqual(device.save());
  expect(() => other.load({ version: 1, selected: -1, offset: 0, dmaHigh: 0 })).toThrow(/fw_cfg/);
});
