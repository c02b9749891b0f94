/**
 * Segment loads and far transfers: MOV Sreg, far JMP, far RET, IRET.
 * Document: SDM volume 3, 3.4 and 5.6 to 5.8; volume 2, MOV, JMP, RET, IRET.
 * Left out: LDT, gates, task switches, changes of privilege, VM86, limits below 4 GiB outside 64-bit mode: each ends the run by name.
 */

import { EFER, updateMode } from "../cpu/control.ts";
import { add64, popFlags, VECTOR } from "../cpu/exception.ts";
import { RFLAGS } from "../cpu/flags.ts";
import { ATTRIBUTE, descriptorAttributes, descriptorBase, descriptorLimit } from "../cpu/segment.ts";
import { CPU, GPR, SEG } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import type { SystemAccess } from "./system-access.ts";

/** ok; or a fault to raise, or something that is not built. */
export type Transfer = "ok" | "fault" | "unbuilt";

export class FarUnit {
  readonly #state: VcpuState;
  readonly #memory: SystemAccess;
  faultVector = 0;
  faultCode = 0;
  unbuilt = "";
  #low = 0;
  #high = 0;

  constructor(state: VcpuState, memory: SystemAccess) {
    this.#state = state;
    this.#memory = memory;
  }

  #long(): boolean {
    return (this.#state.get(CPU.efer) & EFER.LMA) !== 0;
  }

