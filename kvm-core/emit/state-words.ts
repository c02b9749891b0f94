/**
 * Words of the vCPU's state in locals of a translated function: registers, flag words, bases.
 * Document: architecture.md section 5 (guest registers and flags live in wasm locals).
 * Left out: sub-registers, which are arithmetic on a word (translate-stage.ts).
 *
 * A word is loaded where its segment begins, if somebody reads it there, and written back by spill() if it was changed. A
 * segment ends where a call may change the state. Loads stand at the segment's beginning so that they also cover words that
 * are first needed inside a branch; which words those are turns out only later, so they are inserted there.
 */

import type { Code } from "../wasm/code.ts";
import { type Expr, i64 } from "../wasm/expr.ts";

export class StateWords {
  readonly #code: Code;
  readonly #cpu: Expr;
  /** By offset in the state. */
  readonly #locals = new Map<number, Expr>();
  /** Words whose local is right. */
  readonly #held = new Set<number>();
  /** Those of them that the segment has to load. */
  readonly #loads = new Set<number>();
  /** Those that may differ from the state. */
  readonly #dirty = new Set<number>();
  /** Words that the instruction has read or written so far: its expressions may name their locals. */
  readonly #touched = new Set<number>();
  #start: number;
  #depth = 0;
  /** A call in a branch may have changed the state: until the next instruction other words are accessed in place. */
  #inPlace = false;

  constructor(code: Code, cpu: Expr) {
    this.#code = code;
    this.#cpu = cpu;
    this.#start = code.position;
  }

  /** An instruction begins. */
  begin(): void {
    this.#touched.clear();
    if (!this.#inPlace) return;
    this.spill();
    this.#newSegment();
  }

  /** The function ends. */
  end(): void {
    this.#newSegment();
  }

  /** What `inside` makes may run never, or more than once. */
  nested(inside: () => void): void {
    this.#depth++;
    inside();
    this.#depth--;
  }

  read(offset: number): Expr {
    this.#touched.add(offset);
    if (!this.#held.has(offset)) {
      if (this.#inPlace) return i64.load(this.#cpu, offset);
      this.#held.add(offset);
      this.#loads.add(offset);
    }
    return this.#local(offset);
  }

  write(offset: number, value: Expr): void {
    this.#touched.add(offset);
    if (!this.#held.has(offset)) {
      if (this.#inPlace) {
        this.#code.store("i64", this.#cpu, value, offset);
        return;
      }
      this.#held.add(offset);
      if (this.#depth > 0) this.#loads.add(offset);
    }
    this.#code.set(this.#local(offset), value);
    this.#dirty.add(offset);
  }

  /** Makes the state right: before every call that may look at it, and at every exit. */
  spill(): void {
    for (const offset of this.#dirty) this.#code.store("i64", this.#cpu, this.#local(offset), offset);
    if (this.#depth === 0) this.#dirty.clear();
  }

  /** A call after spill() may have changed the state. */
  clobbered(): void {
    if (this.#depth === 0) {
      this.#newSegment();
      for (const offset of this.#touched) this.read(offset);
      return;
    }
    for (const offset of this.#held) this.#code.set(this.#local(offset), i64.load(this.#cpu, offset));
    this.#inPlace = true;
  }

  #newSegment(): void {
    this.#code.insert(this.#start, () => {
      for (const offset of this.#loads) this.#code.set(this.#local(offset), i64.load(this.#cpu, offset));
    });
    this.#start = this.#code.position;
    this.#held.clear();
    this.#loads.clear();
    this.#inPlace = false;
  }

  #local(offset: number): Expr {
    let found = this.#locals.get(offset);
    if (found === undefined) {
      found = this.#code.fixed("i64");
      this.#locals.set(offset, found);
    }
    return found;
  }
}
