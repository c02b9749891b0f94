/** Capabilities, MSI-X and 64-bit BARs of a function, as its driver sees them. */
import { beforeEach, describe, expect, test } from "vitest";
import { Bus } from "../../../qemu-user/bus/bus.ts";
import type { PciDevice, PciSlot, Width } from "../../../qemu-user/bus/interfaces.ts";
import { PciHost } from "../../../qemu-user/pci/host.ts";
import { FakeLine, FakeMsi } from "../support/fakes.ts";

const COMMAND = 0x04;
const MASTER = 7;
const MSIX = 0x48; // behind a capability of 8 bytes at 0x40
const [ENABLE, MASK] = [0x8000, 0x4000] as const;
const TABLE = 0x1_0000;
const PENDING = TABLE + 0x800;

const own: [number, Width, number][] = [];
const region = { name: "r", read: () => 0x77, write: () => {} };

function device(changes: Partial<PciDevice> = {}): PciDevice {
  return {
    name: "d",
    identity: {
      vendor: 0x1af4,
      device: 0x1041,
      revision: 1,
      classCode: 0x02_0000,
      subsystemVendor: 0x1af4,
      subsystem: 1,
      interrupt: true,
    },
    bars: [{ kind: "memory", size: 0x4000, region, at: 4, wide: true, prefetchable: true }],
    capabilities: [
      {
        id: 0x09,
        bytes: Uint8Array.of(8, 1, 0xaa, 0xbb, 0xcc),
        write: (offset, width, value) => own.push([offset, width, value]),
      },
    ],
    msix: { vectors: 3, bar: 1 },
    reset: () => {},
    save: () => ({ version: 1 }),
    load: () => {},
    ...changes,
  };
}

function board(changes: Partial<PciDevice> = {}) {
  const [ports, mmio] = [new Bus("port", 2 ** 16), new Bus("memory", 2 ** 32)];
  const msi = new FakeMsi();
  const taken = (base: number) => base < 0x1_0000;
  const host = new PciHost({ ports, mmio, msi, taken });
  const line = new FakeLine();
  const place = (_kind: string, size: number) => (size === 0x4000 ? 0x2_0000 : TABLE);
  let slot!: PciSlot;
  host.plug(3, { line, interruptLine: 11, command: 3, place }, (offered) => {
    slot = offered;
    return device(changes);
  });
  const read = (register: number, width: Width = 4) => host.ecam.read((3 << 15) + register, width);
  const write = (register: number, value: number, width: Width = 4) =>
    host.ecam.write((3 << 15) + register, width, value);
  const row = (vector: number, message: readonly number[]) =>
    message.forEach((value, word) => {
      mmio.write(TABLE + 16 * vector + 4 * word, 4, value);
    });
  return { host, mmio, msi, slot, line, read, write, row, control: (bits: number) => write(MSIX + 2, bits, 2) };
}

let b: ReturnType<typeof board>;
beforeEach(() => {
  own.length = 0;
  b = board();
  b.write(COMMAND, MASTER, 2);
});

const UNMASKED = [0xfee0_1000, 0, 0x41, 0] as const;

describe("the list of capabilities", () => {
  test("begins at 0x34, is announced in the status register, and ends with MSI-X", () => {
    expect([b.read(0x34), b.read(0x06, 2) & 0x10, b.read(0x40), b.read(0x44), b.read(MSIX)]).toEqual([
      0x40, 0x10, 0x0108_4809, 0x00cc_bbaa, 0x0002_0011,
    ]);
    expect([b.read(0x41, 1), b.read(0x41, 2), b.read(0x43, 1)]).toEqual([0x48, 0x0848, 1]);
    expect(b.read(0x3e, 4)).toBe(0x4809_0000);
  });

  test("a capability that answers itself gets its writes; its head is the host's", () => {
    b.write(0x44, 0x1234, 2);
    b.write(0x40, 0xdead_beef);
    b.write(0x40, 0, 2);
    expect(own).toEqual([
      [4, 2, 0x1234],
      [2, 2, 0xdead],
    ]);
  });

  test("none: no pointer, no bit, zeros", () => {
    const plain = board({ capabilities: [] });
    expect(plain.read(0x34)).toBe(0x40);
    const { msix: _, ...rest } = device({ capabilities: [] });
    const host = new PciHost({ ports: new Bus("p", 2 ** 16), mmio: new Bus("m", 2 ** 32) });
    host.plug(1, { line: { set: () => {} }, interruptLine: 0, command: 0, place: () => 0 }, () => rest);
    expect([0x34, 0x06, 0x40].map((register) => host.ecam.read((1 << 15) + register, 2))).toEqual([0, 0, 0]);
  });

  test("too many have no room", () => {
    const capability = { id: 9, bytes: new Uint8Array(62) };
    expect(() => board({ capabilities: [capability, capability, capability] })).toThrow(/has no room/);
  });

  test("there is no extended configuration space", () => {
    expect([b.read(0x100), b.read(0xffc, 1)]).toEqual([0xffff_ffff, 0xff]);
  });
});

