/**
 * The waiting rule: when a side spins, when it sleeps, and what it publishes (shared/wait.ts, protocol.md "Waiting").
 * How long is not asserted; that is the bench's.
 */
import { describe, expect, test } from "vitest";
import { getAffinity, getCpu, setAffinity } from "../../shared/native.ts";
import { Waiter } from "../../shared/wait.ts";
import { ASLEEP, sharedWords } from "../../shared/words.ts";

const OWN = 64;
const PEER = 128;
const A = 256;
const B = 260;

function sides() {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const view = new Int32Array(memory.buffer);
  setAffinity([getAffinity()[0]!]); // so that the test knows where it runs
  const waiter = new Waiter(sharedWords(memory), OWN, true);
  return {
    waiter,
    own: () => view[OWN >> 2]!,
    set: (at: number, value: number) => {
      view[at >> 2] = value;
    },
  };
}

const allowed = getAffinity();

test("a side publishes its CPU + 1, and ASLEEP while it sleeps", () => {
  const { waiter, own } = sides();
  expect(own()).toBe(getCpu() + 1);
  waiter.asleep();
  expect(own()).toBe((getCpu() + 1) | ASLEEP);
  waiter.awake();
  expect(own()).toBe(getCpu() + 1);
  setAffinity(allowed);
});

describe("spin", () => {
  test.each([
    ["is unknown", () => 0],
    ["shares this CPU", () => getCpu() + 1],
    ["is asleep on another CPU", () => (getCpu() + 2) | ASLEEP],
  ])("sleeps at once where the peer %s", (_what, placement) => {
    const { waiter, set } = sides();
    set(PEER, placement());
    expect(waiter.spin(A, 0, B, 0, PEER)).toBe(false);
    setAffinity(allowed);
  });

  test("sees either word change, where the peer is awake on another CPU", () => {
    const { waiter, set } = sides();
    set(PEER, getCpu() + 2);
    set(A, 5);
    expect(waiter.spin(A, 0, B, 0, PEER)).toBe(true);
    expect(waiter.spin(A, 5, B, 1, PEER)).toBe(true);
    expect(waiter.spin(A, 5, B, 0, PEER)).toBe(false); // nothing comes: the spin ends by itself
    setAffinity(allowed);
  });
});

describe("a side that keeps meeting its peer on its own CPU", () => {
  test("stays where it is pinned", () => {
    const { waiter, set, own } = sides();
    const before = own();
    set(PEER, before);
    for (let i = 0; i < 1000; i++) expect(waiter.spin(A, 0, A, 0, PEER)).toBe(false);
    expect(own()).toBe(before);
    expect(getAffinity()).toHaveLength(1);
    setAffinity(allowed);
  });

  test.runIf(allowed.length > 1)("steps aside where it may, and may go anywhere afterwards", () => {
    const { waiter, set, own } = sides();
    const before = own();
    set(PEER, before);
    setAffinity(allowed);
    for (let i = 0; i < 1000 && own() === before; i++) waiter.spin(A, 0, A, 0, PEER);
    expect(own()).not.toBe(before);
    expect(getAffinity()).toEqual(allowed);
  });
});

test("a spin ends also after many sleeps that nothing could have spared, and after many that it could have", () => {
  const { waiter, set } = sides();
  set(PEER, getCpu() + 2);
  for (let i = 0; i < 100; i++) {
    expect(waiter.spin(A, 0, A, 0, PEER)).toBe(false);
    waiter.asleep();
    waiter.awake();
  }
  set(A, 1);
  expect(waiter.spin(A, 0, A, 0, PEER)).toBe(true);
  setAffinity(allowed);
});
