/**
 * Instruction fetch: CPU.rip -> guest-physical address, within the limit of CS; and bytes -> decoder.
 * Document: SDM volume 3, 5.3 (limit checking), 5.13.2 (fetches from pages).
 * Left out: the cache of translations: itlb.ts.
 */

import { ACCESS } from "../cpu/access.ts";
import { MODE } from "../cpu/control.ts";
import { VECTOR } from "../cpu/fault.ts";
import { CPU, SEG } from "../cpu/state.ts";
import type { VcpuState } from "../cpu/vcpu-state.ts";
import { PAGE_SIZE } from "../cpu/zones.ts";
import type { Decoder } from "../isa/decode.ts";
import { Decoded } from "../isa/decoded.ts";
import type { GuestMemoryUnit } from "../mmu/memory.ts";
import type { EngineHost } from "./host.ts";
import { Itlb } from "./itlb.ts";

/** Bytes of the longest instruction. */
export const MAX_LENGTH = 15;

export class FetchUnit {
  readonly #state: VcpuState;
  readonly #memory: GuestMemoryUnit;
  readonly #host: EngineHost;
  readonly #decoder: Decoder;
  readonly itlb = new Itlb();
  /** Bytes of an instruction that crosses a page, or that is not in RAM. */
  readonly #bytes = new Uint8Array(MAX_LENGTH);
  /** Where the last instruction's bytes are: in these, from here. */
  #source: Uint8Array = this.#bytes;
  #start = 0;
  /** After instruction(): guest-physical page of the second part, if the instruction crosses a page; else -1. */
  secondPage = -1;
  /** After a fault: what to raise. */
  faultVector = 0;
  faultCode = 0;

  constructor(state: VcpuState, memory: GuestMemoryUnit, host: EngineHost, decoder: Decoder) {
    this.#state = state;
    this.#memory = memory;
    this.#host = host;
    this.#decoder = decoder;
  }

  /** The code is 64-bit code. */
  get isLong(): boolean {
    return (this.#state.get(CPU.mode) & MODE.codeSize) === MODE.code64;
  }

  /** Bytes from CPU.rip to the end of the code segment, whose last byte is at its limit; 0 or less: it lies beyond. */
  bytesToLimit(): number {
    const state = this.#state;
    if (this.isLong) return Number.POSITIVE_INFINITY;
    return state.get(CPU.limit + SEG.cs * 4) - state.get(CPU.rip) + 1;
  }

  /** May the page at `gpa`, where CPU.rip is, be scanned into blocks: it is RAM, and within the limit of CS to its end. */
  isWhole(gpa: number): boolean {
    return this.bytesToLimit() >= PAGE_SIZE - (gpa % PAGE_SIZE) && this.#memory.ramAt(gpa) !== 0;
  }

  /** Guest-physical address of CPU.rip + extra; -1 on a fault. */
  page(extra: number): number {
    const state = this.#state;
    const long = this.isLong;
    if (!long && this.bytesToLimit() <= 0) return this.#fault(VECTOR.GP, 0);
    const sum = state.get(CPU.rip) + (long ? 0 : state.get(CPU.segBase + SEG.cs * 8)) + extra;
    const lo = sum >>> 0;
    const hi = long ? (state.high(CPU.rip) + (sum > 0xffff_ffff ? 1 : 0)) >>> 0 : 0;
    const memory = this.#memory;
    const access = memory.fetchAccess;
    const user = (access & ACCESS.user) !== 0;
    const known = this.itlb.find(lo, hi, user);
    if (known >= 0) return known;
    if (!memory.translate(lo, hi, access)) return this.#fault(memory.faultVector, memory.faultCode);
    this.itlb.enter(lo, hi, user, memory.gpa, state.get(CPU.walkPage));
    return memory.gpa;
  }

  /** Decodes the bytes at `gpa`, in RAM, up to the end of their page; returns a Decoded. */
  inPage(gpa: number): number {
    const at = this.#memory.ramAt(gpa);
    return this.#decoder.decode(this.#state.u8, at, at + PAGE_SIZE - (gpa % PAGE_SIZE), this.#state.get(CPU.mode));
  }

  /**
   * Decodes the instruction at CPU.rip, whose bytes begin at `gpa`; returns a Decoded, never `short`; or -1 after the fetch
   * of its second page faulted. An instruction that runs over the limit of CS gets what one that is too long gets: #GP(0).
   */
  instruction(gpa: number): number {
    const rest = PAGE_SIZE - (gpa % PAGE_SIZE);
    const whole = this.bytesToLimit();
    const inside = Math.min(rest, whole, MAX_LENGTH);
    this.secondPage = -1;
    const result = this.#decode(gpa, 0, inside);
    if (result !== Decoded.short) return result;
    if (whole <= rest) return Decoded.tooLong;
    const second = this.page(rest);
    if (second < 0) return -1;
    this.secondPage = second;
    if (this.#source !== this.#bytes) this.#copy(this.#start, 0, rest);
    const both = this.#decode(second, rest, Math.min(whole, MAX_LENGTH));
    return both === Decoded.short ? Decoded.tooLong : both;
  }

  /** Bytes of the instruction that was decoded last, for messages. */
  lastBytes(): Uint8Array {
    return this.#source.slice(this.#start, this.#start + this.#decoder.length);
  }

  /**
   * Decodes an instruction of at most `most` bytes, whose first `before` are in #bytes and whose others are at `gpa`. What is not
   * RAM is asked of the host, byte by byte, and no more than the instruction has.
   */
  #decode(gpa: number, before: number, most: number): number {
    const state = this.#state;
    const mode = state.get(CPU.mode);
    const ram = this.#memory.ramAt(gpa);
    this.#source = this.#bytes;
    this.#start = 0;
    if (ram !== 0) {
      if (before === 0) {
        this.#source = state.u8;
        this.#start = ram;
      } else this.#copy(ram, before, most);
      return this.#decoder.decode(this.#source, this.#start, this.#start + most, mode);
    }
    let result: number = Decoded.short;
    for (let end = before; end < most && result === Decoded.short; end++) {
      this.#host.mmioRead(gpa + end - before, 1);
      this.#bytes[end] = state.get(CPU.mmioData);
      result = this.#decoder.decode(this.#bytes, 0, end + 1, mode);
    }
    return result;
  }

  /** Bytes `from` to `to` of #bytes are those at linear address `at`. */
  #copy(at: number, from: number, to: number): void {
    for (let i = from; i < to; i++) this.#bytes[i] = this.#state.u8[at + i - from]!;
  }

  #fault(vector: number, code: number): -1 {
    this.faultVector = vector;
    this.faultCode = code;
    return -1;
  }
}
