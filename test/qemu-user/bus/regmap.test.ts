/** RegMap: width, alignment and spanning, access rules, banking, checking of rows, save and load. */
import { describe, expect, test } from "vitest";
import { type RegisterDevice, regmap } from "../../../qemu-user/bus/regmap.ts";

interface Toy extends RegisterDevice {
  bank: boolean;
  events: string[];
}

const MAP = regmap<Toy>("toy", 0x20, {
  PLAIN: { at: 0x00, width: 4, reset: 0x1234_5678 },
  MIXED: { at: 0x04, width: 2, reset: 0x00f0, ro: 0x00ff, w1c: 0x0f00, rsvd: 0xf000 },
  BYTE: { at: 0x06 },
  BANK0: { at: 0x07, when: (d) => !d.bank },
  BANK1: { at: 0x07, when: (d) => d.bank },
  POP: { at: 0x08, width: 4, ro: 0xffff_ffff, read: (d) => event(d, "pop", 0xa0b0_c0d0) },
  PUSH: { at: 0x08, width: 4, wo: true, write: (d, v) => event(d, `push ${v.toString(16)}`, 0) },
  CLEAR: { at: 0x0c, cor: 0x0f, reset: 0x3c },
  WATCHED: { at: 0x0e, width: 2, write: (d, v, old) => event(d, `${old.toString(16)}->${v.toString(16)}`, 0) },
});

function event(device: Toy, text: string, value: number): number {
  device.events.push(text);
  return value;
}

function toy(): Toy {
  return { regs: MAP.storage(), bank: false, events: [] };
}

describe("width and alignment", () => {
  test("each part of a register, and misaligned across registers", () => {
    const d = toy();
    expect([MAP.read(d, 0, 4), MAP.read(d, 0, 2), MAP.read(d, 2, 2), MAP.read(d, 3, 1)]).toEqual([
      0x1234_5678, 0x5678, 0x1234, 0x12,
    ]);
    expect(MAP.read(d, 3, 2)).toBe(0xf012); // top of PLAIN, bottom of MIXED
    MAP.write(d, 1, 2, 0xaabb);
    expect(MAP.read(d, 0, 4)).toBe(0x12aa_bb78);
    MAP.write(d, 3, 4, 0x77_00_00_99);
    expect([MAP.read(d, 0, 4), MAP.read(d, 6, 1)]).toEqual([0x99aa_bb78, 0x77]);
  });

  test("gaps read zero and swallow writes", () => {
    const d = toy();
    MAP.write(d, 0x10, 4, 0xffff_ffff);
    expect([MAP.read(d, 0x10, 4), MAP.read(d, 0x0d, 1), MAP.read(d, 0x40, 4)]).toEqual([0, 0, 0]);
  });

  test("a side effect happens once an access, whatever part is touched", () => {
    const d = toy();
    expect([MAP.read(d, 9, 1), MAP.read(d, 8, 4), MAP.read(d, 0xa, 2)]).toEqual([0xc0, 0xa0b0_c0d0, 0xa0b0]);
    expect(d.events).toEqual(["pop", "pop", "pop"]);
  });

  test("two registers in one access: lowest first, each once", () => {
    const d = toy();
    MAP.write(d, 0x0a, 4, 0x0000_beef);
    MAP.write(d, 0x0e, 4, 0xffff_1234);
    expect(d.events).toEqual(["push beef0000", "0->1234"]);
  });
});

