/**
 * The host's processor: runs cases in the runner's process.
 * Document: runner.c.
 * Left out: what a case is and means: case.ts; its bytes: encoding.ts.
 */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Mode } from "../kvm-core/support/machine.ts";
import type { Case, Outcome } from "./case.ts";
import { answerLimit, decodeResults, encodeRequests } from "./encoding.ts";

const RUNNER = fileURLToPath(new URL("../../build/host-runner", import.meta.url));
/** runner.c's exit status for a kernel without 32-bit code. */
const NO_32_BIT = 3;

function start(cases: readonly Case[]): { status: number | null; stdout: Uint8Array; complaint: string } {
  const { status, stdout, stderr, error, signal } = spawnSync(RUNNER, {
    input: encodeRequests(cases),
    maxBuffer: answerLimit(cases.length),
  });
  if (error !== undefined) throw new Error(`${RUNNER}: ${error.message}; "make build/host-runner" builds it`);
  return { status, stdout, complaint: `${stderr}${signal === null ? "" : `ended by ${signal}`}`.trim() };
}

/** Why the host cannot run code of `mode`; "" if it can. */
export function refusal(mode: Mode): string {
  if (mode === 64) return "";
  const nop: Case = {
    name: "nop",
    mode,
    gpr: new Array<bigint>(8).fill(0n),
    flags: 2,
    rip: 0,
    code: new Uint8Array(0),
    plants: [],
    undefinedFlags: 0,
  };
  const { status, complaint } = start([nop]);
  return status === NO_32_BIT ? complaint : "";
}

export function runNative(cases: readonly Case[]): Outcome[] {
  const { status, stdout, complaint } = start(cases);
  if (status !== 0) throw new Error(`the host's runner failed with status ${status}: ${complaint}`);
  return decodeResults(stdout, cases);
}
