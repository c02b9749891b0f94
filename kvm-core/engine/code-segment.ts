/**
 * The code segment that records found by RIP belong to: base, limit and mode say what an RIP leads to, and how far it may go.
 * Document: SDM volume 3, 3.4.5 (base, limit, D and L of a code segment).
 * Left out: its other attributes, which what loads CS looks at (far/).
 */

import { CPU, SEG } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";

export class CodeSegment {
  readonly #state: VcpuState;
  #base = 0;
  #limit = 0;
  /** None: no record has been looked for. */
  #mode = -1;

  constructor(state: VcpuState) {
    this.#state = state;
  }

  /** Is it another one than at the last call, whoever changed it? */
  changed(): boolean {
    const state = this.#state;
    const base = state.get(CPU.segBase + SEG.cs * 8);
    const limit = state.get(CPU.limit + SEG.cs * 4);
    const mode = state.get(CPU.mode);
    if (base === this.#base && limit === this.#limit && mode === this.#mode) return false;
    this.#base = base;
    this.#limit = limit;
    this.#mode = mode;
    return true;
  }
}
