/** The PCI test device, driven as a guest's driver would: registers through both BARs, DMA, doorbell, interrupt. */
import { beforeEach, describe, expect, test } from "vitest";
import type { Journalled } from "../../../qemu-user/bus/interfaces.ts";
import type { SplitvmTest } from "../../../qemu-user/hw/splitvm-test.ts";
import { option, PciDriver, RAM_SIZE, type TestBoard, testBoard } from "../support/fakes.ts";

const SLOT = 2;
const REG = {
  ID: 0x00,
  SCRATCH: 0x04,
  COUNTER: 0x08,
  IRQ_STATUS: 0x0c,
  IRQ_RAISE: 0x10,
  DMA_ADDR_LO: 0x14,
  DMA_ADDR_HI: 0x18,
  DMA_LEN: 0x1c,
  DMA_PATTERN: 0x20,
  DMA_COMMAND: 0x24,
  DMA_RESULT: 0x28,
  DMA_STATUS: 0x2c,
  DOORBELLS: 0x30,
  EXITS: 0x34,
  DOORBELL_LAST: 0x38,
  RESERVED: 0x3c,
} as const;
const MASTER = 7; // I/O, memory, bus master

let board: TestBoard;
let driver: PciDriver;
let io: number;
let mem: number;
let bell: number;

beforeEach(() => {
  board = testBoard(option("splitvm-test"));
  driver = new PciDriver(board.pc);
  io = driver.read(SLOT, 0x10) & ~3;
  mem = driver.read(SLOT, 0x14);
  bell = driver.read(SLOT, 0x18);
});

const get = (register: number) => board.pc.ports.read(io + register, 4);
const set = (register: number, value: number) => board.pc.ports.write(io + register, 4, value);
const device = () => board.pc.devices.get("splitvm-test.0") as SplitvmTest;

function dma(command: number, at: number, length: number, pattern = 0): number {
  set(REG.DMA_ADDR_LO, at);
  set(REG.DMA_ADDR_HI, Math.floor(at / 2 ** 32));
  set(REG.DMA_LEN, length);
  set(REG.DMA_PATTERN, pattern);
  set(REG.DMA_COMMAND, command);
  return get(REG.DMA_STATUS);
}

describe("registers", () => {
  test("through ports and memory are the same", () => {
    set(REG.SCRATCH, 0xcafe_f00d);
    expect([get(REG.ID), board.pc.mmio.read(mem + REG.ID, 4)]).toEqual([0x544d_5653, 0x544d_5653]);
    expect(board.pc.mmio.read(mem + REG.SCRATCH, 4)).toBe(0xcafe_f00d);
    expect(board.pc.mmio.read(mem + REG.SCRATCH + 2, 2)).toBe(0xcafe);
    expect([get(REG.RESERVED), board.pc.mmio.read(mem + 0x40, 4), board.pc.mmio.read(mem + 0xffc, 4)]).toEqual([
      0, 0, 0,
    ]);
  });

  test("the read-only ones ignore writes", () => {
    for (const at of [REG.ID, REG.COUNTER, REG.DMA_RESULT, REG.DMA_STATUS, REG.DOORBELLS, REG.DOORBELL_LAST])
      set(at, 0x55);
    expect([get(REG.ID), get(REG.COUNTER), get(REG.DMA_RESULT), get(REG.DMA_STATUS)]).toEqual([0x544d_5653, 0, 0, 0]);
    expect([get(REG.DOORBELLS), get(REG.DOORBELL_LAST)]).toEqual([0, 0]);
  });

  test("COUNTER counts each read once, whatever its width, and wraps", () => {
    expect([get(REG.COUNTER), get(REG.COUNTER), board.pc.ports.read(io + REG.COUNTER, 1), get(REG.COUNTER)]).toEqual([
      0, 1, 2, 3,
    ]);
    device().regs.fill(0xffff_ffff, 2, 3);
    expect([get(REG.COUNTER), get(REG.COUNTER)]).toEqual([0xffff_ffff, 0]);
  });

  test("EXITS counts accesses to ports and memory, this one included, posted writes not", () => {
    const before = get(REG.EXITS);
    board.pc.mmio.read(mem, 4);
    board.pc.mmio.write(bell, 4, 1);
    board.pc.ports.read(0x80, 1);
    expect(get(REG.EXITS)).toBe(before + 3);
  });
});

