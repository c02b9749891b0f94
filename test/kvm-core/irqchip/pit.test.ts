/**
 * The 8254 against the Intel 8254 data sheet (231164): each group is one of its sections; and its ticks on GSI 0, whose
 * long-run rate must be the input clock's. Port 0x61 and struct kvm_pit_state2 as KVM has them.
 */
import { beforeEach, describe, expect, test } from "vitest";
import { LOST_TICKS, Pit } from "../../../kvm-core/irqchip/pit.ts";
import { nanosecondsOf, PIT_HZ, ticksIn } from "../../../kvm-core/irqchip/pit-channel.ts";

const memory = new WebAssembly.Memory({ initial: 32, maximum: 32, shared: true });
const START = 5_000_000_000_123;

let pit: Pit;
let now: number;
let ticks: number;

/** Moves the clock to `clocks` ticks of the input after the last load. */
function at(clocks: number): void {
  now = START + nanosecondsOf(clocks);
}

function program(channel: number, mode: number, count: number, bcd = 0): void {
  pit.write(0x43, (channel << 6) | 0x30 | (mode << 1) | bcd, now);
  pit.write(0x40 + channel, count & 0xff, now);
  pit.write(0x40 + channel, count >> 8, now);
}

/** The count by a latch. */
function count(channel: number): number {
  pit.write(0x43, channel << 6, now);
  return pit.read(0x40 + channel, now) | (pit.read(0x40 + channel, now) << 8);
}

const out = () => (pit.read(0x61, now) >> 5) & 1;

/** Serves each deadline until `end`. */
function runTo(end: number): void {
  for (let next = pit.nextDeadline(); next <= end; next = pit.nextDeadline()) {
    now = next;
    pit.service(now);
  }
  now = end;
}

beforeEach(() => {
  now = START;
  ticks = 0;
  new Uint8Array(memory.buffer).fill(0);
  pit = new Pit(memory, () => ticks++);
  pit.create(true);
});

test("ticks and nanoseconds convert exactly, over ninety days", () => {
  for (const clocks of [0, 1, 2, 65_535, 65_536, PIT_HZ - 1, PIT_HZ, PIT_HZ * 7_776_000 + 7]) {
    expect(ticksIn(nanosecondsOf(clocks))).toBe(clocks);
    if (clocks > 0) expect(ticksIn(nanosecondsOf(clocks) - 1)).toBe(clocks - 1);
  }
});

test("ports: none before it is created, 0x61 only with the speaker", () => {
  expect([0x3f, 0x40, 0x43, 0x44, 0x61].map((port) => pit.owns(port))).toEqual([false, true, true, false, true]);
  pit.create(false);
  expect([0x40, 0x61].map((port) => pit.owns(port))).toEqual([true, false]);
  new Uint8Array(memory.buffer).fill(0);
  expect(pit.owns(0x40)).toBe(false);
  expect(pit.nextDeadline()).toBe(Number.POSITIVE_INFINITY);
});

describe("programming", () => {
  test("low byte, high byte, or both in turn; the counter's bytes come out in the same way", () => {
    pit.write(0x43, 0x18 | 0x80, now); // counter 2, low byte, mode 4
    pit.write(0x42, 0x55, now);
    expect(pit.read(0x42, now)).toBe(0x55);
    pit.write(0x61, 1, now);
    expect([pit.read(0x42, now), pit.read(0x42, now)]).toEqual([0x55, 0x55]);
    pit.write(0x43, 0x28 | 0x80, now); // high byte
    pit.write(0x42, 0x66, now);
    expect(pit.read(0x42, now)).toBe(0x66);
    program(2, 2, 0x1234);
    expect([pit.read(0x42, now), pit.read(0x42, now), pit.read(0x42, now)]).toEqual([0x34, 0x12, 0x34]);
  });

  test("the control port reads 0", () => {
    expect(pit.read(0x43, now)).toBe(0);
  });

  test("a latched count stays until it is read; a second latch before that does nothing", () => {
    program(0, 2, 1000);
    at(10);
    pit.write(0x43, 0x00, now);
    at(20);
    pit.write(0x43, 0x00, now);
    expect(pit.read(0x40, now) | (pit.read(0x40, now) << 8)).toBe(990);
    expect(count(0)).toBe(980);
  });

  test("BCD: four decades, 0 is 10000", () => {
    program(1, 0, 0x1000, 1);
    at(1);
    expect(count(1)).toBe(0x999);
    at(1001);
    expect(count(1)).toBe(0x9999);
    now = START;
    program(0, 2, 0, 1);
    at(10_000);
    pit.service(now);
    expect(ticks).toBe(1);
  });

  test("read-back: status before count, of several counters at once", () => {
    pit.write(0x43, 0xb4, now);
    pit.write(0x43, 0xe8, now); // status of counter 2, nothing loaded
    expect(pit.read(0x42, now)).toBe(0xf4);
    program(0, 3, 100);
    pit.write(0x61, 1, now);
    program(2, 0, 0x300);
    at(60);
    pit.write(0x43, 0xca, now); // status and count of counters 0 and 2
    expect(pit.read(0x40, now)).toBe(0x36);
    expect(pit.read(0x40, now) | (pit.read(0x40, now) << 8)).toBe(80);
    expect(pit.read(0x42, now)).toBe(0x30);
    expect(pit.read(0x42, now) | (pit.read(0x42, now) << 8)).toBe(0x300 - 60);
  });
});

