/**
 * The thread of one vCPU: takes KVM_RUN from the control block, runs the engine, delivers interrupts, sleeps in HLT,
 * and reports why KVM_RUN ended. It ends when the stop word is set (protocol.md, "Stopping"); it is never terminated.
 * Leaves out: the accesses themselves (exit-path.ts).
 */
import { parentPort, workerData } from "node:worker_threads";
import { EXIT, type ExitReason, type RunResult, runResult } from "../../shared/exits.ts";
import { KVM_MP_STATE } from "../../shared/ioctls.ts";
import { KICK_SLEEPING, KICKED } from "../../shared/mailbox.ts";
import { bindDeadline, clockMonotonic, futexWait, setThreadName } from "../../shared/native.ts";
import { CPU } from "../cpu/state.ts";
import { vcpuZone, ZONE } from "../cpu/zones.ts";
import { createEngine, type Engine, EngineExit, type EngineName } from "../engine/engine.ts";
import { Irqchip } from "../irqchip/irqchip.ts";
import { controlAt, PENDING_EXIT, PENDING_OURS } from "../vm/vm-state.ts";
import { ExitPath } from "./exit-path.ts";
import { LeaveGuest } from "./leave-guest.ts";
import { ENGINES, type FromThread, type ThreadStart } from "./messages.ts";
import { takeStartup } from "./startup.ts";
import { type ExitStats, STATE_HALTED, STATE_RUNNING, STATE_STOPPED } from "./stats.ts";

const RECHECK_NS = 200_000_000;
const IF = 1 << 9;
const NMI = 2;
const KVM_INTERNAL_ERROR_EMULATION = 1;

class VcpuThread {
  readonly #start: ThreadStart;
  readonly #words: Int32Array;
  readonly #zone: number;
  readonly #kick: number;
  readonly #pending: number;
  readonly #irqchip: Irqchip;
  readonly #stats: ExitStats;
  readonly #exits: ExitPath;
  /** The engine that KVM_RUN began with. Engines share the vCPU's zone, so there is only one at a time. */
  #engine: Engine | undefined;
  #engineName: EngineName | undefined;
  /** The deadline that the kick word has, and what sets it (bindDeadline): there is none until a timer runs. */
  #armed = Number.POSITIVE_INFINITY;
  #setDeadline: ((ns: number) => void) | undefined;

  constructor(start: ThreadStart) {
    this.#start = start;
    this.#words = new Int32Array(start.memory.buffer);
    this.#zone = vcpuZone(start.vcpu);
    this.#kick = (this.#zone + ZONE.kick) >> 2;
    this.#pending = (this.#zone + CPU.pending) >> 2;
    this.#irqchip = new Irqchip(start.memory, start.vcpu);
    this.#exits = new ExitPath(start.memory, this.#zone, start.vcpu, this.#irqchip, post);
    this.#stats = this.#exits.stats;
    this.#exits.completed = (result) => this.#completed(result);
    this.#exits.onIrqchip = () => this.#interruptsChanged();
  }

  /** Serves KVM_RUN after KVM_RUN until the stop word is set. */
  serve(): void {
    try {
      for (;;) {
        this.#exits.awaitRun();
        this.#stats.state(STATE_RUNNING, 0);
        const message = this.#run();
        this.#stats.state(STATE_STOPPED, 0);
        post(message);
      }
    } catch (error) {
      if (!(error instanceof LeaveGuest)) throw error;
    } finally {
      this.#setDeadline?.(Number.POSITIVE_INFINITY); // the word will be unmapped
    }
  }