describe("access rules", () => {
  test("ro and rsvd stay, w1c clears by ones, the rest is stored", () => {
    const d = toy();
    d.regs[MAP.index("MIXED")] = 0xaaf0;
    MAP.write(d, 4, 2, 0x52ff);
    expect(MAP.read(d, 4, 2)).toBe(0xa8f0); // bit 9 cleared, bit 11 left alone
  });

  test("a write of one byte does not clear w1c bits of the other", () => {
    const d = toy();
    d.regs[MAP.index("MIXED")] = 0x0ff0;
    MAP.write(d, 4, 1, 0xff);
    expect(MAP.read(d, 4, 2)).toBe(0x0ff0);
    MAP.write(d, 5, 1, 0x01);
    expect(MAP.read(d, 4, 2)).toBe(0x0ef0);
  });

  test("cor bits are cleared by the read that gives them", () => {
    const d = toy();
    expect([MAP.read(d, 0x0c, 1), MAP.read(d, 0x0c, 1)]).toEqual([0x3c, 0x30]);
  });

  test("read-only and write-only rows share a place", () => {
    const d = toy();
    MAP.write(d, 8, 4, 1);
    expect(MAP.read(d, 8, 4)).toBe(0xa0b0_c0d0);
    expect(d.events).toEqual(["push 1", "pop"]);
  });

  test("a write-only register remembers nothing: bytes not written are zero", () => {
    const d = toy();
    MAP.write(d, 8, 4, 0x1111_1111);
    MAP.write(d, 9, 1, 0x22);
    expect(d.events).toEqual(["push 11111111", "push 2200"]);
  });

  test("banks keep their own values", () => {
    const d = toy();
    MAP.write(d, 7, 1, 1);
    d.bank = true;
    MAP.write(d, 7, 1, 2);
    expect(MAP.read(d, 7, 1)).toBe(2);
    d.bank = false;
    expect(MAP.read(d, 7, 1)).toBe(1);
  });

  test("reset brings every register back", () => {
    const d = toy();
    MAP.write(d, 0, 4, 0);
    MAP.write(d, 6, 1, 9);
    MAP.reset(d);
    expect(d.regs).toEqual(MAP.storage());
  });
});

test("trace names device and register", () => {
  const lines: string[] = [];
  const d: Toy = { ...toy(), trace: (line) => lines.push(line) };
  MAP.write(d, 5, 1, 0xf0);
  MAP.read(d, 0, 4);
  expect(lines).toEqual(["toy.MIXED <- 0xf000", "toy.MIXED: reserved bits written", "toy.PLAIN -> 0x12345678"]);
});

describe("rows that contradict themselves", () => {
  const rows = (value: Parameters<typeof regmap<Toy>>[2]) => () => regmap<Toy>("bad", 8, value);
  test.each([
    ["outside", rows({ A: { at: 6, width: 4 } }), /bad.A lies outside/],
    ["too large a reset", rows({ A: { at: 0, reset: 0x100 } }), /bad.A: 256 does not fit/],
    ["masks overlap", rows({ A: { at: 0, ro: 1, w1c: 1 } }), /bad.A: masks overlap/],
    ["hidden", rows({ A: { at: 0, width: 2 }, B: { at: 1 } }), /bad.B is hidden by A/],
    ["useless", rows({ A: { at: 0, wo: true } }), /bad.A is write-only and does nothing/],
  ])("%s", (_, make, message) => expect(make).toThrow(message));
});

describe("save and load", () => {
  test("by name, without the write-only ones", () => {
    const d = toy();
    MAP.write(d, 0, 4, 42);
    const saved = MAP.save(d);
    expect(saved).toMatchObject({ PLAIN: 42, CLEAR: 0x3c });
    expect(saved).not.toHaveProperty("PUSH");
    const other = toy();
    MAP.load(other, saved);
    expect(other.regs).toEqual(d.regs);
  });

  test.each([
    ["missing", undefined],
    ["a register too few", { ...MAP.save(toy()), PLAIN: undefined as unknown as number }],
    ["an unknown one", { ...MAP.save(toy()), NEW: 1 }],
    ["too large", { ...MAP.save(toy()), BYTE: 256 }],
    ["not a number", { ...MAP.save(toy()), BYTE: "1" }],
    ["negative", { ...MAP.save(toy()), BYTE: -1 }],
  ])("%s: refused, nothing changed", (_, state) => {
    const d = toy();
    expect(() => MAP.load(d, state)).toThrow(/toy/);
    expect(d.regs).toEqual(MAP.storage());
  });
});
