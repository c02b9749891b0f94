/**
 * Booting Debian: from the command to the first line that the guest's shell session prints, on the serial console.
 * Document: README.md, "How fast it is"; the same kernel, initramfs, memory and command line in QEMU's TCG, in turns.
 * Leaves out: what is booted (test/guest/debian); not bound to CPUs, as a user starts it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { clockMonotonic } from "../../shared/native.ts";
import { median } from "./distribution.ts";
import { ended } from "./pinned.ts";
import { hasQemu, QEMU } from "./qemu.ts";
import { type Row, result } from "./row.ts";

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const KERNEL = file("build/guest/debian/amd64/vmlinuz");
const INITRD = file("build/guest/debian/amd64/initrd.img");
const LAUNCHER = file("qemu-user/qemu-user");
/** What /init of the guest prints in front of its shell. */
const FIRST_LINE = "splitvm: Debian GNU/Linux shell";
const MACHINE = ["-m", "512M", "-nographic", "-no-reboot", "-kernel", KERNEL, "-initrd", INITRD, "-append"];
const APPEND = "console=ttyS0";
const ROUNDS = 3;
/** Nothing boots as slowly as this: the run is over, and its output is shown. */
const PATIENCE_MS = 300_000;
const SECOND = 1e9;

/** Starts the machine; seconds until its first line. Ends it then. */
async function boot(program: string, args: readonly string[]): Promise<number> {
  const start = clockMonotonic();
  const child: ChildProcess = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
  const stop = () => child.kill("SIGKILL");
  process.on("exit", stop);
  let output = "";
  const took = await new Promise<number>((resolve, reject) => {
    const hear = (bytes: Buffer) => {
      output += bytes.toString("latin1");
      if (output.includes(FIRST_LINE)) resolve((clockMonotonic() - start) / SECOND);
    };
    const fail = () => reject(new Error(`${program} did not print "${FIRST_LINE}":\n${output.slice(-2000)}`));
    child.stdout!.on("data", hear);
    child.stderr!.on("data", hear);
    child.on("exit", fail);
    setTimeout(fail, PATIENCE_MS).unref();
  });
  stop();
  await ended(child);
  process.off("exit", stop);
  return took;
}

export const BOOT_ROWS: readonly Row[] = (["patch", "wasm"] as const).map((accel) => ({
  name: accel === "patch" ? "boot/debian" : `boot/debian-${accel}`,
  needsTwoCpus: false,
  async measure() {
    if (!existsSync(KERNEL)) throw new Error(`${KERNEL} is not there: make guest`);
    const values: number[] = [];
    const peers: number[] = [];
    const peered = hasQemu();
    for (let i = 0; i < ROUNDS; i++) {
      values.push(await boot(LAUNCHER, ["run", "-accel", accel, ...MACHINE, APPEND]));
      if (peered) peers.push(await boot(QEMU, ["-accel", "tcg", "-cpu", "max", ...MACHINE, APPEND]));
    }
    const peer = peered ? { name: "QEMU TCG, the same kernel", value: median(peers) } : undefined;
    return [result(this.name, median(values), "s", peer)];
  },
}));
