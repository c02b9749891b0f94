/** Configuration mechanism 1, headers and BARs, as a guest's PCI code sees them. */
import { beforeEach, describe, expect, test } from "vitest";
import { Bus } from "../../../qemu-user/bus/bus.ts";
import type { PciBar, PciDevice } from "../../../qemu-user/bus/interfaces.ts";
import { BarDecoder } from "../../../qemu-user/pci/bar.ts";
import { PciHost } from "../../../qemu-user/pci/host.ts";
import { option, PciDriver, type TestBoard, testBoard } from "../support/fakes.ts";

let board: TestBoard;
let pci: PciDriver;
const SLOT = 2;
const COMMAND = 0x04;
const [BAR0, BAR1, BAR2] = [0x10, 0x14, 0x18] as const;
const ID = 0x544d_5653;

beforeEach(() => {
  board = testBoard(option("splitvm-test"));
  pci = new PciDriver(board.pc);
});

describe("mechanism 1", () => {
  test("CONFADD answers to a dword at its port only", () => {
    const { ports } = board.pc;
    ports.write(0xcfb, 1, 0x01); // how Linux asks for mechanism 1
    ports.write(0xcf8, 4, 0x8000_0000);
    expect([ports.read(0xcf8, 4), ports.read(0xcf8, 1), ports.read(0xcfa, 2), ports.read(0xcfb, 1)]).toEqual([
      0x8000_0000, 0xff, 0xffff, 0xff,
    ]);
    ports.write(0xcf8, 2, 0x1234);
    expect(ports.read(0xcf8, 4)).toBe(0x8000_0000);
    ports.write(0xcf8, 4, 0xffff_ffff);
    expect(ports.read(0xcf8, 4)).toBe(0x80ff_fffc);
  });

  test("without the enable bit nothing answers", () => {
    board.pc.ports.write(0xcf8, 4, 0);
    expect(board.pc.ports.read(0xcfc, 4)).toBe(0xffff_ffff);
    board.pc.ports.write(0xcfc, 4, 0);
  });

  test.each([
    ["slot without a device", 0x8000_1800],
    ["function 1", 0x8000_1100],
    ["bus 1", 0x8001_0000],
  ])("%s: all ones", (_, address) => {
    board.pc.ports.write(0xcf8, 4, address);
    board.pc.ports.write(0xcfc, 4, 0);
    expect([board.pc.ports.read(0xcfc, 4), board.pc.ports.read(0xcfe, 2), board.pc.ports.read(0xcff, 1)]).toEqual([
      0xffff_ffff, 0xffff, 0xff,
    ]);
  });

  test("bytes and words of a dword are at 0xcfc + n", () => {
    expect([pci.read(0, 0x00, 2), pci.read(0, 0x02, 2), pci.read(0, 0x01, 1)]).toEqual([0x8086, 0x1237, 0x80]);
    board.pc.ports.write(0xcf8, 4, 0x8000_0000);
    expect(board.pc.ports.read(0xcfd, 2)).toBe(0x3780);
    expect(board.pc.ports.read(0xcfe, 4)).toBe(0xffff_1237); // past 0xcff nobody is
  });
});

describe("the host bridge at 00:00.0", () => {
  test("is an i440FX", () => {
    expect([pci.read(0, 0x00), pci.read(0, 0x08), pci.read(0, 0x0e, 1), pci.read(0, 0x3d, 1)]).toEqual([
      0x1237_8086, 0x0600_0002, 0, 0,
    ]);
  });

  test("cannot be switched off, and has no BARs", () => {
    pci.write(0, COMMAND, 0, 2);
    expect(pci.read(0, COMMAND, 2)).toBe(6);
    for (let at = 0x10; at < 0x28; at += 4) {
      pci.write(0, at, 0xffff_ffff);
      expect(pci.read(0, at)).toBe(0);
    }
  });
});

