/**
 * What both engines share: the run loop, RIP of a record, exceptions, interrupt window and shadow, leaving.
 * Document: architecture.md section 5; SDM volume 3, 6.8.3 (interrupt shadow).
 * Left out: how a record is found for an RIP: interp.ts and patch.ts.
 */

import { CR0, MODE, updateMode } from "../cpu/control.ts";
import { ExceptionUnit, type Source } from "../cpu/exception.ts";
import { RFLAGS } from "../cpu/flags.ts";
import { CPU, SEG } from "../cpu/state.ts";
import { VcpuState } from "../cpu/vcpu-state.ts";
import { JUMP, ZONE } from "../cpu/zones.ts";
import { HEAD, MICRO, RECORD } from "../emit/record.ts";
import { Decoded, Decoder } from "../isa/decode.ts";
import { disassemble } from "../isa/disasm.ts";
import { GuestMemoryUnit } from "../mmu/memory.ts";
import { ACCESS } from "../mmu/walk.ts";
import { FarUnit } from "./far.ts";
import { helperImports } from "./helpers.ts";
import { type Engine, EngineExit, type EngineHost } from "./host.ts";
import { type InterpreterImports, opcodeMap } from "./interpreter.ts";
import { Recorder } from "./recorder.ts";
import { SystemAccess } from "./system-access.ts";

/** Bit of CPU.pending that the engine sets itself, to leave after one instruction (interrupt shadow). */
const STEP = 0x8000_0000 | 0;
const FETCH_ENTRIES = 64;
const MAX_LENGTH = 15;
const UD = 6;
const GP = 13;

export abstract class Machine implements Engine {
  readonly state: VcpuState;
  readonly host: EngineHost;
  /** The VM's linear memory, for the accessors that ioctls use too. */
  readonly memoryObject: WebAssembly.Memory;
  readonly memory: GuestMemoryUnit;
  readonly system: SystemAccess;
  readonly far: FarUnit;
  readonly decoder = new Decoder(opcodeMap());
  readonly recorder: Recorder;
  readonly #exceptions: ExceptionUnit;
  readonly #run: (ip: number, cpu: number) => number;
  readonly #buffer: number;
  /** Record of the instruction that called into TypeScript: where RIP is if the host throws. */
  current = 0;
  errorDetail = "";
  #deliveryExit = 0;
  // Translations of fetches: linear page -> guest-physical page.
  readonly #fetchLo = new Uint32Array(FETCH_ENTRIES).fill(1);
  readonly #fetchHi = new Uint32Array(FETCH_ENTRIES);
  readonly #fetchGpa = new Uint32Array(FETCH_ENTRIES);
  /** Bytes of an instruction that crosses a page. */
  readonly #bytes = new Uint8Array(2 * MAX_LENGTH + 2);
  /** After fetchInstruction(): guest-physical page of the second part, if the instruction crosses a page; else -1. */
  protected secondPage = -1;

  constructor(module: WebAssembly.Module, memory: WebAssembly.Memory, zone: number, host: EngineHost) {
    this.state = new VcpuState(memory, zone);
    this.host = host;
    this.memoryObject = memory;
    this.memory = new GuestMemoryUnit(this.state, host, (gpa, size) => this.codeWritten(gpa, size));
    this.system = new SystemAccess(this.state, this.memory);
    this.far = new FarUnit(this.state, this.system);
    this.recorder = new Recorder(this.state.u32, this.decoder);
    this.#exceptions = new ExceptionUnit(this.state, this.system);
    this.#buffer = zone + ZONE.buffer;
    const imports: InterpreterImports = {
      miss: (ip, access) => this.#miss(ip!, access!),
      storeMiss: (ip, size) => this.#storeMiss(ip!, size!),
      raise: (ip, vector) => this.raise(ip!, vector!, 0),
      lookup: () => this.#lookup(),
      resume: () => this.#resume(),
      link: (ip) => this.#linkRecord(ip!),
      stale: (ip) => this.stale(ip!),
      fault: (ip) => this.#faultRecord(ip!),
      unbuilt: (ip) => this.#unbuiltRecord(ip!),
      ...helperImports(this),
    };
    const instance = new WebAssembly.Instance(module, { e: { memory, ...imports } });
    // The zone may have served another engine, whose records these are.
    this.forgetJumps();
    this.state.set(CPU.resumeRecord, 0);
    this.#run = instance.exports["run"] as (ip: number, cpu: number) => number;
  }

