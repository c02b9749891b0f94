/**
 * `make fuzz-decoder`: the decoder against iced-x86 over as many random strings as one likes, and over the code of programs.
 *   fuzz-decoder.ts [--count 1000000] [--seed N] [FILE...]
 * FILEs are 64-bit ELF files. Prints its seed, how many instructions it compared, and what differs; status 1 if anything does.
 */
import { parseArgs } from "node:util";
import { ALL_BITS, DecoderCheck } from "./decoder-check.ts";
import { codeOf } from "./elf-code.ts";

const SHOWN = 20;

const { values, positionals } = parseArgs({
  options: {
    count: { type: "string", default: "1000000" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
  allowPositionals: true,
});
const [count, seed] = [values.count, values.seed].map(Number) as [number, number];
if (![count, seed].every((value) => Number.isSafeInteger(value) && value >= 0)) {
  process.stderr.write("fuzz-decoder.ts: --count and --seed are whole numbers\n");
  process.exit(1);
}
const log = (line: string) => process.stdout.write(`${line}\n`);

function conclude(what: string, check: DecoderCheck): void {
  log(`${what}: ${check.compared} instructions compared, ${check.wrong.length} differ`);
  for (const line of check.wrong.slice(0, SHOWN)) log(`  ${line}`);
  if (check.wrong.length > 0) process.exitCode = 1;
}

log(`seed ${seed}`);
for (const path of positionals) {
  const check = new DecoderCheck(64);
  for (const code of codeOf(path)) check.code(code);
  conclude(path, check);
}
for (const bits of count === 0 ? [] : ALL_BITS) {
  const check = new DecoderCheck(bits);
  check.random(count, seed);
  conclude(`${bits}-bit`, check);
}