describe("interrupt", () => {
  test("INTA is a level: up while IRQ_STATUS is not zero", () => {
    const line = board.lines.get(10)!; // slot 2
    set(REG.IRQ_RAISE, 0x5);
    set(REG.IRQ_RAISE, 0x2);
    expect([get(REG.IRQ_STATUS), get(REG.IRQ_RAISE), line.level, line.edges]).toEqual([7, 0, true, 1]);
    set(REG.IRQ_STATUS, 0x6);
    expect([get(REG.IRQ_STATUS), line.level]).toEqual([1, true]);
    set(REG.IRQ_STATUS, 0x1);
    expect([get(REG.IRQ_STATUS), line.level]).toEqual([0, false]);
  });

  test("Interrupt Disable cuts it off; the status register shows it all the same", () => {
    const line = board.lines.get(10)!;
    set(REG.IRQ_RAISE, 1);
    driver.write(SLOT, 0x04, 0x403, 2);
    expect([line.level, driver.read(SLOT, 0x06, 2) & 8]).toEqual([false, 8]);
    driver.write(SLOT, 0x04, 0x003, 2);
    expect(line.level).toBe(true);
  });
});

describe("DMA", () => {
  beforeEach(() => driver.write(SLOT, 0x04, MASTER, 2));

  test.each([
    [0x1000, 16],
    [0x1001, 7],
    [0x2fff, 9000],
    [RAM_SIZE - 5, 5],
  ])("fills at %i, %i bytes, and not one more", (at, length) => {
    expect(dma(1, at, length, 0x4433_2211)).toBe(0);
    const filled = Array.from({ length }, (_, i) => board.memory.readU8(at + i));
    expect(filled).toEqual(Array.from({ length }, (_, i) => [0x11, 0x22, 0x33, 0x44][i & 3]));
    expect(board.memory.readU8(at - 1)).toBe(0);
    if (at + length < RAM_SIZE) expect(board.memory.readU8(at + length)).toBe(0);
  });

  test("sums bytes", () => {
    dma(1, 0x1000, 0x10000, 0x0403_0201);
    expect([dma(2, 0x1001, 6), get(REG.DMA_RESULT)]).toEqual([0, 2 + 3 + 4 + 1 + 2 + 3]);
    expect([dma(2, 0x1000, 0x10000), get(REG.DMA_RESULT)]).toEqual([0, 10 * 0x4000]);
    expect([dma(2, 0x1000, 0), get(REG.DMA_RESULT)]).toEqual([0, 0]);
  });

  test("command 3 fills and then raises bit 0", () => {
    expect(dma(3, 0x1000, 4, 0xaabb_ccdd)).toBe(0);
    expect([board.memory.readU32(0x1000), get(REG.IRQ_STATUS)]).toEqual([0xaabb_ccdd, 1]);
  });

  test.each([
    ["outside RAM", 1, RAM_SIZE - 4, 5, 1],
    ["above 4 GiB", 1, 2 ** 32 + 0x1000, 4, 1],
    ["past 2^63", 1, 0xffff_ffff * 2 ** 32, 4, 1],
    ["too long", 1, 0x1000, 1024 * 1024 + 1, 2],
    ["unknown command", 4, 0x1000, 4, 3],
    ["command 0", 0, 0x1000, 4, 3],
  ])("%s: status, and nothing written", (_, command, at, length, status) => {
    expect(dma(command, at, length, 0xffff_ffff)).toBe(status);
    expect([board.memory.readU32(0x1000), board.memory.readU32(RAM_SIZE - 4)]).toEqual([0, 0]);
  });

  test("the longest one allowed", () => {
    expect(dma(1, 0x1000, 1024 * 1024, 1)).toBe(0);
    expect(board.memory.readU32(0x1000 + 1024 * 1024 - 4)).toBe(1);
  });

  test("without bus mastering: status 4, but the interrupt of command 3 tells", () => {
    driver.write(SLOT, 0x04, 3, 2);
    expect(dma(3, 0x1000, 4, 1)).toBe(4);
    expect([board.memory.readU32(0x1000), get(REG.IRQ_STATUS)]).toEqual([0, 1]);
  });
});