describe("modes, with counter 2 and its gate", () => {
  beforeEach(() => pit.write(0x61, 1, now));

  /** OUT and the count at each of these clocks. */
  const course = (...clocks: number[]) =>
    clocks.map((clock) => {
      at(clock);
      return [out(), count(2)];
    });

  test("0: OUT rises at the terminal count; the counter goes on", () => {
    program(2, 0, 4);
    expect(course(0, 3, 4, 5)).toEqual([[0, 4], [0, 1], [1, 0], [1, 0xffff]]); // biome-ignore format: one row
  });

  test("0: the first byte of a new count stops it", () => {
    program(2, 0, 4);
    at(4);
    pit.write(0x42, 9, now);
    expect(out()).toBe(0);
  });

  test("0: the gate suspends it", () => {
    program(2, 0, 100);
    at(40);
    pit.write(0x61, 0, now);
    at(500);
    expect([count(2), out()]).toEqual([60, 0]);
    pit.write(0x61, 1, now);
    at(559);
    expect(out()).toBe(0);
    at(561);
    expect(out()).toBe(1);
  });

  test("1: the gate triggers it, again and again", () => {
    program(2, 1, 3);
    expect(out()).toBe(1);
    pit.write(0x61, 0, now);
    pit.write(0x61, 1, now);
    expect(course(0, 2, 3)).toEqual([[0, 3], [0, 1], [1, 0]]); // biome-ignore format: one row
    pit.write(0x61, 0, now);
    pit.write(0x61, 1, now);
    expect(out()).toBe(0);
  });

  test("2: OUT is low for the last clock; a low gate holds it high, a rise starts anew", () => {
    program(2, 2, 3);
    expect(course(0, 1, 2, 3, 5)).toEqual([[1, 3], [1, 2], [0, 1], [1, 3], [0, 1]]); // biome-ignore format: one row
    pit.write(0x61, 0, now);
    expect(out()).toBe(1);
    at(7);
    pit.write(0x61, 1, now);
    expect(count(2)).toBe(3);
  });

  test("3: half high, half low, by two; an odd count has its high half one longer", () => {
    program(2, 3, 4);
    expect(course(0, 1, 2, 3, 4)).toEqual([[1, 4], [1, 2], [0, 4], [0, 2], [1, 4]]); // biome-ignore format: one row
    now = START;
    program(2, 3, 5);
    expect(course(0, 1, 2, 3, 4, 5)).toEqual([[1, 4], [1, 2], [1, 0], [0, 4], [0, 2], [1, 4]]); // biome-ignore format: one row
  });

  test("4: OUT is low for one clock at the terminal count, once", () => {
    program(2, 4, 3);
    expect(course(0, 2, 3, 4, 9)).toEqual([[1, 3], [1, 1], [0, 0], [1, 0xffff], [1, 0xfffa]]); // biome-ignore format: one row
  });

  test("5: as 4, but the gate starts it", () => {
    program(2, 5, 3);
    at(3);
    expect(out()).toBe(1);
    pit.write(0x61, 0, START);
    pit.write(0x61, 1, START);
    expect(course(2, 3, 4).map(([level]) => level)).toEqual([1, 0, 1]);
  });

  test("6 and 7 are 2 and 3", () => {
    program(2, 6, 3);
    at(2);
    expect(out()).toBe(0);
    pit.write(0x43, 0xe8, now);
    expect(pit.read(0x42, now) & 0x0e).toBe(4);
  });
});

test("port 0x61: gate and speaker data are stored, bit 4 toggles", () => {
  pit.write(0x61, 0xff, now);
  expect(pit.read(0x61, now) & 0xcf).toBe(3);
  const seen = new Set([0, 1, 2, 3].map((n) => pit.read(0x61, START + n * 0x4000) & 0x10));
  expect(seen.size).toBe(2);
});

