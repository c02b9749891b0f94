/**
 * Exits: a guest's access, from its instruction to the device model and back, timed in the guest with RDTSC.
 * The cost of reading the clock, measured in the same round, is taken off. Floors and rounds take turns, so that both see the same machine;
 * a figure is the median of the rounds'.
 */
import type { BenchOptions } from "./device-process.ts";
import { type Distribution, type Measured, medians } from "./distribution.ts";
import { floor, floorMode } from "./floor.ts";
import { Machine } from "./machine.ts";
import { type Cpus, placement, type Result, type Row, result } from "./row.ts";

type Exit = {
  readonly name: string;
  readonly where: "apart" | "same";
  readonly mode: "page" | "message";
  readonly busy?: true;
  readonly what?: "doorbell";
  readonly gapNs?: number;
  /** Accesses of a round. */
  readonly count: number;
};

const ROUNDS = 9;
/** Rounds until V8 has optimised what runs: not counted. */
const WARM_UP = 4;

const EXITS: readonly Exit[] = [
  { name: "exit/page-apart", where: "apart", mode: "page", count: 50_000 },
  { name: "exit/page-same", where: "same", mode: "page", count: 10_000 },
  { name: "exit/page-apart-busy", where: "apart", mode: "page", busy: true, count: 50_000 },
  { name: "exit/page-same-busy", where: "same", mode: "page", busy: true, count: 5_000 },
  { name: "exit/page-idle-apart", where: "apart", mode: "page", gapNs: 200_000, count: 1_000 },
  { name: "exit/message-apart", where: "apart", mode: "message", count: 1_000 },
  { name: "exit/message-same", where: "same", mode: "message", count: 1_000 },
  { name: "exit/ioeventfd-apart", where: "apart", mode: "page", what: "doorbell", count: 20_000 },
];

async function measure(exit: Exit, cpus: Cpus): Promise<readonly Result[]> {
  const { name, where, mode, busy = false, what = "port", gapNs = 0, count } = exit;
  const at = placement(cpus, where, busy);
  const options: BenchOptions = {
    mode,
    ram: 32 << 20,
    append: `run=timed what=${what} count=${count} gap=${gapNs}`,
    devices: what === "doorbell" ? [{ name: "splitvm-test", properties: {} }] : [],
    engine: "patch",
  };
  const machine = await Machine.start(at, options);
  const floors: Distribution[] = [];
  const rounds: Measured[] = [];
  for (let i = -WARM_UP; i < ROUNDS; i++) {
    const round = await machine.measure({ kind: "round" });
    if (i < 0) continue;
    rounds.push(round);
    floors.push(await floor(at, count, gapNs));
  }
  await machine.stop();
  const value = medians(rounds, ["p50", "p99", "mean", "through"]);
  const peer = medians(floors, ["p50", "p99", "mean"]);
  const peerName = `native hand-over, ${floorMode(at)}`;
  const line = (suffix: string, ns: number, peerNs: number) =>
    result(name + suffix, ns, "ns", { name: peerName, value: peerNs });
  return [
    line("", value.p50, peer.p50),
    line(".p99", value.p99, peer.p99),
    line(".mean", value.mean, peer.mean),
    // One access after the other, none timed by itself: what the guest's clock cannot have disturbed.
    ...(gapNs === 0 ? [line(".guest", value.through, peer.mean)] : []),
  ];
}

export const EXIT_ROWS: readonly Row[] = EXITS.map((exit) => ({
  name: exit.name,
  needsTwoCpus: exit.where === "apart",
  measure: (cpus) => measure(exit, cpus),
}));
