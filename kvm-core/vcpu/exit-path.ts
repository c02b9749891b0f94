/**
 * Every access that leaves the CPU engine: kvm-core's own devices first, then writes that are posted, then the device
 * server that owns the address, in page mode where that server has a ring page and in message mode otherwise.
 * The common case in page mode does not come here: fast-exit.ts; this file defines what it means, and tells it what it
 * may rely on.
 * It implements EngineHost (engine/engine.ts): each call returns when the access is complete.
 * Leaves out: string I/O batches; each element is an exit of its own.
 */
import { EXIT, IO_IN, IO_OUT, type RunResult, runResult } from "../../shared/exits.ts";
import { SPACE_MMIO, SPACE_PIO } from "../../shared/ioctls.ts";
import { kick } from "../../shared/mailbox.ts";
import { futexWait, futexWake } from "../../shared/native.ts";
import { POSTED_COALESCED, POSTED_IOEVENTFD, PostedRing } from "../../shared/posted-ring.ts";
import { AREA } from "../../shared/server-area.ts";
import { sharedWords, type Words } from "../../shared/words.ts";
import { CPU } from "../cpu/state.ts";
import { vcpuZone, ZONE } from "../cpu/zones.ts";
import type { Engine, EngineHost, PortHelpers } from "../engine/engine.ts";
import type { HostMsrs } from "../engine/host.ts";
import type { Irqchip } from "../irqchip/irqchip.ts";
import { Pic } from "../irqchip/pic.ts";
import { Pit } from "../irqchip/pit.ts";
import { cutOut, Router } from "../vm/regions.ts";
import {
  COMMAND_RUN,
  controlAt,
  PENDING_EXIT,
  REGION_IOEVENTFD,
  serverAreaAt,
  statsAt,
  VM_STATE,
} from "../vm/vm-state.ts";
import { ExitCells } from "./exit-cells.ts";
import { ANSWERED, type FastExit, fastExit } from "./fast-exit.ts";
import { LeaveGuest } from "./leave-guest.ts";
import type { FromThread } from "./messages.ts";
import { PageExchange } from "./page-exchange.ts";
import { ExitStats, STATE_RUNNING, STATE_STOPPED } from "./stats.ts";

const RECHECK_NS = 200_000_000;
/** What an input of each size keeps of the answer's low word. */
const MASK = [0, 0xff, 0xffff, 0, 0xffff_ffff] as const;

export class ExitPath implements EngineHost {
  readonly #memory: WebAssembly.Memory;
  readonly #shared: Words;
  readonly #words: Int32Array;
  readonly #zone: number;
  readonly #vcpu: number;
  readonly stats: ExitStats;
  readonly #cells: ExitCells;
  readonly #fast: FastExit;
  readonly #pages: PageExchange;
  readonly #router: Router;
  readonly #irqchip: Irqchip;
  readonly msrs: HostMsrs;
  readonly #post: (message: FromThread) => void;
  readonly #posted: (PostedRing | undefined)[] = [];
  /** The engine that calls. */
  engine!: Pick<Engine, "current" | "ports" | "coherence">;
  /** Called after an access to an interrupt controller: whether an interrupt waits, and when one will, may have changed. */
  onIrqchip: () => void = () => {};
  /** Adds what every exit tells: if_flag, ready_for_interrupt_injection. */
  completed: (result: RunResult) => RunResult = (result) => result;