describe("GSI 0", () => {
  test("gets a pulse for each period, without drift over an hour", () => {
    program(0, 2, 11_932); // Linux's 100 Hz
    runTo(START + 3600e9);
    expect(ticks).toBe(Math.floor((3600 * PIT_HZ) / 11_932));
    expect(pit.nextDeadline()).toBe(START + nanosecondsOf((ticks + 1) * 11_932));
  });

  test("one-shot modes give one, at the time of their rise", () => {
    program(0, 0, 50);
    expect(pit.nextDeadline()).toBe(START + nanosecondsOf(50));
    runTo(START + 1e9);
    program(0, 4, 50);
    expect(pit.nextDeadline()).toBe(now + nanosecondsOf(51));
    runTo(now + 1e9);
    expect([ticks, pit.nextDeadline()]).toEqual([2, Number.POSITIVE_INFINITY]);
  });

  test("a control word stops it, and a write gives what was due before it", () => {
    program(0, 3, 1000);
    at(1001);
    pit.write(0x43, 0x34, now);
    expect([ticks, pit.nextDeadline()]).toEqual([1, Number.POSITIVE_INFINITY]);
  });

  test("with the HPET in its place it gives none", () => {
    program(0, 2, 1000);
    pit.load({ ...pit.save(now), flags: 1 }, now);
    runTo(START + 1e9);
    expect(ticks).toBe(0);
  });
});

describe("missed ticks", () => {
  const PERIOD = 11_932;

  /** Ten periods that nobody looked at, then `more` that are served. */
  function late(policy: number, more: number): void {
    pit.policy = policy;
    program(0, 2, PERIOD);
    at(10 * PERIOD);
    pit.service(now);
    expect(ticks).toBe(1);
    runTo(START + nanosecondsOf((10 + more) * PERIOD));
  }

  test("catchup: at twice the rate until none is owed", () => {
    late(LOST_TICKS.catchup, 5);
    expect(ticks).toBeGreaterThanOrEqual(10);
    runTo(START + nanosecondsOf(100 * PERIOD));
    expect(ticks).toBe(100);
  });

  test.each([LOST_TICKS.discard, LOST_TICKS.merge])("discard and merge: they are gone (%i)", (policy) => {
    late(policy, 5);
    expect(ticks).toBe(6);
  });

  test("delay: the next comes a whole period after the late one", () => {
    pit.policy = LOST_TICKS.delay;
    program(0, 2, PERIOD);
    now = START + nanosecondsOf(10 * PERIOD) + 5000;
    pit.service(now);
    expect(pit.nextDeadline()).toBe(now + nanosecondsOf(PERIOD));
  });

  test("are owed in bounds", () => {
    program(0, 2, 1000);
    at(1000 * 100_000);
    pit.service(now);
    runTo(now + nanosecondsOf(1000 * 2000));
    expect(ticks).toBeLessThanOrEqual(1 + 1000 + 2000);
  });
});

describe("KVM_GET_PIT2 and KVM_SET_PIT2 (struct kvm_pit_state2)", () => {
  test("carry counters, latches and half-written counts", () => {
    program(0, 3, 0x1234);
    pit.write(0x43, 0x74, now);
    pit.write(0x41, 0x11, now);
    program(2, 0, 100);
    pit.write(0x61, 3, now);
    at(40);
    pit.write(0x61, 2, now);
    pit.write(0x43, 0xe2, now); // status of counter 0
    pit.write(0x43, 0x00, now);
    pit.read(0x40, now);
    const state = pit.save(now);
    expect(state.flags).toBe(2);
    expect(state.channels[0]).toMatchObject({ count: 0x1234, mode: 3, rw_mode: 3, gate: 1, status_latched: 0 });
    expect(state.channels[1]).toMatchObject({ write_state: 4, write_latch: 0x11, count_load_time: 2n ** 64n - 1n });
    expect(state.channels[2]).toMatchObject({ count: 100, gate: 0, mode: 0 });
    pit.reset();
    pit.load(state, now);
    expect(pit.save(now)).toEqual(state);
    pit.write(0x61, 1, now);
    at(99);
    expect(out()).toBe(0);
    at(101);
    expect(out()).toBe(1);
  });

  test("ticks before the load are not given again, and a load time in the future is now", () => {
    program(0, 2, 1000);
    const state = pit.save(now);
    at(5500);
    pit.load(state, now);
    pit.service(now);
    expect(ticks).toBe(0);
    expect(pit.nextDeadline()).toBe(START + nanosecondsOf(6000));
    state.channels[0]!.count_load_time = BigInt(now) + 1n;
    pit.load(state, now);
    expect(pit.nextDeadline()).toBe(now + nanosecondsOf(1000));
  });

  test("values that a counter cannot have are dropped", () => {
    const state = pit.save(now);
    Object.assign(state.channels[0]!, {
      count: 0xffff_ffff,
      mode: 0xff,
      rw_mode: 0,
      gate: 2,
      bcd: 2,
      count_latched: 9,
    });
    pit.load(state, now);
    expect(pit.save(now).channels[0]).toMatchObject({ count: 0x1_0000, mode: 3, rw_mode: 3, gate: 0, bcd: 0 });
  });
});
