/**
 * Deadlines of the native timer thread: set, replaced, taken back, and gone with the thread that made them.
 * Implements: shared/native.ts, bindDeadline.
 * Leaves out: how precise they are: that is the host's scheduler.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { bindDeadline, clockMonotonic, ETIMEDOUT, futexWait } from "../../../shared/native.ts";

const MS = 1e6;
const LONG = 20_000 * MS;

function words(): Int32Array {
  return new Int32Array(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer);
}

test("sets the bits at its time, not before, and wakes who sleeps on the word", () => {
  const w = words();
  w[3] = 2;
  const set = bindDeadline(w, 3, 5);
  const at = clockMonotonic() + 30 * MS;
  set(at);
  while (Atomics.load(w, 3) === 2) expect(futexWait(w, 3, 2, LONG)).not.toBe(ETIMEDOUT);
  expect(clockMonotonic()).toBeGreaterThanOrEqual(at);
  expect(w[3]).toBe(7);
});

test("a later setting replaces the one before; an earlier one does, too; Infinity is none", () => {
  const w = words();
  const set = bindDeadline(w, 0, 1);
  set(clockMonotonic() + 10 * MS);
  set(clockMonotonic() + LONG);
  expect(futexWait(w, 0, 0, 60 * MS)).toBe(ETIMEDOUT);
  set(Number.POSITIVE_INFINITY);
  expect(futexWait(w, 0, 0, 30 * MS)).toBe(ETIMEDOUT);
  set(clockMonotonic() + LONG);
  set(clockMonotonic() + 5 * MS);
  while (Atomics.load(w, 0) === 0) expect(futexWait(w, 0, 0, LONG)).not.toBe(ETIMEDOUT);
  set(0); // long ago: at once
  Atomics.store(w, 0, 0);
  set(1);
  while (Atomics.load(w, 0) === 0) expect(futexWait(w, 0, 0, LONG)).not.toBe(ETIMEDOUT);
});

test("many deadlines: each of its own word, in the order of their times", () => {
  const w = words();
  const now = clockMonotonic();
  const sets = Array.from({ length: 50 }, (_, i) => bindDeadline(w, i, 1));
  sets.forEach((set, i) => {
    set(now + (50 - i) * MS);
  });
  for (let i = 49; i >= 0; i--) {
    while (Atomics.load(w, i) === 0) expect(futexWait(w, i, 0, LONG)).not.toBe(ETIMEDOUT);
    expect(clockMonotonic()).toBeGreaterThanOrEqual(now + (50 - i) * MS);
  }
});

test("a deadline ends with the thread that made it", async () => {
  const w = words();
  const module = new URL("../../../shared/native.ts", import.meta.url).href;
  const source = `
    import { workerData, parentPort } from "node:worker_threads";
    const { bindDeadline, clockMonotonic } = await import(${JSON.stringify(module)});
    bindDeadline(workerData, 0, 1)(clockMonotonic() + 500e6);
  `;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: w });
  const [status] = await once(worker, "exit");
  expect(status).toBe(0);
  expect(futexWait(w, 0, 0, 700 * MS)).toBe(ETIMEDOUT);
});
