/**
 * Starting: from nothing to a guest that runs. Not bound to CPUs, as a user starts it.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { createOwnedVm } from "../../qemu-user/device/owned-vm.ts";
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

/** Start of kvm-core to the first exit of a guest, in milliseconds. */
async function firstExit(): Promise<number> {
  const start = clockMonotonic();
  const core = startCore();
  const kvm = Kvm.connect(core.path);
  const { vm, vcpu, memory } = await createOwnedVm(kvm, "bench", RAM, "message");
  const map = memoryMap(RAM);
  const files = { kernel: KERNEL, initrd: undefined, append: "run=idle" };
  const loaded = loadKernel(files, new GuestMemory(memory.buffer, map.slots), map.entries);
  await vcpu.setSregs({ ...(await vcpu.getSregs()), ...loaded.sregs });
  await vcpu.setRegs({ ...(await vcpu.getRegs()), ...loaded.regs });
  const exit = await vcpu.run();
  const took = (clockMonotonic() - start) / MS;
  if (exit.reason !== EXIT.KVM_EXIT_IO) throw new Error(`the first exit is ${exitName(exit.reason)}: ${exit.detail}`);
  await vm.request("SPLITVM_DESTROY_VM", {});
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
        values.push(await firstExit());
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
      const once = () =>
        Number(
          execFileSync(process.execPath, [...process.execArgv, "--input-type=module", "-e", COMPILE], {
            encoding: "utf8",
          }),
        );
      return [result("start/handlers", median(Array.from({ length: ROUNDS }, once)), "ms")];
    },
  },
];