  // --- what the engines differ in

  /** The record for CPU.rip, whose bytes begin at guest-physical `gpa`; sets CPU.ripBase. 0: left, or a fault: see enter(). */
  protected abstract recordAt(gpa: number): number;
  /** An indirect jump to CPU.rip missed the jump cache. */
  protected abstract lookup(): number;
  /** A link record at `ip` was reached; CPU.rip is its target. */
  protected abstract linked(ip: number): number;
  protected abstract stale(ip: number): number;
  protected abstract codeWritten(gpa: number, size: number): void;
  /** Linear addresses, or what an RIP means, changed: forget what depends on it. */
  protected abstract forgetAddresses(): void;

  /** Empties the jump cache by a new generation; when they have all been used, by a fill. */
  protected forgetJumps(): void {
    const { state } = this;
    const next = (state.get(ZONE.jumpGeneration) + JUMP.generation) >>> 0;
    state.set(ZONE.jumpGeneration, next === 0 ? JUMP.generation : next);
    if (next !== 0) return;
    const at = state.zone + ZONE.jumpCache;
    state.u8.fill(0, at, at + JUMP.entries * JUMP.entrySize);
  }

  // --- Engine

  run(): number {
    const { state } = this;
    if (state.get(CPU.stale)) {
      state.set(CPU.stale, 0);
      updateMode(state.u32, state.zone);
      this.flushTlb();
    }
    // The delivery of an interrupt may have ended in a shutdown before the first instruction.
    if (this.#deliveryExit !== 0) {
      const exit = this.#deliveryExit;
      this.#deliveryExit = 0;
      return exit;
    }
    state.set(CPU.exit, 0);
    this.errorDetail = "";
    let ip = state.get(CPU.resumeRecord);
    if (ip === 0 || !state.same64(CPU.resumeRip, CPU.rip)) ip = 0;
    state.set(CPU.resumeRecord, 0);
    try {
      if (ip === 0) {
        this.current = 0;
        ip = this.enter();
      }
      while (ip !== 0) {
        ip = this.#run(ip, state.zone);
        if (ip !== 0 && this.#left(ip)) break;
      }
    } catch (error) {
      // A host callback threw: RIP is still at the instruction that called.
      if (this.current !== 0) this.sync(this.current);
      throw error;
    }
    return state.get(CPU.exit);
  }

  interruptible(): boolean {
    const { state } = this;
    if (!(state.get(CPU.eflags) & RFLAGS.IF)) return false;
    return state.get(CPU.shadow) === 0 || !state.same64(CPU.shadowRip, CPU.rip);
  }

  interruptWindow(wanted: boolean): void {
    this.state.set(CPU.window, wanted ? 1 : 0);
  }

  interrupt(vector: number): void {
    this.state.set(CPU.resumeRecord, 0);
    this.state.set(CPU.exit, 0);
    this.deliver(vector, 0, "interrupt");
    this.#deliveryExit = this.state.get(CPU.exit);
  }

  flushTlb(): void {
    this.memory.flush();
    this.modeChanged();
  }

  /** The decode mode or CS base changed: what an RIP leads to. */
  modeChanged(): void {
    this.#fetchLo.fill(1);
    this.state.set(CPU.resumeRecord, 0);
    this.forgetAddresses();
  }

  // --- RIP

  /** Page offset of the record's instruction from CPU.ripBase. */
  offsetOf(ip: number): number {
    const { u32 } = this.state;
    if ((u32[ip >>> 2]! & 0xffff) === MICRO.link) return u32[(ip + RECORD.disp) >>> 2]!;
    let offset = 0;
    let at = (ip - RECORD.size) >>> 2;
    while ((u32[at]! & 0xffff) !== MICRO.head) {
      offset += u32[at + 1]! >>> 24;
      at -= RECORD.size / 4;
    }
    return offset + (u32[at]! >>> (8 * HEAD.pageOffset));
  }

  /** CPU.rip = RIP of the record plus `extra`. */
  sync(ip: number, extra = 0): void {
    const { state } = this;
    const lo = state.get(CPU.ripBase) + this.offsetOf(ip) + extra;
    const long = (state.get(CPU.mode) & MODE.codeSize) === MODE.code64;
    state.set64(CPU.rip, lo, long ? state.high(CPU.ripBase) + (lo > 0xffff_ffff ? 1 : 0) : 0);
  }

  /** CPU.rip = RIP of the instruction that follows. */
  syncNext(ip: number): void {
    this.sync(ip, this.state.u32[(ip + 4) >>> 2]! >>> 24);
  }

  // --- exceptions

  raise(ip: number, vector: number, code: number): undefined {
    this.current = ip;
    this.sync(ip);
    this.deliver(vector, code, "fault");
  }

  /**
   * Delivers at CPU.rip; afterwards CPU.exit is set or CPU.rip is the handler.
   * `length`: of a software interrupt, whose RIP is behind the instruction already.
   */
  deliver(vector: number, code: number, source: Source, length = 0): void {
    const { state } = this;
    const mode = state.get(CPU.mode);
    const base = state.get(CPU.segBase + SEG.cs * 8);
    const outcome = this.#exceptions.deliver(vector, code, source, length);
    if (outcome === "shutdown") state.set(CPU.exit, EngineExit.SHUTDOWN);
    else if (outcome === "unbuilt")
      this.internalError(`not implemented: ${this.#exceptions.unbuilt} (vector ${vector})`);
    else if (mode !== state.get(CPU.mode) || base !== state.get(CPU.segBase + SEG.cs * 8)) this.modeChanged();
  }

  internalError(what: string): void {
    const { state } = this;
    const high = state.high(CPU.rip);
    const rip =
      (high === 0 ? "" : high.toString(16)) +
      state
        .get(CPU.rip)
        .toString(16)
        .padStart(high === 0 ? 1 : 8, "0");
    this.errorDetail = `${what} at 0x${rip}`;
    state.set(CPU.exit, EngineExit.INTERNAL_ERROR);
  }

  // --- finding records

  /** The record for CPU.rip; 0 after CPU.exit was set. Faults of the fetch are delivered here. */
  enter(): number {
    const { state } = this;
    // CPU.rip is exact from here on: if the host throws, it stays as it is.
    this.current = 0;
    for (;;) {
      if (state.get(CPU.exit) !== 0) return 0;
      if (!(state.get(CPU.cr0) & CR0.PE)) {
        this.internalError("not implemented: real mode");
        return 0;
      }
      if (state.get(CPU.window) !== 0) {
        if (this.interruptible()) {
          state.set(CPU.exit, EngineExit.INTR);
          return 0;
        }
        // In the shadow of an STI: one instruction, then look again.
        if (state.get(CPU.shadow) !== 0 && state.same64(CPU.shadowRip, CPU.rip)) {
          const ip = this.stepRecord();
          if (ip !== 0) {
            Atomics.or(state.i32, (state.zone + CPU.pending) >>> 2, STEP);
            return ip;
          }
          continue;
        }
      }
      const gpa = this.fetchPage(0);
      if (gpa >= 0) {
        const ip = this.recordAt(gpa);
        if (ip !== 0) return ip;
      }
    }
  }

  /** Guest-physical address of CPU.rip + extra; -1 after a fault was delivered or CPU.exit was set. */
  protected fetchPage(extra: number): number {
    const { state } = this;
    const long = (state.get(CPU.mode) & MODE.codeSize) === MODE.code64;
    const sum = state.get(CPU.rip) + (long ? 0 : state.get(CPU.segBase + SEG.cs * 8)) + extra;
    const lo = sum >>> 0;
    const hi = long ? (state.high(CPU.rip) + (sum > 0xffff_ffff ? 1 : 0)) >>> 0 : 0;
    const page = (lo & ~0xfff) >>> 0;
    const slot = (lo >>> 12) & (FETCH_ENTRIES - 1);
    if (this.#fetchLo[slot] === page && this.#fetchHi[slot] === hi) return this.#fetchGpa[slot]! + (lo & 0xfff);
    if (!this.memory.translate(lo, hi, ACCESS.fetch | this.memory.userBit)) {
      this.deliver(this.memory.faultVector, this.memory.faultCode, "fault");
      return -1;
    }
    if (this.memory.ram === 0) {
      this.internalError(
        `not implemented: instruction fetch outside RAM (guest-physical 0x${this.memory.gpa.toString(16)})`,
      );
      return -1;
    }
    this.#fetchLo[slot] = page;
    this.#fetchHi[slot] = hi;
    this.#fetchGpa[slot] = (this.memory.gpa - (lo & 0xfff)) >>> 0;
    return this.memory.gpa;
  }

  /** CPU.ripBase for an instruction at CPU.rip whose linear address has this page offset. */
  protected setRipBase(pageOffset: number): void {
    const { state } = this;
    const rip = state.get(CPU.rip);
    const borrow = rip < pageOffset ? 1 : 0;
    state.set64(CPU.ripBase, rip - pageOffset, (state.high(CPU.rip) - borrow) >>> 0);
  }

  /** Decodes the bytes at `gpa` up to the end of their page; returns a Decoded. */
  protected decodeInPage(gpa: number): number {
    const { state } = this;
    const at = this.memory.walker.ram(gpa);
    return this.decoder.decode(state.u8, at, at + 4096 - (gpa & 0xfff), state.get(CPU.mode));
  }

  /** Decodes the instruction at CPU.rip, whose bytes begin at `gpa`; returns a Decoded, never `short`; or -1 after the
   *  fetch of its second page faulted. */
  protected fetchInstruction(gpa: number): number {
    const { state, decoder } = this;
    const rest = 4096 - (gpa & 0xfff);
    this.secondPage = -1;
    const result = this.decodeInPage(gpa);
    if (result !== Decoded.short) return result;
    const second = this.fetchPage(rest);
    if (second < 0) return -1;
    this.secondPage = second;
    const at = this.memory.walker.ram(gpa);
    this.#bytes.set(state.u8.subarray(at, at + rest));
    const from = this.memory.walker.ram(second);
    this.#bytes.set(state.u8.subarray(from, from + MAX_LENGTH), rest);
    return decoder.decode(this.#bytes, 0, rest + MAX_LENGTH, state.get(CPU.mode));
  }

  /** Writes the record of what fetchInstruction() gave; returns the address behind. */
  protected writeRecord(at: number, result: number, pageOffset: number): number {
    if (this.state.get(CPU.traceMask) & 1) this.#trace(result, pageOffset);
    if (result === Decoded.ok) return this.recorder.record(at, pageOffset);
    if (result === Decoded.undefined) return this.recorder.fault(at, UD, 0);
    if (result === Decoded.tooLong) return this.recorder.fault(at, GP, 0);
    return this.recorder.unbuilt(at);
  }

  /** One instruction at CPU.rip, alone, in the buffer; 0 after a fault. */
  protected stepRecord(): number {
    const gpa = this.fetchPage(0);
    if (gpa < 0) return 0;
    const result = this.fetchInstruction(gpa);
    if (result < 0) return 0;
    const offset = gpa & 0xfff;
    const first = this.recorder.head(this.#buffer, offset, gpa, 0);
    const end = this.writeRecord(first, result, offset);
    this.recorder.link(end, offset + this.decoder.length, false);
    this.setRipBase(offset);
    return first;
  }

  protected inBuffer(ip: number): boolean {
    return ip - this.#buffer < 8 * RECORD.size && ip >= this.#buffer;
  }

  /** Did `pending` or the kick word ask to leave? Else it was the budget. */
  protected wantsOut(): boolean {
    const { i32, zone } = this.state;
    return (Atomics.load(i32, (zone + CPU.pending) >>> 2) | Atomics.load(i32, (zone + ZONE.kick) >>> 2)) !== 0;
  }

  /** Generated code left at a taken branch, with `ip` to go on. Returns true if run() is over. */
  #left(ip: number): boolean {
    const { state } = this;
    this.#stepped();
    this.sync(ip);
    if (!this.wantsOut() && !(state.get(CPU.window) !== 0 && this.interruptible())) return false;
    state.set(CPU.shadow, 0);
    state.copy64(CPU.resumeRip, CPU.rip);
    state.set(CPU.resumeRecord, ip);
    state.set(CPU.exit, EngineExit.INTR);
    return true;
  }

  /** The instruction in an interrupt shadow is done. */
  #stepped(): void {
    const { state } = this;
    const before = Atomics.and(state.i32, (state.zone + CPU.pending) >>> 2, ~STEP);
    if (before & STEP) state.set(CPU.shadow, 0);
  }

  #linkRecord(ip: number): number {
    if (this.inBuffer(ip)) {
      this.#stepped();
      this.sync(ip);
      if (this.wantsOut()) {
        this.state.set(CPU.shadow, 0);
        this.state.set(CPU.exit, EngineExit.INTR);
        return 0;
      }
      return this.enter();
    }
    this.sync(ip);
    return this.linked(ip);
  }

  #lookup(): number {
    const { state } = this;
    this.#stepped();
    if (!this.wantsOut()) return this.lookup();
    state.set(CPU.shadow, 0);
    state.set(CPU.exit, EngineExit.INTR);
    return 0;
  }

