/**
 * Declarative register maps: a device's registers as rows; width, alignment, spanning and access rules solved once, here.
 * Follows: QEMU's RegisterAccessInfo (hw/register.h) for the words, propolis' regmap for the idea.
 * Left out: registers wider than 4 bytes (write them as two rows), big-endian devices.
 *
 * An access that covers part of a register reads the whole register, or merges into its stored value; one that covers
 * several takes them one by one, lowest first, each once. Bytes that no row covers read as zero and swallow writes.
 */
import { hex } from "../../shared/bits.ts";
import type { StateValue, Width } from "./interfaces.ts";

/** One register of a device `D`. Masks are of the register's own width. */
export interface Reg<D> {
  readonly at: number;
  /** Bytes, 1 unless said. */
  readonly width?: Width;
  /** Value after reset, 0 unless said. */
  readonly reset?: number;
  /** Read-only bits: a write leaves them alone. With all bits, writes go to another row at this place, if any. */
  readonly ro?: number;
  /** Bits that are cleared by writing one, and left alone by writing zero. */
  readonly w1c?: number;
  /** Bits that are cleared by being read. */
  readonly cor?: number;
  /** Reserved bits: as `ro`, and a trace line says who writes them. */
  readonly rsvd?: number;
  /** Write-only: nothing is stored; reads go to another row at this place, or give zero. */
  readonly wo?: boolean;
  /** The value read, instead of the stored one. */
  read?(device: D, stored: number): number;
  /** Called after the new value was stored; of a write-only register, with what was written. */
  write?(device: D, value: number, old: number): void;
  /** Banking: the row is there only while this holds. The first row in order wins. */
  when?(device: D): boolean;
}

/** What the map needs of a device: a place for the values (`RegMap.storage`), and perhaps someone who listens. */
export interface RegisterDevice {
  readonly regs: Uint32Array;
  /** Told of every access, by name: "serial.LCR <- 0x83". */
  trace?: ((line: string) => void) | undefined;
}

const MASK = { 1: 0xff, 2: 0xffff, 4: 0xffff_ffff } as const;
/** Masks of the low 0 to 4 bytes. */
const LOW_BYTES = [0, 0xff, 0xffff, 0xff_ffff, 0xffff_ffff] as const;

/** A row after checking: all fields present, so that every row has one shape. */
interface Row<D> {
  readonly name: string;
  readonly id: number;
  readonly at: number;
  readonly width: Width;
  readonly reset: number;
  readonly ro: number;
  readonly w1c: number;
  readonly cor: number;
  readonly rsvd: number;
  readonly wo: boolean;
  readonly read: ((device: D, stored: number) => number) | undefined;
  readonly write: ((device: D, value: number, old: number) => void) | undefined;
  readonly when: ((device: D) => boolean) | undefined;
}

export class RegMap<D extends RegisterDevice> {
  readonly name: string;
  /** Bytes of the region. */
  readonly size: number;
  readonly rows: readonly Row<D>[];
  readonly #readers: readonly (readonly Row<D>[])[]; // by byte offset
  readonly #writers: readonly (readonly Row<D>[])[];
  /** The one row that an access covers exactly and always, by whole(): most accesses need nothing else. */
  readonly #wholeReaders: readonly (Row<D> | undefined)[];
  readonly #wholeWriters: readonly (Row<D> | undefined)[];

