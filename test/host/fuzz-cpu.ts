/**
 * `make fuzz-cpu`: engines against the host's processor, as many states as one likes.
 *   fuzz-cpu.ts [--count 1000000] [--seed N] [--case TEXT]
 * Prints its seed, how many cases it ran, and each difference, made small, with what is needed to run that case again;
 * status 1 if there is one.
 */
import { parseArgs } from "node:util";
import { ENGINES } from "../kvm-core/support/machine.ts";
import { batches, HostCheck } from "./check.ts";
import { deserialize } from "./compare.ts";
import { refusal } from "./native.ts";
import { Values } from "./values.ts";
import { forms } from "./variants.ts";

const MODES = [64, 32] as const;
/** Differences of one form look alike: the first few tell enough. */
const SHOWN = 10;

const { values: options } = parseArgs({
  options: {
    count: { type: "string", default: "1000000" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    case: { type: "string" },
  },
});
const [count, seed] = [options.count, options.seed].map(Number) as [number, number];
if (![count, seed].every((value) => Number.isSafeInteger(value) && value >= 0)) {
  process.stderr.write("fuzz-cpu.ts: --count and --seed are whole numbers\n");
  process.exit(1);
}
const log = (line: string) => process.stdout.write(`${line}\n`);

function conclude(check: HostCheck): void {
  const seen = new Map<string, number>();
  for (const finding of check.findings) {
    const { name } = finding.one;
    const already = seen.get(name) ?? 0;
    seen.set(name, already + 1);
    if (already === 0 && seen.size <= SHOWN) log(check.describe(finding));
  }
  for (const [name, number] of seen) log(`${number} differences: ${name}`);
  if (seen.size > 0) process.exitCode = 1;
}

if (options.case !== undefined) {
  const one = deserialize(options.case);
  const check = new HostCheck(one.mode, ENGINES);
  check.run([one]);
  conclude(check);
  log(`1 case on ${ENGINES.join(", ")}: ${check.findings.length} differences`);
} else {
  log(`seed ${seed}, engines ${ENGINES.join(", ")}`);
  for (const mode of MODES) {
    const refused = refusal(mode);
    if (refused !== "") {
      log(`${mode}-bit: not run: ${refused}`);
      continue;
    }
    const all = forms(mode);
    const perForm = Math.max(1, Math.ceil(count / MODES.length / all.length));
    const check = new HostCheck(mode, ENGINES);
    for (const batch of batches(new Values(seed), mode, perForm, all)) {
      check.run(batch);
      log(`${mode}-bit: ${check.cases} cases, ${check.findings.length} differences`);
    }
    conclude(check);
  }
}
