/**
 * The features that a vCPU's CPUID denies, as the decoder looks at them.
 * Document: SDM volume 2A, CPUID.
 * Left out: which there are, and why: cpu/features.ts.
 */

import { DENIED_WORDS } from "../cpu/state.ts";
import type { Row } from "./opcode-map.ts";

export class Denied {
  readonly #words = new Uint32Array(DENIED_WORDS);
  /** Is one denied at all? Most vCPUs have everything. */
  any = false;

  /** Takes over CPU.denied, in the u32 words from `at` on. True if it is another one than before. */
  take(words: Uint32Array, at: number): boolean {
    let changed = false;
    for (let i = 0; i < DENIED_WORDS; i++) {
      if (this.#words[i] === words[at + i]) continue;
      this.#words[i] = words[at + i]!;
      changed = true;
    }
    if (changed) this.any = this.#words.some((word) => word !== 0);
    return changed;
  }

  /** `wide`: with an operand size of 64. */
  has({ gates }: Row, wide: boolean): boolean {
    const gate = gates[wide ? 1 : 0];
    return gate !== undefined && (this.#words[gate.word]! & gate.mask) !== 0;
  }
}
