/**
 * A vCPU as the main thread sees it: its thread, its control block, and KVM_RUN with its rule that a request on a
 * vCPU waits until no KVM_RUN is under way (the vCPU's mutex in Linux).
 * When the owner's connection ends in mid-KVM_RUN the vCPU goes on to its next exit and stays there; the KVM_RUN of a
 * new owner then takes that run over.
 * Leaves out: what the thread does (vcpu-thread.ts).
 */
import { Worker } from "node:worker_threads";
import { KvmError } from "../../shared/errno.ts";
import type { RunResult } from "../../shared/exits.ts";
import { EXIT } from "../../shared/exits.ts";
import { type Arg, KVM_MP_STATE } from "../../shared/ioctls.ts";
import { KICKED } from "../../shared/mailbox.ts";
import { futexWake, mapFixed, PROT_READ, PROT_WRITE } from "../../shared/native.ts";
import {
  initRow,
  STATS_BYTES,
  STATS_HEADER,
  STATS_MAGIC,
  STATS_REASONS,
  STATS_REGIONS,
  STATS_ROW,
  STATS_VERSION,
} from "../../shared/stats-page.ts";
import { stopAtExit } from "../../shared/stop.ts";
import { answered, GUEST_MODE } from "../cpu/requests.ts";
import { CPU } from "../cpu/state.ts";
import { PAGE_SIZE, vcpuZone, ZONE } from "../cpu/zones.ts";
import { type EngineName, resetVcpu } from "../engine/engine.ts";
import { Lapic } from "../irqchip/lapic.ts";
import { LapicDelivery } from "../irqchip/lapic-delivery.ts";
import { Descriptor } from "../vm/descriptor.ts";
import {
  COMMAND_RUN,
  CONTROL,
  controlAt,
  MAX_SERVERS,
  PENDING_EXIT,
  PENDING_STOP,
  PENDING_TLB,
  statsAt,
  VM_STATE,
} from "../vm/vm-state.ts";
import { ENGINES, type FromThread, type ThreadStart } from "./messages.ts";
import { PageExchange } from "./page-exchange.ts";
import { takeStartup } from "./startup.ts";
import { SAMPLE_PERIOD } from "./stats.ts";

type Run = { readonly resolve: (result: RunResult) => void; readonly reject: (error: Error) => void };

export class Vcpu {
  readonly id: number;
  readonly zone: number;
  readonly memory: WebAssembly.Memory;
  readonly kickPage: Descriptor;
  readonly stats: Descriptor;
  /** For requests while the vCPU is at rest. */
  readonly lapic: Lapic;
  readonly #words: Int32Array;
  readonly #thread: Worker;
  readonly #ended: Promise<void>;
  /** Set while the thread has the vCPU: who gets the reply, or `undefined` when its owner is gone. */
  #running = false;
  #run: Run | undefined;
  /** An exit whose owner went before it got it. */
  #unclaimed: RunResult | undefined;
  /** Requests that wait for the end of the KVM_RUN under way, in their order. */
  #waiting: (() => void)[] = [];
  /** The thread is in the middle of an instruction: an exit in message mode that waits for its completion. */
  #midInstruction = false;
  #stopped = false;
  /** A line of in_asm. */
  onTrace: (line: string, taken: () => void) => void = (_line, taken) => taken();
  /** The thread died by a mistake of ours. */
  onFailure: (error: Error) => void = () => {};

