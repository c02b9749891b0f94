/** 16550A, through the bus as a driver sees it. Registers and bits as in the PC16550D data sheet. */
import { describe, expect, test } from "vitest";
import { type TestBoard, testBoard } from "../support/fakes.ts";

const COM1 = 0x3f8;
const [DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
const FCR = IIR;
const OUT2 = 0x08;

function setup(): TestBoard & { in: (register: number) => number; out: (register: number, value: number) => void } {
  const board = testBoard();
  return {
    ...board,
    in: (register) => board.pc.ports.read(COM1 + register, 1),
    out: (register, value) => board.pc.ports.write(COM1 + register, 1, value),
  };
}

/** FIFOs on, trigger at 8, interrupts on and wired through. */
function withInterrupts(ier: number, fcr = 0x81) {
  const u = setup();
  u.out(FCR, fcr);
  u.out(MCR, OUT2);
  u.out(IER, ier);
  return { ...u, line: u.lines.get(4)! };
}

describe("registers", () => {
  test("after reset", () => {
    const u = setup();
    expect([u.in(DATA), u.in(IER), u.in(IIR), u.in(LCR), u.in(MCR), u.in(LSR), u.in(MSR), u.in(SCR)]).toEqual([
      0, 0, 0x01, 0, 0, 0x60, 0xb0, 0,
    ]);
  });

  test("DLAB puts the divisor latch over data and IER", () => {
    const u = setup();
    u.out(LCR, 0x80);
    u.out(DATA, 0x01);
    u.out(IER, 0x02);
    expect([u.in(DATA), u.in(IER)]).toEqual([0x01, 0x02]);
    u.out(LCR, 0x03);
    expect([u.in(DATA), u.in(IER)]).toEqual([0, 0]);
    expect(u.serial.output).toEqual([]);
    u.out(LCR, 0x83);
    expect([u.in(DATA), u.in(IER)]).toEqual([0x01, 0x02]);
  });

  test("unused bits read zero, the scratch register holds what is put there", () => {
    const u = setup();
    for (const register of [IER, MCR, SCR]) u.out(register, 0xff);
    expect([u.in(IER), u.in(MCR), u.in(SCR)]).toEqual([0x0f, 0x1f, 0xff]);
  });

  test("a 16-bit access is two 8-bit ones", () => {
    const u = setup();
    u.pc.ports.write(COM1 + LCR, 2, 0x0303);
    expect([u.in(LCR), u.in(MCR)]).toEqual([0x03, 0x03]);
    expect(u.pc.ports.read(COM1 + LCR, 2)).toBe(0x0303);
  });

  test("IIR shows whether the FIFOs are on", () => {
    const u = setup();
    u.out(FCR, 0x01);
    expect(u.in(IIR)).toBe(0xc1);
    u.out(FCR, 0xc0); // without bit 0 the other bits mean nothing
    expect(u.in(IIR)).toBe(0x01);
  });
});

describe("transmitter", () => {
  test("sends at once, THRE stays set", () => {
    const u = setup();
    for (const c of "hello") {
      expect(u.in(LSR)).toBe(0x60);
      u.out(DATA, c.charCodeAt(0));
    }
    expect(u.serial.text).toBe("hello");
  });

  test("without FIFOs: one byte waits for a full back end, THRE is clear until it is gone", () => {
    const u = setup();
    u.serial.room = 0;
    u.out(DATA, 0x41);
    expect(u.in(LSR)).toBe(0x00);
    u.out(DATA, 0x42); // lost: THRE said so
    u.serial.makeRoom(9);
    expect(u.in(LSR)).toBe(0x60);
    expect(u.serial.text).toBe("A");
  });

  test("with FIFOs: sixteen bytes wait, THRE comes back when all are gone", () => {
    const u = setup();
    u.out(FCR, 0x01);
    u.serial.room = 1;
    for (let i = 0; i < 18; i++) u.out(DATA, 0x61 + i);
    expect(u.in(LSR)).toBe(0x00);
    u.serial.makeRoom(15);
    expect(u.in(LSR)).toBe(0x00);
    u.serial.makeRoom(9);
    expect(u.in(LSR)).toBe(0x60);
    expect(u.serial.text).toBe("abcdefghijklmnopq"); // the 18th was lost
  });

  test("clearing the transmitter FIFO drops what waits", () => {
    const u = setup();
    u.out(FCR, 0x01);
    u.serial.room = 0;
    u.out(DATA, 0x41);
    u.out(FCR, 0x05);
    expect(u.in(LSR)).toBe(0x60);
    u.serial.makeRoom(9);
    expect(u.serial.text).toBe("");
  });

  test("THRE interrupt: at enabling, cleared by reading IIR, again after each byte as an edge", () => {
    const u = withInterrupts(0x02);
    expect([u.line.level, u.line.edges]).toEqual([true, 1]);
    expect(u.in(IIR)).toBe(0xc2);
    expect(u.line.level).toBe(false);
    expect(u.in(IIR)).toBe(0xc1);
    u.out(DATA, 0x41);
    expect([u.line.level, u.line.edges]).toEqual([true, 2]);
    u.out(DATA, 0x42);
    expect(u.line.edges).toBe(3);
  });

  test("THRE interrupt waits for the back end", () => {
    const u = withInterrupts(0x02);
    u.serial.room = 0;
    u.out(DATA, 0x41);
    expect([u.line.level, u.in(IIR)]).toEqual([false, 0xc1]);
    u.serial.makeRoom(1);
    expect([u.line.level, u.in(IIR)]).toEqual([true, 0xc2]);
  });
});

describe("receiver", () => {
  test("without FIFOs: a byte at a time, the rest waits in the back end", () => {
    const u = setup();
    u.serial.type(1, 2, 3);
    expect([u.in(LSR), u.serial.pending]).toEqual([0x61, 2]);
    expect([u.in(DATA), u.in(DATA), u.in(LSR), u.in(DATA), u.in(LSR)]).toEqual([1, 2, 0x61, 3, 0x60]);
  });

  test("with FIFOs: takes sixteen and never overruns", () => {
    const u = setup();
    u.out(FCR, 0x01);
    u.serial.type(...Array.from({ length: 40 }, (_, i) => i));
    expect(u.serial.pending).toBe(24);
    expect(Array.from({ length: 40 }, () => u.in(DATA))).toEqual(Array.from({ length: 40 }, (_, i) => i));
    expect(u.in(LSR)).toBe(0x60);
    expect(u.in(DATA)).toBe(0);
  });

  test.each([
    [0x01, 1],
    [0x41, 4],
    [0x81, 8],
    [0xc1, 14],
  ])("FCR %i: received-data interrupt at %i bytes, time-out below", (fcr, trigger) => {
    const u = withInterrupts(0x01, fcr);
    for (let n = 1; n < trigger; n++) {
      u.serial.type(n);
      expect(u.in(IIR)).toBe(0xcc);
    }
    u.serial.type(0xff);
    expect([u.in(IIR), u.line.level]).toEqual([0xc4, true]);
    for (let n = 0; n < trigger; n++) u.in(DATA);
    expect([u.in(IIR), u.line.level]).toEqual([0xc1, false]);
  });

  test("clearing the receiver FIFO, and switching the FIFOs, drops what was received", () => {
    const u = setup();
    u.out(FCR, 0x01);
    u.serial.type(1, 2);
    u.out(FCR, 0x03);
    expect(u.in(LSR)).toBe(0x60);
    u.serial.type(3);
    u.out(FCR, 0x00);
    expect(u.in(LSR)).toBe(0x60);
  });
});

describe("loopback", () => {
  test("what is sent is received, and nothing leaves", () => {
    const u = setup();
    u.out(MCR, 0x10);
    u.out(DATA, 0x5a);
    expect([u.in(LSR), u.in(DATA), u.serial.text]).toEqual([0x61, 0x5a, ""]);
  });

  test("the far end is cut off until it is left", () => {
    const u = setup();
    u.out(MCR, 0x10);
    u.serial.type(7);
    expect(u.in(LSR)).toBe(0x60);
    u.out(MCR, 0x00);
    expect(u.in(DATA)).toBe(7);
  });

  test("MCR's outputs are MSR's inputs", () => {
    const u = setup();
    u.out(MCR, 0x10);
    u.in(MSR);
    for (const [mcr, msr] of [
      [0x11, 0x20],
      [0x12, 0x10],
      [0x14, 0x40],
      [0x18, 0x80],
      [0x1a, 0x90],
    ] as const) {
      u.out(MCR, mcr);
      expect(u.in(MSR) & 0xf0).toBe(msr);
    }
  });

  test("MSR's low bits say what changed since it was read; of RI only its end", () => {
    const u = setup();
    u.out(MCR, 0x10);
    expect(u.in(MSR)).toBe(0x0b); // CTS, DSR, DCD fell
    expect(u.in(MSR)).toBe(0x00);
    u.out(MCR, 0x14);
    expect(u.in(MSR)).toBe(0x40);
    u.out(MCR, 0x10);
    expect(u.in(MSR)).toBe(0x04);
    u.out(MCR, 0x00);
    expect(u.in(MSR)).toBe(0xbb);
  });

  test("overrun: the FIFO keeps, the single register is overwritten", () => {
    const u = setup();
    u.out(MCR, 0x10);
    u.out(DATA, 1);
    u.out(DATA, 2);
    expect([u.in(LSR), u.in(LSR), u.in(DATA)]).toEqual([0x63, 0x61, 2]);
    u.out(FCR, 0x01);
    for (let i = 0; i < 17; i++) u.out(DATA, i);
    expect([u.in(LSR), u.in(LSR)]).toEqual([0x63, 0x61]);
    expect(Array.from({ length: 17 }, () => u.in(DATA))).toEqual([...Array(16).keys(), 0]);
  });

  test("a break comes back as a zero byte with BI, when it is at the head of the FIFO", () => {
    const u = withInterrupts(0x04, 0x01);
    u.out(MCR, 0x10 | OUT2);
    u.out(DATA, 0x41);
    u.out(LCR, 0x40);
    expect([u.in(LSR), u.in(IIR)]).toEqual([0xe1, 0xc1]); // an error in the FIFO, not at its head
    u.in(DATA);
    expect([u.line.level, u.in(IIR)]).toEqual([true, 0xc6]);
    expect([u.in(LSR), u.in(LSR), u.in(DATA)]).toEqual([0xf1, 0x61, 0]);
    expect([u.line.level, u.in(IIR)]).toEqual([false, 0xc1]);
  });
});

describe("interrupts", () => {
  test("by priority: line status, data, transmitter, modem", () => {
    const u = withInterrupts(0x0f, 0x01);
    u.out(MCR, 0x10 | OUT2);
    for (let i = 0; i < 17; i++) u.out(DATA, i);
    expect(u.in(IIR)).toBe(0xc6);
    u.in(LSR);
    expect(u.in(IIR)).toBe(0xc4);
    for (let i = 0; i < 16; i++) u.in(DATA);
    expect(u.in(IIR)).toBe(0xc2); // reading it acknowledges
    expect(u.in(IIR)).toBe(0xc0);
    u.in(MSR);
    expect(u.in(IIR)).toBe(0xc1);
    expect(u.line.level).toBe(false);
  });

  test("OUT2 connects the line", () => {
    const u = setup();
    u.out(IER, 0x01);
    u.serial.type(1);
    const line = u.lines.get(4)!;
    expect([u.in(IIR), line.level]).toEqual([0x04, false]);
    u.out(MCR, OUT2);
    expect(line.level).toBe(true);
    u.out(MCR, 0);
    expect(line.level).toBe(false);
  });

  test("a source that is not enabled is not identified", () => {
    const u = withInterrupts(0x00);
    u.serial.type(1);
    u.out(DATA, 1);
    expect([u.in(IIR), u.line.edges]).toEqual([0xc1, 0]);
  });
});

describe("state", () => {
  test("save and load carry FIFOs, registers and the interrupt line over", () => {
    const u = withInterrupts(0x03, 0xc1);
    u.serial.type(1, 2, 3);
    u.serial.room = 0;
    u.out(DATA, 0x41);
    u.out(SCR, 0x77);
    const state = JSON.parse(JSON.stringify(u.pc.devices.get("serial")!.save()));

    const other = setup();
    other.serial.room = 0;
    other.pc.devices.get("serial")!.load(state);
    expect([other.in(SCR), other.in(LSR), other.in(IIR), other.lines.get(4)!.level]).toEqual([0x77, 0x01, 0xcc, true]);
    other.serial.makeRoom(5);
    expect([other.serial.text, other.in(DATA), other.in(DATA), other.in(DATA)]).toEqual(["A", 1, 2, 3]);
  });

  test.each([
    ["version", { version: 2 }],
    ["rx", { rx: new Array(17).fill(0) }],
    ["tx", { tx: [256] }],
    ["regs", { regs: {} }],
  ])("a state with a bad %s is refused by name", (_, change) => {
    const u = setup();
    const serial = u.pc.devices.get("serial")!;
    expect(() => serial.load({ ...serial.save(), ...change })).toThrow(/^serial: /);
  });

  test("reset", () => {
    const u = withInterrupts(0x02);
    u.serial.type(1);
    u.pc.devices.get("serial")!.reset();
    expect([u.in(IER), u.in(LSR), u.in(IIR), u.line.level]).toEqual([0, 0x60, 0x01, false]);
  });
});
