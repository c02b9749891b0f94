/**
 * Which descriptions this host's processor cannot run, by the CPUID feature that they name.
 * Document: Linux, /proc/cpuinfo's flags; QEMU's names of features, which descriptions use.
 * Left out: features that Linux does not name: a host without them fails the check with #UD, and says so.
 */

import { readFileSync } from "node:fs";
import { INSNS } from "../../kvm-core/isa/insn/all.ts";
import type { Insn } from "../../kvm-core/isa/insn.ts";

/** QEMU's and Linux's names are the same but for punctuation. */
const plain = (name: string): string => name.replaceAll(/[._-]/g, "").toLowerCase();

/** Flags of the first processor in the text of /proc/cpuinfo, without punctuation. */
function flagsOf(cpuinfo: string): ReadonlySet<string> {
  const line = cpuinfo.split("\n").find((text) => text.startsWith("flags"));
  return new Set((line?.split(":")[1] ?? "").trim().split(/\s+/).map(plain));
}

/** Description -> the feature that it names and `cpuinfo` does not have. */
export function lackedByHost(
  cpuinfo: string = readFileSync("/proc/cpuinfo", "utf8"),
  insns: readonly Insn[] = INSNS,
): ReadonlyMap<Insn, string> {
  const flags = flagsOf(cpuinfo);
  return new Map(
    insns.flatMap((insn): [Insn, string][] => {
      const features = [insn.cpuid ?? []].flat();
      const lacked = features.filter((feature) => !flags.has(plain(feature)));
      return lacked.length === 0 ? [] : [[insn, lacked.join(", ")]];
    }),
  );
}
