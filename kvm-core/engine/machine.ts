/**
 * What the three engines share: the run loop, RIP of a record, exceptions, interrupt window and shadow, single step, leaving.
 * Document: architecture.md section 5; SDM volume 3, 6.8.3 (interrupt shadow), table 6-2 (priorities between instructions).
 * Left out: how a record is found for an RIP: interp.ts, patch.ts and wasm.ts.
 */

import { updateMode, usesPdptes } from "../cpu/control.ts";
import { DescriptorTables } from "../cpu/descriptor.ts";
import { ExceptionUnit } from "../cpu/exception.ts";
import { Fault, VECTOR } from "../cpu/fault.ts";
import { RFLAGS } from "../cpu/flags.ts";
import type { Source } from "../cpu/interrupt-gate.ts";
import { CPU } from "../cpu/state.ts";
import { TaskState } from "../cpu/task-state.ts";
import { VcpuState } from "../cpu/vcpu-state.ts";
import { JUMP, TLB_ALL_CLASSES, ZONE } from "../cpu/zones.ts";
import { MICRO, RECORD } from "../emit/record.ts";
import { Decoder } from "../isa/decode.ts";
import { Decoded } from "../isa/decoded.ts";
import { LockedUnit } from "../mmu/locked.ts";
import { GuestMemoryUnit, type MmuExports, RESTART } from "../mmu/memory.ts";
import { loadPdptes } from "../mmu/pdpte.ts";
import { accessImports } from "./accesses.ts";
import { branchToNowhere, operandVector } from "./canonical.ts";
import { CodeSegment } from "./code-segment.ts";
import { Coherence } from "./coherence.ts";
import { DebugUnit } from "./debug.ts";
import { EnterUnit } from "./enter.ts";
import { FarReturn } from "./far/far-return.ts";
import { FarTransfer } from "./far/far-transfer.ts";
import { SegmentUnit } from "./far/segments.ts";
import { TaskSwitch } from "./far/task-switch.ts";
import { FetchUnit } from "./fetch.ts";
import { exportsForBlocks } from "./generated.ts";
import { helperImports } from "./helpers.ts";
import { type DebugExit, type Engine, EngineExit, type EngineHost, type PortHelpers } from "./host.ts";
import { type InterpreterImports, opcodeMap } from "./interpreter.ts";
import { forgetJumps } from "./jump-cache.ts";
import { pageOffsetOf, Recorder } from "./recorder.ts";
import { serialising } from "./serialising.ts";
import { Step } from "./step.ts";
import { SystemAccess } from "./system-access.ts";
import { taskHost } from "./task-host.ts";
import { hexRip, traceLine } from "./trace.ts";
import { WatchUnit } from "./watch.ts";

export abstract class Machine implements Engine {
  readonly state: VcpuState;
  readonly host: EngineHost;
  /** The VM's linear memory, for the accessors that ioctls use too. */
  readonly memoryObject: WebAssembly.Memory;
  readonly memory: GuestMemoryUnit;
  readonly locked: LockedUnit;
  readonly system: SystemAccess;
  readonly coherence: Coherence;
  readonly fault = new Fault();
  readonly task: TaskState;
  readonly tasks: TaskSwitch;
  readonly segments: SegmentUnit;
  readonly far: FarTransfer;
  readonly returns: FarReturn;
  readonly watch: WatchUnit;
  readonly debug: DebugUnit;
  readonly step: Step;
  readonly frames: EnterUnit;
  readonly decoder = new Decoder(opcodeMap());
  readonly fetch: FetchUnit;
  readonly recorder: Recorder;
  readonly ports: PortHelpers;
  readonly #exceptions: ExceptionUnit;
  readonly #run: (ip: number, cpu: number) => number;
  readonly #buffer: number;
  /** Record of the instruction that called into TypeScript: where RIP is if the host throws. */
  current = 0;
  errorDetail = "";
  #deliveryExit = 0;
  /** The next instruction meets a data breakpoint, so that it has to run alone. */
  #again = false;
  readonly #codeSegment: CodeSegment;

  /** What generated code imports: the interpreter, and what is translated. */
  protected readonly environment: Readonly<Record<string, unknown>>;
  /** The functions of translated blocks. */
  protected readonly table: WebAssembly.Table;

