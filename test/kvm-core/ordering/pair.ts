/**
 * Two vCPUs of one VM on two threads, in flat 64-bit mode, for tests of what one sees of the other's stores.
 * Leaves out: kvm-core's own vCPU threads, which tests of the server use.
 */
import { Worker } from "node:worker_threads";
import { getRegs, setRegs, setSregs } from "../../../kvm-core/cpu/regs.ts";
import { vcpuZone } from "../../../kvm-core/cpu/zones.ts";
import { compileInterpreter, EngineExit, type EngineName, resetVcpu } from "../../../kvm-core/engine/engine.ts";
import { DEFAULT_TRANSLATION, type TranslationOptions } from "../../../kvm-core/engine/translator.ts";
import type { KvmRegs } from "../../../shared/ioctls.ts";
import { assemble } from "../support/asm.ts";
import { TestMachine } from "../support/machine.ts";

export type PairStart = {
  readonly memory: WebAssembly.Memory;
  readonly module: WebAssembly.Module;
  readonly engine: EngineName;
  readonly vcpu: number;
  readonly translation: TranslationOptions;
};

/** Every block is translated at its second entry. */
const EAGER: TranslationOptions = { ...DEFAULT_TRANSLATION, threshold: 1, batch: 1 };
const CODE = [0x10_0000, 0x18_0000] as const;
const STACK = [0x20_0000, 0x28_0000] as const;
/** Both count this up and wait for two before they begin, so that they run at the same time. */
const BEGIN = 0x2f_0000;

let module: WebAssembly.Module | undefined;

export class PairOfVcpus {
  readonly machine: TestMachine;
  readonly #engine: EngineName;

  constructor(engine: EngineName) {
    this.#engine = engine;
    this.machine = new TestMachine(engine, 64);
    const { memory, sregs } = this.machine;
    resetVcpu(memory, vcpuZone(1), 1);
    if (!setSregs(memory, vcpuZone(1), sregs)) throw new Error("the second vCPU refuses the first one's state");
  }

  /** Runs a program on each, both from the same moment on, until both have halted. */
  async run(programs: readonly [string, string], registers: Partial<KvmRegs>): Promise<readonly [KvmRegs, KvmRegs]> {
    const { machine } = this;
    module ??= compileInterpreter();
    machine.setU32(BEGIN, 0);
    const ends = programs.map((program, vcpu) => {
      const begin = `lock inc dword ptr [${BEGIN}]; 1: pause; cmp dword ptr [${BEGIN}], 2; jne 1b;`;
      machine.write(CODE[vcpu]!, assemble(`${begin} ${program}; hlt`, 64));
      const zone = vcpuZone(vcpu);
      const regs = getRegs(machine.memory, zone);
      const at = { rip: BigInt(CODE[vcpu]!), rsp: BigInt(STACK[vcpu]!), rflags: 2n };
      setRegs(machine.memory, zone, { ...regs, ...registers, ...at });
      const start: PairStart = {
        memory: machine.memory,
        module: module!,
        engine: this.#engine,
        vcpu,
        translation: EAGER,
      };
      return new Promise<void>((resolve, reject) => {
        const thread = new Worker(new URL("./vcpu-thread.ts", import.meta.url), { workerData: start });
        thread.on("error", reject);
        thread.on("message", ({ exit, detail }: { exit: number; detail: string }) => {
          if (exit === EngineExit.HLT) resolve();
          else reject(new Error(`vCPU ${vcpu} ended with ${exit}: ${detail}`));
        });
      });
    });
    await Promise.all(ends);
    return [getRegs(machine.memory, vcpuZone(0)), getRegs(machine.memory, vcpuZone(1))];
  }
}
