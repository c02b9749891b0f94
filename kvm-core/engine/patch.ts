/**
 * Engine `patch`: blocks are scanned once into records, linked to each other, and kept until their bytes change.
 * Document: architecture.md section 5 (scan and patch).
 * Left out: who tells of changed bytes: coherence.ts.
 *
 * A block lies in one page, so that within it RIP = CPU.ripBase + page offset whatever the page is mapped to, and it is
 * found by guest-physical address. An instruction that crosses a page is a block of its own. Links that lead to another
 * page hold only as long as the mapping does: they are undone at each TLB flush.
 */

import { MODE } from "../cpu/control.ts";
import { CPU } from "../cpu/state.ts";
import { JUMP, ZONE } from "../cpu/zones.ts";
import { MICRO, RECORD } from "../emit/record.ts";
import { Decoded } from "../isa/decoded.ts";
import { BlockTable } from "./blocks.ts";
import { MAX_LENGTH } from "./fetch.ts";
import { EngineExit, type EngineHost, type EngineOptions } from "./host.ts";
import { forgetJumps } from "./jump-cache.ts";
import { Machine } from "./machine.ts";

/** A bound on the walk from a record to its block's head. */
const MAX_INSTRUCTIONS = 64;

export class PatchEngine extends Machine {
  readonly #blocks: BlockTable;
  /** Branch records whose link depends on the mapping. */
  #virtualLinks: number[] = [];
  /** Counts flushes of all blocks: a record address from before means nothing after. */
  #generation = 0;
  /** Second page of the blocks that have one, by first record. */
  readonly #secondPages = new Map<number, number>();
  // Records of the block being scanned, by page offset; an entry counts if its stamp is the scan's.
  readonly #recordAt = new Uint32Array(4096);
  readonly #stampAt = new Uint32Array(4096);
  #stamp = 0;
  readonly #forward: number[] = [];
  /** State of the random numbers that disturb; 0: none do. */
  #random: number;
  /** Where the blocks are that were made last, while they are disturbed. */
  readonly #recent = new Uint32Array(16);
  /** Blocks until all are forgotten though there is room. */
  readonly #evictEvery: number;
  #untilEviction: number;

  constructor(
    module: WebAssembly.Module,
    memory: WebAssembly.Memory,
    zone: number,
    host: EngineHost,
    { evictEvery = Number.POSITIVE_INFINITY, disturbance = 0 }: EngineOptions,
    slots = 0,
  ) {
    super(module, memory, zone, host, slots);
    this.#evictEvery = evictEvery;
    this.#untilEviction = evictEvery;
    this.#random = disturbance | 0;
    this.#blocks = new BlockTable(this.state.u32, zone);
    // The zone may have served another engine.
    if (
      this.state.u32[(zone + ZONE.records) >>> 2] !== 0 ||
      this.state.u32[(zone + ZONE.records + RECORD.size) >>> 2] !== 0
    ) {
      this.#blocks.clear();
    }
  }