  /** `slots`: how many translated blocks there may be. */
  constructor(module: WebAssembly.Module, memory: WebAssembly.Memory, zone: number, host: EngineHost, slots = 0) {
    this.state = new VcpuState(memory, zone);
    this.host = host;
    this.memoryObject = memory;
    this.memory = new GuestMemoryUnit(this.state, host, (gpa, size, flags) => this.pageWritten(gpa, size, flags));
    this.locked = new LockedUnit(this.state, this.memory);
    this.coherence = new Coherence(this.state, memory, this.memory, (gpa, size) => this.codeWritten(gpa, size));
    this.system = new SystemAccess(this.state, this.memory);
    const tables = new DescriptorTables(this.state, this.system, this.fault);
    this.task = new TaskState(this.state, this.system, this.fault, tables);
    this.segments = new SegmentUnit(this.state, this.fault, tables);
    this.tasks = new TaskSwitch(this.state, this.system, this.fault, tables, taskHost(this));
    this.far = new FarTransfer(this.state, this.system, this.fault, tables, this.task, this.segments, this.tasks);
    this.returns = new FarReturn(this.state, this.system, this.fault, tables, this.segments, this.tasks);
    this.watch = new WatchUnit(this.state, this.memory.tlb);
    this.memory.watcher = this.watch;
    this.debug = new DebugUnit(this.state, this.watch, (code, source, length) =>
      this.deliver(VECTOR.DB, code, source, length),
    );
    this.step = new Step(this.state, this.debug, this.watch);
    this.frames = new EnterUnit(this.state, this.memory);
    this.#codeSegment = new CodeSegment(this.state);
    this.fetch = new FetchUnit(this.state, this.memory, host, this.decoder);
    this.recorder = new Recorder(this.state.u32, this.decoder);
    this.#exceptions = new ExceptionUnit(this.state, this.system, this.fault, tables, this.task, this.tasks);
    this.#buffer = zone + ZONE.buffer;
    const helpers = helperImports(this);
    this.ports = { in: helpers.in, out: helpers.out };
    const imports: InterpreterImports = {
      ...accessImports(this),
      lookup: () => this.#lookup(),
      resume: () => this.#resume(),
      link: (ip) => this.#linkRecord(ip!),
      stale: (ip) => this.stale(ip!),
      fault: (ip) => this.#faultRecord(ip!),
      unbuilt: (ip) => this.#unbuiltRecord(ip!),
      hot: (ip) => this.hot(ip!),
      ...serialising(helpers, () => this.coherence.serve()),
      ...(host.ports ? { in: host.ports.in, out: host.ports.out } : {}),
    };
    this.table = new WebAssembly.Table({ element: "anyfunc", initial: slots });
    const instance = new WebAssembly.Instance(module, { e: { memory, functions: this.table, cpu: zone, ...imports } });
    // Translated blocks call the interpreter's own functions, its TLB miss among them, not what they leave to TypeScript.
    this.environment = { memory, functions: this.table, ...imports, ...exportsForBlocks(instance.exports) };
    this.#run = instance.exports["run"] as (ip: number, cpu: number) => number;
    this.memory.link(instance.exports as unknown as MmuExports);
    // The zone may have served another engine, or none: then the tables are all zeros, which are tags of page 0.
    this.state.set(CPU.tlbUsed, TLB_ALL_CLASSES);
    this.memory.tlb.flush();
    // The zone may have served another engine, whose records these are.
    forgetJumps(this.state);
    this.state.set(CPU.resumeRecord, 0);
  }

  // --- what the engines differ in

  /** The record for CPU.rip, whose bytes begin at guest-physical `gpa`; sets CPU.ripBase. 0: left, or a fault: see enter(). */
  protected abstract recordAt(gpa: number): number;
  /** An indirect jump to CPU.rip missed the jump cache. */
  protected abstract lookup(): number;
  /** A link record at `ip` was reached; CPU.rip is its target. */
  protected abstract linked(ip: number): number;
  protected abstract stale(ip: number): number;
  /** Bytes of a page that holds code changed, whoever changed them: records of them are stale from now on. */
  protected abstract codeWritten(gpa: number, size: number): void;
  /** The entry record at `ip` has counted down; returns the record to go on with. */
  protected hot(_ip: number): number {
    throw new Error("this engine makes no entry records");
  }
  /** Linear addresses, or what an RIP means, changed: forget what depends on it. */
  protected abstract forgetAddresses(): void;
  /** Where blocks must end changed: forget them. */
  protected abstract forgetBlocks(): void;

  /** This vCPU wrote to a page with GPA_CODE or GPA_LOGGED. */
  protected pageWritten(gpa: number, size: number, flags: number): void {
    this.coherence.pageWritten(gpa, size, flags);
  }

  // --- Engine

