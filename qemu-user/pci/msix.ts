/**
 * MSI-X of one function: its capability, and a BAR with the table and the pending bits.
 * Follows: PCI Local Bus Specification 3.0 section 6.8.2; the BAR's layout is that of QEMU's msix_init_exclusive_bar.
 * Left out: accesses to table and pending bits other than of aligned dwords and qwords, which the specification does not
 * define: they read zero and write nothing.
 *
 * A vector is open while MSI-X is enabled, neither the function nor the vector is masked, and the function may master
 * the bus. An interrupt of a vector that is not open becomes pending, and is sent when it opens.
 */
import type { BusDevice, MsiSender, MsiVector, PciCapability, PciMsix, StateValue, Width } from "../bus/interfaces.ts";
import { expectList, expectUnsigned } from "../bus/state.ts";

const MSIX_ID = 0x11;
/** The table's size is 11 bits of Message Control. */
const MAX_VECTORS = 2048;
/** Message Control. */
const ENABLE = 0x8000;
const FUNCTION_MASK = 0x4000;
/** An entry of the table: address low, address high, data, vector control. */
const ENTRY_WORDS = 4;
const ENTRY_BYTES = 16;
const [ADDRESS_LOW, ADDRESS_HIGH, DATA, CONTROL] = [0, 1, 2, 3] as const;
const VECTOR_MASK = 1;
const SMALLEST_BAR = 4096;

export class Msix implements PciMsix {
  /** Bytes of the BAR. */
  readonly size: number;
  readonly capability: PciCapability;
  readonly region: BusDevice;

  readonly #vectors: readonly MsiVector[];
  readonly #table: Uint32Array;
  readonly #pending: Int32Array;
  readonly #open: Uint8Array;
  readonly #pendingAt: number;
  readonly #busMaster: () => boolean;
  #control = 0;

