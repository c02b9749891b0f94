/**
 * What delivery and transfers need of guest memory: accesses that the processor makes for itself.
 * Document: SDM volume 3, 4.6.1 (implicit supervisor accesses).
 * Left out: how they are made: engine/system-access.ts.
 */

export interface SystemMemory {
  /** `size` bytes (1, 2, 4 or 8) at a linear address into `value` and `valueHigh`; false on a fault. */
  read(lo: number, hi: number, size: number, access?: number): boolean;
  readonly value: number;
  readonly valueHigh: number;
  write(lo: number, hi: number, size: number, value: number, valueHigh: number, access?: number): boolean;
  /** May `size` bytes (up to a page) be written? False on a fault; nothing is written. */
  writable(lo: number, hi: number, size: number, access: number): boolean;
  /** Sets bits of a byte, as one access of the memory bus. */
  setBits(lo: number, hi: number, bits: number): boolean;
  clearBits(lo: number, hi: number, bits: number): boolean;
  /** The `access` of an access on behalf of a privilege level; without one it is an implicit supervisor access. */
  accessAt(cpl: number): number;
  readonly faultVector: number;
  readonly faultCode: number;
}
