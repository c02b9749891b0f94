/**
 * `qemu-user stat`: the exits of a VM that runs, read from its statistics pages without stopping it.
 * Columns after `perf kvm stat report`; times are in microseconds and come from the sampled exits.
 * Leaves out: rows by address or guest symbol.
 */

import type { KvmError } from "../shared/errno.ts";
import { SPACE_PIO } from "../shared/ioctls.ts";
import { mapReadOnly } from "../shared/native.ts";
import { MAX_VCPUS } from "../shared/server-area.ts";
import { percentile, readStats, STATS_BYTES, type StatsPage, type StatsRow } from "../shared/stats-page.ts";
import type { StatOptions } from "./cli/stat-options.ts";
import { findCores } from "./kvm/core-process.ts";
import { Kvm, type Vm } from "./kvm/kvm.ts";

type Target = { readonly kvm: Kvm; readonly name: string; readonly parked: boolean };

/** One line of a report. Times are in microseconds over the sampled exits. */
type ReportRow = {
  readonly kind: "reason" | "region";
  readonly name: string;
  readonly where: string;
  readonly count: number;
  readonly rate: number;
  readonly sampled: number;
  readonly total: number;
  readonly min: number;
  readonly mean: number;
  readonly max: number;
  readonly p50: number;
  readonly p99: number;
  readonly device: number;
};

const STATES = ["not in KVM_RUN", "running", "waits for its device server", "halted"];

/** Prints one report, or one every `interval` seconds until the VM ends; resolves with the process status. */
export async function stat(options: StatOptions): Promise<number> {
  const target = await find(options);
  const vm = await target.kvm.openVm(target.name, "viewer");
  let open = true;
  target.kvm.onClose(() => {
    open = false;
  });
  const pages = await mapPages(vm);
  if (pages.length === 0) throw new Error(`${target.name} has no vCPU yet`);
  let before: readonly StatsPage[] | undefined;
  let since = performance.now();
  while (open) {
    const now = pages.map((page) => readStats(page)!);
    const seconds = (performance.now() - since) / 1000;
    since = performance.now();
    // With --interval the first report would be all that came before: it is the base of the others.
    if (options.interval === undefined || before) print(target, now, before, seconds, options.json);
    if (options.interval === undefined) break;
    before = now;
    await new Promise((resolve) => setTimeout(resolve, options.interval! * 1000));
    if (open && !(await exists(target))) open = false;
  }
  if (!open) process.stderr.write(`qemu-user: ${target.name} has ended\n`);
  target.kvm.close();
  return 0;
}

/** The VM that the command line means; an Error that names the choices if that is not one. */
async function find({ core, target }: StatOptions): Promise<Target> {
  const paths = core === undefined ? findCores() : [{ path: core, pid: -1 }];
  const found: (Target & { readonly pid: number })[] = [];
  for (const { path } of paths) {
    let kvm: Kvm;
    try {
      kvm = Kvm.connect(path);
    } catch (error) {
      if (core !== undefined) throw new Error(`cannot connect to kvm-core at ${core}: ${(error as Error).message}`);
      continue; // it ended between the look and the call
    }
    const { vms } = await kvm.request("SPLITVM_LIST_VMS", {});
    for (const vm of vms) found.push({ kvm, name: vm.name, parked: vm.state === 1, pid: vm.owner_pid });
  }
  const meant = found.filter(({ name, pid }) => target === undefined || name === target || String(pid) === target);
  for (const other of found) if (other.kvm !== meant[0]?.kvm) other.kvm.close();
  if (meant.length === 1) return meant[0]!;
  if (found.length === 0) throw new Error("no VM of yours runs; --core PATH looks at a kvm-core of your choice");
  const names = found.map(({ name, pid }) => `${name} (${pid})`).join(", ");
  throw new Error(`${target === undefined ? "which one" : `no single VM is "${target}"`}? These run: ${names}`);
}

/** False once the VM was destroyed: its pages stay mapped here, but nobody writes them. */
async function exists({ kvm, name }: Target): Promise<boolean> {
  try {
    const { vms } = await kvm.request("SPLITVM_LIST_VMS", {});
    return vms.some((vm) => vm.name === name);
  } catch {
    return false;
  }
}

async function mapPages(vm: Vm): Promise<ArrayBuffer[]> {
  const pages: ArrayBuffer[] = [];
  for (let id = 0; id < MAX_VCPUS; id++) {
    try {
      const { memfd } = await vm.request("KVM_GET_STATS_FD", { id });
      pages.push(vm.withDescriptor(memfd, (fd) => mapReadOnly(fd, STATS_BYTES)));
    } catch (error) {
      if ((error as KvmError).code !== "ENOENT") throw error;
    }
  }
  return pages;
}

