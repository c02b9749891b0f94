/**
 * Engine `wasm`: `patch`, whose hot blocks are translated to WebAssembly through the same instruction descriptions.
 * Document: architecture.md section 5 (binary translation).
 * Left out: units larger than a straight line of records; a translator thread.
 *
 * Each block begins with an entry record that counts. A translated block goes back to the interpreter in the record of any
 * instruction, so records are made and kept as ever, and what invalidates them invalidates translations: the entry record
 * of a stale block is stale like all its others. A translation looks at it after each store that went the slow way and
 * after each helper.
 */

import { HEAD, RECORD } from "../emit/record.ts";
import type { EngineHost, EngineOptions } from "./host.ts";
import { PatchEngine } from "./patch.ts";
import { DEFAULT_TRANSLATION, Translator } from "./translator.ts";

export class WasmEngine extends PatchEngine {
  /** Loops must come by an entry record. */
  protected override readonly entersBlocks = false;
  readonly #translator: Translator;
  readonly #threshold: number;
  /** State of the random numbers that disturb; 0: none. */
  #random: number;

  constructor(
    module: WebAssembly.Module,
    memory: WebAssembly.Memory,
    zone: number,
    host: EngineHost,
    options: EngineOptions,
  ) {
    const translation = options.translation ?? DEFAULT_TRANSLATION;
    super(module, memory, zone, host, options, translation.slots);
    this.#translator = new Translator(this.state.u32, this.environment, this.table, translation);
    this.#threshold = translation.threshold;
    this.#random = translation.disturbance;
  }

  /** Blocks translated so far, those that were forgotten again included. */
  get translations(): number {
    return this.#translator.translations;
  }

  protected override openBlock(first: number): number {
    return this.recorder.entry(first, this.#threshold);
  }

  protected override hot(ip: number): number {
    if (this.#random !== 0) {
      this.sync(ip);
      if (this.#disturb()) return this.enter();
    }
    return this.#translator.hot(ip);
  }

  protected override lookup(): number {
    if (this.#random !== 0) this.#disturb();
    return super.lookup();
  }

  protected override flushBlocks(): void {
    this.#translator.forget();
    super.flushBlocks();
  }

  /** Forgets something, or nothing; true if records may be gone or stale. */
  #disturb(): boolean {
    let r = this.#random;
    r ^= r << 13;
    r ^= r >>> 17;
    r ^= r << 5;
    this.#random = r;
    switch (r & 15) {
      case 0:
        this.flushBlocks();
        return true;
      case 1:
      case 2:
      case 3: {
        const entry = this.#translator.some(r >>> 4);
        if (entry === 0) return false;
        const gpa = this.state.u32[(entry - RECORD.size + HEAD.gpa) >>> 2]!;
        this.codeWritten(gpa, 1);
        return true;
      }
      case 4:
      case 5:
        this.#translator.evict();
        return false;
      default:
        return false;
    }
  }
}
