/**
 * Interrupts: a device server signals an event that KVM_IRQFD tied to a GSI; the time until it sees what the guest's
 * handler stored in memory. The guest computes, and is never halted.
 */
import { type Distribution, medians } from "./distribution.ts";
import { floor } from "./floor.ts";
import { Machine } from "./machine.ts";
import { placement, type Row, result } from "./row.ts";

const ROUNDS = 9;
const WARM_UP = 3;
const COUNT = 2_000;

export const IRQ_ROWS: readonly Row[] = [
  {
    name: "irq/irqfd-apart",
    needsTwoCpus: true,
    async measure(cpus) {
      const at = placement(cpus, "apart", false);
      const append = "run=irq irq=5 console=debugcon";
      const machine = await Machine.start(at, { mode: "page", ram: 32 << 20, append, devices: [], engine: "patch" });
      const rounds: Distribution[] = [];
      const floors: Distribution[] = [];
      for (let i = -WARM_UP; i < ROUNDS; i++) {
        const round = await machine.measure({ kind: "irq", count: COUNT });
        if (i < 0) continue;
        rounds.push(round);
        floors.push(await floor(at, 20_000, 0));
      }
      await machine.stop();
      const value = medians(rounds, ["p50", "p99", "mean"]);
      const peer = medians(floors, ["p50", "p99", "mean"]);
      const keys = [["", "p50"] as const, [".p99", "p99"] as const, [".mean", "mean"] as const];
      return keys.map(([suffix, key]) =>
        result(`irq/irqfd-apart${suffix}`, value[key], "ns", { name: "native hand-over, spin", value: peer[key] }),
      );
    },
  },
];
