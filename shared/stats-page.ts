/**
 * Exit statistics of one vCPU: written by kvm-core alone, read by anyone who has the descriptor (KVM_GET_STATS_FD),
 * while the VM runs. One row per exit reason, then one per device region. Counts are always exact; times are sampled
 * 1 in `period`, because a timed exit reads the clock four times.
 * Counters are doubles: exact to 2^53 and stored in one piece, so a reader never sees half of one.
 * Leaves out: per-address and per-symbol rows.
 */
import { layout } from "./layout.ts";

export const STATS_MAGIC = 0x53565354;
export const STATS_VERSION = 1;
/** Rows 0..31 are exit reasons by number, the rest regions by id. */
export const STATS_REASONS = 32;
export const STATS_REGIONS = 256;
/** Histogram buckets: bucket n counts times in [2^n, 2^(n+1)) ns. */
export const STATS_BUCKETS = 32;
const NAME_BYTES = 48;

export const STATS_HEADER = layout({
  magic: "u32",
  version: "u32",
  vcpu: "u32",
  period: "u32",
  rows: "u32",
  rowSize: "u32",
  /** 1 running, 2 waits for a device server (`waitsFor`), 3 halted, 0 not in KVM_RUN. */
  state: "u32",
  waitsFor: "u32",
});

export const STATS_ROW = layout({
  /** 0 unused, 1 exit reason, 2 region. */
  kind: "u32",
  space: "u32",
  base: "f64",
  length: "f64",
  name: ["u8", NAME_BYTES],
  count: "f64",
  sampled: "f64",
  /** Nanoseconds over the sampled exits: all of it, and the part between publishing the exit and seeing the answer. */
  total: "f64",
  min: "f64",
  max: "f64",
  device: "f64",
  histogram: ["u32", STATS_BUCKETS],
  deviceHistogram: ["u32", STATS_BUCKETS],
});

export const STATS_ROWS_AT = 64;
export const STATS_BYTES = 32 * 4096;
if (STATS_ROWS_AT + (STATS_REASONS + STATS_REGIONS) * STATS_ROW.size > STATS_BYTES)
  throw new Error("the statistics do not fit their pages");

/** Byte offset of row `index`. */
export function statsRow(index: number): number {
  return STATS_ROWS_AT + index * STATS_ROW.size;
}

/** One row as a reader sees it. Times are ns over the sampled exits. */
export type StatsRow = {
  readonly kind: "reason" | "region";
  readonly name: string;
  readonly space: number;
  readonly base: number;
  readonly length: number;
  readonly count: number;
  readonly sampled: number;
  readonly total: number;
  readonly min: number;
  readonly max: number;
  readonly device: number;
  readonly histogram: readonly number[];
  readonly deviceHistogram: readonly number[];
};

export type StatsPage = {
  readonly vcpu: number;
  readonly period: number;
  readonly state: number;
  readonly waitsFor: number;
  readonly rows: readonly StatsRow[];
};

/** Copies a page into plain objects; undefined if it is none of this version. */
export function readStats(buffer: ArrayBufferLike, at = 0): StatsPage | undefined {
  const view = new DataView(buffer, at, STATS_BYTES);
  const u32 = (offset: number) => view.getUint32(offset, true);
  const f64 = (offset: number) => view.getFloat64(offset, true);
  if (u32(STATS_HEADER.magic) !== STATS_MAGIC || u32(STATS_HEADER.version) !== STATS_VERSION) return undefined;
  const rows: StatsRow[] = [];
  for (let i = 0; i < STATS_REASONS + STATS_REGIONS; i++) {
    const row = statsRow(i);
    const kind = u32(row + STATS_ROW.kind);
    if (kind === 0) continue;
    const bytes = new Uint8Array(NAME_BYTES);
    bytes.set(new Uint8Array(buffer, at + row + STATS_ROW.name, NAME_BYTES));
    const end = bytes.indexOf(0);
    const list = (offset: number) => Array.from({ length: STATS_BUCKETS }, (_, b) => u32(row + offset + b * 4));
    rows.push({
      kind: kind === 1 ? "reason" : "region",
      name: new TextDecoder().decode(bytes.subarray(0, end < 0 ? NAME_BYTES : end)),
      space: u32(row + STATS_ROW.space),
      base: f64(row + STATS_ROW.base),
      length: f64(row + STATS_ROW.length),
      count: f64(row + STATS_ROW.count),
      sampled: f64(row + STATS_ROW.sampled),
      total: f64(row + STATS_ROW.total),
      min: f64(row + STATS_ROW.min),
      max: f64(row + STATS_ROW.max),
      device: f64(row + STATS_ROW.device),
      histogram: list(STATS_ROW.histogram),
      deviceHistogram: list(STATS_ROW.deviceHistogram),
    });
  }
  return {
    vcpu: u32(STATS_HEADER.vcpu),
    period: u32(STATS_HEADER.period),
    state: u32(STATS_HEADER.state),
    waitsFor: u32(STATS_HEADER.waitsFor),
    rows,
  };
}

/** The time below which `fraction` of the histogram's samples lie, by the middle (geometric) of its bucket, in ns. */
export function percentile(histogram: readonly number[], fraction: number): number {
  const all = histogram.reduce((a, b) => a + b, 0);
  if (all === 0) return 0;
  let seen = 0;
  for (let bucket = 0; bucket < histogram.length; bucket++) {
    seen += histogram[bucket]!;
    if (seen >= all * fraction) return 2 ** bucket * Math.SQRT2;
  }
  return 2 ** histogram.length;
}

/** Writes a row's identity; counters start at 0. */
export function initRow(
  buffer: ArrayBufferLike,
  at: number,
  index: number,
  row: {
    readonly kind: 0 | 1 | 2;
    readonly space: number;
    readonly base: number;
    readonly length: number;
    readonly name: string;
  },
): void {
  const offset = at + statsRow(index);
  new Uint8Array(buffer, offset, STATS_ROW.size).fill(0);
  const view = new DataView(buffer, offset, STATS_ROW.size);
  view.setUint32(STATS_ROW.space, row.space, true);
  view.setFloat64(STATS_ROW.base, row.base, true);
  view.setFloat64(STATS_ROW.length, row.length, true);
  new Uint8Array(buffer, offset + STATS_ROW.name, NAME_BYTES - 1).set(
    new TextEncoder().encode(row.name).subarray(0, NAME_BYTES - 1),
  );
  view.setUint32(STATS_ROW.kind, row.kind, true);
}
