/**
 * The check of engines against the host's processor: batches of cases, what differs, and what was not compared.
 * Document: generate.ts (cases), native.ts and guest.ts (the two sides), compare.ts.
 * Left out: which engines and how many cases: suite.ts for CI, fuzz-cpu.ts for long runs.
 */

import type { Mode, TestEngine } from "../kvm-core/support/machine.ts";
import { type Case, HUNG, type Outcome, SLOT_COUNT } from "./case.ts";
import { differences, report, shrink } from "./compare.ts";
import { generate } from "./generate.ts";
import { GuestCpu } from "./guest.ts";
import { runNative } from "./native.ts";
import type { Values } from "./values.ts";
import { forms, type Variant } from "./variants.ts";

export interface Finding {
  readonly engine: TestEngine;
  readonly one: Case;
  readonly host: Outcome;
  readonly guest: Outcome;
}

/** `perForm` cases of each form, its variants in turn, in batches for run(). */
export function* batches(
  values: Values,
  mode: Mode,
  perForm: number,
  all: readonly Variant[][] = forms(mode),
): Generator<Case[]> {
  let batch: Case[] = [];
  for (const variants of all) {
    for (let i = 0; i < perForm; i++) {
      batch.push(generate(values, variants[i % variants.length]!, batch.length));
      if (batch.length === SLOT_COUNT) {
        yield batch;
        batch = [];
      }
    }
  }
  if (batch.length > 0) yield batch;
}

export class HostCheck {
  readonly #cpus: readonly (readonly [TestEngine, GuestCpu])[];
  readonly findings: Finding[] = [];
  /** Cases that the host ran; each engine ran as many. */
  cases = 0;

  constructor(mode: Mode, engines: readonly TestEngine[]) {
    this.#cpus = engines.map((engine) => [engine, new GuestCpu(engine, mode)]);
  }

  /** Cases of one mode, each in a slot of its own. */
  run(batch: readonly Case[]): void {
    const host = runNative(batch);
    host.forEach(({ vector }, i) => {
      if (vector === HUNG) throw new Error(`the generator made a case that does not end: ${batch[i]!.name}`);
    });
    this.cases += batch.length;
    for (const [engine, cpu] of this.#cpus) {
      cpu.run(batch).forEach((guest, i) => {
        const one = batch[i]!;
        if (differences(one, host[i]!, guest).length === 0) return;
        this.findings.push({ engine, one, host: host[i]!, guest });
      });
    }
  }

  /** The text of a finding, its case made small. */
  describe({ engine, one, guest }: Finding): string {
    const cpu = this.#cpus.find(([name]) => name === engine)![1];
    const both = (smaller: Case): [Outcome, Outcome] => [runNative([smaller])[0]!, cpu.run([smaller])[0]!];
    const small = shrink(one, (smaller) => {
      const [host, again] = both(smaller);
      if (host.vector === HUNG) return false;
      return again.unbuilt === guest.unbuilt && differences(smaller, host, again).length > 0;
    });
    return `${engine}: ${report(small, ...both(small))}`;
  }
}
