/**
 * What both engines share: the run loop, RIP of a record, exceptions, interrupt window and shadow, single step, leaving.
 * Document: architecture.md section 5; SDM volume 3, 6.8.3 (interrupt shadow), table 6-2 (priorities between instructions).
 * Left out: how a record is found for an RIP: interp.ts and patch.ts.
 */

import { MODE, updateMode } from "../cpu/control.ts";
import { DescriptorTables } from "../cpu/descriptor.ts";
import { ExceptionUnit } from "../cpu/exception.ts";
import { Fault, VECTOR } from "../cpu/fault.ts";
import { RFLAGS } from "../cpu/flags.ts";
import type { Source } from "../cpu/interrupt-gate.ts";
import { CPU, SEG } from "../cpu/state.ts";
import { TaskState } from "../cpu/task-state.ts";
import { VcpuState } from "../cpu/vcpu-state.ts";
import { JUMP_CACHE_ENTRIES, JUMP_CACHE_ENTRY_SIZE, ZONE } from "../cpu/zones.ts";
import { HEAD, MICRO, RECORD } from "../emit/record.ts";
import { Decoded, Decoder } from "../isa/decode.ts";
import { disassemble } from "../isa/disasm.ts";
import { LockedUnit } from "../mmu/locked.ts";
import { GuestMemoryUnit } from "../mmu/memory.ts";
import { ACCESS } from "../mmu/walk.ts";
import { DebugUnit, DR6, DR7, type SHADOW } from "./debug.ts";
import { FarReturn } from "./far/far-return.ts";
import { FarTransfer } from "./far/far-transfer.ts";
import { SegmentUnit } from "./far/segments.ts";
import { helperImports } from "./helpers.ts";
import { type DebugExit, type Engine, EngineExit, type EngineHost } from "./host.ts";
import { type InterpreterImports, opcodeMap } from "./interpreter.ts";
import { Recorder } from "./recorder.ts";
import { Step } from "./step.ts";
import { SystemAccess } from "./system-access.ts";

const FETCH_ENTRIES = 64;
const MAX_LENGTH = 15;