  /** Throws an Error on rows that contradict themselves or each other: found when the device's file is loaded. */
  constructor(name: string, size: number, rows: Readonly<Record<string, Reg<D>>>) {
    this.name = name;
    this.size = size;
    this.rows = Object.entries(rows).map(([reg, row], id) => checkedRow(`${name}.${reg}`, reg, id, size, row));
    this.#readers = dispatchTable(
      name,
      size,
      this.rows.filter((row) => !row.wo),
    );
    this.#writers = dispatchTable(
      name,
      size,
      this.rows.filter((row) => (row.ro | row.rsvd) >>> 0 !== MASK[row.width]),
    );
    this.#wholeReaders = wholeTable(this.#readers);
    this.#wholeWriters = wholeTable(this.#writers);
  }

  /** Where a register's value is in `regs`. Throws an Error on an unknown name. */
  index(name: string): number {
    const row = this.rows.find((candidate) => candidate.name === name);
    if (row === undefined) throw new Error(`${this.name}: no register ${name}`);
    return row.id;
  }

  /** Storage for one device, at reset values. */
  storage(): Uint32Array {
    return Uint32Array.from(this.rows, (row) => row.reset);
  }

  reset(device: D): void {
    for (const row of this.rows) device.regs[row.id] = row.reset;
  }

  /** A read of 1, 2 or 4 bytes anywhere in the region, as u32. Never allocates unless traced. */
  read(device: D, offset: number, width: Width): number {
    const whole = this.#wholeReaders[wholeIndex(offset, width)];
    if (whole !== undefined) return (this.#readRow(device, whole) & LOW_BYTES[width]) >>> 0;
    return this.#readParts(device, offset, width);
  }

  /** A write of 1, 2 or 4 bytes anywhere in the region. Never allocates unless traced. */
  write(device: D, offset: number, width: Width, value: number): void {
    const whole = this.#wholeWriters[wholeIndex(offset, width)];
    if (whole !== undefined) this.#writeRow(device, whole, (value & LOW_BYTES[width]) >>> 0, LOW_BYTES[width]);
    else this.#writeParts(device, offset, width, value);
  }

  #readParts(device: D, offset: number, width: Width): number {
    let value = 0;
    for (let done = 0; done < width; ) {
      const at = offset + done;
      const row = select(this.#readers, device, at);
      if (row === undefined) {
        done++;
        continue;
      }
      const skip = at - row.at;
      const take = Math.min(row.width - skip, width - done);
      value |= ((this.#readRow(device, row) >>> (8 * skip)) & LOW_BYTES[take]!) << (8 * done);
      done += take;
    }
    return value >>> 0;
  }

  #writeParts(device: D, offset: number, width: Width, value: number): void {
    for (let done = 0; done < width; ) {
      const at = offset + done;
      const row = select(this.#writers, device, at);
      if (row === undefined) {
        done++;
        continue;
      }
      const skip = at - row.at;
      const take = Math.min(row.width - skip, width - done);
      const lanes = (LOW_BYTES[take]! << (8 * skip)) >>> 0;
      const shifted = (((value >>> (8 * done)) << (8 * skip)) & lanes) >>> 0;
      this.#writeRow(device, row, shifted, lanes);
      done += take;
    }
  }

  /** Stored values by name. */
  save(device: D): Record<string, number> {
    return Object.fromEntries(this.rows.filter((row) => !row.wo).map((row) => [row.name, device.regs[row.id]!]));
  }

  /** Takes back what `save` gave. Throws an Error on a missing, unknown or oversized register; then nothing changed. */
  load(device: D, state: StateValue | undefined): void {
    if (typeof state !== "object" || state === null) throw new Error(`${this.name}: saved registers are missing`);
    const saved = state as Readonly<Record<string, StateValue>>;
    const rows = this.rows.filter((row) => !row.wo);
    for (const name of Object.keys(saved)) {
      if (!rows.some((row) => row.name === name)) throw new Error(`${this.name}: no register ${name} to load`);
    }
    for (const { name, width } of rows) {
      const value = saved[name];
      if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > MASK[width]) {
        throw new Error(`${this.name}: ${name} cannot be loaded from ${JSON.stringify(value)}`);
      }
    }
    for (const row of rows) device.regs[row.id] = saved[row.name] as number;
  }

  #readRow(device: D, row: Row<D>): number {
    const stored = device.regs[row.id]!;
    const value = row.read === undefined ? stored : row.read(device, stored) >>> 0;
    if (row.cor !== 0) device.regs[row.id] = stored & ~row.cor;
    if (device.trace !== undefined) device.trace(`${this.name}.${row.name} -> ${hex(value)}`);
    return value;
  }

  /** `written` is in the register's own position; only the bytes of `lanes` were written. */
  #writeRow(device: D, row: Row<D>, written: number, lanes: number): void {
    if (device.trace !== undefined) {
      device.trace(`${this.name}.${row.name} <- ${hex(written)}`);
      if ((written & row.rsvd) !== 0) device.trace(`${this.name}.${row.name}: reserved bits written`);
    }
    if (row.wo) {
      row.write?.(device, written, 0);
      return;
    }
    const old = device.regs[row.id]!;
    const plain = lanes & ~(row.ro | row.rsvd | row.w1c);
    const value = ((old & ~plain & ~(written & row.w1c)) | (written & plain)) >>> 0;
    device.regs[row.id] = value;
    row.write?.(device, value, old);
  }
}

