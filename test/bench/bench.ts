/**
 * `make bench`: measures the rows, prints a table and writes build/bench.json.
 *   bench.ts [--only PREFIX]
 * Leaves out: the rows (one file an area).
 */
import { writeFileSync } from "node:fs";
import { cpus as cpuList } from "node:os";
import { fileURLToPath } from "node:url";
import { getAffinity } from "../../shared/native.ts";
import { BLK_ROWS } from "./blk.ts";
import { BOOT_ROWS } from "./boot.ts";
import { CPU_ROWS } from "./cpu.ts";
import { EXIT_ROWS } from "./exit.ts";
import { IDLE_ROWS } from "./idle.ts";
import { IRQ_ROWS } from "./irq.ts";
import { MEMORY_ROWS } from "./memory.ts";
import type { Result } from "./row.ts";
import { START_ROWS } from "./start.ts";

const OUTPUT = fileURLToPath(new URL("../../build/bench.json", import.meta.url));
// As the launchers have it (shared/launch.sh), but a place of its own; whoever measures has started things before.
process.env["NODE_COMPILE_CACHE"] ??= fileURLToPath(new URL("../../build/compile-cache", import.meta.url));
const ROWS = [
  ...CPU_ROWS,
  ...EXIT_ROWS,
  ...IRQ_ROWS,
  ...START_ROWS,
  ...MEMORY_ROWS,
  ...BOOT_ROWS,
  ...BLK_ROWS,
  ...IDLE_ROWS,
];
const WIDTHS = [30, 12, 4, 12, 8] as const;

function fail(message: string): never {
  process.stderr.write(`bench: ${message}\n`);
  process.exit(1);
}

function prefix(args: readonly string[]): string {
  if (args.length === 0) return "";
  if (args.length !== 2 || args[0] !== "--only") fail("usage: bench.ts [--only PREFIX]");
  return args[1]!;
}

/** Three significant digits, but no fewer than the integer has. */
function figure(value: number): string {
  return value.toLocaleString("en", {
    maximumFractionDigits: Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value) || 1))),
  });
}

function line(name: string, value: string, unit: string, peerValue: string, ratio: string, peer: string): void {
  const [n, v, u, p, r] = WIDTHS;
  process.stdout.write(
    `${name.padEnd(n)}${value.padStart(v)} ${unit.padEnd(u)}${peerValue.padStart(p)}${ratio.padStart(r)}  ${peer}\n`,
  );
}

function print({ name, value, unit, peer, peerValue, ratio }: Result): void {
  line(
    name,
    figure(value),
    unit,
    peerValue === null ? "" : figure(peerValue),
    ratio === null ? "" : ratio.toFixed(2),
    peer ?? "",
  );
}

const only = prefix(process.argv.slice(2));
const rows = ROWS.filter((row) => row.name.startsWith(only));
if (rows.length === 0) fail(`no row begins with ${only}; there are ${ROWS.map((row) => row.name).join(", ")}`);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(1));

const [a, b = a] = getAffinity() as [number, number | undefined];
process.stdout.write(`${cpuList()[a]?.model ?? "unknown CPU"}; vCPU on CPU ${a}, device server on CPU ${b}\n`);
process.stdout.write(
  "ratio: value / peer's value, measured in turns. exit/*: the median (.p99, .mean beside it) as the guest sees it.\n\n",
);
line("", "value", "", "peer", "ratio", "peer's name");
const results: Result[] = [];
for (const row of rows) {
  if (row.needsTwoCpus && a === b) {
    process.stdout.write(`${row.name}: left out, it needs two CPUs\n`);
    continue;
  }
  for (const measured of await row.measure({ a, b })) {
    print(measured);
    results.push(measured);
  }
}
writeFileSync(OUTPUT, `${JSON.stringify(results, undefined, 1)}\n`);
process.stdout.write("\nwritten to build/bench.json\n");
