/**
 * A thread with one vCPU for tests of several: runs its engine on memory that others run on too, until HLT or a stop.
 * Document: kvm-core/vcpu/vcpu-thread.ts, whose place it takes.
 * Left out: exits; what the guest asks of a host gets all ones.
 */
import { parentPort, Worker, workerData } from "node:worker_threads";
import { ZONE } from "../../../kvm-core/cpu/zones.ts";
import { EngineExit, type EngineName, type EngineOptions } from "../../../kvm-core/engine/engine.ts";
import { TestMachine } from "../support/machine.ts";

const RAM = 16 << 20;

type Start = {
  readonly memory: WebAssembly.Memory;
  readonly engine: EngineName;
  readonly options: EngineOptions;
  readonly vcpu: number;
  readonly rip: number;
  readonly rsp: number;
  readonly esi: number;
  /** Non-zero: end. */
  readonly stop: Int32Array;
};

export type Ended = {
  /** EngineExit; INTR after a stop. */
  readonly exit: number;
  readonly detail: string;
  readonly rax: bigint;
  readonly rbx: bigint;
  readonly rcx: bigint;
};

export function startVcpu(start: Start): Promise<Ended> {
  const worker = new Worker(new URL(import.meta.url), { workerData: start });
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

if (parentPort && workerData?.memory) {
  const { memory, engine, options, vcpu, rip, rsp, esi, stop } = workerData as Start;
  const machine = new TestMachine(engine, 32, RAM, { memory, vcpu, options });
  machine.set({ rip: BigInt(rip), rsp: BigInt(rsp), rsi: BigInt(esi) });
  const kick = new Int32Array(memory.buffer, machine.zone + ZONE.kick, 1);
  let exit: number;
  do {
    Atomics.store(kick, 0, 0);
    exit = machine.engine.run();
  } while (exit === EngineExit.INTR && Atomics.load(stop, 0) === 0);
  const { rax, rbx, rcx } = machine.regs;
  parentPort.postMessage({ exit, detail: machine.engine.errorDetail, rax, rbx, rcx } satisfies Ended);
}
