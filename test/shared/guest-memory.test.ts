/** GuestMemory: its bounds, its byte order, slots that touch and slots that do not. */
import { describe, expect, test } from "vitest";
import { CODE_MAP, CODE_MAP_BYTES, CodeMap } from "../../shared/code-map.ts";
import { GuestMemory } from "../../shared/guest-memory.ts";

/** Two slots that touch at 0x2000 though their bytes do not, and one far off. */
function memory(): GuestMemory {
  return new GuestMemory(new SharedArrayBuffer(0x4000), [
    { gpa: 0x8000, size: 0x1000, at: 0x2000 },
    { gpa: 0x1000, size: 0x1000, at: 0x3000 },
    { gpa: 0x2000, size: 0x1000, at: 0x0000 },
  ]);
}

/** Addresses that are nobody's RAM, whatever the length. */
const OUTSIDE = [
  0,
  0xfff,
  0x3000,
  0x7fff,
  0x9000,
  -1,
  -0x1000,
  0.5,
  4096.5,
  2 ** 32,
  2 ** 53,
  2 ** 64,
  1e300,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
];

describe("single values", () => {
  test("are little endian", () => {
    const m = memory();
    m.writeU32(0x1000, 0x8765_4321);
    expect([m.readU8(0x1000), m.readU8(0x1003), m.readU16(0x1002), m.readU32(0x1000)]).toEqual([
      0x21, 0x87, 0x8765, 0x8765_4321,
    ]);
    m.writeU16(0x1001, 0xbeef);
    expect(m.readU32(0x1000)).toBe(0x87be_ef21);
    m.writeU8(0x1000, 0x1ff);
    expect(m.readU8(0x1000)).toBe(0xff);
  });

  test.each(OUTSIDE)("at %d read as ones and swallow writes", (gpa) => {
    const m = memory();
    m.writeU8(gpa, 1);
    m.writeU16(gpa, 1);
    m.writeU32(gpa, 1);
    expect([m.readU8(gpa), m.readU32(gpa)]).toEqual([0xff, 0xffff_ffff]);
    expect(m.readU16(0x1000) | m.readU16(0x2000) | m.readU16(0x8000)).toBe(0);
  });

  test("that leave RAM halfway are outside", () => {
    const m = memory();
    expect([m.readU16(0x2fff), m.readU32(0x2ffd), m.readU32(0x7ffe)]).toEqual([0xffff, 0xffff_ffff, 0xffff_ffff]);
    m.writeU32(0x2ffd, 0x1122_3344);
    m.writeU32(0x7ffe, 0x1122_3344);
    expect([m.readU8(0x2ffd), m.readU8(0x2fff), m.readU8(0x8000)]).toEqual([0, 0, 0]);
  });

  test("that cross from slot to slot are whole", () => {
    const m = memory();
    m.writeU32(0x1ffd, 0x4433_2211);
    expect([m.readU8(0x1ffd), m.readU8(0x1fff), m.readU8(0x2000)]).toEqual([0x11, 0x33, 0x44]);
    expect(m.readU32(0x1ffd)).toBe(0x4433_2211);
    m.writeU16(0x1fff, 0xaabb);
    expect([m.readU16(0x1fff), m.readU32(0x1ffe)]).toEqual([0xaabb, 0x00aa_bb22]);
  });
});

