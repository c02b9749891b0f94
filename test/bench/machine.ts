/**
 * A virtual machine for a benchmark: kvm-core and a device process, each bound to its CPU, and a busy process if asked for.
 * Leaves out: what the device process does (device-process.ts).
 */
import type { ChildProcess } from "node:child_process";
import { closeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { listenUnix } from "../../shared/native.ts";
import type { BenchOptions, Computed, FromBench, ToBench } from "./device-process.ts";
import type { Measured } from "./distribution.ts";
import type { Placement } from "./floor.ts";
import { ended, spawnOn } from "./pinned.ts";

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));
let started = 0;

export class Machine {
  readonly core: ChildProcess;
  readonly device: ChildProcess;
  readonly #busy: ChildProcess | undefined;
  #heard: ((message: FromBench) => void) | undefined;

  private constructor(core: ChildProcess, device: ChildProcess, busy: ChildProcess | undefined) {
    this.core = core;
    this.device = device;
    this.#busy = busy;
    device.on("message", (message: FromBench) => this.#heard?.(message));
  }

  /** Boots the guest; resolves when it is ready to be measured. */
  static async start(at: Placement, options: BenchOptions): Promise<Machine> {
    const path = `@splitvm-bench-${process.pid}-${started++}`;
    const listenFd = listenUnix(path, 16);
    const node = [...process.execArgv];
    const core = spawnOn(
      at.vcpu,
      process.execPath,
      [...node, file("../../kvm-core/main.ts"), "--listen-fd", "3", "--private"],
      {
        stdio: ["ignore", "inherit", "inherit", listenFd],
      },
    );
    closeSync(listenFd);
    const device = spawnOn(
      at.device,
      process.execPath,
      [...node, file("device-process.ts"), path, JSON.stringify(options)],
      {
        stdio: ["ignore", "inherit", "inherit", "ipc"],
      },
    );
    const busy =
      at.busy === undefined
        ? undefined
        : spawnOn(at.busy, process.execPath, [...node, file("busy.ts")], { stdio: ["ignore", "inherit", "inherit"] });
    const machine = new Machine(core, device, busy);
    await machine.#answer();
    busy?.kill("SIGSTOP");
    return machine;
  }

  async measure(request: Exclude<ToBench, { kind: "compute" }>): Promise<Measured> {
    this.#busy?.kill("SIGCONT");
    this.device.send(request);
    const answer = await this.#answer();
    this.#busy?.kill("SIGSTOP");
    if (answer.kind !== "measured") throw new Error("the device process answered out of turn");
    return answer;
  }

  /** One round of a compute program. */
  async compute(): Promise<Computed> {
    this.device.send({ kind: "compute" } satisfies ToBench);
    const answer = await this.#answer();
    if (answer.kind !== "computed") throw new Error("the device process answered out of turn");
    return answer;
  }

  async stop(): Promise<void> {
    this.#busy?.kill("SIGKILL");
    this.device.disconnect();
    await Promise.all([ended(this.core), ended(this.device)]); // a private kvm-core ends with its last session
  }

  #answer(): Promise<FromBench> {
    return new Promise((resolve, reject) => {
      const gone = () => reject(new Error("a process of the benchmark ended early"));
      this.#heard = (message) => {
        for (const child of [this.device, this.core]) child.off("exit", gone);
        resolve(message);
      };
      for (const child of [this.device, this.core]) child.once("exit", gone);
    });
  }
}
