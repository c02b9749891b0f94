/** ACPI power management through the board's ports: ACPI 6.5 section 4.8. */
import { describe, expect, test } from "vitest";
import { testBoard } from "../support/fakes.ts";

const [STS, EN, CNT, TMR, GPE] = [0x600, 0x602, 0x604, 0x608, 0x620];
const [TMR_BIT, PWRBTN] = [1, 0x100];
const HALF = 0x80_0000;
const HZ = 3_579_545;

function board() {
  const made = testBoard();
  const { pc, lines } = made;
  const sci = lines.get(9)!;
  const enable = () => pc.ports.write(0xb2, 1, 0xf1);
  return { ...made, ports: pc.ports, sci, enable };
}

describe("SMI_CMD", () => {
  test("turns ACPI on and off, and keeps its bytes", () => {
    const { ports, enable } = board();
    expect(ports.read(CNT, 2)).toBe(0);
    enable();
    expect([ports.read(CNT, 2), ports.read(0xb2, 1)]).toEqual([1, 0xf1]);
    ports.write(CNT, 2, 0); // SCI_EN is not the guest's
    expect(ports.read(CNT, 2)).toBe(1);
    ports.write(0xb2, 2, 0x55f0);
    expect([ports.read(CNT, 2), ports.read(0xb2, 2)]).toEqual([0, 0x55f0]);
  });
});

describe("power button", () => {
  test("interrupts a guest that wants it, until it is acknowledged", () => {
    const { pc, ports, sci, enable } = board();
    pc.powerButton();
    expect([ports.read(STS, 2), sci.level]).toEqual([PWRBTN, false]);
    ports.write(EN, 2, PWRBTN);
    expect(sci.level).toBe(false); // ACPI is off
    enable();
    expect(sci.level).toBe(true);
    ports.write(STS, 2, 0xfeff);
    expect(sci.level).toBe(true);
    ports.write(STS + 1, 1, PWRBTN >> 8);
    expect([ports.read(STS, 2), sci.level]).toEqual([0, false]);
    pc.powerButton();
    expect(sci.level).toBe(true);
    pc.reset();
    expect([sci.level, ports.read(EN, 2), ports.read(CNT, 2)]).toEqual([false, 0, 0]);
  });
});

describe("PM1 control", () => {
  test.each([
    [0x2000, ["shutdown"]],
    [0x2001, ["shutdown"]],
    [0x0000, []],
    [0x1c00, []],
    [0x2400, []],
    [0x3c00, []],
  ])("%i asks for %j", (value, asked) => {
    const { ports, power } = board();
    ports.write(CNT, 2, value);
    expect(power).toEqual(asked);
    expect(ports.read(CNT, 2)).toBe(value & 0x1c02); // SLP_EN reads as zero
  });
});

describe("PM timer", () => {
  test("is the clock in 24 bits, without drift, and read-only", () => {
    const { ports, clock } = board();
    expect(ports.read(TMR, 4)).toBe(0);
    clock.advance(1_000_000_000);
    expect(ports.read(TMR, 4)).toBe(HZ);
    for (let i = 0; i < 999; i++) clock.advance(999_999_999);
    clock.advance(999);
    expect(ports.read(TMR, 4)).toBe((HZ * 1000) % 2 ** 24);
    ports.write(TMR, 4, 0);
    expect(ports.read(TMR, 4)).toBe((HZ * 1000) % 2 ** 24);
    clock.advance(86_400e9 * 90);
    expect(ports.read(TMR, 4)).toBe(Number((BigInt(HZ) * BigInt(clock.now() / 1e9)) % 2n ** 24n));
  });

  test("TMR_STS follows bit 23, and the SCI comes by itself", () => {
    const { ports, clock, sci, enable } = board();
    enable();
    ports.write(EN, 2, TMR_BIT);
    const half = Math.ceil((HALF * 1e9) / HZ);
    clock.advance(half - 1);
    expect([ports.read(STS, 2), sci.level]).toEqual([0, false]);
    clock.advance(1);
    expect([ports.read(TMR, 4), sci.level, ports.read(STS, 2)]).toEqual([HALF, true, TMR_BIT]);
    ports.write(STS, 2, TMR_BIT);
    expect([sci.level, ports.read(STS, 2)]).toEqual([false, 0]);
    for (let n = 2; n < 20; n++) {
      clock.advance(half);
      expect([sci.edges, sci.level]).toEqual([n, true]);
      ports.write(STS, 2, TMR_BIT);
    }
    ports.write(EN, 2, 0);
    clock.advance(half);
    expect([sci.level, ports.read(STS, 2), clock.timers.next]).toEqual([false, TMR_BIT, Number.POSITIVE_INFINITY]);
  });
});

describe("state", () => {
  test("goes to another board, timer and interrupt included", () => {
    const [from, to] = [board(), board()];
    from.enable();
    from.clock.advance(3_000_000_000);
    from.ports.write(STS, 2, TMR_BIT);
    from.ports.write(EN, 2, PWRBTN | TMR_BIT);
    from.pc.powerButton();
    to.clock.advance(77);
    to.pc.load(JSON.parse(JSON.stringify(from.pc.save())));
    expect([to.sci.level, to.ports.read(TMR, 4)]).toEqual([true, from.ports.read(TMR, 4)]);
    to.ports.write(STS, 2, PWRBTN);
    expect(to.sci.level).toBe(false);
    to.clock.advance(2_000_000_000);
    expect([to.sci.level, to.ports.read(STS, 2)]).toEqual([true, TMR_BIT]);
  });

  test("that it did not save is refused", () => {
    const device = board().pc.devices.get("acpi-pm")!;
    const state = device.save();
    for (const wrong of [{ version: 2 }, { elapsed: -1 }, { command: 256 }, { commandStatus: "" }, { registers: {} }]) {
      expect(() => device.load({ ...state, ...wrong })).toThrow(/acpi-pm/);
    }
  });
});

test("whatever a guest does, GPE0 stays silent and the SCI tells the truth", () => {
  const { ports, clock, sci, pc } = board();
  let x = 20_240_601;
  const random = (below: number) => {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((x / 2 ** 32) * below);
  };
  for (let i = 0; i < 20_000; i++) {
    const width = ([1, 2, 4] as const)[random(3)]!;
    const port = random(8) === 0 ? 0xb2 + random(2) : 0x600 + random(0x40);
    if (random(16) === 0) pc.powerButton();
    if (random(4) === 0) clock.advance(random(1_000_000_000));
    if (random(2) === 0) ports.read(port, width);
    else ports.write(port, width, random(2) === 0 ? (random(2) === 0 ? 0xf1 : 0xf0) : random(2 ** 32));
    const pending = (ports.read(STS, 2) & ports.read(EN, 2)) !== 0;
    const on = (ports.read(CNT, 2) & 1) !== 0;
    if (sci.level !== (pending && on)) expect([i, sci.level]).toEqual([i, pending && on]);
    if (ports.read(GPE, 2) !== 0) expect(ports.read(GPE, 2)).toBe(0);
  }
});