  constructor(memory: WebAssembly.Memory, module: WebAssembly.Module, id: number) {
    this.id = id;
    this.memory = memory;
    this.zone = vcpuZone(id);
    this.#words = new Int32Array(memory.buffer);
    const bytes = new Uint8Array(memory.buffer);
    this.kickPage = Descriptor.create(`splitvm-kick-${id}`, PAGE_SIZE);
    mapFixed(bytes, this.zone + ZONE.kick, PAGE_SIZE, this.kickPage.fd, 0, PROT_READ | PROT_WRITE);
    this.stats = this.#makeStats(bytes);
    new Uint8Array(memory.buffer, controlAt(id, "command"), CONTROL.size).fill(0);
    resetVcpu(memory, this.zone, id);
    this.lapic = new Lapic(memory, id, new LapicDelivery(memory));
    this.lapic.reset();
    if (id !== 0 && Atomics.load(this.#words, VM_STATE.irqchip >> 2) !== 0) this.mpState = KVM_MP_STATE.UNINITIALIZED;
    this.engine = "patch";
    const start: ThreadStart = { memory, module, vcpu: id };
    this.#thread = new Worker(new URL("./vcpu-thread.ts", import.meta.url), { workerData: start });
    this.#thread.on("message", (message: FromThread) => this.#message(message));
    this.#ended = new Promise((resolve) => {
      this.#thread.on("error", (error: unknown) => this.#failed(error as Error));
      const forget = stopAtExit(() => this.#signalStop());
      this.#thread.on("exit", () => {
        forget();
        resolve();
      });
    });
  }

  /** KVM_RUN. EINTR: immediate_exit or a kick. */
  run(arg: Arg<"KVM_RUN">): Promise<RunResult> {
    if (this.#running && !this.#run) return this.#reply(); // takes over the run of an owner that is gone
    return this.whenIdle(() => this.#begin(arg));
  }

  #begin(arg: Arg<"KVM_RUN">): RunResult | Promise<RunResult> {
    if (this.#unclaimed) {
      const result = this.#unclaimed;
      this.#unclaimed = undefined;
      return result;
    }
    if (arg.data.length > 8) throw new KvmError("EINVAL", "data: at most 8 bytes complete an access");
    const data = Buffer.alloc(8);
    data.set(arg.data);
    this.#set("completionLength", arg.data.length);
    this.#set("completionLow", data.readInt32LE(0));
    this.#set("completionHigh", data.readInt32LE(4));
    this.#set("immediateExit", arg.immediate_exit);
    this.#set("requestWindow", arg.request_interrupt_window);
    this.#running = true;
    const reply = this.#reply();
    this.#set("command", COMMAND_RUN);
    futexWake(this.#words, controlAt(this.id, "command") >> 2, 1);
    return reply;
  }

  /**
   * Does `work` while no KVM_RUN is under way: at once, or after those that wait already. So requests take effect in
   * their order, and a KVM_RUN among them holds up the ones behind it.
   */
  whenIdle<T>(work: () => T | Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const turn = () => {
        try {
          this.#alive();
          resolve(work());
        } catch (error) {
          reject(error as Error);
        }
      };
      if (this.#running) this.#waiting.push(turn);
      else turn();
    });
  }

  /** The owner's connection ended: nobody waits for the KVM_RUN under way, and what waits behind it is not done. */
  orphan(): void {
    this.#waiting = [];
    this.#run?.reject(new KvmError("EBADF", "the owner's handle was closed"));
    this.#run = undefined;
  }

  /** Ends the KVM_RUN under way, or else the next one, with EINTR. */
  kick(): void {
    this.#pend(PENDING_EXIT);
  }

  /** The guest-physical page table or the way to it changed. */
  flushTlb(): void {
    this.request(PENDING_TLB);
  }

  /** Asks the thread for something that the engine does (cpu/requests.ts). */
  request(bit: number): void {
    this.#pend(bit);
  }

  /** After request(): see answered() in cpu/requests.ts. A thread that has ended answers everything. */
  answered(bit: number): boolean {
    return this.#stopped || answered(this.#words, this.zone, bit);
  }

  /** True when no access of the guest's can use a translation from before the last flushTlb() any more. */
  get tlbIsFlushed(): boolean {
    const waiting = (Atomics.load(this.#words, (this.zone + CPU.pending) >> 2) & PENDING_TLB) !== 0;
    if (!waiting) return answered(this.#words, this.zone, PENDING_TLB);
    return !this.#running && !this.#midInstruction; // the next KVM_RUN flushes before it enters the guest
  }

  /** An interrupt source changed. */
  interruptsChanged(): void {
    this.#wakeUp();
  }

  /** KVM_INTERRUPT: delivered as soon as the guest takes interrupts. EEXIST while another one waits. */
  inject(vector: number): void {
    if (vector > 255) throw new KvmError("EINVAL", `vector ${vector}`);
    const at = controlAt(this.id, "injected") >> 2;
    if (Atomics.compareExchange(this.#words, at, 0, vector + 1) !== 0)
      throw new KvmError("EEXIST", "an interrupt is already waiting to be injected");
    this.#wakeUp();
  }

  get engine(): EngineName {
    return ENGINES[Atomics.load(this.#words, controlAt(this.id, "engine") >> 2)]!;
  }

  set engine(name: string) {
    const number = ENGINES.indexOf(name as EngineName);
    if (number < 0) throw new KvmError("EINVAL", `engine "${name}" is not built; there are ${ENGINES.join(", ")}`);
    this.#set("engine", number);
  }

  set traceMask(mask: number) {
    Atomics.store(this.#words, (this.zone + CPU.traceMask) >> 2, mask);
  }

  get mpState(): number {
    return Atomics.load(this.#words, controlAt(this.id, "mpState") >> 2);
  }

  set mpState(state: number) {
    this.#set("mpState", state);
  }

  /**
   * INIT and a start-up IPI that have arrived, while the vCPU is at rest; in mid-instruction they wait for its end. Before
   * KVM_MP_STATE is read or written, as in Linux.
   */
  acceptEvents(): void {
    if (this.#midInstruction || Atomics.load(this.#words, VM_STATE.irqchip >> 2) === 0) return;
    this.mpState = takeStartup(this.memory, this.lapic, this.mpState);
  }

  /**
   * Ends the thread, whatever it does (protocol.md, "Stopping"): stop word, `pending`, then every word that it may
   * sleep on. Resolves when it has ended.
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#signalStop();
    await this.#ended;
    this.#running = false;
    this.#finish();
    this.#run?.reject(new KvmError("ENODEV", "the VM was destroyed"));
    this.#run = undefined;
    this.kickPage.release();
    this.stats.release();
  }

  #signalStop(): void {
    this.#set("stop", 1);
    this.#pend(PENDING_STOP);
    futexWake(this.#words, controlAt(this.id, "command") >> 2, 1);
    futexWake(this.#words, controlAt(this.id, "traceLines") >> 2, 1);
    for (let server = 0; server < MAX_SERVERS; server++) PageExchange.abort(this.#words, this.id, server);
  }

  #alive(): void {
    if (this.#stopped) throw new KvmError("ENODEV", "the VM was destroyed");
  }

  #reply(): Promise<RunResult> {
    return new Promise((resolve, reject) => {
      this.#run = { resolve, reject };
    });
  }

  #message(message: FromThread): void {
    if (message.kind === "trace") {
      this.onTrace(message.line, () => {
        const at = controlAt(this.id, "traceLines") >> 2;
        Atomics.sub(this.#words, at, 1);
        futexWake(this.#words, at, 1);
      });
      return;
    }
    this.#running = false;
    this.#midInstruction = message.kind === "exit" && message.pending;
    const run = this.#run;
    this.#run = undefined;
    if (message.kind === "interrupted") run?.reject(new KvmError("EINTR", "KVM_EXIT_INTR"));
    else if (run) run.resolve(message.result);
    else this.#unclaimed = message.result;
    this.#finish();
  }

  #finish(): void {
    while (!this.#running && this.#waiting.length > 0) this.#waiting.shift()!();
  }

  #failed(error: Error): void {
    this.#stopped = true;
    // Nobody is to wait for it.
    Atomics.store(this.#words, (this.zone + CPU.guestMode) >> 2, GUEST_MODE.outside);
    this.#running = false;
    this.#run?.reject(new KvmError("EIO", `the vCPU thread failed: ${error.message}`));
    this.#run = undefined;
    this.#finish();
    this.onFailure(error);
  }

  #pend(bit: number): void {
    Atomics.or(this.#words, (this.zone + CPU.pending) >> 2, bit);
    this.#wakeUp();
  }

  /** Makes a running engine look, and a halted vCPU wake. */
  #wakeUp(): void {
    const kick = (this.zone + ZONE.kick) >> 2;
    Atomics.or(this.#words, kick, KICKED);
    futexWake(this.#words, kick, 1);
  }

  #set(field: Parameters<typeof controlAt>[1], value: number): void {
    Atomics.store(this.#words, controlAt(this.id, field) >> 2, value);
  }

  #makeStats(bytes: Uint8Array): Descriptor {
    const at = statsAt(this.id);
    const memfd = Descriptor.createForReaders(`splitvm-stats-${this.id}`, bytes, at, STATS_BYTES);
    const header = new DataView(bytes.buffer, at, STATS_HEADER.size);
    header.setUint32(STATS_HEADER.magic, STATS_MAGIC, true);
    header.setUint32(STATS_HEADER.version, STATS_VERSION, true);
    header.setUint32(STATS_HEADER.vcpu, this.id, true);
    header.setUint32(STATS_HEADER.period, SAMPLE_PERIOD, true);
    header.setUint32(STATS_HEADER.rows, STATS_REASONS + STATS_REGIONS, true);
    header.setUint32(STATS_HEADER.rowSize, STATS_ROW.size, true);
    for (const [name, reason] of Object.entries(EXIT))
      initRow(bytes.buffer, at, reason, { kind: 1, space: 0, base: 0, length: 0, name });
    return memfd;
  }
}