describe("a header", () => {
  test("as the board presets it", () => {
    expect([pci.read(SLOT, 0x00), pci.read(SLOT, 0x08), pci.read(SLOT, COMMAND, 2), pci.read(SLOT, 0x2c)]).toEqual([
      0x5356_1234, 0xff00_0001, 3, 0x5356_1234,
    ]);
    expect([pci.read(SLOT, BAR0), pci.read(SLOT, BAR1), pci.read(SLOT, BAR2), pci.read(SLOT, 0x1c)]).toEqual([
      0xc001, 0xe010_0000, 0xe010_1000, 0,
    ]);
    expect([pci.read(SLOT, 0x3c, 1), pci.read(SLOT, 0x3d, 1)]).toEqual([10, 1]);
  });

  test("identity cannot be written, the interrupt line can, command only where it has meaning", () => {
    for (const at of [0x00, 0x08, 0x2c]) pci.write(SLOT, at, 0);
    pci.write(SLOT, 0x3c, 5, 1);
    pci.write(SLOT, COMMAND, 0xffff, 2);
    expect([pci.read(SLOT, 0x00), pci.read(SLOT, 0x08), pci.read(SLOT, 0x2c), pci.read(SLOT, 0x3c, 2)]).toEqual([
      0x5356_1234, 0xff00_0001, 0x5356_1234, 0x0105,
    ]);
    expect(pci.read(SLOT, COMMAND, 2)).toBe(0x0507);
  });

  test("space beyond the header reads zero", () => {
    pci.write(SLOT, 0x40, 0xffff_ffff);
    expect([pci.read(SLOT, 0x34), pci.read(SLOT, 0x40), pci.read(SLOT, 0xfc)]).toEqual([0, 0, 0]);
  });
});