/** All vCPUs' rows of one name added up, less what was there before. */
function rows(now: readonly StatsPage[], before: readonly StatsPage[] | undefined, seconds: number): ReportRow[] {
  const sum = new Map<string, { row: StatsRow; parts: readonly (readonly [StatsRow, StatsRow | undefined])[] }>();
  now.forEach((page, i) => {
    for (const row of page.rows) {
      const key = `${row.kind} ${row.space} ${row.base} ${row.name}`;
      const old = before?.[i]?.rows.find(
        (r) => r.kind === row.kind && r.base === row.base && r.name === row.name && r.space === row.space,
      );
      const known = sum.get(key);
      sum.set(key, { row, parts: [...(known?.parts ?? []), [row, old]] });
    }
  });
  const reports: ReportRow[] = [];
  for (const { row, parts } of sum.values()) {
    const add = (field: "count" | "sampled" | "total" | "device") =>
      parts.reduce((all, [a, b]) => all + a[field] - (b?.[field] ?? 0), 0);
    const count = add("count");
    if (count === 0) continue;
    const sampled = add("sampled");
    const histogram = row.histogram.map((_, n) =>
      parts.reduce((all, [a, b]) => all + a.histogram[n]! - (b?.histogram[n] ?? 0), 0),
    );
    const us = (ns: number) => ns / 1000;
    const width = row.space === SPACE_PIO ? 4 : 8;
    const hex = (n: number) => n.toString(16).padStart(width, "0");
    reports.push({
      kind: row.kind,
      name: row.name,
      where:
        row.kind === "region"
          ? `${row.space === SPACE_PIO ? "port" : "mem"} ${hex(row.base)}+${row.length.toString(16)}`
          : "",
      count,
      rate: seconds > 0 && before ? count / seconds : 0,
      sampled,
      total: us(add("total")),
      min: sampled > 0 ? us(Math.min(...parts.map(([a]) => (a.sampled > 0 ? a.min : Number.POSITIVE_INFINITY)))) : 0,
      mean: sampled > 0 ? us(add("total")) / sampled : 0,
      max: us(Math.max(...parts.map(([a]) => a.max))),
      p50: us(percentile(histogram, 0.5)),
      p99: us(percentile(histogram, 0.99)),
      device: sampled > 0 ? us(add("device")) / sampled : 0,
    });
  }
  return reports.sort((a, b) => b.count - a.count);
}

function print(
  target: Target,
  now: readonly StatsPage[],
  before: readonly StatsPage[] | undefined,
  seconds: number,
  json: boolean,
): void {
  const report = rows(now, before, seconds);
  const vcpus = now.map(({ vcpu, state, waitsFor }) => ({ vcpu, state: STATES[state] ?? "?", waitsFor: waitsFor - 1 }));
  if (json) {
    process.stdout.write(
      `${JSON.stringify({ name: target.name, parked: target.parked, seconds, vcpus, rows: report })}\n`,
    );
    return;
  }
  const states = vcpus.map((v) => `vCPU ${v.vcpu} ${v.state}${v.waitsFor >= 0 ? ` ${v.waitsFor}` : ""}`).join(", ");
  const lines = [`${target.name}${target.parked ? " (parked: its device process is gone)" : ""}: ${states}`];
  for (const kind of ["reason", "region"] as const) {
    lines.push("", header(kind === "reason" ? "exit reason" : "device region", before !== undefined));
    for (const row of report) if (row.kind === kind) lines.push(line(row, before !== undefined));
  }
  lines.push(
    "",
    `times in us over the sampled exits, 1 in ${now[0]!.period}; total is theirs, max and min since the start`,
    "",
  );
  process.stdout.write(lines.join("\n"));
}

function header(title: string, rate: boolean): string {
  const columns = [
    "count",
    ...(rate ? ["per s"] : []),
    "sampled",
    "total",
    "min",
    "mean",
    "max",
    "p50",
    "p99",
    "device",
  ];
  return title.padEnd(34) + columns.map((column) => column.padStart(10)).join("");
}

function line(row: ReportRow, rate: boolean): string {
  const time = (us: number) => us.toFixed(us < 100 ? 2 : 0);
  const cells = [
    String(row.count),
    ...(rate ? [row.rate.toFixed(0)] : []),
    String(row.sampled),
    ...[row.total, row.min, row.mean, row.max, row.p50, row.p99, row.device].map((us) =>
      row.sampled > 0 ? time(us) : "-",
    ),
  ];
  return `${row.name} ${row.where}`.trim().padEnd(34).slice(0, 34) + cells.map((cell) => cell.padStart(10)).join("");
}