/** A register map: `regmap<Rtc>("rtc", 2, { INDEX: { at: 0 }, DATA: { at: 1, read: … } })`. */
export function regmap<D extends RegisterDevice>(
  name: string,
  size: number,
  rows: Readonly<Record<string, Reg<D>>>,
): RegMap<D> {
  return new RegMap(name, size, rows);
}

/** Index of an access in a table of wholeTable(): widths are 1, 2 and 4. */
function wholeIndex(offset: number, width: number): number {
  return (offset << 2) | (width - 1);
}

/** From the rows of each byte: those that are there always and first at their place. */
function wholeTable<D>(table: readonly (readonly Row<D>[])[]): readonly (Row<D> | undefined)[] {
  const whole = new Array<Row<D> | undefined>(table.length << 2).fill(undefined);
  for (const [at, [first]] of table.entries()) {
    if (first !== undefined && first.when === undefined && first.at === at) whole[wholeIndex(at, first.width)] = first;
  }
  return whole;
}

/** The row at a byte, of those that are there now. */
function select<D>(table: readonly (readonly Row<D>[])[], device: D, at: number): Row<D> | undefined {
  const candidates = table[at];
  if (candidates === undefined) return undefined;
  for (let i = 0; i < candidates.length; i++) {
    const row = candidates[i]!;
    if (row.when === undefined || row.when(device)) return row;
  }
  return undefined;
}

function checkedRow<D>(path: string, name: string, id: number, size: number, row: Reg<D>): Row<D> {
  const width = row.width ?? 1;
  const { ro = 0, w1c = 0, cor = 0, rsvd = 0, reset = 0, wo = false } = row;
  if (row.at < 0 || row.at + width > size) throw new Error(`${path} lies outside the region`);
  for (const value of [ro, w1c, cor, rsvd, reset]) {
    if (!Number.isInteger(value) || value < 0 || value > MASK[width]) throw new Error(`${path}: ${value} does not fit`);
  }
  if ((ro & w1c) !== 0 || (ro & rsvd) !== 0 || (w1c & rsvd) !== 0) throw new Error(`${path}: masks overlap`);
  if (wo && row.write === undefined) throw new Error(`${path} is write-only and does nothing`);
  return { name, id, at: row.at, width, reset, ro, w1c, cor, rsvd, wo, ...behaviour(row) };
}

function behaviour<D>(row: Reg<D>): Pick<Row<D>, "read" | "write" | "when"> {
  return { read: row.read, write: row.write, when: row.when };
}

/** For each byte the rows that may answer, in order. A row behind an unconditional one could never answer. */
function dispatchTable<D>(name: string, size: number, rows: readonly Row<D>[]): readonly (readonly Row<D>[])[] {
  return Array.from({ length: size }, (_, at) => {
    const here = rows.filter((row) => at >= row.at && at < row.at + row.width);
    const unconditional = here.findIndex((row) => row.when === undefined);
    const hidden = unconditional < 0 ? undefined : here[unconditional + 1];
    if (hidden !== undefined) throw new Error(`${name}.${hidden.name} is hidden by ${here[unconditional]!.name}`);
    return here;
  });
}
