/**
 * `make soak`, second half: a whole pass of memtest86+, bit fade included, over 128 MiB. Five to ten minutes.
 *   memtest.ts [--accel wasm] [--bits x64|ia32]
 * Leaves out: the quick tests of a pass, which test/boot/memtest.test.ts runs with every `make test`.
 */
import { parseArgs } from "node:util";
import { MemTest } from "../support/memtest.ts";

/** Bit fade alone waits for 160 s; the rest is a matter of the machine. */
const PATIENCE = 30 * 60_000;
const REPORT_EVERY = 15_000;

const { values } = parseArgs({
  options: { accel: { type: "string", default: "wasm" }, bits: { type: "string", default: "x64" } },
});
if (values.bits !== "x64" && values.bits !== "ia32") throw new Error("--bits is x64 or ia32");

const began = Date.now();
const memtest = new MemTest(values.bits, values.accel);
const report = setInterval(() => {
  const { time, test, errors } = memtest.facts();
  process.stdout.write(`memtest86+: ${time} test #${test}, ${errors} errors\n`);
}, REPORT_EVERY);
try {
  await memtest.passed(PATIENCE);
  const { pass, errors, time } = memtest.facts();
  process.stdout.write(`${memtest.lines().join("\n").trimEnd()}\n`);
  const seconds = Math.round((Date.now() - began) / 1000);
  process.stdout.write(`memtest86+: ${pass} pass, ${errors} errors, ${time} by its clock, ${seconds} s by ours\n`);
  if (errors > 0) process.exitCode = 1;
} finally {
  clearInterval(report);
  memtest.kill();
}
