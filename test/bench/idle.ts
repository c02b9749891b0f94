/**
 * A Debian guest that does nothing: what it costs the host, and how well its clock keeps time, also while the host computes.
 * The guest prints its CLOCK_MONOTONIC often at the start and at the end; a line comes late, never early, so the least delay of
 * each counts.
 * Leaves out: the time of day.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { clockMonotonic } from "../../shared/native.ts";
import { addScript, DebianRun, inScratch, type Machine, PEER } from "./debian.ts";
import { spawnOn } from "./pinned.ts";
import { hasQemu } from "./qemu.ts";
import { type Cpus, type Row, result } from "./row.ts";

const BUSY = fileURLToPath(new URL("./busy.ts", import.meta.url));
const SAMPLES = 40;
const IDLE_SECONDS = 60;
const READY = "idle: ready";
const DONE = "idle: done";
const SCRIPT = `
samples() {
	i=0
	while [ $i -lt ${SAMPLES} ]; do
		i=$((i + 1))
		awk '/^now at/ { print "now=" $3 "."; exit }' /proc/timer_list
		usleep 20000
	done
}
samples
echo "${READY}"
sleep ${IDLE_SECONDS}
samples
echo "${DONE}"
sleep 1000
`;
/** The kernel's clock ticks a second in /proc/PID/stat. */
const USER_HZ = 100;
const SECOND = 1e9;

/** CPU seconds of a process and of its children. */
function cpuSeconds(pid: number): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean);
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/.*\) /s, "").split(" ");
  return children.reduce(
    (sum, child) => sum + cpuSeconds(Number(child)),
    (Number(fields[11]) + Number(fields[12])) / USER_HZ,
  );
}

type Measured = { readonly percent: number; readonly ppm: number };

async function idle(machine: Machine, initrd: string): Promise<Measured> {
  const run = new DebianRun(machine, [], initrd);
  const late = { start: Number.POSITIVE_INFINITY, end: Number.POSITIVE_INFINITY };
  let heard = 0;
  let base: readonly [host: number, guest: number] | undefined;
  let last = base;
  const hear = () => {
    const at = clockMonotonic();
    for (const [, now] of run.output.slice(heard).matchAll(/now=(\d+)\./g)) {
      base ??= [at, Number(now)];
      last = [at, Number(now)];
      const delay = at - base[0] - (Number(now) - base[1]);
      const phase = run.output.includes(READY) ? "end" : "start";
      late[phase] = Math.min(late[phase], delay);
    }
    heard = Math.max(heard, run.output.lastIndexOf(".") + 1);
  };
  run.child.stdout!.on("data", hear);
  await run.until((output) => output.includes(READY), READY);
  const [used, since] = [cpuSeconds(run.child.pid!), clockMonotonic()];
  await new Promise((resolve) => setTimeout(resolve, (IDLE_SECONDS - 2) * 1000));
  const percent = ((cpuSeconds(run.child.pid!) - used) * 100 * SECOND) / (clockMonotonic() - since);
  await run.until((output) => output.includes(DONE), DONE);
  await run.end();
  return { percent, ppm: (Math.abs(late.end - late.start) * 1e6) / (last![0] - base![0]) };
}

export const IDLE_ROWS: readonly Row[] = [
  {
    name: "idle/debian",
    needsTwoCpus: false,
    measure: () =>
      inScratch(async (folder) => {
        const initrd = addScript(folder, SCRIPT);
        const ours = await idle("ours", initrd);
        const qemu = hasQemu() ? await idle("qemu", initrd) : undefined;
        const peer = (value?: number) => (value === undefined ? undefined : { name: PEER, value });
        return [
          result("idle/debian", ours.percent, "%", peer(qemu?.percent)),
          result("idle/clock-drift", ours.ppm, "ppm", peer(qemu?.ppm)),
        ];
      }),
  },
  {
    name: "idle/clock-drift-loaded",
    needsTwoCpus: false,
    measure: ({ a, b }: Cpus) =>
      inScratch(async (folder) => {
        const initrd = addScript(folder, SCRIPT);
        const busy = [a, b].map((cpu) => spawnOn(cpu, process.execPath, [BUSY], { stdio: "ignore" }));
        try {
          const { ppm } = await idle("ours", initrd);
          return [result("idle/clock-drift-loaded", ppm, "ppm")];
        } finally {
          for (const child of busy) child.kill("SIGKILL");
        }
      }),
  },
];
