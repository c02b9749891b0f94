/**
 * Memory: what a virtual machine costs that has done nothing.
 */
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Machine } from "./machine.ts";
import { ended } from "./pinned.ts";
import { placement, type Row, result } from "./row.ts";

const RAM = 128 << 20;
/** Until garbage of the start has been collected and both processes are idle. */
const SETTLE_MS = 3_000;

/** Proportional set size of a process, in MiB. proc(5) */
function pss(pid: number): number {
  const line = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"));
  return Number(line![1]) / 1024;
}

/** Two Node processes that wait, at the same time. */
async function idleNodes(): Promise<number> {
  const children = [0, 1].map(() => spawn(process.execPath, ["-e", "setInterval(() => {}, 1e6)"], { stdio: "ignore" }));
  await sleep(SETTLE_MS);
  const sum = children.reduce((total, child) => total + pss(child.pid!), 0);
  for (const child of children) child.kill();
  await Promise.all(children.map(ended));
  return sum;
}

export const MEMORY_ROWS: readonly Row[] = [
  {
    name: "memory/vm",
    needsTwoCpus: false,
    async measure(cpus) {
      const at = placement(cpus, "apart", false);
      const options = { mode: "page", ram: RAM, append: "run=idle", devices: [], engine: "patch" } as const;
      const machine = await Machine.start(at, options);
      await sleep(SETTLE_MS);
      const [core, device] = [pss(machine.core.pid!), pss(machine.device.pid!)];
      await machine.stop();
      const peer = { name: "two idle Node processes", value: await idleNodes() };
      return [
        result("memory/vm", core + device, "MiB", peer),
        result("memory/vm.kvm-core", core, "MiB"),
        result("memory/vm.qemu-user", device, "MiB"),
      ];
    },
  },
];
