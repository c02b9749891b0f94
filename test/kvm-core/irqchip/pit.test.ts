/**
 * The 8254: counts, outputs and ticks as functions of time, in all modes; policies of lost ticks; port 0x61.
 * Document: Intel 8254 data sheet. Times are given, none passes.
 */
import { beforeEach, describe, expect, test } from "vitest";
import { PIT_POLICY, Pit } from "../../../kvm-core/irqchip/pit.ts";

const memory = new WebAssembly.Memory({ initial: 300, maximum: 300, shared: true });
const HZ = 1_193_182;
let raised = 0;
let pit: Pit;

/** The time at which n input clocks have passed, and a little. */
const clocks = (n: number): number => (n * 1e9) / HZ + 10;

beforeEach(() => {
  raised = 0;
  pit = new Pit(memory, () => raised++);
  pit.policy = PIT_POLICY.catchUp;
  pit.reset();
});

function program(counter: number, mode: number, count: number, now = 0, bcd = 0): void {
  pit.write(0x43, (counter << 6) | 0x30 | (mode << 1) | bcd, now);
  pit.write(0x40 + counter, count & 0xff, now);
  pit.write(0x40 + counter, (count >>> 8) & 0xff, now);
}

function count(counter: number, now: number): number {
  pit.write(0x43, counter << 6, now);
  const low = pit.read(0x40 + counter, now);
  return low | (pit.read(0x40 + counter, now) << 8);
}

const status = (counter: number, now: number): number => {
  pit.write(0x43, 0xe0 | (2 << counter), now);
  return pit.read(0x40 + counter, now);
};

describe("counts", () => {
  test.each([
    [0, 1000, 0, 1000],
    [0, 1000, 400, 600],
    [0, 1000, 1001, 0xffff], // it goes on through zero
    [2, 1000, 999, 1],
    [2, 1000, 1000, 1000],
    [2, 1000, 2500, 500],
    [3, 1000, 100, 800],
    [3, 1000, 600, 800],
    [4, 1000, 10, 990],
    [2, 0, 1, 0xffff],
  ])("mode %i, count %i after %i clocks", (mode, initial, elapsed, expected) => {
    program(0, mode, initial);
    expect(count(0, clocks(elapsed))).toBe(expected);
  });

  test("in BCD", () => {
    program(0, 2, 0x1000, 0, 1);
    expect(count(0, clocks(1))).toBe(0x0999);
    program(0, 2, 0, 0, 1);
    expect(count(0, clocks(1))).toBe(0x9999);
  });

  test("a latched count stays until it is read; low byte alone, high byte alone", () => {
    program(0, 2, 1000);
    pit.write(0x43, 0, clocks(100));
    pit.write(0x43, 0, clocks(200));
    expect(pit.read(0x40, clocks(300)) | (pit.read(0x40, clocks(300)) << 8)).toBe(900);
    pit.write(0x43, 0x14, 0);
    pit.write(0x40, 200, 0);
    expect(pit.read(0x40, clocks(50))).toBe(150);
    pit.write(0x43, 0x24, 0);
    pit.write(0x40, 2, 0);
    expect(pit.read(0x40, clocks(1))).toBe(1);
  });

  test("nothing drifts in a day", () => {
    program(0, 2, 11932);
    const day = 86_400 * HZ;
    expect(count(0, clocks(day))).toBe(11932 - (day % 11932));
  });
});

describe("status and outputs", () => {
  test("read-back: output, null count, access, mode, BCD", () => {
    pit.write(0x43, 0x34, 0);
    expect(status(0, 0)).toBe(0x80 | 0x40 | 0x34);
    program(0, 2, 1000);
    expect(status(0, clocks(0))).toBe(0xb4);
    expect(status(0, clocks(999))).toBe(0x34);
    program(0, 3, 10);
    expect([0, 4, 5, 9, 10].map((n) => status(0, clocks(n)) >>> 7)).toEqual([1, 1, 0, 0, 1]);
  });

  test("counter 2 and the speaker's port: the gate starts it, OUT2 shows, bit 4 toggles", () => {
    program(2, 0, 1000);
    expect(pit.read(0x61, clocks(5000)) & 0x21).toBe(0); // the gate is low: it does not count
    pit.write(0x61, 0xff, clocks(5000));
    expect(pit.read(0x61, clocks(5999)) & 0x23).toBe(0x03);
    expect(pit.read(0x61, clocks(6000)) & 0x23).toBe(0x23);
    program(2, 0, 1000, clocks(7000));
    pit.write(0x61, 0, clocks(7400));
    expect(count(2, clocks(8000))).toBeCloseTo(600, -1);
    pit.write(0x61, 1, clocks(9000)); // mode 0 goes on where it was
    expect(count(2, clocks(9100))).toBeCloseTo(500, -1);
    expect((pit.read(0x61, 0) ^ pit.read(0x61, 0)) & 0x10).toBe(0x10);
  });
});

describe("ticks of counter 0", () => {
  test("none before it is programmed; one in mode 0; one a period in modes 2 and 3", () => {
    pit.service(1e9, true);
    expect([raised, pit.nextDeadline()]).toEqual([0, Number.POSITIVE_INFINITY]);
    program(0, 0, 1000);
    expect(pit.nextDeadline()).toBeCloseTo((1001 * 1e9) / HZ, 3);
    pit.service(clocks(999), true);
    expect(raised).toBe(0);
    pit.service(clocks(1001), true);
    pit.service(clocks(5000), true);
    expect([raised, pit.nextDeadline()]).toEqual([1, Number.POSITIVE_INFINITY]);
    for (const mode of [2, 3, 6, 7]) {
      raised = 0;
      program(0, mode, 1000);
      for (let n = 1; n <= 5; n++) {
        expect(pit.nextDeadline()).toBeCloseTo((n * 1000 * 1e9) / HZ, 3);
        pit.service(clocks(n * 1000 - 1), true);
        pit.service(clocks(n * 1000), true);
      }
      expect(raised).toBe(5);
    }
  });

  test.each([
    ["catchUp", 4, 4000],
    ["discard", 0, 5000],
    ["merge", 1, 5000],
    ["delay", 1, 5500],
  ] as const)("four periods late, %s: ticks, and when the next is due", (policy, ticks, next) => {
    pit.policy = PIT_POLICY[policy];
    program(0, 2, 1000);
    for (let i = 0; i < 4; i++) pit.service(clocks(4500), true);
    expect(raised).toBe(ticks);
    const due = policy === "catchUp" ? next + 1000 : next;
    expect(Math.abs((pit.nextDeadline() * HZ) / 1e9 - due)).toBeLessThan(1);
  });

  test("catching up waits until each was taken, and gives up a thousand behind", () => {
    program(0, 2, 1000);
    pit.service(clocks(3000), true);
    pit.service(clocks(3000), false);
    expect(raised).toBe(1);
    program(0, 2, 1000);
    raised = 0;
    for (let i = 0; i < 10; i++) pit.service(clocks(5_000_000), true);
    expect(raised).toBe(1);
  });

  test("a new count starts anew; a control word stops it", () => {
    program(0, 2, 1000);
    program(0, 2, 2000, clocks(900));
    pit.service(clocks(2000), true);
    expect(raised).toBe(0);
    pit.service(clocks(2901), true);
    expect(raised).toBe(1);
    pit.write(0x43, 0x34, clocks(3000));
    pit.service(clocks(9000), true);
    expect([raised, pit.nextDeadline()]).toEqual([1, Number.POSITIVE_INFINITY]);
  });
});
