/**
 * Who answers an address: regions of device servers, and the writes among them that are posted (ioeventfd, coalesced).
 * The main thread keeps the table in VM state under a sequence lock; each vCPU thread reads it into a Router of its
 * own when the version has changed, so that a lookup takes no lock.
 * What nobody registered belongs to server 0, the owner.
 * Leaves out: configuration space routed by bus, device and function.
 */
import { KvmError } from "../../shared/errno.ts";
import { SPACE_MMIO, SPACE_PIO } from "../../shared/ioctls.ts";
import { sharedWords, type Words } from "../../shared/words.ts";
import {
  MAX_REGIONS,
  MAX_SERVERS,
  REGION_COALESCED,
  REGION_IOEVENTFD,
  REGION_OWNED,
  REGION_ROW,
  VM_STATE,
} from "./vm-state.ts";

export type Row = {
  readonly kind: number;
  readonly space: number;
  readonly server: number;
  readonly base: number;
  readonly length: number;
  /** Id of an owned region, and its row in the statistics. */
  readonly region: number;
  readonly event: number;
  /** ioeventfd: width in bytes, 0 matches any. */
  readonly width: number;
  readonly match: boolean;
  readonly matchLow: number;
  readonly matchHigh: number;
};

const LIMIT = [0x1_0000, 2 ** 52] as const;

/** The main thread's end. */
export class RegionTable {
  readonly #words: Int32Array;
  readonly #view: DataView;
  readonly #rows: Row[] = [];

  constructor(memory: WebAssembly.Memory) {
    this.#words = new Int32Array(memory.buffer);
    this.#view = new DataView(memory.buffer);
  }

  get rows(): readonly Row[] {
    return this.#rows;
  }

  /**
   * Adds an owned region and returns its id. EINVAL: empty, wrapping or beyond its space; EEXIST: overlaps a region;
   * ENOSPC: the table is full.
   */
  register(server: number, space: number, base: bigint, length: bigint): number {
    this.#range(space, base, length);
    const [from, size] = [Number(base), Number(length)];
    const other = this.#overlap(REGION_OWNED, space, from, size);
    if (other)
      throw new KvmError("EEXIST", `the region at 0x${from.toString(16)} overlaps one at 0x${other.base.toString(16)}`);
    const used = new Set(this.#rows.filter((row) => row.kind === REGION_OWNED).map((row) => row.region));
    let region = 0;
    while (used.has(region)) region++;
    this.#add({ ...EMPTY, kind: REGION_OWNED, space, server, base: from, length: size, region });
    return region;
  }

  /** Ends a region of `server`'s; ENOENT if it is none of its. */
  unregister(server: number, region: number): void {
    this.#remove((row) => row.kind === REGION_OWNED && row.region === region && row.server === server);
  }

  /** Makes writes of a width (0: any), and with datamatch of a value, posted. EEXIST on a duplicate, as Linux. */
  assignIoeventfd(
    server: number,
    space: number,
    base: bigint,
    width: number,
    event: number,
    match: bigint | undefined,
  ): void {
    this.#range(space, base, BigInt(width || 1));
    const row = this.#ioeventfd(server, space, base, width, event, match);
    const clash = this.#rows.some(
      (other) =>
        other.kind === REGION_IOEVENTFD &&
        other.space === space &&
        other.base === row.base &&
        (other.width === width || width === 0 || other.width === 0) &&
        (!other.match || !row.match || (other.matchLow === row.matchLow && other.matchHigh === row.matchHigh)),
    );
    if (clash) throw new KvmError("EEXIST", `an ioeventfd at 0x${row.base.toString(16)} matches the same writes`);
    this.#add(row);
  }

