/**
 * The journal: two slots that take turns, so that a server killed between any two stores leaves a whole state
 * (shared/journal.ts).
 */
import { expect, test } from "vitest";
import { JOURNAL_BYTES, JOURNAL_STATE_BYTES, Journal } from "../../shared/journal.ts";

const AT = 4096;

function fresh(commits = 0): { journal: Journal; again: () => Journal; words: Int32Array } {
  const buffer = new SharedArrayBuffer(AT + JOURNAL_BYTES);
  const words = new Int32Array(buffer);
  words[AT >> 2] = commits;
  return { journal: new Journal(buffer, AT), again: () => new Journal(buffer, AT), words };
}

function write(journal: Journal, value: number): void {
  journal.view.setUint32(journal.nextStateAt, value, true);
}

test("an empty journal has no state and holds no exit, not even exit 0 of vCPU 0", () => {
  const { journal } = fresh();
  expect(journal.stateAt).toBe(-1);
  expect(journal.holds(0, 0)).toBe(false);
});

test("a commit is found by whoever opens the journal next", () => {
  const { journal, again } = fresh();
  write(journal, 77);
  journal.commit(3, 0x1fff_ffff, 0xffff_ffff, 0x8000_0000);
  const successor = again();
  expect(successor.holds(3, 0x1fff_ffff)).toBe(true);
  expect(successor.holds(3, 0)).toBe(false);
  expect(successor.holds(2, 0x1fff_ffff)).toBe(false);
  expect([successor.low, successor.high]).toEqual([0xffff_ffff, 0x8000_0000]);
  expect(successor.view.getUint32(successor.stateAt, true)).toBe(77);
});

test("a server killed while it writes the next state leaves the last one whole", () => {
  const { journal, again } = fresh();
  write(journal, 1);
  journal.commit(0, 1, 10, 0);
  new Uint8Array(journal.view.buffer, journal.nextStateAt, JOURNAL_STATE_BYTES).fill(0xee); // and no commit follows
  const successor = again();
  expect(successor.holds(0, 1)).toBe(true);
  expect(successor.low).toBe(10);
  expect(successor.view.getUint32(successor.stateAt, true)).toBe(1);
});

test("the slots take turns and lie apart, inside the memfd", () => {
  const { journal } = fresh();
  const places = new Set<number>();
  for (let i = 0; i < 6; i++) {
    const next = journal.nextStateAt;
    expect(next).not.toBe(journal.stateAt);
    journal.commit(0, i, 0, 0);
    expect(journal.stateAt).toBe(next);
    places.add(next);
  }
  const [a, b] = [...places].sort((x, y) => x - y) as [number, number];
  expect(places.size).toBe(2);
  expect(b - a).toBeGreaterThanOrEqual(JOURNAL_STATE_BYTES);
  expect(a).toBeGreaterThan(AT);
  expect(b + JOURNAL_STATE_BYTES).toBeLessThanOrEqual(AT + JOURNAL_BYTES);
});

test.each([0x7fff_fffe, -3])("the count wraps from %i on without an exit that is not held", (commits) => {
  // 0 means "nothing was ever committed": a count that came back to it would forget the commit just made.
  const { journal } = fresh(commits);
  let last = journal.stateAt;
  for (let seq = 0; seq < 6; seq++) {
    write(journal, seq);
    journal.commit(1, seq, seq, 0);
    expect(journal.holds(1, seq)).toBe(true);
    expect(journal.view.getUint32(journal.stateAt, true)).toBe(seq);
    expect(journal.stateAt).not.toBe(last);
    last = journal.stateAt;
  }
});
