/**
 * `make fuzz-devices`: random accesses and broken queues against every device of the board (device-fuzz.ts).
 *   devices.ts [--count 20000] [--seed N] [--case N]
 * Prints its seed and progress; status 1, with the case and how to run it again, when a device did something wrong. A case
 * that does not end is ended by a second thread.
 */
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { Finding } from "./connection.ts";
import { fuzzDevices } from "./device-fuzz.ts";

/** Seconds that a case may take: it takes milliseconds. */
const PATIENCE = 60;

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "20000" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    case: { type: "string" },
  },
});
const [count, seed, only] = [values.count, values.seed, values.case ?? "0"].map(Number) as [number, number, number];
if (![count, seed, only].every((value) => Number.isSafeInteger(value) && value >= 0)) {
  process.stderr.write("devices.ts: --count, --seed and --case are whole numbers\n");
  process.exit(1);
}
const log = (line: string) => process.stdout.write(`${line}\n`);
const again = (number: number) => `again with make fuzz-devices SEED=${seed} CASE=${number}`;

const current = new Int32Array(new SharedArrayBuffer(4));
/** Prints and ends the process when the case has been the same one for too long. */
const WATCH = `
const { workerData: { current, patience, seed } } = require("node:worker_threads");
const { writeSync } = require("node:fs");
let seen = -1;
setInterval(() => {
  const now = Atomics.load(current, 0);
  if (now === seen) {
    writeSync(2, "FOUND (again with make fuzz-devices SEED=" + seed + " CASE=" + now + "): the case does not end\\n");
    process.kill(process.pid, "SIGKILL");
  }
  seen = now;
}, patience * 1000);`;
const watch = new Worker(WATCH, { eval: true, workerData: { current, patience: PATIENCE, seed } });
watch.unref();

log(`seed ${seed}: ${values.case === undefined ? `${count} cases` : `case ${only}`}`);
const started = Date.now();
try {
  const { cases, compared, served } = fuzzDevices({
    count,
    seed,
    ...(values.case === undefined ? {} : { only }),
    log,
    onCase: (number) => Atomics.store(current, 0, number),
  });
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  log(
    `${cases} cases in ${seconds} s: ${served} devices served a driver afterwards, ${compared} states were the same again`,
  );
} catch (error) {
  if (!(error instanceof Finding)) throw error;
  process.stderr.write(`FOUND (${again(Number(/case (\d+)/.exec(error.message)?.[1]))}): ${error.message}\n`);
  process.exitCode = 1;
}
