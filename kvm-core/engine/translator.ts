/**
 * The translator: hot blocks -> WebAssembly modules, their functions in a table, and the eviction of both.
 * Document: architecture.md sections 5 and 11 (what a module costs, why whole modules are evicted).
 * Left out: a thread of its own: modules are compiled where the vCPU runs, which waits for them.
 *
 * The table has two halves. New functions go into one of them; when that is full the other one is emptied and filled next,
 * so what was translated last stays. An emptied slot is all that held its function: V8 frees the code of a module when none
 * of its functions is in the table or running.
 */

import { MEMORY_PAGES } from "../cpu/zones.ts";
import { BLOCK_TYPE } from "../emit/boundary.ts";
import { MICRO, RECORD } from "../emit/record.ts";
import { ModuleBuilder } from "../wasm/module.ts";
import { BlockReader, ModuleImports } from "./block-translation.ts";
import { opcodeMap } from "./interpreter.ts";

/** How blocks are translated; DEFAULT_TRANSLATION says what a vCPU gets. */
export interface TranslationOptions {
  /** Entries after which a block is hot. */
  readonly threshold: number;
  /** Hot blocks that make one module; fewer if one of them has become hot again meanwhile. */
  readonly batch: number;
  /** Slots of the table: translated blocks at a time. */
  readonly slots: number;
  /** Keep loads of one address apart (AccessStage). Right for every guest; off only to show what it is for. */
  readonly ordered: boolean;
}

export const DEFAULT_TRANSLATION: TranslationOptions = {
  // Most blocks of a boot are entered so seldom that translating them costs more than it saves (make bench ONLY=boot/).
  threshold: 4096,
  batch: 16,
  slots: 16384,
  ordered: true,
};

/** Modules in a half of the table: at least 14 KiB each. */
const MAX_MODULES = 1024;

/** A half of the table. */
interface Half {
  readonly first: number;
  /** Entry records of its blocks, in the order of their slots. */
  readonly entries: number[];
  modules: number;
}

export class Translator {
  readonly #u32: Uint32Array;
  readonly #environment: Readonly<Record<string, unknown>>;
  readonly #table: WebAssembly.Table;
  readonly #options: TranslationOptions;
  readonly #reader: BlockReader;
  #filling: Half;
  #full: Half;
  /** Hot blocks that wait for company. */
  #queue: number[] = [];
  /** Blocks translated so far. */
  translations = 0;

  constructor(
    u32: Uint32Array,
    environment: Readonly<Record<string, unknown>>,
    table: WebAssembly.Table,
    options: TranslationOptions,
  ) {
    this.#u32 = u32;
    this.#environment = environment;
    this.#table = table;
    this.#options = options;
    this.#reader = new BlockReader(u32, opcodeMap().cases);
    if (options.batch * 2 > options.slots) throw new Error("a half of the table must have room for a batch");
    this.#filling = { first: 0, entries: [], modules: 0 };
    this.#full = { first: options.slots >>> 1, entries: [], modules: 0 };
  }

  /** The block at `entry` is hot: translates it now, or later together with others. Returns the record to go on with. */
  hot(entry: number): number {
    if (!this.#reader.begins(entry)) {
      this.#arm(entry, 0); // asks again in four billion entries
      return entry + RECORD.size;
    }
    const waited = this.#queue.includes(entry);
    if (!waited) this.#queue.push(entry);
    this.#arm(entry, this.#options.threshold);
    if (waited || this.#queue.length === this.#options.batch) this.#translate();
    return this.#reader.caseOf(entry) === MICRO.translated ? entry : entry + RECORD.size;
  }

  /** Forgets all translations; their blocks count again. */
  evict(): void {
    for (const half of [this.#filling, this.#full]) this.#empty(half);
  }

  /** All records are about to go. */
  forget(): void {
    this.#queue = [];
    this.evict();
  }

  #translate(): void {
    // What became stale while it waited decodes again anyway.
    const entries = this.#queue.filter((entry) => this.#reader.caseOf(entry) === MICRO.entry);
    this.#queue = [];
    if (entries.length === 0) return;
    const half = this.#room(entries.length);
    const slot = half.first + half.entries.length;
    const module = new WebAssembly.Module(this.#module(entries, slot));
    new WebAssembly.Instance(module, { e: this.#environment }); // puts its functions into the table
    half.modules++;
    for (const entry of entries) {
      this.#setCase(entry, MICRO.translated);
      this.#u32[(entry + RECORD.imm) >>> 2] = half.first + half.entries.length;
      half.entries.push(entry);
    }
    this.translations += entries.length;
  }

  #module(entries: readonly number[], slot: number): Uint8Array {
    const module = new ModuleBuilder();
    module.importMemory("e", "memory", MEMORY_PAGES);
    module.importTable("e", "functions", this.#options.slots);
    module.fillTable(slot);
    const imports = new ModuleImports(module);
    for (const entry of entries) {
      this.#reader.translate(entry, module.define("", BLOCK_TYPE), imports, this.#options.ordered);
    }
    return module.encode();
  }

  #room(count: number): Half {
    const half = this.#filling;
    if (half.entries.length + count <= this.#options.slots >>> 1 && half.modules < MAX_MODULES) return half;
    this.#empty(this.#full);
    this.#filling = this.#full;
    this.#full = half;
    return this.#filling;
  }

  #empty(half: Half): void {
    half.entries.forEach((entry, i) => {
      const slot = half.first + i;
      this.#table.set(slot, null);
      // The record may be stale by now, or another block's.
      const { imm } = RECORD;
      if (this.#reader.caseOf(entry) !== MICRO.translated || this.#u32[(entry + imm) >>> 2] !== slot) return;
      this.#setCase(entry, MICRO.entry);
      this.#arm(entry, this.#options.threshold);
    });
    half.entries.length = 0;
    half.modules = 0;
  }

  #arm(entry: number, count: number): void {
    this.#u32[(entry + RECORD.disp) >>> 2] = count;
  }

  #setCase(entry: number, number: number): void {
    const at = entry >>> 2;
    this.#u32[at] = (this.#u32[at]! & 0xffff_0000) | number;
  }
}