describe("BARs", () => {
  test("that of MSI-X is made; a 64-bit one takes two registers", () => {
    expect([0x10, 0x14, 0x18, 0x1c, 0x20, 0x24].map((at) => b.read(at))).toEqual([0, TABLE, 0, 0, 0x2_000c, 0]);
    b.write(0x20, 0xffff_ffff);
    b.write(0x24, 0xffff_ffff);
    expect([b.read(0x20), b.read(0x24)]).toEqual([0xffff_c00c, 0xffff_ffff]);
    expect(b.mmio.read(0x2_0000, 1)).toBe(0xff);
    b.write(0x20, 0x4_0000);
    b.write(0x24, 1); // above 4 GiB
    expect(b.mmio.read(0x4_0000, 1)).toBe(0xff);
    b.write(0x24, 0);
    expect(b.mmio.read(0x4_0000, 1)).toBe(0x77);
  });

  test("are not decoded over RAM", () => {
    b.write(0x20, 0x8000);
    expect([b.read(0x20), b.mmio.read(0x8000, 1), b.mmio.read(0x2_0000, 1)]).toEqual([0x800c, 0xff, 0xff]);
  });

  test("follow each other around MSI-X's", () => {
    const bar = { kind: "memory", size: 16, region } as const;
    const three = board({ bars: [bar, { ...bar, wide: true }, bar] });
    const flags = [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24].map((at) => {
      three.write(at, 0xffff_ffff);
      return three.read(at);
    });
    expect(flags).toEqual([0xffff_fff0, 0xffff_f000, 0xffff_fff4, 0xffff_ffff, 0xffff_fff0, 0]);
  });

  test.each([
    ["that of MSI-X taken", { at: 1 }, /BAR 1 is already taken/],
    ["64 bits in the last register", { at: 5, wide: true }, /no BAR 6/],
    ["64-bit ports", { kind: "io", wide: true }, /ports are neither/],
  ] as const)("%s", (_, changes, message) => {
    expect(() => board({ bars: [{ kind: "memory", size: 16, region, ...changes }] })).toThrow(message);
  });
});

