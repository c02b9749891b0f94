/**
 * The writer of a vCPU's statistics page: counts always, times 1 in SAMPLE_PERIOD.
 * Layout and readers: shared/stats-page.ts. Leaves out: rows' names and places, which the main thread writes.
 */
import { clockMonotonic } from "../../shared/native.ts";
import { STATS_HEADER, STATS_REASONS, STATS_ROW, statsRow } from "../../shared/stats-page.ts";
import type { ExitCells } from "./exit-cells.ts";

/** A timed exit reads the clock four times: a good part of what the exit itself takes in page mode. */
export const SAMPLE_PERIOD = 32;

export const STATE_STOPPED = 0;
export const STATE_RUNNING = 1;
export const STATE_WAITS = 2;
export const STATE_HALTED = 3;

export class ExitStats {
  readonly #f64: Float64Array;
  readonly #u32: Uint32Array;
  readonly #at: number;
  readonly #cells: ExitCells;
  #start = 0;
  #device = 0;
  #answered = 0;

  /** `at` is the page's byte address in linear memory. The generated half of the exit path counts too (fast-exit.ts). */
  constructor(memory: WebAssembly.Memory, at: number, cells: ExitCells) {
    this.#f64 = new Float64Array(memory.buffer);
    this.#u32 = new Uint32Array(memory.buffer);
    this.#at = at;
    this.#cells = cells;
  }

  /** What the vCPU is doing; `waitsFor` is the device server + 1, or 0. */
  state(state: number, waitsFor: number): void {
    this.#u32[(this.#at + STATS_HEADER.state) >> 2] = state;
    this.#u32[(this.#at + STATS_HEADER.waitsFor) >> 2] = waitsFor;
  }

  /** Before an exit: true when this one is sampled. */
  begin(): boolean {
    const tick = this.#cells.tick + 1;
    this.#cells.tick = tick < SAMPLE_PERIOD ? tick : 0;
    if (tick < SAMPLE_PERIOD) return false;
    this.#start = clockMonotonic();
    this.#device = 0;
    this.#answered = 0;
    return true;
  }

  /** A sampled exit was published to its server. */
  published(): void {
    this.#device = clockMonotonic();
  }

  /** A sampled exit's answer was seen. */
  answered(): void {
    this.#answered = clockMonotonic();
  }

  /** Counts an exit that has no time of its own, on its reason and on its region (-1: nobody's). */
  count(reason: number, region: number): void {
    this.#f64[(this.#at + statsRow(reason) + STATS_ROW.count) >> 3]!++;
    if (region >= 0) this.#f64[(this.#at + statsRow(STATS_REASONS + region) + STATS_ROW.count) >> 3]!++;
  }

  /** After an exit: counts it, and its times if it was sampled. */
  end(reason: number, region: number, sampled: boolean): void {
    this.count(reason, region);
    if (!sampled) return;
    const total = clockMonotonic() - this.#start;
    const device = this.#answered - this.#device;
    this.#time(reason, total, device);
    if (region >= 0) this.#time(STATS_REASONS + region, total, device);
  }

  #time(index: number, total: number, device: number): void {
    const f64 = this.#f64;
    const row = this.#at + statsRow(index);
    const sampled = (row + STATS_ROW.sampled) >> 3;
    const [min, max] = [(row + STATS_ROW.min) >> 3, (row + STATS_ROW.max) >> 3];
    if (f64[sampled] === 0 || total < f64[min]!) f64[min] = total;
    if (total > f64[max]!) f64[max] = total;
    f64[sampled]!++;
    f64[(row + STATS_ROW.total) >> 3]! += total;
    f64[(row + STATS_ROW.device) >> 3]! += device;
    this.#u32[((row + STATS_ROW.histogram) >> 2) + bucket(total)]!++;
    this.#u32[((row + STATS_ROW.deviceHistogram) >> 2) + bucket(device)]!++;
  }
}

/** log2 of a time in ns, in the range of the histogram. */
function bucket(ns: number): number {
  return ns < 1 ? 0 : 31 - Math.clz32(Math.min(ns, 0x7fff_ffff));
}
