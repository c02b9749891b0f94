/**
 * What the two halves of a vCPU's exit path share: the generated one (fast-exit.ts) and the one in TypeScript
 * (exit-path.ts). A page of the vCPU's zone that no client maps and no other thread touches.
 * TypeScript writes what the generated half may rely on: which addresses take the ordinary way, to whom, and that
 * server's sequence number and placement.
 * Leaves out: the ring pages and the statistics, which others read (shared/).
 */
import { layout } from "../../shared/layout.ts";
import { PHASE_EXIT, SEQ_SHIFT } from "../../shared/ring-page.ts";
import { STATS_REASONS, STATS_ROW, statsRow } from "../../shared/stats-page.ts";
import { PAGE_SIZE, ZONE } from "../cpu/zones.ts";
import type { Span } from "../vm/regions.ts";
import { MAX_SERVERS, serverAreaAt, statsAt } from "../vm/vm-state.ts";

/** Ranges that are kept per space, as a power of two: a driver has several registers, a guest several drivers. */
export const RANGE_BITS = 4;
/** Addresses that differ only in these low bits share a place: ports lie close together, memory regions in pages. */
export const RANGE_SHIFT = [3, 12] as const;
/** Times the rest, the top RANGE_BITS of a u32 are the place (Knuth's multiplicative hash): bases are round numbers. */
export const RANGE_HASH = 0x9e37_79b1 | 0;

/** Addresses of one region that no rule posts and kvm-core does not answer; `from` == `to` holds none. */
export const RANGE = layout({
  from: "f64",
  to: "f64",
  /** Addresses: of the server's area, of its SERVER cells, of the counter in the region's row of the statistics. */
  area: "u32",
  server: "u32",
  count: "u32",
});
/** Bytes of one space's ranges. */
export const RANGES_BYTES = RANGE.size << RANGE_BITS;
/** Of a device server. */
export const SERVER = layout({
  /** The state word of the last exit to it: the next one's is 1 << SEQ_SHIFT more. */
  published: "u32",
  /** This thread's placement (wait.ts), as it was last looked up. */
  cpu: "u32",
});
const CELLS = layout({
  /** Of the region table that the ranges were read from. */
  version: "u32",
  /** Exits since one was timed. */
  tick: "u32",
  /** Record of the instruction whose access completed last. */
  instruction: "u32",
  /** Non-zero: the generated half has published the exit, and this is what became of it (fast-exit.ts). */
  begun: "u32",
  /** Written between two looks for an answer, and never read: on a line of its own. */
  idle: { at: 64, of: "u32" },
  servers: { at: 128, of: ["u8", MAX_SERVERS * SERVER.size] },
  /** By space. */
  ranges: { at: 256, of: ["u8", 2 * RANGES_BYTES] },
});
if (CELLS.size > PAGE_SIZE) throw new Error("the exit path's cells do not fit their page");

/** Addresses of the cells of the vCPU whose zone this is. */
export function cellsAt(zone: number): typeof CELLS {
  const entries = Object.entries(CELLS).map(([name, offset]) => [name, zone + ZONE.exits + offset]);
  return Object.fromEntries(entries);
}

export class ExitCells {
  readonly #i32: Int32Array;
  readonly #f64: Float64Array;
  readonly #at: typeof CELLS;
  readonly #vcpu: number;

  constructor(memory: WebAssembly.Memory, zone: number, vcpu: number) {
    this.#i32 = new Int32Array(memory.buffer);
    this.#f64 = new Float64Array(memory.buffer);
    this.#at = cellsAt(zone);
    this.#vcpu = vcpu;
    const begin = (zone + ZONE.exits) >> 2;
    this.#i32.fill(0, begin, begin + (CELLS.size >> 2));
  }

  get tick(): number {
    return this.#i32[this.#at.tick >> 2]!;
  }

  set tick(exits: number) {
    this.#i32[this.#at.tick >> 2] = exits;
  }

  get instruction(): number {
    return this.#i32[this.#at.instruction >> 2]!;
  }

  set instruction(record: number) {
    this.#i32[this.#at.instruction >> 2] = record;
  }

  /** What became of the exit that the generated half has published, and has left to TypeScript; 0: there is none. */
  takeBegun(): number {
    const begun = this.#i32[this.#at.begun >> 2]!;
    this.#i32[this.#at.begun >> 2] = 0;
    return begun;
  }

  /** A server is used for the first time: sequence numbers go on after that of `state`. */
  begin(server: number, state: number): void {
    this.#i32[this.#server(server, SERVER.published)] = (state & (-1 << SEQ_SHIFT)) | PHASE_EXIT;
  }

  /** The state word of the last exit to a server. */
  published(server: number): number {
    return this.#i32[this.#server(server, SERVER.published)]!;
  }

  /** The state word of the next exit to a server, which is now the last. */
  publish(server: number): number {
    const at = this.#server(server, SERVER.published);
    const next = (this.#i32[at]! + (1 << SEQ_SHIFT)) | 0;
    this.#i32[at] = next;
    return next;
  }

  place(server: number, cpu: number): void {
    this.#i32[this.#server(server, SERVER.cpu)] = cpu;
  }

  /** The region table changed: all ranges are void. */
  forget(version: number): void {
    const { ranges } = this.#at;
    this.#f64.fill(0, ranges >> 3, (ranges + 2 * RANGES_BYTES) >> 3);
    this.#i32[this.#at.version >> 2] = version;
  }

  /** The generated half knows the way of this address already. */
  knows(space: number, address: number): boolean {
    const at = this.#range(space, address);
    return address >= this.#f64[(at + RANGE.from) >> 3]! && address < this.#f64[(at + RANGE.to) >> 3]!;
  }

  /** The way of `address`, and of the others in the span. */
  remember(space: number, address: number, { from, to }: Span, server: number, region: number): void {
    const at = this.#range(space, address);
    const f64 = this.#f64;
    const i32 = this.#i32;
    f64[(at + RANGE.from) >> 3] = from;
    f64[(at + RANGE.to) >> 3] = to;
    i32[(at + RANGE.area) >> 2] = serverAreaAt(server);
    i32[(at + RANGE.server) >> 2] = this.#server(server, 0) << 2;
    i32[(at + RANGE.count) >> 2] = statsAt(this.#vcpu) + statsRow(STATS_REASONS + region) + STATS_ROW.count;
  }

  /** Index of a word. */
  #server(server: number, field: number): number {
    return (this.#at.servers + server * SERVER.size + field) >> 2;
  }

  /** Address of the range that an address of this space is kept in. */
  #range(space: number, address: number): number {
    const slot = Math.imul(address >>> RANGE_SHIFT[space]!, RANGE_HASH) >>> (32 - RANGE_BITS);
    return this.#at.ranges + space * RANGES_BYTES + slot * RANGE.size;
  }
}