describe("MSI-X", () => {
  test("capability: three vectors, table and pending bits in BAR 1; two bits can be written", () => {
    expect([b.read(MSIX + 2, 2), b.read(MSIX + 4), b.read(MSIX + 8)]).toEqual([2, 1, 0x801]);
    b.write(MSIX, 0xffff_ffff);
    b.write(MSIX + 4, 0xffff_ffff);
    expect([b.read(MSIX), b.read(MSIX + 3, 1), b.read(MSIX + 4)]).toEqual([0xc002_0011, 0xc0, 1]);
    b.write(MSIX + 3, 0, 1);
    expect([b.read(MSIX + 2, 2), b.slot.msix.enabled]).toEqual([2, false]);
  });

  test("entries are masked after reset, and take aligned dwords", () => {
    expect([0, 4, 8, 12].map((at) => b.mmio.read(TABLE + at, 4))).toEqual([0, 0, 0, 1]);
    b.row(1, [0xffff_ffff, 2, 3, 0xffff_fffe]);
    expect([0, 4, 8, 12].map((at) => b.mmio.read(TABLE + 16 + at, 4))).toEqual([0xffff_fffc, 2, 3, 0]);
    b.mmio.write(TABLE, 1, 0xff);
    b.mmio.write(TABLE + 2, 4, 0xff);
    b.mmio.write(PENDING, 4, 0xff);
    expect([TABLE, PENDING, TABLE + 48, 0x1_0ffc].map((at) => b.mmio.read(at, 4))).toEqual([0, 0, 0, 0]);
  });

  test("sends the vector's message", () => {
    b.row(1, UNMASKED);
    b.row(2, [0xfee0_2000, 1, 0x42, 0]);
    b.control(ENABLE);
    for (const vector of [1, 2, 3, 99]) b.slot.msix.notify(vector);
    expect(b.msi.sent).toEqual(["fee01000 41", "1:fee02000 42"]);
  });

  test("is silent while it is not enabled", () => {
    b.row(0, UNMASKED);
    b.slot.msix.notify(0);
    b.control(ENABLE);
    expect([b.msi.sent, b.mmio.read(PENDING, 4)]).toEqual([[], 0]);
  });

  test.each([
    ["the vector's mask", () => b.mmio.write(TABLE + 12, 4, 1), () => b.mmio.write(TABLE + 12, 4, 0)],
    ["the function's mask", () => b.control(ENABLE | MASK), () => b.control(ENABLE)],
    ["no bus mastering", () => b.write(COMMAND, 3, 2), () => b.write(COMMAND, MASTER, 2)],
  ])("%s makes it pending, once", (_, mask, unmask) => {
    b.row(0, UNMASKED);
    b.control(ENABLE);
    mask();
    b.slot.msix.notify(0);
    b.slot.msix.notify(0);
    expect([b.msi.sent, b.mmio.read(PENDING, 4)]).toEqual([[], 1]);
    unmask();
    expect([b.msi.sent, b.mmio.read(PENDING, 4)]).toEqual([["fee01000 41"], 0]);
  });

  test("takes INTA's place while it is enabled, also of an interrupt that is there already", () => {
    b.slot.intx.set(true);
    expect(b.line.level).toBe(true);
    b.control(ENABLE);
    expect(b.line.level).toBe(false);
    b.slot.intx.set(false);
    b.slot.intx.set(true);
    expect(b.line.edges).toBe(1);
    b.control(0);
    expect(b.line.level).toBe(true);
    b.slot.intx.set(false);
    expect(b.line.level).toBe(false);
  });

  test("a message changed under the mask is sent as it is then, and one changed without a mask too", () => {
    b.row(0, UNMASKED);
    b.control(ENABLE);
    b.mmio.write(TABLE + 12, 4, 1);
    b.slot.msix.notify(0);
    b.row(0, [0xfee0_3000, 0, 0x55, 0]);
    b.mmio.write(TABLE + 8, 4, 0x56);
    b.slot.msix.notify(0);
    expect(b.msi.sent).toEqual(["fee03000 55", "fee03000 56"]);
  });

  test("what has not left when the mask comes is pending", () => {
    b.row(0, UNMASKED);
    b.control(ENABLE);
    b.msi.hold = true;
    b.slot.msix.notify(0);
    b.mmio.write(TABLE + 12, 4, 1);
    expect(b.mmio.read(PENDING, 4)).toBe(1);
    b.msi.release();
    expect(b.msi.sent).toEqual([]);
    b.mmio.write(TABLE + 12, 4, 0);
    expect(b.msi.sent).toEqual(["fee01000 41"]);
  });

  test("reset disables, masks, and forgets", () => {
    b.row(0, [0xfee0_1000, 0, 0x41, 1]);
    b.control(ENABLE);
    b.slot.msix.notify(0);
    b.host.reset();
    expect([b.slot.msix.enabled, b.mmio.read(TABLE, 4), b.mmio.read(PENDING, 4)]).toEqual([false, 0, 0]);
  });

  test("save and load, with what is pending and what has not left", () => {
    b.row(0, UNMASKED);
    b.row(2, [0xfee0_1000, 0, 0x42, 1]);
    b.control(ENABLE);
    b.msi.hold = true;
    b.slot.msix.notify(0);
    b.slot.msix.notify(2);
    const state = JSON.parse(JSON.stringify(b.host.save()));
    const other = board();
    other.host.load(state);
    expect([other.slot.msix.enabled, other.msi.sent, other.mmio.read(PENDING, 4)]).toEqual([true, ["fee01000 41"], 4]);
    b.msi.release();
    expect(b.msi.sent).toEqual(["fee01000 41"]);
  });

  test("a state with another number of vectors is refused", () => {
    expect(() => board({ msix: { vectors: 4, bar: 1 } }).host.load(b.host.save())).toThrow(/another number of vectors/);
    expect(() => board().host.load(board({ msix: { vectors: 4, bar: 1 } }).host.save())).toThrow(/list of at most 12/);
  });

  test.each([0, 2049, 1.5])("%d vectors are none", (vectors) => {
    expect(() => board({ msix: { vectors, bar: 1 } })).toThrow(/not possible/);
  });

  test("2048 vectors take 64 KiB", () => {
    const all = board({ msix: { vectors: 2048, bar: 1 } });
    all.write(0x14, 0xffff_ffff);
    expect([all.read(0x14), all.read(MSIX + 2, 2), all.read(MSIX + 8)]).toEqual([0xffff_0000, 0x7ff, 0x8001]);
  });
});