  constructor(
    memory: WebAssembly.Memory,
    zone: number,
    vcpu: number,
    irqchip: Irqchip,
    post: (message: FromThread) => void,
  ) {
    this.#shared = sharedWords(memory);
    this.#words = new Int32Array(memory.buffer);
    this.#zone = zone;
    this.#vcpu = vcpu;
    this.#cells = new ExitCells(memory, zone, vcpu);
    this.stats = new ExitStats(memory, statsAt(vcpu), this.#cells);
    this.#fast = fastExit(memory, zone, vcpu, {
      in: (record, port, size) => this.engine.ports.in(record, port, size),
      out: (record, port, size) => this.engine.ports.out(record, port, size),
    });
    this.#pages = new PageExchange(memory, this.#shared, vcpu, this.stats, this.#cells, this.#fast);
    this.#router = new Router(memory);
    this.#irqchip = irqchip;
    this.msrs = this.#apicMsrs(irqchip);
    irqchip.onIoapicEoi = (vector) => this.#ioapicEoi(vector);
    this.#pages.leave = () => this.engine.coherence.leave();
    this.#pages.enter = () => this.engine.coherence.enter();
    this.#post = post;
    this.#memory = memory;
  }

  get ports(): PortHelpers {
    return this.#fast;
  }

  portIn(port: number, size: 1 | 2 | 4): number {
    if (this.#irqchip.ownsPort(port)) return this.#chipAccess(port, size, 0, IO_IN);
    this.#access(EXIT.KVM_EXIT_IO, SPACE_PIO, IO_IN, port, size, 0, 0);
    return (this.#pages.low & MASK[size]!) >>> 0;
  }

  portOut(port: number, size: 1 | 2 | 4, value: number): void {
    if (this.#irqchip.ownsPort(port)) this.#chipAccess(port, size, value, IO_OUT);
    else this.#access(EXIT.KVM_EXIT_IO, SPACE_PIO, IO_OUT, port, size, value & MASK[size]!, 0);
  }

  mmioRead(gpa: number, size: 1 | 2 | 4 | 8): void {
    if (this.#irqchip.ownsAddress(gpa)) {
      const at = (this.#zone + CPU.mmioData) >> 2;
      const value = this.#irqchip.readMemory(gpa, size);
      this.#words[at] = size === 8 ? value : value & MASK[size]!;
      this.#words[at + 1] = 0;
      return;
    }
    if (this.#fast.mmioRead(this.engine.current, gpa, gpa, size) === 0) return;
    this.#access(EXIT.KVM_EXIT_MMIO, SPACE_MMIO, IO_IN, gpa, size, 0, 0);
    const data = (this.#zone + CPU.mmioData) >> 2;
    this.#words[data] = size === 8 ? this.#pages.low : this.#pages.low & MASK[size]!;
    this.#words[data + 1] = size === 8 ? this.#pages.high : 0;
  }

  mmioWrite(gpa: number, size: 1 | 2 | 4 | 8): void {
    if (this.#irqchip.ownsAddress(gpa)) {
      this.#irqchip.writeMemory(gpa, size, this.#words[(this.#zone + CPU.mmioData) >> 2]!);
      this.onIrqchip();
      return;
    }
    if (this.#fast.mmioWrite(this.engine.current, gpa, gpa, size) === 0) return;
    const data = (this.#zone + CPU.mmioData) >> 2;
    const low = size === 8 ? this.#words[data]! : this.#words[data]! & MASK[size]!;
    const high = size === 8 ? this.#words[data + 1]! : 0;
    this.#access(EXIT.KVM_EXIT_MMIO, SPACE_MMIO, IO_OUT, gpa, size, low, high);
  }

  taskPriorityChanged(): void {
    if (!this.#irqchip.exists) return;
    this.#irqchip.lapic.cr8Written();
    this.onIrqchip();
  }

  trace(line: string): void {
    // The main thread counts lines down as the client takes them; a client that reads slowly slows the guest, not the core.
    const lines = controlAt(this.#vcpu, "traceLines") >> 2;
    const full = () => Atomics.load(this.#words, lines) > 4096;
    const stops = () => Atomics.load(this.#words, controlAt(this.#vcpu, "stop") >> 2) !== 0;
    if (full())
      this.#outside(() => {
        while (full() && !stops()) futexWait(this.#words, lines, Atomics.load(this.#words, lines), 1_000_000);
      });
    if (full()) return;
    Atomics.add(this.#words, lines, 1);
    this.#post({ kind: "trace", line });
  }

  /** One access, from the counters to the answer; the data comes and goes in `#pages.low` and `#pages.high`. */
  #access(
    reason: number,
    space: number,
    direction: number,
    address: number,
    size: number,
    low: number,
    high: number,
  ): void {
    const { stats } = this;
    const router = this.#router;
    const pages = this.#pages;
    const begun = this.#cells.takeBegun();
    if (begun !== ANSWERED) {
      router.lookUp(space, address);
      const { server, region } = router;
      pages.finish(server, begun);
      this.#cells.instruction = this.engine.current;
      stats.end(reason, region, false);
      return;
    }
    const pending = this.#shared.load(this.#zone + CPU.pending) & PENDING_EXIT;
    // An instruction whose first access is done must do its others too, or it would do the first one twice.
    if (pending !== 0 && this.engine.current !== this.#cells.instruction) throw new LeaveGuest();
    if (this.#shared.load(VM_STATE.regionVersion) !== router.version) {
      router.refresh();
      this.#cells.forget(router.version);
    }
    const sampled = stats.begin();
    router.lookUp(space, address);
    const { server, region } = router;
    pages.low = low;
    pages.high = high;
    if (direction === IO_OUT && this.#tryPost(space, address, size, low, high)) {
      if (sampled) stats.published();
      if (sampled) stats.answered();
    } else if (router.paged) {
      if (sampled) stats.published();
      pages.access(server, reason, direction, address, size, sampled);
      if (sampled) stats.answered();
      if (region >= 0 && !this.#cells.knows(space, address)) this.#remember(space, address);
    } else {
      this.#message(reason, direction, address, size, sampled);
    }
    this.#cells.instruction = this.engine.current;
    stats.end(reason, region, sampled);
  }

  /** Lets the generated half do what comes to this address and to those beside it, which lookUp() has found. */
  #remember(space: number, address: number): void {
    const { server, region } = this.#router;
    const span = this.#router.unposted(space, address);
    if (space === SPACE_PIO) for (const port of [...Pic.PORTS, ...Pit.PORTS]) cutOut(span, address, port, 1);
    if (address >= span.from) this.#cells.remember(space, address, span, server, region);
  }

  /** Posts a write that needs no answer: record, then doorbell. False when none was asked for or the ring is full. */
  #tryPost(space: number, address: number, size: number, low: number, high: number): boolean {
    const rule = this.#router.posted(space, address, size, low, high);
    if (rule === undefined) return false;
    const words = this.#words;
    const { server } = rule;
    if (Atomics.load(words, (VM_STATE.serverArea >> 2) + server) === 0) return false;
    const area = serverAreaAt(server);
    let ring = this.#posted[server];
    if (ring === undefined) {
      ring = new PostedRing(this.#memory.buffer, area);
      this.#posted[server] = ring;
    }
    const lock = VM_STATE.postedLock >> 2;
    while (Atomics.compareExchange(words, lock, 0, 1) !== 0) Atomics.pause(); // other vCPUs, for a few stores
    const kind = rule.kind === REGION_IOEVENTFD ? POSTED_IOEVENTFD : POSTED_COALESCED;
    const done = ring.post(kind, rule.event, space, size, address, low, high);
    Atomics.store(words, lock, 0);
    // A coalesced write may wait for the next exit or doorbell; an ioeventfd is a doorbell.
    const doorbell = (area + AREA.doorbell) >> 2;
    if (done && Atomics.add(words, doorbell, 2) & 1) futexWake(words, doorbell, 1);
    return done;
  }

  /** Message mode: KVM_RUN's reply is this exit, the next KVM_RUN brings the completion. */
  #message(reason: number, direction: number, address: number, size: number, sampled: boolean): void {
    const pages = this.#pages;
    const data = new Uint8Array(direction === IO_OUT ? size : 0);
    for (let i = 0; i < data.length; i++)
      data[i] = (i < 4 ? pages.low >>> (8 * i) : pages.high >>> (8 * (i - 4))) & 0xff;
    const name = reason === EXIT.KVM_EXIT_IO ? "KVM_EXIT_IO" : "KVM_EXIT_MMIO";
    if (sampled) this.stats.published();
    this.#userExit(runResult(name, { direction, size, count: 1, address: BigInt(address), data }));
    if (sampled) this.stats.answered();
    const words = this.#words;
    const field = (name: "completionLength" | "completionLow" | "completionHigh") =>
      Atomics.load(words, controlAt(this.#vcpu, name) >> 2);
    pages.low = field("completionLength") > 0 ? field("completionLow") : -1;
    pages.high = field("completionLength") > 4 ? field("completionHigh") : -1;
  }

  /**
   * An EOI that the user's IOAPIC waits for, in both modes. It is told before the EOI's instruction ends, so that no
   * instruction of the guest's comes between: Linux leaves when it would enter the guest again, which is the same.
   */
  #ioapicEoi(vector: number): void {
    this.#userExit(runResult("KVM_EXIT_IOAPIC_EOI", { vector }));
    this.stats.count(EXIT.KVM_EXIT_IOAPIC_EOI, -1);
  }

  /** Ends KVM_RUN in mid-instruction, and waits for the next one. */
  #userExit(result: RunResult): void {
    this.stats.state(STATE_STOPPED, 0);
    this.#outside(() => {
      this.#post({ kind: "exit", result: this.completed(result), pending: true });
      this.awaitRun();
    });
    this.stats.state(STATE_RUNNING, 0);
    // The completion comes first, then immediate_exit is looked at (KVM API, KVM_RUN).
    if (Atomics.load(this.#words, controlAt(this.#vcpu, "immediateExit") >> 2) !== 0)
      Atomics.or(this.#words, (this.#zone + CPU.pending) >> 2, PENDING_EXIT);
  }

  /** Sleeps until the main thread says KVM_RUN; throws LeaveGuest when the vCPU has to stop. */
  awaitRun(): void {
    const words = this.#words;
    const command = controlAt(this.#vcpu, "command") >> 2;
    const stop = controlAt(this.#vcpu, "stop") >> 2;
    for (;;) {
      if (Atomics.load(words, stop) !== 0) throw new LeaveGuest();
      if (Atomics.compareExchange(words, command, COMMAND_RUN, 0) === COMMAND_RUN) return;
      futexWait(words, command, 0, RECHECK_NS);
    }
  }

  /** A wait that may last: no other thread has to wait for this vCPU meanwhile. If it throws, the vCPU stays outside. */
  #outside(wait: () => void): void {
    const { coherence } = this.engine;
    coherence.leave();
    wait();
    coherence.enter();
  }

  /** The local APIC's MSRs, where there is one. */
  #apicMsrs({ access }: Irqchip): HostMsrs {
    return {
      owns: (index) => access.ownsMsr(index) && this.#irqchip.exists,
      read: (index) => access.readMsr(index),
      write: (index) => {
        const valid = access.writeMsr(index);
        this.onIrqchip();
        return valid;
      },
    };
  }

  /** vCPU 0 serves the 8254, arms its deadline, and takes the 8259s' interrupts: it has to look, whoever wrote. */
  #kickFirst(): void {
    kick(this.#words, (vcpuZone(0) + ZONE.kick) >> 2);
  }

  /** The chips are byte-wide: a wider access is one access a byte, as the ISA bus makes it. */
  #chipAccess(port: number, size: number, value: number, direction: number): number {
    let result = 0;
    for (let i = 0; i < size; i++) {
      const own = this.#irqchip.ownsPort(port + i);
      if (direction === IO_OUT) {
        if (own && this.#irqchip.writePort(port + i, (value >>> (8 * i)) & 0xff)) this.#kickFirst();
      } else {
        result |= (own ? this.#irqchip.readPort(port + i) : 0xff) << (8 * i);
      }
    }
    this.onIrqchip();
    return result >>> 0;
  }
}