  protected recordAt(gpa: number): number {
    if (this.debug.armedAt(gpa & 0xfff)) return this.stepRecord();
    const mode = this.state.get(CPU.mode);
    const found = this.#blocks.find(gpa, mode);
    if (found !== 0) {
      const second = this.#secondPages.get(found);
      const mapped = second === undefined ? 0 : this.fetchPage(4096 - (gpa & 0xfff));
      if (mapped < 0) return 0;
      // Its second page may be mapped elsewhere now, or the limit of CS may lie in the instruction.
      if (
        second !== undefined &&
        (mapped !== second || this.fetch.bytesToLimit() < 4096 - (gpa & 0xfff) + MAX_LENGTH)
      ) {
        return this.stepRecord();
      }
      this.setRipBase(gpa & 0xfff);
      return found;
    }
    if (this.#blocks.full || --this.#untilEviction < 0) this.flushBlocks();
    if (this.disturbed) this.#recent[this.random() & 15] = gpa;
    this.coherence.decoding();
    const first = this.#scan(gpa, mode);
    this.coherence.decoded();
    return first;
  }

  protected lookup(): number {
    const { state } = this;
    if (this.disturbed) this.disturb();
    const lo = state.get(CPU.rip);
    const hi = state.high(CPU.rip);
    const ip = this.enter();
    if (ip === 0 || this.inBuffer(ip) || state.get(CPU.rip) !== lo || state.high(CPU.rip) !== hi) return ip;
    const mixed = lo ^ ((lo >>> JUMP.hashShift) | (hi << (32 - JUMP.hashShift)));
    const entry = ZONE.jumpCache + (mixed & (JUMP.entries - 1)) * JUMP.entrySize;
    state.set64(entry + JUMP.rip, lo, hi);
    // The offset is below the page size: the RIP's linear address lies `offset` bytes into its page.
    state.set64(entry + JUMP.record, ip, state.get(ZONE.jumpGeneration) | (lo - state.get(CPU.ripBase)));
    return ip;
  }

  protected linked(link: number): number {
    const { state } = this;
    const lo = state.get(CPU.rip);
    const hi = state.high(CPU.rip);
    const base = state.get(CPU.ripBase);
    const baseHigh = state.high(CPU.ripBase);
    const generation = this.#generation;
    if (this.disturbed) this.disturb();
    const ip = this.enter();
    if (ip === 0 || this.inBuffer(ip) || generation !== this.#generation) return ip;
    // Not after a fault, and not where the target RIP wraps around: the branch itself would not.
    if (state.get(CPU.rip) !== lo || state.high(CPU.rip) !== hi) return ip;
    if (state.get(CPU.ripBase) !== base || state.high(CPU.ripBase) !== baseHigh) return ip;
    const { u32 } = state;
    const virtual = u32[(link + RECORD.imm) >>> 2] !== 0;
    // What lies in the second page depends on the mapping, which a link within the first would not notice.
    if (!virtual && this.#secondPages.has(ip)) return ip;
    // Another page may lie beyond a limit of CS, which only flat code does not have.
    if (virtual && !(state.get(CPU.mode) & MODE.flat)) return ip;
    const branch = link - RECORD.size;
    if (virtual) {
      // Linked for another linear page already: then it is in the list.
      if (u32[(branch + RECORD.disp) >>> 2] === link) this.#virtualLinks.push(branch);
      const page = ((base >>> 12) | (baseHigh << 20)) & RECORD.pageMask;
      const at = (branch + RECORD.page) >>> 2;
      u32[at] = (u32[at]! & ~RECORD.pageMask) | page;
    }
    u32[(branch + RECORD.disp) >>> 2] = ip;
    return ip;
  }

  protected stale(ip: number): number {
    const { state } = this;
    this.sync(ip);
    const base = state.get(CPU.ripBase);
    const generation = this.#generation;
    const to = this.enter();
    if (to === 0 || this.inBuffer(to) || generation !== this.#generation || state.get(CPU.ripBase) !== base) return to;
    // Those who still point here are sent on. A block across two pages depends on the mapping: look it up each time.
    if (!this.#secondPages.has(to)) {
      state.u32[ip >>> 2] = (state.u32[ip >>> 2]! & 0xffff_0000) | MICRO.go;
      state.u32[(ip + RECORD.disp) >>> 2] = to;
      state.u32[(ip + RECORD.imm) >>> 2] = 0;
    }
    return to;
  }

  protected codeWritten(gpa: number, size: number): void {
    this.#blocks.invalidate(gpa, size);
  }

  protected forgetAddresses(): void {
    forgetJumps(this.state);
    const { u32 } = this.state;
    for (const branch of this.#virtualLinks) u32[(branch + RECORD.disp) >>> 2] = branch + RECORD.size;
    this.#virtualLinks.length = 0;
  }

  // --- disturbance (EngineOptions)

  protected get disturbed(): boolean {
    return this.#random !== 0;
  }

  /** 32 random bits (xorshift). */
  protected random(): number {
    let r = this.#random;
    r ^= r << 13;
    r ^= r >>> 17;
    r ^= r << 5;
    this.#random = r;
    return r >>> 0;
  }

  /** Forgets something, or nothing; true if records may be gone or stale. Only where nothing holds on to a record. */
  protected disturb(): boolean {
    const choice = this.random();
    if ((choice & 0xf0) === 0) {
      this.flushBlocks();
      return true;
    }
    if ((choice & 0xc0) !== 0) return false;
    this.codeWritten(this.#recent[choice & 15]!, 1);
    return true;
  }

  // --- what the translating engine adds

  /** May write records before those of the block's instructions; returns the address behind them. */
  protected openBlock(first: number): number {
    return first;
  }
  /** Do branches within a block go into the middle of it? Else each of their targets becomes a block of its own. */
  protected readonly entersBlocks: boolean = true;

  protected forgetBlocks(): void {
    this.flushBlocks();
  }

  protected flushBlocks(): void {
    this.#generation++;
    this.#untilEviction = this.#evictEvery;
    this.#virtualLinks = [];
    this.#secondPages.clear();
    this.#blocks.clear();
    forgetJumps(this.state);
    this.state.set(CPU.resumeRecord, 0);
    this.current = 0;
  }

  /** Before bytes of a page are read for records. False: the vCPU is to stop, and leaves. */
  #watch(gpa: number): boolean {
    if (this.coherence.watch(gpa)) return true;
    this.state.set(CPU.exit, EngineExit.INTR);
    return false;
  }

  /** Scans the block at CPU.rip; returns its first record, 0 after a fault or when the vCPU is to stop. */
  #scan(gpa: number, mode: number): number {
    const { recorder, decoder } = this;
    const start = gpa & 0xfff;
    const head = this.#blocks.next;
    if (!this.#watch(gpa)) return 0;
    let result = this.fetchInstruction(gpa);
    if (result >= 0 && this.fetch.secondPage >= 0) {
      // The walk to the second page may have marked page tables in the first: then that is watched no more.
      if (!this.#watch(this.fetch.secondPage) || !this.#watch(gpa)) return 0;
      result = this.fetchInstruction(gpa); // what was read before may have changed unseen
    }
    if (result < 0) return 0;
    const first = recorder.head(head, start, gpa, 0);
    this.setRipBase(start);
    if (this.fetch.secondPage >= 0) {
      const second = this.fetch.secondPage;
      let at = this.writeRecord(this.openBlock(first), result, start);
      at = recorder.go(at, (start + decoder.length) & 0xfff, 4096, true);
      this.#secondPages.set(first, second);
      return this.#blocks.add(head, at, gpa, mode, decoder.length, second);
    }
    const { at, end } = this.#scanPage(first, gpa, mode, result);
    return this.#blocks.add(head, at, gpa, mode, end - start, -1);
  }

  /** Does a branch that #scanPage() has met lead to this page offset? */
  #isTarget(offset: number): boolean {
    for (let i = 1; i < this.#forward.length; i += 2) if (this.#forward[i] === offset) return true;
    return false;
  }

  /** The instructions of a block; `decoded` is the first one's result. Returns where records and bytes end. */
  #scanPage(first: number, gpa: number, mode: number, decoded: number): { at: number; end: number } {
    const { recorder, decoder } = this;
    const start = gpa & 0xfff;
    const page = gpa - start;
    const stamp = ++this.#stamp;
    let offset = start;
    let at = this.openBlock(first);
    let result = decoded;
    this.#forward.length = 0;
    for (let count = 1; ; count++) {
      this.#recordAt[offset] = offset === start ? first : at;
      this.#stampAt[offset] = stamp;
      at = this.writeRecord(at, result, offset);
      offset += decoder.length;
      if (result !== Decoded.ok) break;
      if (recorder.branch !== 0) this.#forward.push(recorder.branch, recorder.branchTarget);
      // Behind a jump, too, if a branch of the block leads there: both ways of an `if` are one block then.
      if (decoder.row.insn.ends && !this.#isTarget(offset)) break;
      if (offset === 4096) {
        at = recorder.go(at, 0, 4096, true);
        break;
      }
      if (this.debug.armedAt(offset)) {
        at = recorder.go(at, offset, 0, false);
        break;
      }
      const known = this.#blocks.find(page + offset, mode);
      if (known !== 0 && !this.#secondPages.has(known)) {
        at = recorder.goTo(at, known);
        break;
      }
      result = count < MAX_INSTRUCTIONS && known === 0 ? this.fetch.inPage(page + offset) : Decoded.short;
      if (result === Decoded.short) {
        at = recorder.go(at, offset, 0, false);
        break;
      }
    }
    // Branches within the block go to their targets at once.
    for (let i = 0; i < this.#forward.length; i += 2) {
      const target = this.#forward[i + 1]!;
      if (this.#stampAt[target] !== stamp || !(this.entersBlocks || target === start)) continue;
      this.state.u32[(this.#forward[i]! + RECORD.disp) >>> 2] = this.#recordAt[target]!;
    }
    return { at, end: offset };
  }
}
