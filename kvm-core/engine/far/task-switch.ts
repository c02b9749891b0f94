/**
 * Task switches: the state of one task goes into its TSS, that of another comes out of its own.
 * Document: SDM volume 3, 7.2 (TSS), 7.3 (steps, table 7-1: exceptions), 7.4 (links); volume 2, JMP CALL IRET INT n.
 * Left out: who leads here: far-transfer.ts, far-return.ts, cpu/interrupt-gate.ts. IA-32e mode has no task switches.
 *
 * Up to the commit everything is checked before it is written, and a fault leaves the old task as it was. Behind it a fault
 * is the new task's (Fault.committed): its selectors are in force, descriptors that were not reached are unusable.
 * A TSS of 16 bits leaves the upper halves of the registers zero, and FS and GS null.
 */

import { CR0, updateMode } from "../../cpu/control.ts";
import { ACCESSED, BUSY, Descriptor, type DescriptorTables, SYSTEM_TYPE } from "../../cpu/descriptor.ts";
import { type Fault, SELECTOR_INDEX, VECTOR } from "../../cpu/fault.ts";
import { RFLAGS, readFlags, writeFlags } from "../../cpu/flags.ts";
import { ATTRIBUTE } from "../../cpu/segment.ts";
import { setNullSegment, setSegment, setVirtualSegment } from "../../cpu/segment-register.ts";
import { PushFrame } from "../../cpu/stack-frame.ts";
import { CPU, SEG } from "../../cpu/state.ts";
import type { SystemMemory } from "../../cpu/system-memory.ts";
import { NO_CODE, type TaskSwitcher, type Why } from "../../cpu/task-state.ts";
import type { VcpuState } from "../../cpu/vcpu-state.ts";
import { DR6 } from "../debug.ts";

/** Offsets in a TSS. Registers and segments are in the order of their numbers. */
interface Layout {
  readonly size: 2 | 4;
  /** The limit that a TSS must have, and the last byte that a save writes. */
  readonly limit: number;
  readonly saved: number;
  readonly ip: number;
  readonly flags: number;
  readonly registers: number;
  readonly segments: number;
  readonly segmentCount: number;
  readonly ldt: number;
}
const TSS16: Layout = {
  size: 2,
  limit: 0x2b,
  saved: 0x29,
  ip: 0x0e,
  flags: 0x10,
  registers: 0x12,
  segments: 0x22,
  segmentCount: 4,
  ldt: 0x2a,
};
const TSS32: Layout = {
  size: 4,
  limit: 0x67,
  saved: 0x5f,
  ip: 0x20,
  flags: 0x24,
  registers: 0x28,
  segments: 0x48,
  segmentCount: 6,
  ldt: 0x60,
};
const CR3 = 0x1c;
/** Bit 0 of this word: #DB when the task begins. */
const TRAP = 0x64;
const REGISTERS = 8;
/** DR7's local enable bits, which a task switch clears. */
const LOCAL_ENABLES = 0x155;

const layoutOf = (type: number): Layout =>
  type === SYSTEM_TYPE.tss16 || type === SYSTEM_TYPE.busyTss16 ? TSS16 : TSS32;

/** What a task switch asks of the machine. */
export interface TaskHost {
  /** MOV CR3 without a TSS: false if its PDPTEs are wrong. */
  loadCr3(value: number): boolean;
  /** May data breakpoints give up what meets them? Returns what was in force. */
  note(on: boolean): boolean;
  /** Another task is in force. */
  switched(): void;
}

export class TaskSwitch implements TaskSwitcher {
  readonly #state: VcpuState;
  readonly #memory: SystemMemory;
  readonly #fault: Fault;
  readonly #tables: DescriptorTables;
  readonly #host: TaskHost;
  readonly #tss = new Descriptor();
  readonly #old = new Descriptor();
  readonly #segment = new Descriptor();
  readonly #frame: PushFrame;
  #ext = 0;
  /** The new task's TSS has its T bit set: #DB before its first instruction. */
  #trapDue = false;

  constructor(state: VcpuState, memory: SystemMemory, fault: Fault, tables: DescriptorTables, host: TaskHost) {
    this.#state = state;
    this.#memory = memory;
    this.#fault = fault;
    this.#tables = tables;
    this.#host = host;
    this.#frame = new PushFrame(state, memory, fault);
  }

