/**
 * The places of a server area and of a ring page: protocol.md, "One exit in page mode", "Roles and pages".
 */
import { expect, test } from "vitest";
import { EXIT, IO_IN, IO_OUT } from "../../shared/exits.ts";
import {
  kindDirection,
  kindOf,
  kindReason,
  kindSize,
  PHASE_ABORT,
  PHASE_DONE,
  PHASE_EXIT,
  PHASE_MASK,
  PHASE_RUNNING,
  RING,
  RING_DATA_BYTES,
  SEQ_SHIFT,
  WAITER,
} from "../../shared/ring-page.ts";
import {
  AREA,
  AREA_BYTES,
  AREA_MAILBOX,
  AREA_POSTED,
  AREA_POSTED_BYTES,
  AREA_RINGS,
  MAX_VCPUS,
  PAGE,
  ringOffset,
} from "../../shared/server-area.ts";

const CACHE_LINE = 64;

test("the state word is seq << 3 | WAITER | phase", () => {
  expect([PHASE_RUNNING, PHASE_EXIT, PHASE_DONE, PHASE_ABORT]).toEqual([0, 1, 2, 3]);
  expect(PHASE_MASK).toBe(3);
  expect(WAITER).toBe(4);
  expect(SEQ_SHIFT).toBe(3);
});

test("state and an ordinary access share a cache line, the placement is on another", () => {
  const line = (at: number) => Math.floor(at / CACHE_LINE);
  expect([RING.state, RING.kind, RING.address, RING.data, RING.data + 7].map(line)).toEqual([0, 0, 0, 0, 0]);
  expect(line(RING.vcpuCpu)).toBeGreaterThan(line(RING.count));
  expect(RING.state).toBe(0);
});

test.each([
  [EXIT.KVM_EXIT_IO, IO_IN, 1],
  [EXIT.KVM_EXIT_IO, IO_OUT, 4],
  [EXIT.KVM_EXIT_MMIO, IO_OUT, 8],
])("exit %i, direction %i, size %i come back out of a kind", (reason, direction, size) => {
  const kind = kindOf(reason, direction, size);
  expect([kindReason(kind), kindDirection(kind), kindSize(kind)]).toEqual([reason, direction, size]);
});

test("a ring page is at most a page, and its data is reached in 8-byte words", () => {
  expect(RING.size).toBeLessThanOrEqual(PAGE);
  expect(RING.data % 8).toBe(0);
  expect(RING.address % 8).toBe(0);
  expect(RING.data + RING_DATA_BYTES).toBeLessThanOrEqual(RING.size);
});

test("doorbell and placement lie in the first page, on different lines", () => {
  expect(AREA.size).toBeLessThanOrEqual(PAGE);
  expect(Math.floor(AREA.doorbell / CACHE_LINE)).not.toBe(Math.floor(AREA.serverCpu / CACHE_LINE));
});

test("mailbox, posted ring and ring pages follow each other without overlap", () => {
  expect(AREA_MAILBOX).toBe(PAGE);
  expect(AREA_POSTED).toBe(2 * PAGE);
  expect(AREA_POSTED + AREA_POSTED_BYTES).toBe(AREA_RINGS);
  expect(Array.from({ length: MAX_VCPUS }, (_, id) => ringOffset(id))).toEqual(
    Array.from({ length: MAX_VCPUS }, (_, id) => AREA_RINGS + id * PAGE),
  );
  expect(ringOffset(MAX_VCPUS - 1) + PAGE).toBe(AREA_BYTES);
});