  /** One KVM_RUN. */
  #run(): FromThread {
    const engine = this.#chosenEngine();
    this.#exits.engine = engine;
    if (this.#control("immediateExit") !== 0) return { kind: "interrupted" };
    for (;;) {
      this.#service(engine);
      if (Atomics.load(this.#words, this.#pending) & PENDING_EXIT) return this.#interrupted();
      if (this.#control("requestWindow") !== 0 && this.#takesInjection(engine))
        return this.#exit("KVM_EXIT_IRQ_WINDOW_OPEN");
      if (this.#mpState !== KVM_MP_STATE.RUNNABLE) {
        this.#halt();
        continue;
      }
      let reason: number;
      try {
        reason = engine.run();
      } catch (error) {
        if (!(error instanceof LeaveGuest) || this.#control("stop") !== 0) throw error;
        return this.#interrupted();
      }
      switch (reason) {
        case EngineExit.INTR:
          continue;
        case EngineExit.HLT:
          this.#stats.count(EXIT.KVM_EXIT_HLT, -1);
          if (!this.#irqchip.exists) return this.#exit("KVM_EXIT_HLT");
          this.#mpState = KVM_MP_STATE.HALTED;
          continue;
        case EngineExit.SHUTDOWN:
          return this.#exit("KVM_EXIT_SHUTDOWN");
        case EngineExit.DEBUG:
          return this.#exit("KVM_EXIT_DEBUG", engine.debugDetail);
        default:
          return this.#exit("KVM_EXIT_INTERNAL_ERROR", {
            suberror: KVM_INTERNAL_ERROR_EMULATION,
            detail: engine.errorDetail,
          });
      }
    }
  }

  /** Everything that `pending` and the kick ask for, and an interrupt if one can be delivered. */
  #service(engine: Engine): void {
    const words = this.#words;
    Atomics.exchange(words, this.#kick, 0); // before the bits that it announces are read (mailbox.ts)
    if (this.#control("stop") !== 0) throw new LeaveGuest();
    engine.serve();
    if (this.#irqchip.exists) {
      this.#serviceIrqchip(engine);
    } else {
      const injected = this.#control("injected");
      if (injected !== 0 && engine.interruptible()) {
        Atomics.store(words, controlAt(this.#start.vcpu, "injected") >> 2, 0);
        this.#mpState = KVM_MP_STATE.RUNNABLE;
        engine.interrupt(injected - 1);
      }
    }
    this.#askForWindow();
  }

  #serviceIrqchip(engine: Engine): void {
    const irqchip = this.#irqchip;
    const now = irqchip.nextDeadline() === Number.POSITIVE_INFINITY ? 0 : clockMonotonic();
    if (now >= this.#armed) this.#armed = -1; // it has fired, or does: the same time once more is a new deadline
    irqchip.service(now);
    this.#arm();
    this.#mpState = takeStartup(this.#start.memory, irqchip.lapic, this.#mpState);
    if (this.#mpState !== KVM_MP_STATE.RUNNABLE && this.#mpState !== KVM_MP_STATE.HALTED) return;
    this.#serviceNmi(engine);
    if (engine.interruptible() && irqchip.pending()) {
      this.#mpState = KVM_MP_STATE.RUNNABLE;
      engine.interrupt(irqchip.acknowledge());
    }
  }

  /** SDM volume 3, 6.7.1 (blocking until IRET) and 6.8.3 (MOV SS). */
  #serviceNmi(engine: Engine): void {
    const blocked = (this.#zone + CPU.nmiBlocked) >> 2;
    if (this.#words[blocked] !== 0 || !this.#irqchip.nmiWaits) return;
    if (this.#mpState === KVM_MP_STATE.RUNNABLE && engine.inShadow) {
      Atomics.or(this.#words, this.#kick, KICKED); // run() goes on for one instruction at least
      return;
    }
    if (!this.#irqchip.takeNmi()) return;
    this.#mpState = KVM_MP_STATE.RUNNABLE;
    engine.interrupt(NMI);
    this.#words[blocked] = 1;
  }

  /** The kick word is set when the next timer runs out. */
  #arm(): void {
    const deadline = this.#irqchip.nextDeadline();
    if (deadline === this.#armed) return;
    this.#armed = deadline;
    this.#setDeadline ??= bindDeadline(this.#words, this.#kick, KICKED);
    this.#setDeadline(deadline);
  }

  /** The guest has reached an interrupt controller, in the middle of an instruction. */
  #interruptsChanged(): void {
    this.#arm();
    // With IF set the engine has no reason to look for a window: it leaves at its next branch.
    if (this.#askForWindow() && this.#words[(this.#zone + CPU.eflags) >> 2]! & IF)
      Atomics.or(this.#words, this.#kick, KICKED);
  }

  /** The engine comes back when IF allows the interrupt that waits now. True if one does. */
  #askForWindow(): boolean {
    const irqchip = this.#irqchip;
    const waits = irqchip.exists
      ? irqchip.pending() || (this.#control("requestWindow") !== 0 && irqchip.acceptsInjection())
      : this.#control("injected") !== 0 || this.#control("requestWindow") !== 0;
    this.#engine?.interruptWindow(waits);
    return waits;
  }

  /** HLT: sleeps on the KICK word until something changes; the caller then looks at everything once more. */
  #halt(): void {
    const words = this.#words;
    this.#stats.state(STATE_HALTED, 0);
    if (Atomics.compareExchange(words, this.#kick, 0, KICK_SLEEPING) === 0) {
      // The stop word and `pending` are set before the kick word is: look at them after SLEEPING is in.
      // The engine's own bits of it do not count: an interrupt that waits for IF must not keep a halted vCPU awake.
      if (this.#control("stop") === 0 && (Atomics.load(words, this.#pending) & PENDING_OURS) === 0)
        futexWait(words, this.#kick, KICK_SLEEPING, RECHECK_NS);
    }
    this.#stats.state(STATE_RUNNING, 0);
  }

  #interrupted(): FromThread {
    Atomics.and(this.#words, this.#pending, ~PENDING_EXIT);
    return { kind: "interrupted" };
  }

  #exit(reason: ExitReason, fields: Partial<RunResult> = {}): FromThread {
    if (reason !== "KVM_EXIT_HLT") this.#stats.count(EXIT[reason], -1);
    return { kind: "exit", result: this.#completed(runResult(reason, fields)), pending: false };
  }

  #completed(result: RunResult): RunResult {
    const flags = this.#words[(this.#zone + CPU.eflags) >> 2]!;
    return {
      ...result,
      if_flag: flags & IF ? 1 : 0,
      ready_for_interrupt_injection: this.#irqchip.whole || this.#takesInjection(this.#engine!) ? 1 : 0,
    };
  }

  /** KVM_INTERRUPT's vector would be delivered now. */
  #takesInjection(engine: Engine): boolean {
    if (!engine.interruptible()) return false;
    return this.#irqchip.exists ? this.#irqchip.acceptsInjection() : this.#control("injected") === 0;
  }

  #chosenEngine(): Engine {
    const name = ENGINES[this.#control("engine")]!;
    if (this.#engine === undefined || name !== this.#engineName) {
      this.#engine = createEngine(name, this.#start.module, this.#start.memory, this.#zone, this.#exits);
      this.#engineName = name;
    }
    return this.#engine;
  }

  #control(field: Parameters<typeof controlAt>[1]): number {
    return Atomics.load(this.#words, controlAt(this.#start.vcpu, field) >> 2);
  }

  get #mpState(): number {
    return this.#control("mpState");
  }

  set #mpState(state: number) {
    Atomics.store(this.#words, controlAt(this.#start.vcpu, "mpState") >> 2, state);
  }
}

function post(message: FromThread): void {
  parentPort!.postMessage(message);
}

const start = workerData as ThreadStart;
setThreadName(`vcpu ${start.vcpu}`);
new VcpuThread(start).serve();