  deassignIoeventfd(
    server: number,
    space: number,
    base: bigint,
    width: number,
    event: number,
    match: bigint | undefined,
  ): void {
    const want = this.#ioeventfd(server, space, base, width, event, match);
    this.#remove(
      (row) =>
        row.kind === REGION_IOEVENTFD &&
        row.server === server &&
        row.space === space &&
        row.base === want.base &&
        row.width === width &&
        row.event === event &&
        row.match === want.match &&
        row.matchLow === want.matchLow &&
        row.matchHigh === want.matchHigh,
    );
  }

  /** Makes all writes to a range posted. EEXIST when it overlaps another coalesced range. */
  addCoalesced(server: number, space: number, base: bigint, length: bigint): void {
    this.#range(space, base, length);
    const [from, size] = [Number(base), Number(length)];
    const other = this.#overlap(REGION_COALESCED, space, from, size);
    if (other) throw new KvmError("EEXIST", `a coalesced range at 0x${other.base.toString(16)} overlaps`);
    this.#add({ ...EMPTY, kind: REGION_COALESCED, space, server, base: from, length: size });
  }

  removeCoalesced(server: number, space: number, base: bigint, length: bigint): void {
    this.#remove(
      (row) =>
        row.kind === REGION_COALESCED &&
        row.server === server &&
        row.space === space &&
        row.base === Number(base) &&
        row.length === Number(length),
    );
  }

  #ioeventfd(
    server: number,
    space: number,
    base: bigint,
    width: number,
    event: number,
    match: bigint | undefined,
  ): Row {
    if (![0, 1, 2, 4, 8].includes(width)) throw new KvmError("EINVAL", `ioeventfd length ${width}`);
    if (width === 0 && match !== undefined) throw new KvmError("EINVAL", "datamatch needs a length");
    // Only the bytes that a write of this width carries can match.
    const value = match === undefined ? 0n : width === 8 ? match : match & ((1n << BigInt(width * 8)) - 1n);
    return {
      ...EMPTY,
      kind: REGION_IOEVENTFD,
      space,
      server,
      base: Number(base),
      length: width || 1,
      event,
      width,
      match: match !== undefined,
      matchLow: Number(value & 0xffff_ffffn),
      matchHigh: Number(value >> 32n),
    };
  }

  /** A row of this kind that shares an address with the range. */
  #overlap(kind: number, space: number, from: number, size: number): Row | undefined {
    return this.#rows.find(
      (row) => row.kind === kind && row.space === space && from < row.base + row.length && row.base < from + size,
    );
  }

  #range(space: number, base: bigint, length: bigint): void {
    if (space !== SPACE_PIO && space !== SPACE_MMIO) throw new KvmError("EINVAL", `space ${space}`);
    if (length === 0n || base + length > BigInt(LIMIT[space]))
      throw new KvmError("EINVAL", `0x${base.toString(16)} + 0x${length.toString(16)} is empty or beyond its space`);
  }

  #add(row: Row): void {
    if (this.#rows.length >= MAX_REGIONS) throw new KvmError("ENOSPC", `at most ${MAX_REGIONS} regions and ioeventfds`);
    this.#write([...this.#rows, row]);
  }

  #remove(gone: (row: Row) => boolean): void {
    const index = this.#rows.findIndex(gone);
    if (index < 0) throw new KvmError("ENOENT", "there is no such region, ioeventfd or coalesced range of this server");
    this.#write(this.#rows.filter((_, i) => i !== index));
  }

  #write(rows: Row[]): void {
    this.#rows.splice(0, this.#rows.length, ...rows);
    Atomics.add(this.#words, VM_STATE.regionVersion >> 2, 1); // odd: readers wait
    rows.forEach((row, i) => {
      const at = VM_STATE.regions + i * REGION_ROW.size;
      this.#view.setFloat64(at + REGION_ROW.base, row.base, true);
      this.#view.setFloat64(at + REGION_ROW.length, row.length, true);
      for (const field of ["kind", "space", "server", "region", "event", "width", "matchLow", "matchHigh"] as const)
        this.#view.setUint32(at + REGION_ROW[field], row[field], true);
      this.#view.setUint32(at + REGION_ROW.match, row.match ? 1 : 0, true);
    });
    this.#view.setUint32(VM_STATE.regionCount, rows.length, true);
    Atomics.add(this.#words, VM_STATE.regionVersion >> 2, 1);
  }
}

const EMPTY: Row = {
  kind: 0,
  space: 0,
  server: 0,
  base: 0,
  length: 0,
  region: 0,
  event: 0,
  width: 0,
  match: false,
  matchLow: 0,
  matchHigh: 0,
};

/** Owned regions of one space, sorted by base, in flat arrays. */
type Ranges = { readonly base: Float64Array; readonly end: Float64Array; readonly row: Int32Array };

/** Addresses from `from` to below `to`. */
export type Span = { from: number; to: number };

/** Takes `length` addresses out of a span, and with them what they part from `address`. */
export function cutOut(span: Span, address: number, base: number, length: number): void {
  if (base > address) span.to = Math.min(span.to, base);
  else span.from = Math.max(span.from, base + length);
}

/** A vCPU thread's end: lookups without lock or allocation. */
export class Router {
  readonly #shared: Words;
  readonly #words: Int32Array;
  readonly #view: DataView;
  /** The version of the table that was read last. */
  version = -1;
  #rows: readonly Row[] = [];
  /** Per server: its area is mapped. */
  #paged: readonly boolean[] = [];
  #owned: readonly Ranges[] = [];
  #posted: readonly (readonly Row[])[] = [[], []];
  /** The range that find() found last; space -1 where nobody registered. */
  #space = -1;
  #from = 0;
  #to = 0;
  /** The result of find(): server 0 and region -1 where nobody registered. */
  server = 0;
  region = -1;
  /** The server is in page mode. */
  paged = false;

