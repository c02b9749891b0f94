/**
 * The posted ring: order, capacity, wrap-around of the counters, and what a hostile consumer can do (shared/posted-ring.ts).
 */
import { expect, test } from "vitest";
import { POSTED_CAPACITY, POSTED_COALESCED, POSTED_IOEVENTFD, PostedRing } from "../../shared/posted-ring.ts";
import { AREA_BYTES, AREA_POSTED, AREA_POSTED_BYTES } from "../../shared/server-area.ts";

const HEAD = AREA_POSTED;
const TAIL = AREA_POSTED + 64;

function pair(at = 0): { producer: PostedRing; consumer: PostedRing; words: Int32Array; bytes: Uint8Array } {
  const buffer = new SharedArrayBuffer(at + AREA_BYTES);
  return {
    producer: new PostedRing(buffer, at),
    consumer: new PostedRing(buffer, at),
    words: new Int32Array(buffer),
    bytes: new Uint8Array(buffer),
  };
}

function taken(ring: PostedRing): readonly number[] | undefined {
  if (!ring.take()) return undefined;
  return [ring.kind, ring.event, ring.space, ring.width, ring.address, ring.low, ring.high];
}

test("records arrive whole and in order, at any place of the area in the buffer", () => {
  const { producer, consumer } = pair(4096);
  expect(consumer.empty).toBe(true);
  expect(taken(consumer)).toBeUndefined();
  expect(producer.post(POSTED_IOEVENTFD, 7, 1, 4, 0xfebc_0000, 0xffff_ffff, 0)).toBe(true);
  expect(producer.post(POSTED_COALESCED, 0, 0, 8, 2 ** 52 - 8, 1, 0x8000_0000)).toBe(true);
  expect(consumer.empty).toBe(false);
  expect(taken(consumer)).toEqual([POSTED_IOEVENTFD, 7, 1, 4, 0xfebc_0000, 0xffff_ffff, 0]);
  expect(taken(consumer)).toEqual([POSTED_COALESCED, 0, 0, 8, 2 ** 52 - 8, 1, 0x8000_0000]);
  expect(taken(consumer)).toBeUndefined();
  expect(consumer.empty).toBe(true);
});

test("a full ring takes no more until a record is taken, and loses none", () => {
  const { producer, consumer } = pair();
  for (let i = 0; i < POSTED_CAPACITY; i++) expect(producer.post(1, i, 0, 1, 0, 0, 0)).toBe(true);
  expect(producer.post(1, 9999, 0, 1, 0, 0, 0)).toBe(false);
  expect(taken(consumer)?.[1]).toBe(0);
  expect(producer.post(1, POSTED_CAPACITY, 0, 1, 0, 0, 0)).toBe(true);
  for (let i = 1; i <= POSTED_CAPACITY; i++) expect(taken(consumer)?.[1]).toBe(i);
  expect(consumer.empty).toBe(true);
});

test("the counters wrap at 2^32", () => {
  const { words } = pair();
  const buffer = words.buffer;
  words[HEAD >> 2] = -2;
  words[TAIL >> 2] = -2;
  const producer = new PostedRing(buffer, 0);
  const consumer = new PostedRing(buffer, 0);
  for (let i = 0; i < 4; i++) expect(producer.post(1, i, 0, 1, 0, 0, 0)).toBe(true);
  expect(words[HEAD >> 2]).toBe(2);
  for (let i = 0; i < 4; i++) expect(taken(consumer)?.[1]).toBe(i);
  expect(consumer.empty).toBe(true);
  expect(consumer.taken).toBe(words[consumer.headAt >> 2]);
});

test("counters that make no sense harm no memory outside the ring", () => {
  const { producer, words, bytes } = pair();
  bytes.fill(0xee, AREA_POSTED + AREA_POSTED_BYTES);
  bytes.fill(0xee, 0, AREA_POSTED);
  for (const [head, tail] of [
    [0x7fff_ffff, 0x7fff_ffff],
    [-1, -1],
    [5, 1000], // a tail beyond the head: the ring counts as full
    [1000, 0],
  ] as const) {
    words[HEAD >> 2] = head;
    words[TAIL >> 2] = tail;
    producer.post(1, 1, 1, 1, 1, 1, 1);
  }
  expect(bytes.subarray(0, AREA_POSTED).every((byte) => byte === 0xee)).toBe(true);
  expect(bytes.subarray(AREA_POSTED + AREA_POSTED_BYTES).every((byte) => byte === 0xee)).toBe(true);
  words[HEAD >> 2] = 5;
  words[TAIL >> 2] = 1000;
  expect(producer.post(1, 1, 1, 1, 1, 1, 1)).toBe(false);
});
