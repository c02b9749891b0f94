/**
 * A fault that a step of the processor came to: what the units of delivery and transfer say instead of throwing.
 * Document: SDM volume 3, 6.3 (vectors) and 6.13 (error codes).
 * Left out: delivering it: exception.ts.
 */

export const VECTOR = {
  DE: 0,
  DB: 1,
  BP: 3,
  OF: 4,
  UD: 6,
  NM: 7,
  DF: 8,
  TS: 10,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  MF: 16,
  AC: 17,
  XM: 19,
} as const;

/** A selector as an error code carries it: without RPL, whose bits mean EXT and IDT there. */
export const SELECTOR_INDEX = 0xfffc;

/** Filled by whoever returns false. All units of a processor share one. */
export class Fault {
  vector = 0;
  code = 0;
  /** A task switch has been made: the fault is the new task's, at CPU.rip. */
  committed = false;

  raise(vector: number, code: number): false {
    this.vector = vector;
    this.code = code;
    this.committed = false;
    return false;
  }

  /** The fault of an access to memory. */
  from(memory: { readonly faultVector: number; readonly faultCode: number }): false {
    return this.raise(memory.faultVector, memory.faultCode);
  }
}
