/**
 * `-cpu help`: asks a kvm-core what it has, and prints the models and features.
 * Leaves out: the text (cli/cpu-option.ts).
 */
import { once } from "node:events";
import { featuresOf } from "../shared/cpu-features.ts";
import { describeCpus } from "./cli/cpu-option.ts";
import { startCore } from "./kvm/core-process.ts";
import { Kvm } from "./kvm/kvm.ts";

/** `path`: the socket of a kvm-core that runs; undefined: one is started for the question. */
export async function cpuHelp(path: string | undefined): Promise<number> {
  const core = path === undefined ? startCore() : undefined;
  try {
    const kvm = Kvm.connect(path ?? core!.path);
    const { entries } = await kvm.request("KVM_GET_SUPPORTED_CPUID", {});
    process.stdout.write(describeCpus(featuresOf(entries)));
    kvm.close();
    return 0;
  } finally {
    if (core && core.child.exitCode === null && core.child.signalCode === null) {
      core.child.kill("SIGTERM");
      await once(core.child, "exit");
    }
  }
}