  run(): number {
    return this.coherence.inside(() => this.#runInside());
  }

  serve(): void {
    this.coherence.takeFlush(() => this.flushTlb());
    this.coherence.serve();
  }

  #runInside(): number {
    const { state } = this;
    this.serve();
    if (state.get(CPU.stale)) {
      state.set(CPU.stale, 0);
      if (usesPdptes(state.get(CPU.cr0), state.get(CPU.cr4), state.get(CPU.efer)))
        loadPdptes(state, state.get(CPU.cr3));
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
    this.step.cancel();
    const denied = this.decoder.denied.take(state.u32, (state.zone + CPU.denied) >>> 2);
    if (denied) this.forgetBlocks(); // CPUID was set
    if (denied) this.modeChanged();
    const otherwise = this.debugChanged();
    let ip = state.get(CPU.resumeRecord);
    if (otherwise || !state.same64(CPU.resumeRip, CPU.rip)) ip = 0;
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
    return (state.get(CPU.eflags) & RFLAGS.IF) !== 0 && !this.step.inShadow;
  }

  get inShadow(): boolean {
    return this.step.inShadow;
  }

  get debugDetail(): DebugExit {
    return this.debug.detail;
  }

  interruptWindow(wanted: boolean): void {
    this.state.set(CPU.window, wanted ? 1 : 0);
  }

  interrupt(vector: number): void {
    this.state.set(CPU.resumeRecord, 0);
    this.state.set(CPU.exit, 0);
    this.coherence.inside(() => this.deliver(vector, 0, "interrupt"));
    this.#deliveryExit = this.state.get(CPU.exit);
  }

  flushTlb(): void {
    this.memory.tlb.flush();
    this.modeChanged();
  }

  /** The decode mode or CS base changed: what an RIP leads to. */
  modeChanged(): void {
    this.fetch.itlb.flush();
    this.state.set(CPU.resumeRecord, 0);
    this.forgetAddresses();
  }

  /** INVLPG: most pages that a kernel takes away never held code, and the records may stay. */
  pageInvalidated(lo: number, hi: number): void {
    if (this.fetch.itlb.covers(lo, hi)) this.modeChanged();
  }

  // --- RIP

  /** CPU.rip = RIP of the record plus `extra`. */
  sync(ip: number, extra = 0): void {
    const { state } = this;
    const lo = state.get(CPU.ripBase) + pageOffsetOf(state.u32, ip) + extra;
    state.set64(CPU.rip, lo, this.fetch.isLong ? state.high(CPU.ripBase) + (lo > 0xffff_ffff ? 1 : 0) : 0);
  }

  /** CPU.rip = RIP of the instruction that follows. */
  syncNext(ip: number): void {
    this.sync(ip, this.state.u32[(ip + 4) >>> 2]! >>> 24);
  }

  // --- exceptions

  raise(ip: number, vector: number, code: number): undefined {
    this.current = ip;
    this.sync(ip);
    if (vector === RESTART) {
      this.#again = true;
      return;
    }
    this.step.forgetMet();
    this.deliver(vector, code, "fault");
  }

  /**
   * Delivers at CPU.rip; afterwards CPU.exit is set or CPU.rip is the handler.
   * `length`: of a software interrupt, whose RIP is behind the instruction already.
   */
  deliver(vector: number, code: number, source: Source, length = 0): void {
    const { state } = this;
    this.step.interrupted = true;
    const noting = this.watch.note(true);
    if (!this.#exceptions.deliver(vector, code, source, length)) state.set(CPU.exit, EngineExit.SHUTDOWN);
    this.watch.note(noting);
  }

  internalError(what: string): void {
    const { state } = this;
    this.errorDetail = `${what} at ${hexRip(state)}`;
    state.set(CPU.exit, EngineExit.INTERNAL_ERROR);
  }

  /** The debug registers may have changed. True if instructions have to run another way from here on. */
  debugChanged(): boolean {
    const moved = this.debug.refresh();
    if (moved) this.forgetBlocks();
    return moved || this.debug.alone;
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
      if (this.#codeSegment.changed()) this.modeChanged();
      if ((state.get(CPU.cpl) === 3) !== ((state.get(ZONE.jumpGeneration) & JUMP.user) !== 0)) this.#privilegeChanged();
      const wanted = state.get(CPU.window) !== 0;
      if (wanted && this.interruptible()) {
        state.set(CPU.exit, EngineExit.INTR);
        return 0;
      }
      const due = this.tasks.takeTrap() | this.step.takeMet();
      if (due !== 0) {
        debug.raise(due, "trap");
        continue;
      }
      const bits = debug.atInstruction();
      if (bits !== 0 && !this.step.holdsDebug()) {
        // A fault, but one whose image of RFLAGS has RF clear.
        debug.raise(bits, "trap");
        continue;
      }
      if (debug.alone || this.#again || (wanted && this.step.inShadow)) {
        const ip = this.#stepAlone();
        if (ip !== 0) return ip;
        continue;
      }
      const gpa = this.fetchPage(0);
      if (gpa >= 0) {
        const ip = this.fetch.isWhole(gpa) ? this.recordAt(gpa) : this.stepRecord();
        if (ip !== 0) return ip;
      }
    }
  }

  /** CPL became 3, or ceased to be: what the one may execute the other may not, so each has jump cache entries of its own. */
  #privilegeChanged(): void {
    this.state.set(ZONE.jumpGeneration, this.state.get(ZONE.jumpGeneration) ^ JUMP.user);
    if (this.fetch.itlb.sharedCode) this.modeChanged();
  }

  /** The record of an instruction that runs alone; 0 after its fetch faulted. */
  #stepAlone(): number {
    this.#again = false;
    this.step.begin();
    const ip = this.stepRecord();
    if (ip === 0) this.step.end(false);
    this.step.length = this.decoder.length;
    return ip;
  }

