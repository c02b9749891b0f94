/**
 * The task-state segment as privilege changes and port I/O use it: stacks of inner levels, IST, I/O permission bitmap.
 * Document: SDM volume 3, 7.2.1, 7.6 and 7.7 (16-, 32- and 64-bit TSS); volume 1, 19.5.2 (I/O permission bitmap);
 * volume 3, 20.3.3 (software interrupt redirection bitmap).
 * Left out: task switches: engine/far/task-switch.ts.
 */

import { sumHigh } from "./address.ts";
import { EFER } from "./control.ts";
import { type Descriptor, type DescriptorTables, SYSTEM_TYPE } from "./descriptor.ts";
import { type Fault, SELECTOR_INDEX, VECTOR } from "./fault.ts";
import { ATTRIBUTE } from "./segment.ts";
import { CPU, SEG } from "./state.ts";
import type { SystemMemory } from "./system-memory.ts";
import type { VcpuState } from "./vcpu-state.ts";

/** What leads to another task. A call and an event nest: the new task has a link, and NT set. */
export type Why = "jump" | "call" | "event" | "return";
/** No error code. */
export const NO_CODE = -1;

/** What gates and transfers ask for: engine/far/task-switch.ts. */
export interface TaskSwitcher {
  /** False: see the Fault, whose `committed` says in which task it is. */
  switchTo(selector: number, why: Why, ext: number, code: number, restarts: boolean): boolean;
}

/** Where the TSS of 32 and 64 bits holds the offset of its I/O permission bitmap. */
const IO_MAP_BASE = 102;

export class TaskState {
  readonly #state: VcpuState;
  readonly #memory: SystemMemory;
  readonly #fault: Fault;
  readonly #tables: DescriptorTables;
  /** The stack pointer that innerStack() or wideStack() found. */
  spLo = 0;
  spHi = 0;

  constructor(state: VcpuState, memory: SystemMemory, fault: Fault, tables: DescriptorTables) {
    this.#state = state;
    this.#memory = memory;
    this.#fault = fault;
    this.#tables = tables;
  }

  get #type(): number {
    return this.#state.get(CPU.attributes + SEG.tr * 4) & ATTRIBUTE.type;
  }
  get #limit(): number {
    return this.#state.get(CPU.limit + SEG.tr * 4);
  }

  /** Reads `size` bytes at `offset`, which the caller has compared with the limit. */
  #read(offset: number, size: number): boolean {
    const state = this.#state;
    const base = state.get(CPU.trBase);
    const hi = state.get(CPU.efer) & EFER.LMA ? sumHigh(base, state.high(CPU.trBase), offset) : 0;
    return this.#memory.read((base + offset) >>> 0, hi, size) || this.#fault.from(this.#memory);
  }

  #tooShort(ext: number): false {
    return this.#fault.raise(VECTOR.TS, (this.#state.get(CPU.selector + SEG.tr * 4) & SELECTOR_INDEX) + ext);
  }

  /** Outside IA-32e mode: the stack for privilege level 0 to 2. Its segment, which has passed all checks, goes into `segment`. */
  innerStack(level: number, segment: Descriptor, ext: number): boolean {
    const fault = this.#fault;
    const type = this.#type;
    const word = type === SYSTEM_TYPE.tss16 || type === SYSTEM_TYPE.busyTss16;
    // Pairs of stack pointer and SS: words from 2, or doublewords from 4.
    const at = word ? level * 4 + 2 : level * 8 + 4;
    if (at + (word ? 3 : 5) > this.#limit) return this.#tooShort(ext);
    if (!this.#read(at, word ? 2 : 4)) return false;
    this.spLo = this.#memory.value;
    this.spHi = 0;
    if (!this.#read(at + (word ? 2 : 4), 2)) return false;
    const selector = this.#memory.value;
    if ((selector & SELECTOR_INDEX) === 0) return fault.raise(VECTOR.TS, ext);
    const code = (selector & SELECTOR_INDEX) + ext;
    if (!this.#tables.read(segment, selector, VECTOR.TS, ext)) return false;
    if (segment.rpl !== level || segment.dpl !== level || !segment.writable) return fault.raise(VECTOR.TS, code);
    return segment.present || fault.raise(VECTOR.SS, code);
  }

  /** IA-32e mode: RSP for privilege level 0 to 2, or of interrupt stack 1 to 7. */
  wideStack(level: number, ist: number, ext: number): boolean {
    const at = ist === 0 ? level * 8 + 4 : ist * 8 + 28;
    if (at + 7 > this.#limit) return this.#tooShort(ext);
    if (!this.#read(at, 8)) return false;
    this.spLo = this.#memory.value;
    this.spHi = this.#memory.valueHigh;
    return true;
  }

  /** CR4.VME: 1 if INT n of virtual-8086 code stays there, 0 if it does not, -1 after a fault. */
  redirects(vector: number): 1 | 0 | -1 {
    const fault = this.#fault;
    const type = this.#type;
    const isTss = type === SYSTEM_TYPE.tss32 || type === SYSTEM_TYPE.busyTss32;
    if (!isTss || IO_MAP_BASE + 1 > this.#limit) {
      fault.raise(VECTOR.GP, 0);
      return -1;
    }
    if (!this.#read(IO_MAP_BASE, 2)) return -1;
    // The 32 bytes in front of the I/O permission bitmap.
    const at = this.#memory.value - 32 + (vector >>> 3);
    if (at < 0 || at > this.#limit) {
      fault.raise(VECTOR.GP, 0);
      return -1;
    }
    if (!this.#read(at, 1)) return -1;
    return (this.#memory.value >>> (vector & 7)) & 1 ? 0 : 1;
  }

  /** Does the bitmap allow `size` ports from `port`? Else #GP(0). */
  allowsPort(port: number, size: number): boolean {
    const fault = this.#fault;
    const type = this.#type;
    const isTss = type === SYSTEM_TYPE.tss32 || type === SYSTEM_TYPE.busyTss32;
    if (!isTss || IO_MAP_BASE + 1 > this.#limit) return fault.raise(VECTOR.GP, 0);
    if (!this.#read(IO_MAP_BASE, 2)) return false;
    const at = this.#memory.value + (port >>> 3);
    // Two bytes are read whatever the ports are, so that the bitmap ends with a byte of ones.
    if (at + 1 > this.#limit) return fault.raise(VECTOR.GP, 0);
    if (!this.#read(at, 2)) return false;
    const mask = ((1 << size) - 1) << (port & 7);
    return (this.#memory.value & mask) === 0 || fault.raise(VECTOR.GP, 0);
  }
}
