/**
 * Wired-OR of level interrupts: several sources, one GSI.
 * Follows: PCI 3.0 section 2.2.6 (INTx# lines are open drain and may be shared).
 * Left out: edge-triggered sources, which cannot share a line.
 */
import type { IrqLine } from "./interfaces.ts";

export class SharedIrq {
  readonly #line: IrqLine;
  #asserted = 0;

  constructor(line: IrqLine) {
    this.#line = line;
  }

  /** A new source. The line is asserted while any source is. */
  source(): IrqLine {
    let own = false;
    return {
      set: (level) => {
        if (level === own) return;
        own = level;
        const before = this.#asserted;
        this.#asserted += level ? 1 : -1;
        if ((before === 0) !== (this.#asserted === 0)) this.#line.set(level);
      },
    };
  }
}
