/**
 * The statistics page: rows as a reader sees them, and percentiles of a histogram (shared/stats-page.ts).
 */
import { describe, expect, test } from "vitest";
import {
  initRow,
  percentile,
  readStats,
  STATS_BYTES,
  STATS_HEADER,
  STATS_MAGIC,
  STATS_REASONS,
  STATS_REGIONS,
  STATS_ROW,
  STATS_VERSION,
  statsRow,
} from "../../shared/stats-page.ts";

const AT = STATS_BYTES; // a page that is not at the buffer's start

function page(): { buffer: SharedArrayBuffer; view: DataView } {
  const buffer = new SharedArrayBuffer(AT + STATS_BYTES);
  const view = new DataView(buffer, AT);
  view.setUint32(STATS_HEADER.magic, STATS_MAGIC, true);
  view.setUint32(STATS_HEADER.version, STATS_VERSION, true);
  view.setUint32(STATS_HEADER.vcpu, 2, true);
  view.setUint32(STATS_HEADER.state, 1, true);
  return { buffer, view };
}

test("the last row ends inside the page", () => {
  expect(statsRow(STATS_REASONS + STATS_REGIONS)).toBeLessThanOrEqual(STATS_BYTES);
});

test("rows in use are read with their places and counters", () => {
  const { buffer, view } = page();
  initRow(buffer, AT, 2, { kind: 1, space: 0, base: 0, length: 0, name: "KVM_EXIT_IO" });
  const row = STATS_REASONS + STATS_REGIONS - 1;
  initRow(buffer, AT, row, { kind: 2, space: 1, base: 2 ** 40, length: 4096, name: "bar1" });
  view.setFloat64(statsRow(row) + STATS_ROW.count, 2 ** 53 - 1, true);
  view.setUint32(statsRow(row) + STATS_ROW.histogram + 4 * 31, 9, true);
  const read = readStats(buffer, AT)!;
  expect(read).toMatchObject({ vcpu: 2, state: 1, waitsFor: 0 });
  expect(read.rows).toHaveLength(2);
  expect(read.rows[0]).toMatchObject({ kind: "reason", name: "KVM_EXIT_IO", count: 0 });
  expect(read.rows[1]).toMatchObject({ kind: "region", name: "bar1", space: 1, base: 2 ** 40, length: 4096 });
  expect(read.rows[1]!.count).toBe(2 ** 53 - 1);
  expect(read.rows[1]!.histogram[31]).toBe(9);
});

test("a row that is used again starts at 0", () => {
  const { buffer, view } = page();
  initRow(buffer, AT, 40, { kind: 2, space: 0, base: 1, length: 1, name: "a rather long name of a region" });
  view.setFloat64(statsRow(40) + STATS_ROW.count, 5, true);
  initRow(buffer, AT, 40, { kind: 2, space: 0, base: 2, length: 1, name: "b" });
  expect(readStats(buffer, AT)!.rows[0]).toMatchObject({ name: "b", base: 2, count: 0 });
});

test("a long name is cut, also in the middle of a character, and harms no neighbour", () => {
  const { buffer } = page();
  initRow(buffer, AT, 1, { kind: 1, space: 0, base: 0, length: 0, name: "€".repeat(1000) });
  const [row] = readStats(buffer, AT)!.rows;
  expect(row!.name.startsWith("€".repeat(15))).toBe(true);
  expect(row!.count).toBe(0);
});

test.each([
  ["another magic", STATS_HEADER.magic],
  ["another version", STATS_HEADER.version],
])("%s is no statistics page", (_what, field) => {
  const { buffer, view } = page();
  view.setUint32(field, 99, true);
  expect(readStats(buffer, AT)).toBeUndefined();
});

describe("percentile: the geometric middle of the bucket in which it lies", () => {
  const histogram = (...entries: [number, number][]) => {
    const buckets = Array<number>(32).fill(0);
    for (const [bucket, count] of entries) buckets[bucket] = count;
    return buckets;
  };
  test.each<[string, number[], number, number]>([
    ["nothing", histogram(), 0.5, 0],
    ["one sample", histogram([10, 1]), 0.5, 2 ** 10 * Math.SQRT2],
    ["half of two", histogram([3, 1], [8, 1]), 0.5, 2 ** 3 * Math.SQRT2],
    ["p99 of 100 where one is slow", histogram([3, 99], [20, 1]), 0.99, 2 ** 3 * Math.SQRT2],
    ["p99 of 100 where two are", histogram([3, 98], [20, 2]), 0.99, 2 ** 20 * Math.SQRT2],
    ["the maximum", histogram([0, 1], [31, 1]), 1, 2 ** 31 * Math.SQRT2],
  ])("%s", (_what, buckets, fraction, expected) => {
    expect(percentile(buckets, fraction)).toBeCloseTo(expected, 6);
  });
});