export abstract class Machine implements Engine {
  readonly state: VcpuState;
  readonly host: EngineHost;
  /** The VM's linear memory, for the accessors that ioctls use too. */
  readonly memoryObject: WebAssembly.Memory;
  readonly memory: GuestMemoryUnit;
  readonly locked: LockedUnit;
  readonly system: SystemAccess;
  readonly fault = new Fault();
  readonly task: TaskState;
  readonly segments: SegmentUnit;
  readonly far: FarTransfer;
  readonly returns: FarReturn;
  readonly debug: DebugUnit;
  readonly decoder = new Decoder(opcodeMap());
  readonly recorder: Recorder;
  readonly #exceptions: ExceptionUnit;
  readonly #run: (ip: number, cpu: number) => number;
  readonly #buffer: number;
  /** Record of the instruction that called into TypeScript: where RIP is if the host throws. */
  current = 0;
  errorDetail = "";
  debugDetail: DebugExit = { exception: 0, pc: 0n, dr6: 0n, dr7: 0n };
  #deliveryExit = 0;
  readonly #step: Step;
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
    this.locked = new LockedUnit(this.state, this.memory);
    this.system = new SystemAccess(this.state, this.memory);
    const tables = new DescriptorTables(this.state, this.system, this.fault);
    this.task = new TaskState(this.state, this.system, this.fault, tables);
    this.segments = new SegmentUnit(this.state, this.fault, tables);
    this.far = new FarTransfer(this.state, this.system, this.fault, tables, this.task, this.segments);
    this.returns = new FarReturn(this.state, this.system, this.fault, tables, this.segments);
    this.debug = new DebugUnit(this.state);
    this.#step = new Step(this.state);
    this.recorder = new Recorder(this.state.u32, this.decoder);
    this.#exceptions = new ExceptionUnit(this.state, this.system, this.fault, tables, this.task);
    this.#buffer = zone + ZONE.buffer;
    const imports: InterpreterImports = {
      miss: (ip, access) => this.#miss(ip!, access!),
      storeMiss: (ip, size) => this.#storeMiss(ip!, size!),
      lockedStore: (ip, size) => this.#lockedStore(ip!, size!),
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
    this.clearJumpCache();
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
  /** Where blocks must end changed: forget them. */
  protected abstract forgetBlocks(): void;

  /** Empties the jump cache: an entry's tag is an RIP that belongs into another one. */
  protected clearJumpCache(): void {
    const at = this.state.zone + ZONE.jumpCache;
    this.state.u8.fill(0, at, at + JUMP_CACHE_ENTRIES * JUMP_CACHE_ENTRY_SIZE);
    this.state.u32[at >>> 2] = 1;
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
    // A host that threw has left an instruction in the middle.
    this.#step.cancel();
    this.debugChanged();
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
        if (ip !== 0) ip = this.#left(ip);
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

  /** Holds interrupts off for the instruction at CPU.rip. */
  shadow(kind: (typeof SHADOW)[keyof typeof SHADOW]): void {
    this.state.set(CPU.shadow, kind);
    this.state.copy64(CPU.shadowRip, CPU.rip);
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
    this.#step.interrupted = true;
    const mode = state.get(CPU.mode);
    const base = state.get(CPU.segBase + SEG.cs * 8);
    const outcome = this.#exceptions.deliver(vector, code, source, length);
    if (vector === VECTOR.DB && source !== "software" && source !== "interrupt") {
      state.set(CPU.dr + 7 * 8, state.get(CPU.dr + 7 * 8) & ~DR7.GD);
    }
    if (outcome === "shutdown") state.set(CPU.exit, EngineExit.SHUTDOWN);
    else if (outcome === "unbuilt") this.internalError(`not implemented: ${this.fault.unbuilt} (vector ${vector})`);
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

  /** #DB at CPU.rip: to whoever debugs from outside, or through the IDT. `bits`: of DR6; `length`: of INT1. */
  debugException(bits: number, source: "fault" | "trap", length = 0): void {
    const { state } = this;
    if (this.debug.outside) {
      this.debugExit(VECTOR.DB, bits);
      return;
    }
    state.set(CPU.dr + 6 * 8, state.get(CPU.dr + 6 * 8) | bits);
    this.deliver(VECTOR.DB, 0, source, length);
  }

  /** Leaves for whoever debugs from outside, at CPU.rip. */
  debugExit(exception: number, bits: number): void {
    const { lo, hi } = this.debug.linearRip();
    const pc = (BigInt(hi) << 32n) | BigInt(lo);
    this.debugDetail = { exception, pc, dr6: BigInt((DR6.ones | bits) >>> 0), dr7: BigInt(this.debug.dr7) };
    this.state.set(CPU.exit, EngineExit.DEBUG);
  }

  /** The debug registers may have changed. True if instructions have to run another way from here on. */
  debugChanged(): boolean {
    const moved = this.debug.refresh();
    if (moved) this.forgetBlocks();
    return moved || this.debug.alone;
  }

  /** IRET has loaded RFLAGS: an RF that it brought is for the next instruction. */
  flagsLoaded(): void {
    this.#step.flagsLoaded = true;
  }

  // --- finding records

  /** The record for CPU.rip; 0 after CPU.exit was set. Faults of the fetch are delivered here. */
  enter(): number {
    const { state, debug } = this;
    // CPU.rip is exact from here on: if the host throws, it stays as it is.
    this.current = 0;
    for (let first = true; ; first = false) {
      if (state.get(CPU.exit) !== 0) return 0;
      // Deliveries that fault at their handlers may go on for ever.
      if (!first && this.#leaves()) return 0;
      const wanted = state.get(CPU.window) !== 0;
      if (wanted && this.interruptible()) {
        state.set(CPU.exit, EngineExit.INTR);
        return 0;
      }
      const inShadow = state.get(CPU.shadow) !== 0 && state.same64(CPU.shadowRip, CPU.rip);
      const bits = debug.atInstruction();
      if (bits !== 0 && !this.#step.holdsDebug()) {
        // A fault, but one whose image of RFLAGS has RF clear.
        this.debugException(bits, "trap");
        continue;
      }
      if (debug.alone || (wanted && inShadow)) {
        const ip = this.#stepAlone();
        if (ip !== 0) return ip;
        continue;
      }
      const gpa = this.fetchPage(0);
      if (gpa >= 0) {
        const ip = this.recordAt(gpa);
        if (ip !== 0) return ip;
      }
    }
  }

  /** The record of an instruction that runs alone; 0 after its fetch faulted. */
  #stepAlone(): number {
    this.#step.begin();
    const ip = this.stepRecord();
    if (ip === 0) this.#stepped(false);
    return ip;
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
    if (result === Decoded.undefined) return this.recorder.fault(at, VECTOR.UD, 0);
    if (result === Decoded.tooLong) return this.recorder.fault(at, VECTOR.GP, 0);
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

  /** Ends run() if `pending` or the kick word ask for it. */
  #leaves(): boolean {
    if (!this.wantsOut()) return false;
    this.state.set(CPU.exit, EngineExit.INTR);
    return true;
  }

  /** Generated code left at a taken branch, with `ip` to go on, or between two iterations. Returns where to go on, or 0. */
  #left(ip: number): number {
    const { state } = this;
    this.sync(ip);
    if (this.#step.active) {
      this.#stepped(this.inBuffer(ip) && (state.u32[ip >>> 2]! & 0xffff) !== MICRO.link);
      return this.#next();
    }
    if (!this.wantsOut() && !(state.get(CPU.window) !== 0 && this.interruptible())) return ip;
    state.copy64(CPU.resumeRip, CPU.rip);
    state.set(CPU.resumeRecord, ip);
    state.set(CPU.exit, EngineExit.INTR);
    return 0;
  }

  /**
   * The instruction that ran alone has ended at CPU.rip, or an event has been delivered in its place. `repeating`: a
   * string instruction has done one iteration and goes on. Traps come here: before interrupts, and before the next instruction.
   */
  #stepped(repeating: boolean): void {
    const { state, debug } = this;
    const trap = this.#step.end(repeating);
    const bits = debug.takeMet() | (trap ? DR6.BS : 0);
    const exit = state.get(CPU.exit);
    if (exit !== 0 && exit !== EngineExit.HLT) return;
    if (bits !== 0) {
      // A trap also wakes from HLT.
      state.set(CPU.exit, 0);
      if (repeating) state.set(CPU.eflags, state.get(CPU.eflags) | RFLAGS.RF);
      this.debugException(bits, "trap");
    } else if (exit === 0 && debug.stepsOutside) this.debugExit(VECTOR.DB, DR6.BS);
  }

  /** Behind an instruction that ended in TypeScript. */
  #next(): number {
    if (this.state.get(CPU.exit) !== 0 || this.#leaves()) return 0;
    return this.enter();
  }

  #linkRecord(ip: number): number {
    this.sync(ip);
    if (!this.inBuffer(ip)) return this.linked(ip);
    if (this.#step.active) this.#stepped(false);
    return this.#next();
  }

  #lookup(): number {
    if (!this.#step.active) return this.#leaves() ? 0 : this.lookup();
    this.#stepped(false);
    return this.#next();
  }

  #resume(): number {
    if (this.#step.active) this.#stepped(false);
    return this.#next();
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

  #lockedStore(ip: number, size: number): number {
    this.current = ip;
    const found = this.locked.compareExchange(size);
    if (found >= 0) return found === 1 ? 0 : 2;
    this.raise(ip, this.locked.faultVector, this.locked.faultCode);
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