  /** Bits of DR6 for a task that has begun with its T bit set. */
  takeTrap(): number {
    const bits = this.#trapDue ? DR6.BT : 0;
    this.#trapDue = false;
    return bits;
  }

  /** IRET with NT set: to the task that the current TSS's link names. */
  goBack(): boolean {
    const { trBase } = this.#current;
    if (!this.#memory.read(trBase, 0, 2)) return this.#fault.from(this.#memory);
    return this.switchTo(this.#memory.value, "return", 0, NO_CODE, false);
  }

  /**
   * CPU.rip is where the old task will go on. `code`: error code to push on the new stack, or NO_CODE; `restarts`: RF is set
   * in the image of the old task's flags.
   */
  switchTo(selector: number, why: Why, ext: number, code: number, restarts: boolean): boolean {
    this.#ext = ext;
    if (!this.#check(selector, why)) return false;
    const type = this.#tss.type;
    const noting = this.#host.note(true);
    const done = this.#finish(why, restarts, type, code);
    this.#host.note(noting);
    return done;
  }

  #finish(why: Why, restarts: boolean, type: number, code: number): boolean {
    if (!this.#leave(why, restarts)) return false;
    if (this.#enter(why) && this.#arrive(layoutOf(type), code)) return true;
    this.#fault.committed = true;
    return false;
  }

  get #current(): { readonly trBase: number; readonly layout: Layout } {
    const state = this.#state;
    const type = state.get(CPU.attributes + SEG.tr * 4) & ATTRIBUTE.type;
    return { trBase: state.get(CPU.trBase), layout: layoutOf(type) };
  }

  #check(selector: number, why: Why): boolean {
    const fault = this.#fault;
    const d = this.#tss;
    const ext = this.#ext;
    const code = (selector & SELECTOR_INDEX) + ext;
    const wrong = why === "return" ? VECTOR.TS : VECTOR.GP;
    if (selector & 4 || (selector & SELECTOR_INDEX) === 0) return fault.raise(wrong, code);
    if (!this.#tables.read(d, selector, wrong, ext)) return false;
    const isBusy = d.type === SYSTEM_TYPE.busyTss16 || d.type === SYSTEM_TYPE.busyTss32;
    const isFree = d.type === SYSTEM_TYPE.tss16 || d.type === SYSTEM_TYPE.tss32;
    if (d.isSegment || !(why === "return" ? isBusy : isFree)) return fault.raise(wrong, code);
    if (!d.present) return fault.raise(VECTOR.NP, code);
    const layout = layoutOf(d.type);
    if (d.limit < layout.limit) return fault.raise(VECTOR.TS, code);
    return this.#checkMemory(layout, why);
  }

  /** Both TSSs must be there, and the old one long enough for what is saved. */
  #checkMemory(layout: Layout, why: Why): boolean {
    const fault = this.#fault;
    const memory = this.#memory;
    const state = this.#state;
    const { trBase, layout: old } = this.#current;
    if (state.get(CPU.limit + SEG.tr * 4) < old.saved) {
      return fault.raise(VECTOR.TS, (state.get(CPU.selector + SEG.tr * 4) & SELECTOR_INDEX) + this.#ext);
    }
    const { base } = this.#tss;
    // Behind the commit nothing may fail that is not the new task's: all of it is touched here.
    for (let at = 0; at < layout.limit; at += 4) {
      if (!memory.read((base + at) >>> 0, 0, 4)) return fault.from(memory);
    }
    if (!memory.writable((trBase + old.ip) >>> 0, 0, old.saved + 1 - old.ip, 0)) return fault.from(memory);
    const links = why === "call" || why === "event";
    return !links || memory.writable(base, 0, 2, 0) || fault.from(memory);
  }

  /** Busy bits, the old task's state, the link. False: nothing but a busy bit has changed. */
  #leave(why: Why, restarts: boolean): boolean {
    const state = this.#state;
    const old = this.#old;
    const oldSelector = state.get(CPU.selector + SEG.tr * 4);
    if (why !== "return" && !this.#tables.mark(this.#tss, BUSY)) return false;
    // A TR that came from outside may name no descriptor.
    if ((why === "jump" || why === "return") && this.#tables.holds(oldSelector)) {
      if (!this.#tables.read(old, oldSelector) || !this.#tables.clearBusy(old)) return false;
    }
    let flags = readFlags(state.u32, state.zone);
    if (restarts) flags |= RFLAGS.RF;
    if (why === "return") flags &= ~RFLAGS.NT;
    const { trBase, layout } = this.#current;
    const { size } = layout;
    const put = (at: number, value: number, bytes: number): void => {
      this.#memory.write((trBase + at) >>> 0, 0, bytes, bytes === 2 ? value & 0xffff : value >>> 0, 0);
    };
    put(layout.ip, state.get(CPU.rip), size);
    put(layout.flags, flags, size);
    for (let i = 0; i < REGISTERS; i++) put(layout.registers + i * size, state.gpr(i), size);
    for (let i = 0; i < layout.segmentCount; i++) {
      put(layout.segments + i * size, state.get(CPU.selector + i * 4), 2);
    }
    if (why === "call" || why === "event") this.#memory.write(this.#tss.base, 0, 2, oldSelector, 0);
    return true;
  }

  /** TR, CR3, registers and selectors: behind this the new task is in force. */
  #enter(why: Why): boolean {
    const state = this.#state;
    const tss = this.#tss;
    const layout = layoutOf(tss.type);
    const { size } = layout;
    state.set(CPU.selector + SEG.tr * 4, tss.selector);
    state.set(CPU.attributes + SEG.tr * 4, tss.attributes);
    state.set(CPU.limit + SEG.tr * 4, tss.limit);
    state.set64(CPU.trBase, tss.base, 0);
    state.set(CPU.cr0, state.get(CPU.cr0) | CR0.TS);
    state.set(CPU.dr + 7 * 8, state.get(CPU.dr + 7 * 8) & ~LOCAL_ENABLES);
    state.set(CPU.shadow, 0);
    const at = (offset: number, bytes: number): number => {
      this.#memory.read((tss.base + offset) >>> 0, 0, bytes);
      return this.#memory.value;
    };
    let flags = at(layout.flags, size);
    if (why === "call" || why === "event") flags |= RFLAGS.NT;
    const cr3 = size === 4 ? at(CR3, 4) : 0;
    state.set64(CPU.rip, at(layout.ip, size), 0);
    for (let i = 0; i < REGISTERS; i++) state.setGpr(i, at(layout.registers + i * size, size));
    const selectors = [0, 0, 0, 0, 0, 0];
    for (let i = 0; i < layout.segmentCount; i++) selectors[i] = at(layout.segments + i * size, 2);
    const ldt = at(layout.ldt, 2);
    this.#trapDue = size === 4 && (at(TRAP, 2) & 1) !== 0;
    writeFlags(state.u32, state.zone, flags);
    this.#setSelectors(selectors, (flags & RFLAGS.VM) !== 0);
    this.#setLdt(ldt);
    this.#host.switched();
    // The new tables need not map the TSS.
    if (size === 4 && state.get(CPU.cr0) & CR0.PG && !this.#host.loadCr3(cr3)) return this.#late(VECTOR.GP, 0);
    return true;
  }

  /** Descriptors are not looked at yet: CS keeps the old one's size, the others cannot be used. */
  #setSelectors(selectors: readonly number[], virtual: boolean): void {
    const state = this.#state;
    const level = selectors[SEG.cs]! & 3;
    for (const segment of [SEG.es, SEG.cs, SEG.ss, SEG.ds, SEG.fs, SEG.gs]) {
      const selector = selectors[segment]!;
      if (virtual) setVirtualSegment(state, segment, selector);
      else if (segment === SEG.cs) state.set(CPU.selector + segment * 4, selector);
      else setNullSegment(state, segment, selector, level);
    }
    updateMode(state.u32, state.zone);
  }

  #setLdt(selector: number): void {
    const state = this.#state;
    state.set(CPU.selector + SEG.ldt * 4, selector);
    state.set(CPU.attributes + SEG.ldt * 4, ATTRIBUTE.unusable);
    state.set(CPU.limit + SEG.ldt * 4, 0);
    state.set64(CPU.ldtBase, 0, 0);
  }

  /** A fault in the new task, before its first instruction. */
  #late(vector: number, selector: number): false {
    this.#trapDue = false;
    return this.#fault.raise(vector, (selector & SELECTOR_INDEX) + this.#ext);
  }

  /** The descriptors of the new task's selectors; then the error code and RIP, which need them. */
  #arrive(layout: Layout, code: number): boolean {
    const state = this.#state;
    if (!this.#loadLdt()) return false;
    if (!(state.get(CPU.eflags) & RFLAGS.VM)) {
      const level = state.get(CPU.selector + SEG.cs * 4) & 3;
      if (!this.#loadCode() || !this.#loadStack(level)) return false;
      for (const segment of [SEG.ds, SEG.es, SEG.fs, SEG.gs]) if (!this.#loadData(segment, level)) return false;
    }
    updateMode(state.u32, state.zone);
    if (code !== NO_CODE) {
      const frame = this.#frame;
      frame.current();
      frame.push(layout.size, code);
      if (!frame.check(this.#ext)) return this.#faulted();
      frame.commit();
    }
    return state.get(CPU.rip) <= state.get(CPU.limit + SEG.cs * 4) || this.#late(VECTOR.GP, 0);
  }

  #faulted(): false {
    this.#trapDue = false;
    return false;
  }

  /** The descriptor of a selector that is not null; every fault names it. */
  #read(selector: number): boolean {
    return this.#tables.read(this.#segment, selector, VECTOR.TS, this.#ext) || this.#faulted();
  }

  #loadLdt(): boolean {
    const state = this.#state;
    const d = this.#segment;
    const selector = state.get(CPU.selector + SEG.ldt * 4);
    if ((selector & SELECTOR_INDEX) === 0) return true;
    if (selector & 4) return this.#late(VECTOR.TS, selector);
    if (!this.#read(selector)) return false;
    if (d.isSegment || d.type !== SYSTEM_TYPE.ldt || !d.present) return this.#late(VECTOR.TS, selector);
    state.set(CPU.attributes + SEG.ldt * 4, d.attributes);
    state.set(CPU.limit + SEG.ldt * 4, d.limit);
    state.set64(CPU.ldtBase, d.base, 0);
    return true;
  }

  #loadCode(): boolean {
    const d = this.#segment;
    const selector = this.#state.get(CPU.selector + SEG.cs * 4);
    if ((selector & SELECTOR_INDEX) === 0) return this.#late(VECTOR.TS, selector);
    if (!this.#read(selector)) return false;
    if (!d.isCode || (d.conforming ? d.dpl > d.rpl : d.dpl !== d.rpl)) return this.#late(VECTOR.TS, selector);
    if (!d.present) return this.#late(VECTOR.NP, selector);
    return this.#load(SEG.cs, selector);
  }

  #loadStack(level: number): boolean {
    const d = this.#segment;
    const selector = this.#state.get(CPU.selector + SEG.ss * 4);
    if ((selector & SELECTOR_INDEX) === 0) return this.#late(VECTOR.TS, selector);
    if (!this.#read(selector)) return false;
    if (d.rpl !== level || d.dpl !== level || !d.writable) return this.#late(VECTOR.TS, selector);
    if (!d.present) return this.#late(VECTOR.SS, selector);
    return this.#load(SEG.ss, selector);
  }

  #loadData(segment: number, level: number): boolean {
    const d = this.#segment;
    const selector = this.#state.get(CPU.selector + segment * 4);
    if ((selector & SELECTOR_INDEX) === 0) return true;
    if (!this.#read(selector)) return false;
    const allowed = d.conforming || (d.dpl >= level && d.dpl >= d.rpl);
    if (!d.readable || !allowed) return this.#late(VECTOR.TS, selector);
    if (!d.present) return this.#late(VECTOR.NP, selector);
    return this.#load(segment, selector);
  }

  #load(segment: number, selector: number): boolean {
    if (!this.#tables.mark(this.#segment, ACCESSED)) return this.#faulted();
    setSegment(this.#state, segment, selector, this.#segment);
    return true;
  }
}
