/** A guest that moves BARs without end waits for the main thread, but not for ever. */
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { RegionFlow } from "../../../qemu-user/device/region-flow.ts";

const MOST = 512;

test("changes are counted, and too many wait until some are told", async () => {
  const words = new Int32Array(new SharedArrayBuffer(8));
  const flow = new RegionFlow(words, 1, 0);
  for (let i = 0; i < MOST; i++) flow.posted();
  expect(flow.underWay).toBe(MOST);
  flow.told();
  expect(flow.underWay).toBe(MOST - 1);
  flow.posted();
  // Another thread tells of one, later: posted() comes back then, with no more under way than before.
  const teller = new Worker(
    `const { words } = require("node:worker_threads").workerData;
     while (Atomics.load(words, 1) <= ${MOST}) {}
     Atomics.sub(words, 1, 1);
     Atomics.notify(words, 1);`,
    { eval: true, workerData: { words } },
  );
  await new Promise((resolve) => teller.on("online", resolve));
  flow.posted();
  expect(flow.underWay).toBe(MOST);
  await new Promise((resolve) => teller.on("exit", resolve));
});

test("a stop, and time, end the wait", () => {
  const words = new Int32Array(new SharedArrayBuffer(8));
  const flow = new RegionFlow(words, 1, 0);
  Atomics.store(words, 1, MOST);
  const start = performance.now();
  flow.posted();
  const waited = performance.now() - start;
  expect(waited).toBeGreaterThan(500);
  expect(waited).toBeLessThan(20_000);
  Atomics.store(words, 0, 1);
  const stopped = performance.now();
  for (let i = 0; i < 1000; i++) flow.posted();
  expect(performance.now() - stopped).toBeLessThan(500);
});
