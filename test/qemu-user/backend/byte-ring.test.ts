/** ByteRing: order, room, notices, and two real threads. */
import { Worker } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import { ByteRing } from "../../../qemu-user/backend/byte-ring.ts";

/** Both sides on one buffer, with what each was told. */
function pair(capacity: number) {
  const buffer = new SharedArrayBuffer(ByteRing.bytesFor(capacity));
  const told = { consumer: 0, producer: 0 };
  const producer = new ByteRing(buffer, 0, capacity, () => told.consumer++);
  const consumer = new ByteRing(buffer, 0, capacity, () => told.producer++);
  return { buffer, told, producer, consumer };
}

describe("one thread", () => {
  test("first in, first out, around the end", () => {
    const { producer, consumer } = pair(4);
    for (let i = 0; i < 100; i++) {
      expect(producer.push(i)).toBe(true);
      expect(producer.push(i + 100)).toBe(true);
      expect([consumer.pop(), consumer.pop(), consumer.pop()]).toEqual([i, i + 100, -1]);
    }
  });

  test("full takes nothing", () => {
    const { producer, consumer } = pair(4);
    expect([1, 2, 3, 4, 5].map((byte) => producer.push(byte))).toEqual([true, true, true, true, false]);
    expect(producer.length).toBe(4);
    expect(consumer.pop()).toBe(1);
    expect(producer.push(6)).toBe(true);
    const into = new Uint8Array(9);
    expect([consumer.popInto(into), ...into.slice(0, 4)]).toEqual([4, 2, 3, 4, 6]);
  });

  test("pushFrom takes what fits, popInto what there is room for", () => {
    const { producer, consumer } = pair(4);
    expect(producer.pushFrom(Uint8Array.of(9, 1, 2, 3, 4, 5), 1)).toBe(4);
    const two = new Uint8Array(2);
    expect([consumer.popInto(two), ...two]).toEqual([2, 1, 2]);
  });

  test("counters may pass 2^32", () => {
    const { buffer, producer, consumer } = pair(4);
    new Int32Array(buffer).set([-2, -2]);
    for (const byte of [1, 2, 3, 4]) expect(producer.push(byte)).toBe(true);
    expect([producer.push(5), producer.length]).toEqual([false, 4]);
    expect([consumer.pop(), consumer.pop(), consumer.pop(), consumer.pop(), consumer.pop()]).toEqual([1, 2, 3, 4, -1]);
  });

  test.each([0, 1, 3, 100])("a capacity of %i is refused", (capacity) => {
    expect(() => new ByteRing(new SharedArrayBuffer(1024), 0, capacity, () => {})).toThrow(/power of two/);
  });
});

describe("notices", () => {
  test("the consumer is told once, and only when it waits", () => {
    const { told, producer, consumer } = pair(4);
    producer.push(1);
    expect(told.consumer).toBe(0);
    expect(consumer.waitForBytes()).toBe(false); // there is one already
    consumer.pop();
    expect(consumer.waitForBytes()).toBe(true);
    producer.push(2);
    producer.push(3);
    expect(told.consumer).toBe(1);
  });

  test("the producer is told once, and only after it was refused", () => {
    const { told, producer, consumer } = pair(2);
    producer.push(1);
    producer.push(2);
    consumer.pop();
    expect(told.producer).toBe(0);
    producer.push(3);
    expect(producer.push(4)).toBe(false);
    consumer.pop();
    consumer.pop();
    expect(told.producer).toBe(1);
  });
});

describe("two threads", () => {
  test("a small ring carries every byte in order", async () => {
    const count = 200_000;
    const { buffer, consumer } = pair(64);
    const worker = new Worker(new URL("./ring-producer.ts", import.meta.url), {
      workerData: { buffer, capacity: 64, count },
    });
    const into = new Uint8Array(48);
    let seen = 0;
    let wrong = 0;
    while (seen < count) {
      const got = consumer.popInto(into);
      if (got === 0) await new Promise(setImmediate);
      for (let i = 0; i < got; i++, seen++) if (into[i] !== ((seen * 7) & 0xff)) wrong++;
    }
    await new Promise((resolve) => worker.once("exit", resolve));
    expect([seen, wrong]).toEqual([count, 0]);
  });

  test("closing ends a producer that waits for room", async () => {
    const { buffer, consumer } = pair(64);
    const worker = new Worker(new URL("./ring-producer.ts", import.meta.url), {
      workerData: { buffer, capacity: 64, count: 1000 },
    });
    while (consumer.length < 64) await new Promise(setImmediate);
    consumer.close();
    expect(await new Promise((resolve) => worker.once("exit", resolve))).toBe(0);
    expect(consumer.length).toBe(64);
  });
});
