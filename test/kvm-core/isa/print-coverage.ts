/**
 * `make coverage-isa`: the coverage table: opcode, instruction, its description or why there is none; then how many there are.
 * Status 1 if an opcode has neither.
 */
import { coverage } from "./coverage.ts";
import { deviation } from "./coverage-deviations.ts";

const { rows } = coverage();
const counts = { described: 0, deviations: 0, missing: 0 };
for (const row of rows) {
  const reason = row.described === "" ? deviation(row)?.reason : undefined;
  const what = row.described || (reason ? `- ${reason}` : `MISSING ${row.otherwise}`);
  counts[row.described ? "described" : reason ? "deviations" : "missing"]++;
  process.stdout.write(`${row.opcode.padEnd(30)}${row.instruction.padEnd(48)}${what}\n`);
}
const { described, deviations, missing } = counts;
process.stdout.write(`${rows.length} opcodes: ${described} described, ${deviations} deviations, ${missing} missing\n`);
if (missing > 0) process.exitCode = 1;