  /** Guest-physical address of CPU.rip + extra; -1 after a fault was delivered. */
  protected fetchPage(extra: number): number {
    const gpa = this.fetch.page(extra);
    if (gpa < 0) this.deliver(this.fetch.faultVector, this.fetch.faultCode, "fault");
    return gpa;
  }

  /** CPU.ripBase for an instruction at CPU.rip whose linear address has this page offset. */
  protected setRipBase(pageOffset: number): void {
    const { state } = this;
    const rip = state.get(CPU.rip);
    const borrow = rip < pageOffset ? 1 : 0;
    state.set64(CPU.ripBase, rip - pageOffset, (state.high(CPU.rip) - borrow) >>> 0);
  }

  /** Decodes the instruction at CPU.rip, whose bytes begin at `gpa`: a Decoded, or -1 after a fault was delivered. */
  protected fetchInstruction(gpa: number): number {
    const result = this.fetch.instruction(gpa);
    if (result < 0) this.deliver(this.fetch.faultVector, this.fetch.faultCode, "fault");
    return result;
  }

  /** Writes the record of what fetchInstruction() gave; returns the address behind. */
  protected writeRecord(at: number, result: number, pageOffset: number): number {
    if (this.state.get(CPU.traceMask) & 1) this.host.trace(traceLine(this.state, this.decoder, result, pageOffset));
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

  /** Does `pending` or the kick word ask to leave? Else it was the budget, or what could be done here and was. */
  protected wantsOut(): boolean {
    return this.coherence.wantsOut();
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
    if (this.step.active) {
      this.step.end(this.inBuffer(ip) && (state.u32[ip >>> 2]! & 0xffff) !== MICRO.link);
      return this.#next();
    }
    // A shadow ends behind its instruction even if that branches to itself: enter() lets it run alone.
    const held = this.step.inShadow;
    if (!this.wantsOut()) {
      if (state.get(CPU.window) === 0) return ip;
      if (held) return this.enter();
      if (!this.interruptible()) return ip;
    }
    if (!held) {
      state.copy64(CPU.resumeRip, CPU.rip);
      state.set(CPU.resumeRecord, ip);
    }
    state.set(CPU.exit, EngineExit.INTR);
    return 0;
  }

  /** Behind an instruction that ended in TypeScript. */
  #next(): number {
    if (this.state.get(CPU.exit) !== 0 || this.#leaves()) return 0;
    return this.enter();
  }

  #linkRecord(ip: number): number {
    this.sync(ip);
    const branch = this.fetch.isLong ? branchToNowhere(this.state, this.decoder.map, ip) : 0;
    if (branch !== 0) this.raise(branch, VECTOR.GP, 0);
    else if (!this.inBuffer(ip)) return this.linked(ip);
    if (this.step.active) this.step.end(false);
    return this.#next();
  }

  #lookup(): number {
    if (!this.step.active) return this.#leaves() ? 0 : this.lookup();
    this.step.end(false);
    return this.#next();
  }

  #resume(): number {
    if (this.step.active) this.step.end(false);
    return this.#next();
  }

  /** An access to the operand of the instruction at `ip` failed in the MMU. */
  raiseMemory(ip: number): void {
    const { faultVector, faultCode } = this.memory;
    this.raise(ip, operandVector(this.state, ip, faultVector), faultCode);
  }

  #faultRecord(ip: number): undefined {
    const { u32 } = this.state;
    this.raise(ip, (u32[ip >>> 2]! >>> 16) & 0xff, u32[(ip + RECORD.imm) >>> 2]!);
  }

  #unbuiltRecord(ip: number): undefined {
    this.sync(ip);
    const gpa = this.fetchPage(0);
    if (gpa < 0 || this.fetchInstruction(gpa) < 0) return;
    const bytes = Array.from(this.fetch.lastBytes(), (b) => b.toString(16).padStart(2, "0"));
    this.internalError(`not implemented: ${bytes.join(" ")} ${this.decoder.unbuilt}`);
  }
}