  #resume(): number {
    this.#stepped();
    return this.enter();
  }

  #miss(ip: number, access: number): number {
    this.current = ip;
    const pointer = this.memory.miss(access & 0xff, access > 0xff);
    if (pointer === 0) this.raise(ip, this.memory.faultVector, this.memory.faultCode);
    return pointer;
  }

  #storeMiss(ip: number, size: number): number {
    this.current = ip;
    if (this.memory.write(size)) return 0;
    this.raise(ip, this.memory.faultVector, this.memory.faultCode);
    return 1;
  }

  #faultRecord(ip: number): undefined {
    const { u32 } = this.state;
    this.raise(ip, (u32[ip >>> 2]! >>> 16) & 0xff, u32[(ip + RECORD.imm) >>> 2]!);
  }

  #unbuiltRecord(ip: number): undefined {
    this.sync(ip);
    const gpa = this.fetchPage(0);
    if (gpa < 0 || this.fetchInstruction(gpa) < 0) return;
    const { decoder, state } = this;
    const name =
      decoder.unbuilt === "" ? `${decoder.row.insn.mnemonic} (16-bit branch or far displacement)` : decoder.unbuilt;
    const at = this.memory.walker.ram(gpa);
    const bytes = [...state.u8.subarray(at, at + Math.min(decoder.length, 4096 - (gpa & 0xfff)))];
    this.internalError(`not implemented: ${bytes.map((b) => b.toString(16).padStart(2, "0")).join(" ")} ${name}`);
  }

  #trace(result: number, pageOffset: number): void {
    const { state, decoder } = this;
    const rip = (BigInt(state.high(CPU.rip)) << 32n) | BigInt(state.get(CPU.rip));
    const base = rip - (rip & 0xfffn);
    const at = base + BigInt(pageOffset);
    const text =
      result === Decoded.ok ? disassemble(decoder, at) : result === Decoded.undefined ? "(bad)" : decoder.unbuilt;
    this.host.trace(`0x${at.toString(16).padStart(8, "0")}:  ${text}`);
  }
}
