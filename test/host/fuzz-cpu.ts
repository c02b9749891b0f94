/**
 * `make fuzz-cpu`: engines against the host's processor, as many states as one likes.
 *   fuzz-cpu.ts [--count 1000000] [--seed N] [--family NAME,...] [--mnemonic REGEXP]
 *               [--engine NAME] [--mode 64|32] [--case TEXT]
 * Prints its seed, how many cases it ran, and each difference, made small, with what is needed to run that case again;
 * status 1 if there is one.
 */
import { parseArgs } from "node:util";
import { FAMILIES } from "../kvm-core/isa/families.ts";
import { ENGINES, type Mode } from "../kvm-core/support/machine.ts";
import { batches, HostCheck } from "./check.ts";
import { deserialize } from "./compare.ts";
import { lackedByHost } from "./host-features.ts";
import { refusal } from "./native.ts";
import { Values } from "./values.ts";
import { forms } from "./variants.ts";

/** Differences of one form look alike: the first few tell enough. */
const SHOWN = 10;

const { values: options } = parseArgs({
  options: {
    count: { type: "string", default: "1000000" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    family: { type: "string" },
    mnemonic: { type: "string" },
    engine: { type: "string" },
    mode: { type: "string" },
    case: { type: "string" },
  },
});
const [count, seed] = [options.count, options.seed].map(Number) as [number, number];
const refuse = (why: string): never => {
  process.stderr.write(`fuzz-cpu.ts: ${why}\n`);
  process.exit(1);
};
if (![count, seed].every((value) => Number.isSafeInteger(value) && value >= 0)) {
  refuse("--count and --seed are whole numbers");
}
const log = (line: string) => process.stdout.write(`${line}\n`);

/** Of a comma-separated option, or all of `from` without it. */
function chosen<T extends string>(option: string | undefined, what: string, from: readonly T[]): readonly T[] {
  const names = option?.split(",") ?? from;
  for (const name of names) if (!from.includes(name as T)) refuse(`no ${what} "${name}"; there are ${from.join(", ")}`);
  return from.filter((name) => names.includes(name));
}
const engines = ENGINES.filter((engine) => options.engine === undefined || engine === options.engine);
if (engines.length === 0) refuse(`no engine "${options.engine}"; there are ${ENGINES.join("; ")}`);
const modes = chosen(options.mode, "mode", ["64", "32"] as const).map((mode) => Number(mode) as Mode);
const mnemonics = options.mnemonic === undefined ? /^/ : new RegExp(`^(?:${options.mnemonic})$`);
const lacked = lackedByHost();
const insns = chosen(options.family, "family", [...FAMILIES.keys()])
  .flatMap((family) => FAMILIES.get(family)!)
  .filter((insn) => mnemonics.test(insn.mnemonic) && !lacked.has(insn));

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
  const check = new HostCheck(one.mode, engines);
  check.run([one]);
  conclude(check);
  log(`1 case on ${engines.join(", ")}: ${check.findings.length} differences`);
} else {
  if (insns.length === 0) refuse("no description is left that the host can run");
  log(`seed ${seed}, engines ${engines.join(", ")}`);
  for (const mode of modes) {
    const refused = refusal(mode);
    if (refused !== "") {
      log(`${mode}-bit: not run: ${refused}`);
      continue;
    }
    const all = forms(mode, insns);
    if (all.length === 0) continue;
    const perForm = Math.max(1, Math.ceil(count / modes.length / all.length));
    const check = new HostCheck(mode, engines);
    for (const batch of batches(new Values(seed), mode, perForm, all)) {
      check.run(batch);
      log(`${mode}-bit: ${check.cases} cases, ${check.findings.length} differences`);
    }
    conclude(check);
  }
}