describe("BARs", () => {
  test.each([
    [BAR0, 0xffff_ffc1],
    [BAR1, 0xffff_f000],
    [BAR2, 0xffff_f000],
  ])("%i is sized by writing ones, and restored", (bar, mask) => {
    const before = pci.read(SLOT, bar);
    pci.write(SLOT, bar, 0xffff_ffff);
    expect(pci.read(SLOT, bar)).toBe(mask);
    pci.write(SLOT, bar, before);
    expect(pci.read(SLOT, bar)).toBe(before);
    expect([board.pc.ports.read(0xc000, 4), board.pc.mmio.read(0xe010_0000, 4)]).toEqual([ID, ID]);
  });

  test("are decoded nowhere while they hold ones, also with decoding on", () => {
    for (const bar of [BAR0, BAR1, BAR2]) pci.write(SLOT, bar, 0xffff_ffff);
    expect(board.pc.mmio.regions().map(({ device }) => device.name)).toEqual(["pci-ecam"]);
    expect([board.pc.ports.read(0xffc0, 4), board.pc.mmio.read(0xffff_f000, 4)]).toEqual([0xffff_ffff, 0xffff_ffff]);
  });

  test("move, and take effect at once; a write of a part moves, too", () => {
    pci.write(SLOT, BAR0, 0xd040);
    pci.write(SLOT, BAR1, 0xf123_4567);
    expect([board.pc.ports.read(0xd040, 4), board.pc.ports.read(0xc000, 4)]).toEqual([ID, 0xffff_ffff]);
    expect([board.pc.mmio.read(0xf123_4000, 4), board.pc.mmio.read(0xe010_0000, 4)]).toEqual([ID, 0xffff_ffff]);
    pci.write(SLOT, BAR0 + 1, 0xe0, 1);
    expect([pci.read(SLOT, BAR0), board.pc.ports.read(0xe040, 4)]).toEqual([0xe041, ID]);
  });

  test("follow the command register: memory and ports apart", () => {
    pci.write(SLOT, COMMAND, 1, 2);
    expect([board.pc.ports.read(0xc000, 4), board.pc.mmio.read(0xe010_0000, 4)]).toEqual([ID, 0xffff_ffff]);
    pci.write(SLOT, COMMAND, 2, 2);
    expect([board.pc.ports.read(0xc000, 4), board.pc.mmio.read(0xe010_0000, 4)]).toEqual([0xffff_ffff, ID]);
  });

  test("at address zero, or above 64 KiB for ports, are decoded nowhere", () => {
    pci.write(SLOT, BAR0, 0);
    pci.write(SLOT, BAR1, 0);
    expect([board.pc.ports.read(0, 4), board.pc.mmio.read(0, 4)]).toEqual([0xffff_ffff, 0xffff_ffff]);
    pci.write(SLOT, BAR0, 0x1_0000);
    expect(board.pc.ports.regions().map((region) => region.base)).not.toContain(0x1_0000);
  });

  test("in the way of another device wait until it is gone", () => {
    pci.write(SLOT, BAR2, 0xe010_0000); // BAR1 is there
    expect(board.pc.mmio.read(0xe010_0000, 4)).toBe(ID);
    expect(board.pc.mmio.regions()).toHaveLength(2);
    pci.write(SLOT, BAR1, 0xe010_5000);
    expect(board.pc.mmio.read(0xe010_5000, 4)).toBe(ID);
    expect(board.pc.mmio.regions().map((region) => region.device.name)).toEqual([
      "pci-ecam",
      "splitvm-test.0.bar2",
      "splitvm-test.0.bar1",
    ]);
    pci.write(SLOT, BAR0, 0x3f8); // COM1's
    expect(board.pc.ports.read(0x3f8 + 5, 1)).toBe(0x60);
  });

  test("in the way of another slot's, too", () => {
    board = testBoard(option("splitvm-test"), option("splitvm-test"));
    pci = new PciDriver(board.pc);
    const other = pci.read(3, BAR1);
    pci.write(2, BAR1, other);
    board.pc.mmio.write(other + 4, 4, 22);
    pci.write(3, BAR1, 0xf000_0000);
    expect([board.pc.mmio.read(other + 4, 4), board.pc.mmio.read(0xf000_0004, 4)]).toEqual([0, 22]);
  });

  test("tell whoever routes regions", () => {
    const changes: string[] = [];
    board.pc.mmio.onChange = ({ kind, region }) => changes.push(`${kind} ${region.base.toString(16)}`);
    pci.write(SLOT, BAR2, 0xf000_0000);
    pci.write(SLOT, BAR2, 0xf000_0fff); // the same place
    pci.write(SLOT, COMMAND, 0, 2);
    expect(changes).toEqual(["unmap e0101000", "map f0000000", "unmap e0100000", "unmap f0000000"]);
  });
});

describe("state", () => {
  test("save and load bring moved BARs and the address back", () => {
    pci.write(SLOT, BAR1, 0xf000_0000);
    const state = JSON.parse(JSON.stringify(board.pc.devices.get("pci")!.save()));
    const other = testBoard(option("splitvm-test"));
    other.pc.devices.get("pci")!.load(state);
    expect([other.pc.mmio.read(0xf000_0000, 4), other.pc.mmio.read(0xe010_0000, 4)]).toEqual([ID, 0xffff_ffff]);
    expect(other.pc.ports.read(0xcf8, 4)).toBe(0x8000_1014);
  });

  test("of two BARs with one address, the one that had it first has it", () => {
    const two = () => testBoard(option("splitvm-test"), option("splitvm-test"));
    const [from, to] = [two(), two()];
    const driver = new PciDriver(from.pc);
    from.pc.mmio.write(driver.read(3, BAR1) + 4, 4, 33);
    driver.write(3, BAR1, 0xf000_0000);
    driver.write(2, BAR1, 0xf000_0000);
    const read = ({ pc }: TestBoard) => [pc.mmio.read(0xf000_0004, 4), pc.mmio.regions().length];
    expect(read(from)).toEqual([33, 4]);
    to.pc.load(JSON.parse(JSON.stringify(from.pc.save())));
    expect(read(to)).toEqual([33, 4]);
    new PciDriver(to.pc).write(3, BAR1, 0xf100_0000);
    expect(read(to)).toEqual([0, 5]);
  });

  test("of another machine is refused", () => {
    const other = testBoard();
    expect(() => other.pc.devices.get("pci")!.load(board.pc.devices.get("pci")!.save())).toThrow(
      "pci: the saved machine has other devices in its slots",
    );
  });
});