  /** Throws an Error on a number of vectors or a BAR that there cannot be. */
  constructor(name: string, vectors: number, bar: number, sender: MsiSender, busMaster: () => boolean) {
    if (!Number.isInteger(vectors) || vectors < 1 || vectors > MAX_VECTORS || bar < 0 || bar > 5) {
      throw new Error(`${name}: ${vectors} MSI-X vectors in BAR ${bar} are not possible`);
    }
    this.#vectors = Array.from({ length: vectors }, () => sender.vector());
    this.#table = new Uint32Array(vectors * ENTRY_WORDS);
    this.#pending = new Int32Array(2 * Math.ceil(vectors / 64)); // whole qwords
    this.#open = new Uint8Array(vectors);
    this.#busMaster = busMaster;
    this.#pendingAt = Math.max(SMALLEST_BAR / 2, vectors * ENTRY_BYTES);
    this.size = SMALLEST_BAR;
    while (this.size < this.#pendingAt + 4 * this.#pending.length) this.size *= 2;
    const bytes = new Uint8Array(10);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, vectors - 1, true);
    view.setUint32(2, bar, true);
    view.setUint32(6, this.#pendingAt | bar, true);
    this.capability = {
      id: MSIX_ID,
      bytes,
      read: (offset, width) => this.#readCapability(view, offset, width),
      write: (offset, width, value) => this.#writeCapability(offset, width, value),
    };
    this.region = {
      name: `${name}.msix`,
      read: (offset, width) => this.#read(offset, width),
      write: (offset, width, value) => this.#write(offset, width, value),
    };
    this.reset();
  }

  get enabled(): boolean {
    return (this.#control & ENABLE) !== 0;
  }

  /** Without MSI-X Enable there is nothing to send: the function has INTx. */
  notify(vector: number): void {
    if (!this.enabled || vector >= this.#vectors.length) return;
    if (this.#open[vector] !== 0) this.#vectors[vector]!.send();
    else this.#setPending(vector);
  }

  /** Bus Master Enable may have changed. */
  update(): void {
    for (let vector = 0; vector < this.#vectors.length; vector++) this.#updateVector(vector);
  }

  reset(): void {
    this.#control = 0;
    this.update();
    this.#table.fill(0);
    for (let vector = 0; vector < this.#vectors.length; vector++) {
      this.#table[vector * ENTRY_WORDS + CONTROL] = VECTOR_MASK;
    }
    this.#pending.fill(0);
  }

  /** What a vector has not sent yet is pending in what is saved. */
  save(): StateValue {
    const pending = this.#pending.slice();
    for (const [n, vector] of this.#vectors.entries()) {
      if (this.#open[n] === 0 || !vector.withdraw()) continue;
      pending[n >> 5]! |= 1 << (n & 31);
      vector.send();
    }
    return { control: this.#control, table: [...this.#table], pending: Array.from(pending, (word) => word >>> 0) };
  }

  /** Throws an Error on what it cannot take; then nothing changed. */
  load(state: StateValue | undefined): void {
    const { control, table, pending } = (state ?? {}) as Readonly<Record<string, StateValue>>;
    const name = this.region.name;
    const newControl = expectUnsigned(name, "control", control, 0xffff);
    const newTable = expectList(name, "table", table, this.#table.length, 0xffff_ffff);
    const newPending = expectList(name, "pending bits", pending, this.#pending.length, 0xffff_ffff);
    if (newTable.length !== this.#table.length || newPending.length !== this.#pending.length) {
      throw new Error(`${name}: the saved function has another number of vectors`);
    }
    this.reset();
    this.#table.set(newTable);
    this.#pending.set(newPending);
    this.#control = newControl & (ENABLE | FUNCTION_MASK);
    this.update();
  }

  #readCapability(view: DataView, offset: number, width: Width): number {
    const at = offset - 2;
    let value = 0;
    for (let i = 0; i < width; i++) value |= view.getUint8(at + i) << (8 * i);
    return (offset <= 3 && offset + width > 3 ? value | ((this.#control >>> 8) << (8 * (3 - offset))) : value) >>> 0;
  }

  /** Only the upper byte of Message Control has bits to write. */
  #writeCapability(offset: number, width: Width, value: number): void {
    if (offset > 3 || offset + width <= 3) return;
    this.#control = ((value >>> (8 * (3 - offset))) << 8) & (ENABLE | FUNCTION_MASK);
    this.update();
  }

  #read(offset: number, width: Width): number {
    if (width !== 4 || (offset & 3) !== 0) return 0;
    const word = offset >> 2;
    if (word < this.#table.length) return this.#table[word]!;
    const pending = (offset - this.#pendingAt) >> 2;
    if (pending < 0 || pending >= this.#pending.length) return 0;
    return this.#pending[pending]! >>> 0;
  }

  #write(offset: number, width: Width, value: number): void {
    const word = offset >> 2;
    if (width !== 4 || (offset & 3) !== 0 || word >= this.#table.length) return; // pending bits are read-only
    const field = word % ENTRY_WORDS;
    this.#table[word] = field === CONTROL ? value & VECTOR_MASK : field === ADDRESS_LOW ? value & ~3 : value;
    this.#updateVector((word - field) / ENTRY_WORDS, field !== CONTROL);
  }

  /** Brings a vector in line with masks and table: takes back or sends. */
  #updateVector(vector: number, moved = false): void {
    const row = vector * ENTRY_WORDS;
    const table = this.#table;
    const masked = (this.#control & FUNCTION_MASK) !== 0 || (table[row + CONTROL]! & VECTOR_MASK) !== 0;
    const open = this.enabled && !masked && this.#busMaster();
    const sender = this.#vectors[vector]!;
    if (!open) {
      if (this.#open[vector] !== 0 && sender.withdraw()) this.#setPending(vector);
      this.#open[vector] = 0;
      return;
    }
    if (this.#open[vector] !== 0 && !moved) return;
    this.#open[vector] = 1;
    sender.set(table[row + ADDRESS_LOW]!, table[row + ADDRESS_HIGH]!, table[row + DATA]!);
    const bit = 1 << (vector & 31);
    if ((this.#pending[vector >> 5]! & bit) === 0) return;
    this.#pending[vector >> 5]! &= ~bit;
    sender.send();
  }

  #setPending(vector: number): void {
    this.#pending[vector >> 5]! |= 1 << (vector & 31);
  }
}
