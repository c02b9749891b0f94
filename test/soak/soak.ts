/**
 * `make soak`: ten million exits in page mode with three device servers, each a process of its own. The guest checks
 * every answer; at the end each server must have served as many exits as kvm-core counted for its region.
 *   soak.ts [--count EXITS]
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { listenUnix } from "../../shared/native.ts";
import type { FromServer, ToServer } from "./server.ts";

const EXITS = 10_000_000;
/** Exits of a round of the guest: three to each server (test/guest/bench.c, run_soak). */
const ROUND = 9;
const RAM = 16 << 20;
/** The board puts the first device's ports here; the other two lie outside what the board has. */
const PORTS = { owner: 0xc000, attached: [0xd100, 0xd200] } as const;
/** isa-debug-exit of a guest that is content: 0x10 << 1 | 1 (test/guest/console.c, leave). */
const GUEST_OK = 33;

const SERVER = fileURLToPath(new URL("./server.ts", import.meta.url));
const CORE = fileURLToPath(new URL("../../kvm-core/main.ts", import.meta.url));
type Report = Extract<FromServer, { kind: "report" }>;

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(1));

let ending = false;
function start(what: string, args: readonly string[], stdio: ("ignore" | "inherit" | "ipc" | number)[]): ChildProcess {
  const child = spawn(process.execPath, [...process.execArgv, ...args], { stdio });
  running.add(child);
  child.once("exit", (code, signal) => {
    running.delete(child);
    if (!ending) fail(`${what} ended early (${signal ?? `status ${code}`})`);
  });
  return child;
}

function fail(message: string): never {
  process.stderr.write(`soak: ${message}\n`);
  process.exit(1);
}

const hear = <K extends FromServer["kind"]>(child: ChildProcess, kind: K) =>
  new Promise<Extract<FromServer, { kind: K }>>((resolve) => {
    child.on("message", (message: FromServer) => {
      if (message.kind === kind) resolve(message as Extract<FromServer, { kind: K }>);
    });
  });
const tell = (child: ChildProcess, message: ToServer) => child.send(message);

function parse(args: readonly string[]): number {
  if (args.length === 0) return EXITS;
  const count = Number(args[1]);
  if (args.length !== 2 || args[0] !== "--count" || !Number.isSafeInteger(count) || count < ROUND)
    fail(`usage: soak.ts [--count EXITS]   at least ${ROUND}`);
  return count;
}

const rounds = Math.ceil(parse(process.argv.slice(2)) / ROUND);
const begun = performance.now();
const path = `@splitvm-soak-${process.pid}`;
const listenFd = listenUnix(path, 16);
start("kvm-core", [CORE, "--listen-fd", "3", "--private"], ["ignore", "inherit", "inherit", listenFd]);
closeSync(listenFd);

const {
  owner: a,
  attached: [b, c],
} = PORTS;
const append = `run=soak a=${a} b=${b} c=${c} count=${rounds}`;
const ipc = ["ignore", "inherit", "inherit", "ipc"] as ("ignore" | "inherit" | "ipc")[];
const owner = start("the owner", [SERVER, "owner", path, String(RAM), append], ipc);
await hear(owner, "ready");
const attached = PORTS.attached.map((port) => start(`server ${port}`, [SERVER, "attached", path, String(port)], ipc));
await Promise.all(attached.map((child) => hear(child, "ready")));

tell(owner, "run");
const report = await hear(owner, "report");
const reports: Report[] = await Promise.all(
  attached.map((child) => {
    const answer = hear(child, "report");
    tell(child, "report");
    return answer;
  }),
);
ending = true;

const served = report.exits + reports.reduce((sum, { exits }) => sum + exits, 0);
const checks: (readonly [string, number, number])[] = [
  ["the guest's status", report.status, GUEST_OK],
  // The last exit, the guest's end, is served and never answered; kvm-core counts what was answered.
  ["exits of all servers, and by kvm-core's count", served, report.counted + 1],
];
PORTS.attached.forEach((port, i) => {
  checks.push([`exits of server ${port}, and by the guest's`, reports[i]!.exits, 3 * rounds + 1]);
  checks.push([
    `exits of server ${port}, and by kvm-core's count`,
    reports[i]!.exits,
    report.regions[`port-${port}`] ?? 0,
  ]);
});
const seconds = (performance.now() - begun) / 1000;
process.stdout.write(`${served} exits in ${seconds.toFixed(1)} s, ${((seconds * 1e6) / served).toFixed(2)} us each\n`);
for (const [what, is, expected] of checks) {
  const right = is === expected;
  process.stdout.write(`${right ? "ok " : "BAD"} ${what}: ${is}${right ? "" : `, expected ${expected}`}\n`);
}
process.exit(checks.every(([, is, expected]) => is === expected) ? 0 : 1);
