/**
 * Booting Debian: from the command to the first line that the guest's shell session prints, on the serial console; and the exits
 * that it took.
 * Document: README.md, "How fast it is"; QEMU's TCG in turns.
 * Leaves out: what is booted (test/guest/debian).
 */
import { execFileSync } from "node:child_process";
import { clockMonotonic } from "../../shared/native.ts";
import { DebianRun, LAUNCHER, type Machine, PEER } from "./debian.ts";
import { median } from "./distribution.ts";
import { hasQemu } from "./qemu.ts";
import { type Row, result } from "./row.ts";

/** What /init of the guest prints in front of its shell. */
const FIRST_LINE = "splitvm: Debian GNU/Linux shell";
const ROUNDS = 3;
const SECOND = 1e9;

/** Starts the machine; seconds until its first line. Ends it then. */
async function boot(machine: Machine, options: readonly string[]): Promise<number> {
  const run = new DebianRun(machine, options);
  await run.until((output) => output.includes(FIRST_LINE), FIRST_LINE);
  const took = (clockMonotonic() - run.started) / SECOND;
  await run.end();
  return took;
}

const boots: readonly Row[] = (["patch", "wasm"] as const).map((accel) => ({
  name: accel === "patch" ? "boot/debian" : `boot/debian-${accel}`,
  needsTwoCpus: false,
  async measure() {
    const values: number[] = [];
    const peers: number[] = [];
    const peered = hasQemu();
    for (let i = 0; i < ROUNDS; i++) {
      values.push(await boot("ours", ["-accel", accel]));
      if (peered) peers.push(await boot("qemu", []));
    }
    const peer = peered ? { name: PEER, value: median(peers) } : undefined;
    return [result(this.name, median(values), "s", peer)];
  },
}));

type Report = {
  readonly rows: readonly { readonly kind: string; readonly name: string; readonly count: number }[];
};

/** Exits until the shell's first line, by reason, as `qemu-user stat` has them. */
const exits: Row = {
  name: "boot/exits",
  needsTwoCpus: false,
  async measure() {
    const name = `bench-${process.pid}`;
    const run = new DebianRun("ours", ["-name", name]);
    await run.until((output) => output.includes(FIRST_LINE), FIRST_LINE);
    const report = JSON.parse(execFileSync(LAUNCHER, ["stat", "--json", name], { encoding: "utf8" })) as Report;
    await run.end();
    const reasons = report.rows.filter(({ kind }) => kind === "reason");
    return reasons.map((row) => result(`${this.name}-${row.name}`, row.count, "exits"));
  },
};

export const BOOT_ROWS: readonly Row[] = [...boots, exits];