  #raise(vector: number, code: number): Transfer {
    this.faultVector = vector;
    this.faultCode = code;
    return "fault";
  }

  #notBuilt(what: string): Transfer {
    this.unbuilt = what;
    return "unbuilt";
  }

  #memoryFault(): Transfer {
    return this.#raise(this.#memory.faultVector, this.#memory.faultCode);
  }

  /** Reads the descriptor of a selector that is not null into #low and #high. */
  #descriptor(selector: number): Transfer {
    const state = this.#state;
    if (selector & 4) return this.#notBuilt("segment of the LDT");
    if ((selector | 7) > state.get(CPU.gdtLimit)) return this.#raise(VECTOR.GP, selector & 0xfffc);
    const at = add64(state.get(CPU.gdtBase), state.high(CPU.gdtBase), selector & 0xfff8, this.#long());
    if (!this.#memory.read32(at.lo, at.hi)) return this.#memoryFault();
    this.#low = this.#memory.value;
    const next = add64(at.lo, at.hi, 4, this.#long());
    if (!this.#memory.read32(next.lo, next.hi)) return this.#memoryFault();
    this.#high = this.#memory.value;
    return "ok";
  }

  /** Sets the accessed bit in the descriptor (SDM volume 3, 3.4.5.1). */
  #markAccessed(selector: number): Transfer {
    if (this.#high & 0x100) return "ok";
    const state = this.#state;
    const at = add64(state.get(CPU.gdtBase), state.high(CPU.gdtBase), (selector & 0xfff8) + 4, this.#long());
    this.#high |= 0x100;
    return this.#memory.write32(at.lo, at.hi, this.#high) ? "ok" : this.#memoryFault();
  }

  #set(segment: number, selector: number): void {
    const state = this.#state;
    state.set(CPU.selector + segment * 4, selector);
    state.set64(CPU.segBase + segment * 8, descriptorBase(this.#low, this.#high), 0);
    state.set(CPU.limit + segment * 4, descriptorLimit(this.#low, this.#high));
    state.set(CPU.attributes + segment * 4, descriptorAttributes(this.#high));
    updateMode(state.u32, state.zone);
  }

  /** MOV Sreg and POP Sreg: ES, SS, DS, FS or GS. */
  loadData(segment: number, selector: number): Transfer {
    const state = this.#state;
    const cpl = state.get(CPU.cpl);
    const isStack = segment === SEG.ss;
    const code64 = (state.get(CPU.attributes + SEG.cs * 4) & ATTRIBUTE.l) !== 0 && this.#long();
    if ((selector & 0xfffc) === 0) {
      if (isStack && !(code64 && cpl < 3 && (selector & 3) === cpl)) return this.#raise(VECTOR.GP, 0);
      state.set(CPU.selector + segment * 4, selector);
      state.set64(CPU.segBase + segment * 8, 0, 0);
      state.set(CPU.limit + segment * 4, 0);
      state.set(CPU.attributes + segment * 4, ATTRIBUTE.unusable | (isStack ? cpl << 5 : 0));
      updateMode(state.u32, state.zone);
      return "ok";
    }
    const read = this.#descriptor(selector);
    if (read !== "ok") return read;
    const attributes = descriptorAttributes(this.#high);
    const rpl = selector & 3;
    const dpl = (attributes & ATTRIBUTE.dpl) >>> 5;
    const isCode = (attributes & ATTRIBUTE.code) !== 0;
    const canWrite = !isCode && (attributes & ATTRIBUTE.writable) !== 0;
    const canRead = !isCode || (attributes & ATTRIBUTE.writable) !== 0;
    const conforming = isCode && (attributes & ATTRIBUTE.expandDown) !== 0;
    const wrong = isStack
      ? !canWrite || rpl !== cpl || dpl !== cpl
      : !canRead || (!conforming && (rpl > dpl || cpl > dpl));
    if (!(attributes & ATTRIBUTE.s) || wrong) return this.#raise(VECTOR.GP, selector & 0xfffc);
    if (!(attributes & ATTRIBUTE.present)) return this.#raise(isStack ? VECTOR.SS : VECTOR.NP, selector & 0xfffc);
    if (!code64) {
      if (!isCode && attributes & ATTRIBUTE.expandDown) return this.#notBuilt("expand-down segment");
      if (descriptorLimit(this.#low, this.#high) !== 0xffff_ffff) return this.#notBuilt("segment limit below 4 GiB");
    }
    const marked = this.#markAccessed(selector);
    if (marked !== "ok") return marked;
    this.#set(segment, selector);
    return "ok";
  }

  /** Far JMP, far RET and IRET within the privilege level: CS and RIP. */
  loadCode(selector: number, lo: number, hi: number, isReturn: boolean): Transfer {
    const state = this.#state;
    const cpl = state.get(CPU.cpl);
    if ((selector & 0xfffc) === 0) return this.#raise(VECTOR.GP, 0);
    const read = this.#descriptor(selector);
    if (read !== "ok") return read;
    const attributes = descriptorAttributes(this.#high);
    if (!(attributes & ATTRIBUTE.s)) return this.#notBuilt("far transfer through a gate or a task");
    const rpl = selector & 3;
    const dpl = (attributes & ATTRIBUTE.dpl) >>> 5;
    if (!(attributes & ATTRIBUTE.code)) return this.#raise(VECTOR.GP, selector & 0xfffc);
    if (isReturn && rpl > cpl) return this.#notBuilt("return to a less privileged level");
    const conforming = (attributes & ATTRIBUTE.expandDown) !== 0;
    const wrong = conforming ? dpl > cpl : dpl !== cpl || (isReturn ? rpl !== cpl : rpl > cpl);
    if (wrong) return this.#raise(VECTOR.GP, selector & 0xfffc);
    if (!(attributes & ATTRIBUTE.present)) return this.#raise(VECTOR.NP, selector & 0xfffc);
    const code64 = this.#long() && (attributes & ATTRIBUTE.l) !== 0;
    if (code64 && attributes & ATTRIBUTE.db) return this.#raise(VECTOR.GP, selector & 0xfffc);
    if (!code64 && descriptorLimit(this.#low, this.#high) !== 0xffff_ffff)
      return this.#notBuilt("code segment limit below 4 GiB");
    const marked = this.#markAccessed(selector);
    if (marked !== "ok") return marked;
    this.#set(SEG.cs, (selector & 0xfffc) | cpl);
    state.set64(CPU.rip, lo, code64 ? hi : 0);
    return "ok";
  }

  /** Far RET: `size` bytes a stack slot, `extra` bytes of parameters. */
  farReturn(size: number, extra: number): Transfer {
    const frame = this.#frame(size, 2);
    if (frame === undefined) return this.#memoryFault();
    const [rip, cs] = frame as [Slot, Slot];
    const loaded = this.loadCode(cs.lo & 0xffff, rip.lo, rip.hi, true);
    if (loaded === "ok") this.#release(size * 2 + extra);
    return loaded;
  }

  /** IRET, IRETD, IRETQ: `size` bytes a stack slot. */
  interruptReturn(size: number): Transfer {
    const state = this.#state;
    if (state.get(CPU.eflags) & RFLAGS.NT)
      return this.#long() ? this.#raise(VECTOR.GP, 0) : this.#notBuilt("return from a nested task");
    const code64 = (state.get(CPU.attributes + SEG.cs * 4) & ATTRIBUTE.l) !== 0 && this.#long();
    // In 64-bit mode SS:RSP is popped whatever the privilege levels are.
    const frame = this.#frame(size, code64 ? 5 : 3);
    if (frame === undefined) return this.#memoryFault();
    const [rip, cs, flags, rsp, ss] = frame as [Slot, Slot, Slot, Slot?, Slot?];
    if (flags.lo & RFLAGS.VM && !this.#long()) return this.#notBuilt("return to virtual-8086 mode");
    const before = this.#codeSegment();
    const loaded = this.loadCode(cs.lo & 0xffff, rip.lo, rip.hi, true);
    if (loaded !== "ok") return loaded;
    if (rsp !== undefined && ss !== undefined) {
      const stack = this.loadData(SEG.ss, ss.lo & 0xffff);
      if (stack !== "ok") {
        before();
        return stack;
      }
      state.set64(CPU.gpr + GPR.rsp * 8, rsp.lo, rsp.hi);
    } else this.#release(size * 3);
    popFlags(state, flags.lo, size === 2 ? 16 : 32, true);
    return "ok";
  }

  /** Remembers CS and RIP; the result puts them back. */
  #codeSegment(): () => void {
    const state = this.#state;
    const words = [
      CPU.selector + SEG.cs * 4,
      CPU.limit + SEG.cs * 4,
      CPU.attributes + SEG.cs * 4,
      CPU.segBase + SEG.cs * 8,
      CPU.rip,
      CPU.rip + 4,
    ];
    const values = words.map((field) => state.get(field));
    return () => {
      words.forEach((field, i) => {
        state.set(field, values[i]!);
      });
      updateMode(state.u32, state.zone);
    };
  }

  /** The top `count` stack slots; undefined on a fault. */
  #frame(size: number, count: number): Slot[] | undefined {
    const state = this.#state;
    const long = (state.get(CPU.attributes + SEG.cs * 4) & ATTRIBUTE.l) !== 0 && this.#long();
    const base = long ? 0 : state.get(CPU.segBase + SEG.ss * 8);
    const slots: Slot[] = [];
    for (let i = 0; i < count; i++) {
      const at = add64(state.gpr(GPR.rsp), state.high(CPU.gpr + GPR.rsp * 8), base + i * size, long);
      if (!this.#memory.readStack(at.lo, at.hi, size)) return undefined;
      slots.push({ lo: this.#memory.value, hi: this.#memory.valueHigh });
    }
    return slots;
  }

  #release(bytes: number): void {
    const state = this.#state;
    const long = (state.get(CPU.mode) & 3) === 2;
    const to = add64(state.gpr(GPR.rsp), state.high(CPU.gpr + GPR.rsp * 8), bytes, long);
    state.set64(CPU.gpr + GPR.rsp * 8, to.lo, to.hi);
  }
}

interface Slot {
  readonly lo: number;
  readonly hi: number;
}
