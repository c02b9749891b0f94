/**
 * QEMU's TCG as a peer, where it is installed: the same guest, timed from outside by two counts and their difference.
 * Never needed: without it the rows that name it are left out.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { clockMonotonic } from "../../shared/native.ts";
import { median } from "./distribution.ts";
import { ended, spawnOn } from "./pinned.ts";

export const QEMU = "qemu-system-x86_64";
const KERNEL = fileURLToPath(new URL("../../build/guest/bench64.elf", import.meta.url));
const ROUNDS = 3;
/** The larger count, in multiples of the smaller: large enough that starting QEMU is not what is measured. */
const MORE = 11;
/** Of isa-debug-exit: value 16 << 1 | 1. */
const SUCCESS = 33;

export function hasQemu(): boolean {
  try {
    execFileSync(QEMU, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Nanoseconds of one QEMU, from its start to its end. */
async function once(cpu: number, append: string): Promise<number> {
  const args = ["-accel", "tcg", "-cpu", "max", "-display", "none", "-serial", "null", "-no-reboot", "-m", "128M"];
  args.push("-device", "isa-debug-exit,iobase=0xf4", "-kernel", KERNEL, "-append", append);
  const start = clockMonotonic();
  const child = spawnOn(cpu, QEMU, args, { stdio: "ignore" });
  await ended(child);
  const status = child.exitCode;
  if (status !== SUCCESS) throw new Error(`${QEMU} with "${append}" ended with status ${status}, not ${SUCCESS}`);
  return clockMonotonic() - start;
}

/** Million instructions a second of a compute program; `instructions` are those of one count. */
export async function qemuMips(cpu: number, program: string, count: number, instructions: number): Promise<number> {
  const values: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const less = await once(cpu, `run=${program} count=${count}`);
    const more = await once(cpu, `run=${program} count=${count * MORE}`);
    values.push((instructions * count * (MORE - 1) * 1000) / (more - less));
  }
  return median(values);
}
