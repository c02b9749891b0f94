/** fw_cfg on the board: what a kernel's driver finds at ports 0x510 to 0x51b. */
import { expect, test } from "vitest";
import { Bus } from "../../../qemu-user/bus/bus.ts";
import { FW_CFG_SIZE } from "../../../qemu-user/hw/fw-cfg.ts";
import { boardFwCfg, NO_FW_CFG } from "../../../qemu-user/machine/fw-cfg-items.ts";
import { RAM_SIZE, testBoard } from "../support/fakes.ts";

const contents = {
  ...NO_FW_CFG,
  nographic: true,
  commandLine: "a=1 ü",
  files: [
    { name: "opt/x", bytes: Uint8Array.from(Buffer.from("hello")) },
    { name: "opt/empty", bytes: new Uint8Array(0) },
  ],
};

function board() {
  const { memory } = testBoard();
  const ports = new Bus("port", 0x1_0000);
  ports.map(0x510, FW_CFG_SIZE, boardFwCfg(memory, contents));
  const item = (key: number, length: number): Buffer => {
    ports.write(0x510, 2, key);
    return Buffer.from(Array.from({ length }, () => ports.read(0x511, 1)));
  };
  return { memory, ports, item };
}

test("is on every board", () => {
  const { pc } = testBoard();
  pc.ports.write(0x510, 2, 0);
  expect(String.fromCharCode(...[1, 2, 3, 4].map(() => pc.ports.read(0x511, 1)))).toBe("QEMU");
});

test("the items that have no name", () => {
  const { item, ports } = board();
  expect(item(0, 4).toString()).toBe("QEMU");
  expect(item(1, 4).readUInt32LE()).toBe(3);
  expect(Number(item(3, 8).readBigUInt64LE())).toBe(RAM_SIZE);
  expect([item(4, 2).readUInt16LE(), item(5, 2).readUInt16LE(), item(0xf, 2).readUInt16LE()]).toEqual([1, 1, 1]);
  const length = item(0x14, 4).readUInt32LE();
  expect(item(0x15, length).toString()).toBe("a=1 ü\0");
  expect(item(0x8002, 4).readUInt32LE()).toBe(1);
  expect(item(0x7777, 4).readUInt32LE()).toBe(0);
  expect([ports.read(0x514, 4), ports.read(0x518, 4)]).toEqual([0x554d_4551, 0x4746_4320]);
});

test("the directory, with the memory map and what the user gave", () => {
  const { item } = board();
  const count = item(0x19, 4).readUInt32BE();
  const directory = item(0x19, 4 + 64 * count).subarray(4);
  const files = Array.from({ length: count }, (_, i) => {
    const row = directory.subarray(64 * i, 64 * (i + 1));
    const name = row.toString("latin1", 8, row.indexOf(0, 8));
    return { name, bytes: item(row.readUInt16BE(4), row.readUInt32BE(0)) };
  });
  expect(files.map(({ name }) => name)).toEqual(["etc/e820", "opt/empty", "opt/x"]);
  expect(files[2]!.bytes.toString()).toBe("hello");
  const e820 = files[0]!.bytes;
  expect([e820.length, e820.readBigUInt64LE(0), e820.readBigUInt64LE(8), e820.readUInt32LE(16)]).toEqual([
    20,
    0n,
    BigInt(RAM_SIZE),
    1,
  ]);
});

test("DMA by the ports, and garbage that does nothing", () => {
  const { memory, ports, item } = board();
  const descriptor = (control: number, length: number, address: number): number => {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt32BE(control >>> 0, 0);
    bytes.writeUInt32BE(length, 4);
    bytes.writeBigUInt64BE(BigInt(address), 8);
    memory.write(0x1000, bytes);
    ports.write(0x514, 4, 0);
    ports.write(0x518, 4, 0x0010_0000); // 0x1000, big endian
    return Buffer.from(memory.slice(0x1000, 4)!).readUInt32BE();
  };
  expect(descriptor((0x00 << 16) | 8 | 2, 4, 0x2000)).toBe(0);
  expect(Buffer.from(memory.slice(0x2000, 4)!).toString()).toBe("QEMU");
  expect(descriptor(8 | 2, 4, RAM_SIZE - 2)).toBe(1);
  expect(descriptor(8 | 2, 4, 2 ** 40)).toBe(1);
  expect(descriptor(16, 4, 0x2000)).toBe(1);
  ports.write(0x518, 4, 0xffff_ffff); // a descriptor outside of RAM
  for (const port of [0x510, 0x511, 0x512, 0x514, 0x515, 0x51b]) ports.write(port, 1, 0xff);
  expect(item(0, 4).toString()).toBe("QEMU");
});

test("names that cannot be are refused when the board is built", () => {
  const { memory } = testBoard();
  const files = (...names: string[]) => names.map((name) => ({ name, bytes: new Uint8Array(1) }));
  const make = (...names: string[]) => boardFwCfg(memory, { ...NO_FW_CFG, files: files(...names) });
  expect(() => make("etc/e820")).toThrow('fw_cfg: "etc/e820" is there twice');
  expect(() => make(`opt/${"x".repeat(52)}`)).toThrow("more than 55 letters");
  make(`opt/${"x".repeat(51)}`);
});