describe("mistakes of the board", () => {
  const region = { name: "r", read: () => 0, write: () => {} };
  const bus = () => new Bus("memory", 2 ** 32);

  test.each([
    ["memory", 8],
    ["io", 2],
    ["memory", 48],
    ["memory", 2 ** 32],
  ] as const)("a BAR of kind %s cannot have %i bytes", (kind, size) => {
    expect(() => new BarDecoder({ kind, size, region }, bus())).toThrow(/^r: .* cannot be a BAR/);
  });

  const device = (bars: number): PciDevice => ({
    name: "d",
    identity: {
      vendor: 1,
      device: 1,
      revision: 0,
      classCode: 0,
      subsystemVendor: 0,
      subsystem: 0,
      interrupt: false,
    },
    bars: Array.from({ length: bars }, (): PciBar => ({ kind: "memory", size: 16, region })),
    reset: () => {},
    save: () => ({ version: 1 }),
    load: () => {},
  });
  const wiring = { line: { set: () => {} }, interruptLine: 0, command: 0, place: () => 0 };

  test.each([
    ["a slot taken", 0, 0, /slot 0 is already taken/],
    ["no such slot", 32, 0, /has no slot 32/],
    ["seven BARs", 1, 7, /no BAR 6, at most 6 fit/],
  ])("%s", (_, slot, bars, message) => {
    const host = new PciHost({ ports: bus(), mmio: bus() });
    expect(() => host.plug(slot, wiring, () => device(bars))).toThrow(message);
  });

  test("a full bus", () => {
    const host = new PciHost({ ports: bus(), mmio: bus() });
    for (let i = 1; i < 32; i++) host.plug(host.freeSlot(), wiring, () => device(0));
    expect(() => host.freeSlot()).toThrow(/no free slot/);
  });
});

describe("ECAM", () => {
  const at = (slot: number, register: number, fn = 0) => 0xe000_0000 + (slot << 15) + (fn << 12) + register;

  test("reaches the same registers as mechanism 1, in every width", () => {
    const board = testBoard(option("splitvm-test"));
    const { mmio } = board.pc;
    expect(mmio.read(at(0, 0), 4)).toBe(0x1237_8086);
    expect(mmio.read(at(0, 3), 1)).toBe(0x12);
    const slot = [...Array(32).keys()].find((n) => n > 0 && mmio.read(at(n, 0), 2) !== 0xffff)!;
    mmio.write(at(slot, 0x3c), 1, 0x5a);
    expect(new PciDriver(board.pc).read(slot, 0x3c, 1)).toBe(0x5a);
  });

  test("moves BARs; nobody answers for other functions, and behind the 256 bytes", () => {
    const board = testBoard(option("splitvm-test"));
    const { mmio } = board.pc;
    const slot = [...Array(32).keys()].find((n) => mmio.read(at(n, 0), 4) === 0x5356_1234)!;
    const before = mmio.regions().length;
    mmio.write(at(slot, 4), 2, 0);
    expect(mmio.regions().length).toBeLessThan(before);
    expect([mmio.read(at(slot, 0, 1), 4), mmio.read(at(31, 0), 4), mmio.read(at(slot, 0x100), 4)]).toEqual([
      0xffff_ffff, 0xffff_ffff, 0xffff_ffff,
    ]);
    mmio.write(at(31, 0x10), 4, 0xffff_ffff); // nobody
  });
});