  constructor(memory: WebAssembly.Memory) {
    this.#shared = sharedWords(memory);
    this.#words = new Int32Array(memory.buffer);
    this.#view = new DataView(memory.buffer);
  }

  /** Looks an address up; results in `server`, `region` and `paged`. */
  find(space: number, address: number): void {
    if (this.#shared.load(VM_STATE.regionVersion) !== this.version) this.refresh();
    this.lookUp(space, address);
  }

  /** As find(), for a caller that has compared the versions itself. */
  lookUp(space: number, address: number): void {
    if (space === this.#space && address >= this.#from && address < this.#to) return; // as the time before
    const { base, end, row } = this.#owned[space]!;
    let at = -1;
    for (let low = 0, high = base.length - 1; low <= high; ) {
      const middle = (low + high) >> 1;
      if (address < base[middle]!) high = middle - 1;
      else if (address >= end[middle]!) low = middle + 1;
      else {
        at = middle;
        break;
      }
    }
    const found = at < 0 ? undefined : this.#rows[row[at]!]!;
    this.#space = found === undefined ? -1 : space;
    this.#from = found === undefined ? 0 : base[at]!;
    this.#to = found === undefined ? 0 : end[at]!;
    this.server = found === undefined ? 0 : found.server;
    this.region = found === undefined ? -1 : found.region;
    this.paged = this.#paged[this.server]!;
  }

  /** The rule that posts this write, or undefined. The space has few of them, so they are tried in turn. */
  posted(space: number, address: number, width: number, low: number, high: number): Row | undefined {
    const rules = this.#posted[space]!;
    for (let i = 0; i < rules.length; i++) {
      const rule = rules[i]!;
      if (rule.kind === REGION_IOEVENTFD) {
        if (address !== rule.base || (rule.width !== 0 && width !== rule.width)) continue;
        if (rule.match && (low >>> 0 !== rule.matchLow || high >>> 0 !== rule.matchHigh)) continue;
        return rule;
      }
      if (address >= rule.base && address + width <= rule.base + rule.length) return rule;
    }
    return undefined;
  }

  /** After lookUp(): the part of the region around its address that no rule posts. Without the address if one does. */
  unposted(space: number, address: number): Span {
    const span = { from: this.#from, to: this.#to };
    for (const rule of this.#posted[space]!) cutOut(span, address, rule.base, rule.length);
    return span;
  }

  /** Reads the table, as the main thread has it now. */
  refresh(): void {
    const rows: Row[] = [];
    let version: number;
    do {
      version = Atomics.load(this.#words, VM_STATE.regionVersion >> 2);
      rows.length = 0;
      this.#paged = Array.from({ length: MAX_SERVERS }, (_, server) => {
        return Atomics.load(this.#words, (VM_STATE.serverArea >> 2) + server) !== 0;
      });
      const count = Math.min(this.#view.getUint32(VM_STATE.regionCount, true), MAX_REGIONS);
      for (let i = 0; i < count; i++) {
        const at = VM_STATE.regions + i * REGION_ROW.size;
        const u32 = (offset: number) => this.#view.getUint32(at + offset, true);
        rows.push({
          kind: u32(REGION_ROW.kind),
          space: u32(REGION_ROW.space),
          server: u32(REGION_ROW.server),
          base: this.#view.getFloat64(at + REGION_ROW.base, true),
          length: this.#view.getFloat64(at + REGION_ROW.length, true),
          region: u32(REGION_ROW.region),
          event: u32(REGION_ROW.event),
          width: u32(REGION_ROW.width),
          match: u32(REGION_ROW.match) !== 0,
          matchLow: u32(REGION_ROW.matchLow),
          matchHigh: u32(REGION_ROW.matchHigh),
        });
      }
    } while ((version & 1) !== 0 || Atomics.load(this.#words, VM_STATE.regionVersion >> 2) !== version);
    this.#rows = rows;
    this.#owned = [SPACE_PIO, SPACE_MMIO].map((space) => {
      const owned = rows
        .map((row, index) => ({ row, index }))
        .filter(({ row }) => row.kind === REGION_OWNED && row.space === space)
        .sort((a, b) => a.row.base - b.row.base);
      return {
        base: Float64Array.from(owned, ({ row }) => row.base),
        end: Float64Array.from(owned, ({ row }) => row.base + row.length),
        row: Int32Array.from(owned, ({ index }) => index),
      };
    });
    this.#posted = [SPACE_PIO, SPACE_MMIO].map((space) =>
      rows.filter((row) => row.kind !== REGION_OWNED && row.space === space),
    );
    this.#space = -1;
    this.version = version;
  }
}
