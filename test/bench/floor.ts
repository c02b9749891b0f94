/**
 * Floors: what build/floor (floor.c) measures in a placement, the peer of every row that crosses processes.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Distribution } from "./distribution.ts";

const FLOOR = fileURLToPath(new URL("../../build/floor", import.meta.url));

/** CPUs of the two sides; `busy`: one that a third process computes on all the time. */
export type Placement = { readonly vcpu: number; readonly device: number; readonly busy: number | undefined };

/** Spinning where the sides have a CPU each, sleeping where they share one. */
export const floorMode = (at: Placement) => (at.vcpu === at.device ? "futex" : "spin");

export async function floor(at: Placement, count: number, gapNs: number): Promise<Distribution> {
  const args = ["--mode", floorMode(at), "--cpu-a", at.vcpu, "--cpu-b", at.device, "--count", count, "--gap-ns", gapNs];
  if (at.busy !== undefined) args.push("--busy", at.busy);
  const { stdout } = await promisify(execFile)(FLOOR, args.map(String));
  return JSON.parse(stdout) as Distribution;
}
