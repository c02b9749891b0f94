/**
 * Starting: from nothing to a guest that runs. Not bound to CPUs, as a user starts it.
 */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { closeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { DeviceMemory, sealedMemfd } from "../../qemu-user/device/device-memory.ts";
import { startCore } from "../../qemu-user/kvm/core-process.ts";
import { Kvm } from "../../qemu-user/kvm/kvm.ts";
import { loadKernel } from "../../qemu-user/loader/loader.ts";
import { memoryMap } from "../../qemu-user/machine/memory-map.ts";
import { EXIT, exitName } from "../../shared/exits.ts";
import { GuestMemory } from "../../shared/guest-memory.ts";
import { clockMonotonic } from "../../shared/native.ts";
import { median } from "./distribution.ts";
import { ended } from "./pinned.ts";
import { type Row, result } from "./row.ts";

const ROUNDS = 7;
const RAM = 128 << 20;
const MS = 1e6;
const KERNEL = fileURLToPath(new URL("../../build/guest/bench64.elf", import.meta.url));
const ENGINE = new URL("../../kvm-core/engine/engine.ts", import.meta.url).href;
const COMPILE = `const { compileInterpreter } = await import(${JSON.stringify(ENGINE)});
const start = performance.now(); compileInterpreter(); console.log(performance.now() - start);`;

/** A Node program that does nothing: what any process of ours costs. */
function emptyProgram(): number {
  const start = clockMonotonic();
  execFileSync(process.execPath, ["-e", "0"]);
  return (clockMonotonic() - start) / MS;
}

/** From a worker thread's creation to its end. */
async function emptyThread(): Promise<number> {
  const start = clockMonotonic();
  await once(new Worker("", { eval: true }), "exit");
  return (clockMonotonic() - start) / MS;
}

/** A VM and its guest's first exit. Milliseconds from the vCPU's creation on; its thread, the interpreter's instance and
 *  the opcode map are made then. */
async function bootVm(kvm: Kvm): Promise<number> {
  const vm = await kvm.createVm("bench");
  const memory = new DeviceMemory(RAM);
  const ram = sealedMemfd("splitvm-ram", RAM);
  memory.mapRam(ram);
  await vm.setMemory(0, 0, RAM, ram);
  closeSync(ram);
  const map = memoryMap(RAM);
  const files = { kernel: KERNEL, initrd: undefined, append: "run=idle" };
  const loaded = loadKernel(files, new GuestMemory(memory.buffer, map.slots), map.entries);
  const start = clockMonotonic();
  const vcpu = await vm.createVcpu(0);
  await vcpu.setSregs({ ...(await vcpu.getSregs()), ...loaded.sregs });
  await vcpu.setRegs({ ...(await vcpu.getRegs()), ...loaded.regs });
  const exit = await vcpu.run();
  const took = (clockMonotonic() - start) / MS;
  if (exit.reason !== EXIT.KVM_EXIT_IO) throw new Error(`the first exit is ${exitName(exit.reason)}: ${exit.detail}`);
  await vm.request("SPLITVM_DESTROY_VM", {});
  return took;
}

/** `work` with a kvm-core of its own; the time that starting it and `work` take, in milliseconds. */
async function withCore(work: (kvm: Kvm) => Promise<unknown>): Promise<number> {
  const start = clockMonotonic();
  const core = startCore();
  const kvm = Kvm.connect(core.path);
  await work(kvm);
  const took = (clockMonotonic() - start) / MS;
  kvm.close();
  await ended(core.child);
  return took;
}

export const START_ROWS: readonly Row[] = [
  {
    name: "start/first-instruction",
    needsTwoCpus: false,
    async measure() {
      const values: number[] = [];
      const peers: number[] = [];
      for (let i = 0; i < ROUNDS; i++) {
        values.push(await withCore(bootVm));
        peers.push(emptyProgram());
      }
      const peer = { name: "an empty Node program", value: median(peers) };
      return [result("start/first-instruction", median(values), "ms", peer)];
    },
  },
  {
    name: "start/handlers",
    needsTwoCpus: false,
    async measure() {
      const values: number[] = [];
      const peers: number[] = [];
      await withCore(async (kvm) => {
        for (let i = 0; i < ROUNDS; i++) {
          values.push(await bootVm(kvm));
          peers.push(await emptyThread());
        }
      });
      const peer = { name: "a thread that does nothing", value: median(peers) };
      return [result("start/handlers", median(values), "ms", peer)];
    },
  },
  {
    name: "start/compile",
    needsTwoCpus: false,
    async measure() {
      const compile = () =>
        Number(
          execFileSync(process.execPath, [...process.execArgv, "--input-type=module", "-e", COMPILE], {
            encoding: "utf8",
          }),
        );
      return [result("start/compile", median(Array.from({ length: ROUNDS }, compile)), "ms")];
    },
  },
];
