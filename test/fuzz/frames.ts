/**
 * `make fuzz-frames`: random and mutated frames against a kvm-core process, then VMs made and destroyed.
 *   frames.ts [--count 100000] [--vms 500] [--seed N]
 * Prints its seed and progress; status 1, with the frame that did it, when kvm-core did something wrong.
 */
import { parseArgs } from "node:util";
import { Finding } from "./connection.ts";
import { fuzz } from "./fuzz.ts";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "100000" },
    vms: { type: "string", default: "500" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
});
const [count, vms, seed] = [values.count, values.vms, values.seed].map(Number) as [number, number, number];
if (![count, vms, seed].every((value) => Number.isSafeInteger(value) && value >= 0)) {
  process.stderr.write("frames.ts: --count, --vms and --seed are whole numbers\n");
  process.exit(1);
}
const log = (line: string) => process.stdout.write(`${line}\n`);
log(`seed ${seed}: ${count} frames, ${vms} VMs`);
try {
  await fuzz({ count, vms, seed, log });
  log("kvm-core is up, and holds what it held at the start");
} catch (error) {
  if (!(error instanceof Finding)) throw error;
  process.stderr.write(`FOUND (again with --count ${count} --seed ${seed}): ${error.message}\n`);
  process.exitCode = 1;
}
