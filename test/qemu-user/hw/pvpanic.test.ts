/** pvpanic, through the bus: docs/specs/pvpanic.rst of QEMU. */
import { describe, expect, test } from "vitest";
import { option, testBoard } from "../support/fakes.ts";

const PORT = 0x505;
const PANICKED = "the guest panicked";
const CRASHLOADED = "the guest crashed and loaded a crash kernel";

describe("pvpanic", () => {
  test("reads as the events it has, in one port", () => {
    const { pc } = testBoard(option("pvpanic"));
    expect([pc.ports.read(PORT, 1), pc.ports.read(PORT + 1, 1), pc.ports.read(PORT, 2)]).toEqual([3, 0xff, 0xff03]);
  });

  test.each([
    [0x00, []],
    [0x01, [PANICKED]],
    [0x02, [CRASHLOADED]],
    [0x03, [PANICKED]],
    [0x04, []],
    [0xfe, [CRASHLOADED]],
  ])("writing %i reports %j", (value, report) => {
    const { pc, log } = testBoard(option("pvpanic"));
    pc.ports.write(PORT, 1, value);
    expect(log).toEqual(report);
  });

  test("a wide write counts with its low byte", () => {
    const { pc, log } = testBoard(option("pvpanic"));
    pc.ports.write(PORT, 4, 0x0202_0201);
    expect(log).toEqual([PANICKED]);
  });

  test("reports each event once until reset", () => {
    const { pc, log } = testBoard(option("pvpanic"));
    for (const value of [2, 2, 1, 1, 2]) pc.ports.write(PORT, 1, value);
    expect(log).toEqual([CRASHLOADED, PANICKED]);
    pc.reset();
    pc.ports.write(PORT, 1, 1);
    expect(log).toEqual([CRASHLOADED, PANICKED, PANICKED]);
  });

  test("a guest that resets the machine in turn is reported 16 times", () => {
    const { pc, log } = testBoard(option("pvpanic"));
    for (let i = 0; i < 100; i++) {
      pc.ports.write(PORT, 1, 1);
      pc.reset();
    }
    expect(log).toEqual(new Array(16).fill(PANICKED));
  });

  test("what was reported is not reported again after load", () => {
    const [from, to] = [testBoard(option("pvpanic")), testBoard(option("pvpanic"))];
    from.pc.ports.write(PORT, 1, 2);
    to.pc.load(JSON.parse(JSON.stringify(from.pc.save())));
    for (const value of [2, 1]) to.pc.ports.write(PORT, 1, value);
    expect(to.log).toEqual([PANICKED]);
  });

  test("refuses to load what it did not save", () => {
    const device = testBoard(option("pvpanic")).pc.devices.get("pvpanic.0")!;
    expect(() => device.load({ version: 2, reported: 0 })).toThrow(/pvpanic: .*version 2/);
    expect(() => device.load({ version: 1, reported: 4 })).toThrow(/pvpanic: saved reported/);
  });

  test("has no event that the command line takes away, and is where it says", () => {
    const { pc, log } = testBoard(option("pvpanic", { ioport: 0x700, events: 1 }));
    expect([pc.ports.read(PORT, 1), pc.ports.read(0x700, 1)]).toEqual([0xff, 1]);
    pc.ports.write(0x700, 1, 2);
    pc.ports.write(0x700, 1, 3);
    expect(log.slice(1)).toEqual([PANICKED]); // log[0]: nobody at 0x505
  });

  test("refuses events that it does not have", () => {
    expect(() => testBoard(option("pvpanic", { events: 4 }))).toThrow(/events=4: give a sum of 1 and 2/);
  });
});
