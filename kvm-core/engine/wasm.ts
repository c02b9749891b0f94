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

import type { EngineHost, EngineOptions } from "./host.ts";
import { PatchEngine } from "./patch.ts";
import { DEFAULT_TRANSLATION, Translator } from "./translator.ts";

export class WasmEngine extends PatchEngine {
  /** Loops must come by an entry record. */
  protected override readonly entersBlocks = false;
  readonly #translator: Translator;
  readonly #threshold: number;

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
  }

  /** Blocks translated so far, those that were forgotten again included. */
  get translations(): number {
    return this.#translator.translations;
  }

  protected override openBlock(first: number): number {
    return this.recorder.entry(first, this.#threshold);
  }

  protected override hot(ip: number): number {
    if (this.disturbed) {
      this.sync(ip);
      if (this.disturb()) return this.enter();
    }
    return this.#translator.hot(ip);
  }

  protected override flushBlocks(): void {
    this.#translator.forget();
    super.flushBlocks();
  }

  protected override disturb(): boolean {
    if (this.random() % 8 === 0) this.#translator.evict();
    return super.disturb();
  }
}