describe("BAR2", () => {
  test("counts doorbells and keeps the last", () => {
    for (let i = 1; i <= 1000; i++) board.pc.mmio.write(bell, 4, i * 3);
    expect([get(REG.DOORBELLS), get(REG.DOORBELL_LAST)]).toEqual([1000, 3000]);
  });

  test("takes 32-bit writes at its two words only, and reads zero", () => {
    board.pc.mmio.write(bell, 2, 1);
    board.pc.mmio.write(bell + 1, 4, 1);
    board.pc.mmio.write(bell + 8, 4, 1);
    board.pc.mmio.write(bell + 4, 4, 99);
    expect([get(REG.DOORBELLS), device().dataWrites, device().dataLast]).toEqual([0, 1, 99]);
    expect([board.pc.mmio.read(bell, 4), board.pc.mmio.read(bell + 4, 4)]).toEqual([0, 0]);
  });

  test("is announced as posted", () => {
    const region = board.pc.mmio.regions().find(({ base }) => base === bell);
    expect(region?.posted).toEqual([
      { offset: 0, size: 4, kind: "ioeventfd" },
      { offset: 4, size: 4, kind: "coalesced" },
    ]);
  });
});

describe("state", () => {
  test("save and load", () => {
    driver.write(SLOT, 0x04, MASTER, 2);
    set(REG.SCRATCH, 5);
    get(REG.COUNTER);
    set(REG.IRQ_RAISE, 8);
    board.pc.mmio.write(bell, 4, 77);
    const state = JSON.parse(JSON.stringify(board.pc.save()));
    const exits = get(REG.EXITS);

    board = testBoard(option("splitvm-test"));
    board.pc.load(state);
    expect([get(REG.EXITS), get(REG.SCRATCH), get(REG.COUNTER), get(REG.IRQ_STATUS), get(REG.DOORBELL_LAST)]).toEqual([
      exits,
      5,
      1,
      8,
      77,
    ]);
    expect(board.lines.get(10)!.level).toBe(true);
    expect(dma(1, 0, 4, 1)).toBe(0);
  });

  test("the journal is COUNTER", () => {
    const [counter] = board.pc.journalled as readonly Journalled[];
    expect(counter!.journalBytes).toBe(4);
    get(REG.COUNTER);
    const view = new DataView(new ArrayBuffer(8));
    counter!.writeJournal(view, 4);
    expect(view.getUint32(4, true)).toBe(1);
    view.setUint32(4, 41, true);
    counter!.readJournal(view, 4);
    expect(get(REG.COUNTER)).toBe(41);
  });

  test("journal=off keeps none", () => {
    expect(testBoard(option("splitvm-test", { journal: false })).pc.journalled).toEqual([]);
  });

  test("reset brings everything back, also where it was moved to", () => {
    driver.write(SLOT, 0x10, 0xd000);
    driver.write(SLOT, 0x04, MASTER, 2);
    set(REG.IRQ_RAISE, 1);
    board.pc.reset();
    expect([get(REG.ID), get(REG.IRQ_STATUS), driver.read(SLOT, 0x04, 2)]).toEqual([0x544d_5653, 0, 3]);
    expect(board.lines.get(10)!.level).toBe(false);
  });
});
