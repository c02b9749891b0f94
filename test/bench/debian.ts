/**
 * Debian guests for benchmarks: ours and QEMU's TCG from the same kernel, initramfs, memory and command line, worked by what they
 * print on the serial console.
 * Leaves out: what is booted (test/guest/debian). Not bound to CPUs, as a user starts it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { clockMonotonic } from "../../shared/native.ts";
import { initramfsWith } from "../guest/debian/initramfs.ts";
import { MODE, type NewcEntry } from "../guest/debian/newc.ts";
import { ended } from "./pinned.ts";
import { QEMU } from "./qemu.ts";

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const KERNEL = file("build/guest/debian/amd64/vmlinuz");
const INITRD = file("build/guest/debian/amd64/initrd.img");
export const LAUNCHER = file("qemu-user/qemu-user");
const MACHINE = ["-m", "512M", "-nographic", "-no-reboot"];
const APPEND = "console=ttyS0";
const SCRIPT = "/bench.sh";
/** Nothing boots as slowly as this: the run is over, and its output is shown. */
const PATIENCE_MS = 300_000;

export type Machine = "ours" | "qemu";
export const PEER = "QEMU TCG, the same kernel";

export class DebianRun {
  /** clockMonotonic() at its start. */
  readonly started: number;
  readonly child: ChildProcess;
  readonly #stop: () => void;
  #output = "";
  #fed: (() => void) | undefined;

  /** `options` are the machine's own, `initrd` what addScript() made. */
  constructor(machine: Machine, options: readonly string[] = [], initrd = INITRD) {
    if (!existsSync(KERNEL)) throw new Error(`${KERNEL} is not there: make guest`);
    const common = [...MACHINE, ...options, "-kernel", KERNEL, "-initrd", initrd, "-append"];
    const append = initrd === INITRD ? APPEND : `${APPEND} quiet splitvm.script=${SCRIPT}`;
    const [program, args] =
      machine === "ours"
        ? [LAUNCHER, ["run", ...common, append]]
        : [QEMU, ["-accel", "tcg", "-cpu", "max", ...common, append]];
    this.started = clockMonotonic();
    this.child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.#stop = () => this.child.kill("SIGKILL");
    process.on("exit", this.#stop);
    const hear = (bytes: Buffer) => {
      this.#output += bytes.toString("latin1");
      this.#fed?.();
    };
    this.child.stdout!.on("data", hear);
    this.child.stderr!.on("data", hear);
    this.child.on("exit", () => this.#fed?.());
  }

  get output(): string {
    return this.#output;
  }

  /** Resolves when `look` is true of the output; rejects with its end when the machine ends or PATIENCE_MS have passed. */
  async until(look: (output: string) => boolean, what: string): Promise<void> {
    const late = Date.now() + PATIENCE_MS;
    while (!look(this.#output)) {
      if (this.child.exitCode !== null || this.child.signalCode !== null || Date.now() > late) {
        throw new Error(`a Debian guest did not print ${what}:\n${this.#output.slice(-2000)}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1000);
        this.#fed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async end(): Promise<void> {
    this.#stop();
    await ended(this.child);
    process.off("exit", this.#stop);
  }
}

/** A folder that goes when `work` is done. */
export async function inScratch<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "splitvm-bench-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.on("exit", remove);
  try {
    return await work(folder);
  } finally {
    remove();
    process.off("exit", remove);
  }
}

/** An initramfs whose /init runs a script, with more files beside it; its path. */
export function addScript(folder: string, script: string, more: readonly NewcEntry[] = []): string {
  return initramfsWith(INITRD, folder, [
    ...more,
    { name: SCRIPT.slice(1), mode: MODE.file, data: Buffer.from(script) },
  ]);
}