describe("ranges", () => {
  test("are copied across touching slots, all or nothing", () => {
    const m = memory();
    const bytes = Uint8Array.from({ length: 0x2000 }, (_, i) => i * 7);
    expect(m.write(0x1000, bytes)).toBe(true);
    const back = new Uint8Array(0x2000);
    expect(m.read(0x1000, back)).toBe(true);
    expect(back).toEqual(bytes);

    expect(m.write(0x2ff0, new Uint8Array(0x11).fill(9))).toBe(false);
    expect(m.readU8(0x2ff0)).toBe(bytes[0x1ff0]);
    const untouched = new Uint8Array(0x11).fill(5);
    expect(m.read(0x2ff0, untouched)).toBe(false);
    expect(untouched).toEqual(new Uint8Array(0x11).fill(5));
  });

  test("are filled across touching slots, all or nothing", () => {
    const m = memory();
    expect(m.fill(0x1800, 0x1000, 0xa5)).toBe(true);
    expect([m.readU8(0x17ff), m.readU8(0x1800), m.readU8(0x27ff), m.readU8(0x2800)]).toEqual([0, 0xa5, 0xa5, 0]);
    expect(m.fill(0x2800, 0x801, 1)).toBe(false);
    expect(m.readU8(0x2800)).toBe(0);
  });

  test.each(OUTSIDE)("at %d are refused", (gpa) => {
    const m = memory();
    expect([m.contains(gpa, 1), m.fill(gpa, 1, 1), m.write(gpa, new Uint8Array(1)), m.slice(gpa, 1)]).toEqual([
      false,
      false,
      false,
      undefined,
    ]);
  });

  test.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 2 ** 32])("of length %d are refused", (length) => {
    const m = memory();
    expect([m.contains(0x1000, length), m.fill(0x1000, length, 1), m.slice(0x1000, length)]).toEqual([
      false,
      false,
      undefined,
    ]);
  });

  test("that wrap around are refused", () => {
    expect(memory().contains(Number.MAX_SAFE_INTEGER, 2)).toBe(false);
  });

  test("slice is a view, inside one slot only", () => {
    const m = memory();
    m.slice(0x2000, 2)![1] = 0x42;
    expect(m.readU8(0x2001)).toBe(0x42);
    expect(m.slice(0x1fff, 2)).toBeUndefined();
    expect(m.slice(0x1000, 0x1000)).toHaveLength(0x1000);
  });
});

test.each([
  ["outside the buffer", [{ gpa: 0, size: 0x1000, at: 0x3001 }]],
  ["empty", [{ gpa: 0, size: 0, at: 0 }]],
  ["negative", [{ gpa: -1, size: 1, at: 0 }]],
  ["fractional", [{ gpa: 0.5, size: 1, at: 0 }]],
  [
    "overlapping",
    [
      { gpa: 0, size: 0x1000, at: 0 },
      { gpa: 0xfff, size: 1, at: 0 },
    ],
  ],
])("a slot that is %s is the host's mistake", (_, slots) => {
  expect(() => new GuestMemory(new ArrayBuffer(0x4000), slots)).toThrow(/memory slot/);
});

describe("the code map", () => {
  const MAP = 0x4000;
  /** Memory in which page 1 holds code, and how often the map was told of a write that hit it. */
  function watched(): { readonly m: GuestMemory; readonly told: () => number } {
    const words = new Int32Array(new SharedArrayBuffer(MAP + CODE_MAP_BYTES));
    words[(MAP + CODE_MAP.code) / 4] = 1 << 1;
    const slots = [
      { gpa: 0x1000, size: 0x1000, at: 0x3000 },
      { gpa: 0x2000, size: 0x1000, at: 0x0000 },
    ];
    const m = new GuestMemory(words.buffer, slots, new CodeMap(words.buffer, MAP, []));
    return { m, told: () => words[(MAP + CODE_MAP.posted) / 4]! };
  }
  const WRITES: readonly (readonly [string, (m: GuestMemory, gpa: number) => void])[] = [
    ["writeU8", (m, gpa) => m.writeU8(gpa, 1)],
    ["writeU16", (m, gpa) => m.writeU16(gpa, 1)],
    ["writeU32", (m, gpa) => m.writeU32(gpa, 1)],
    ["write", (m, gpa) => m.write(gpa, Uint8Array.of(1, 2))],
    ["fill", (m, gpa) => m.fill(gpa, 2, 1)],
    ["written", (m, gpa) => m.written(gpa, 2)],
  ];

  test.each(WRITES)("hears of %s to a page with code, and of no other", (_name, write) => {
    const { m, told } = watched();
    write(m, 0x2800);
    expect(told()).toBe(0);
    write(m, 0x1800);
    expect(told()).toBe(1);
  });

  test("hears of writes across two slots, and of none that was refused", () => {
    const { m, told } = watched();
    m.writeU16(0x1fff, 0x1234);
    expect(told()).toBe(1);
    m.writeU32(0x1ffd, 0x1234_5678);
    expect(told()).toBeGreaterThan(1);
    const before = told();
    m.writeU32(0xffe, 1);
    expect([m.write(0xffe, new Uint8Array(8)), m.fill(0x1000, 0x2001, 0)]).toEqual([false, false]);
    expect(told()).toBe(before);
  });

  test("hears of no read", () => {
    const { m, told } = watched();
    m.read(0x1000, new Uint8Array(16));
    m.readU32(0x1000);
    m.slice(0x1000, 16);
    expect(told()).toBe(0);
  });
});
