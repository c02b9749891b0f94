/**
 * Thread of one vCPU of a PairOfVcpus: runs its engine until the guest halts and tells how it ended.
 * Leaves out: devices; an access to one is a mistake of the test's.
 */
import { parentPort, workerData } from "node:worker_threads";
import { vcpuZone } from "../../../kvm-core/cpu/zones.ts";
import { createEngine, type EngineHost } from "../../../kvm-core/engine/engine.ts";
import type { PairStart } from "./pair.ts";

const { memory, module, engine, vcpu, translation } = workerData as PairStart;
const none = (): never => {
  throw new Error("this guest has no devices");
};
const host: EngineHost = { portIn: none, portOut: none, mmioRead: none, mmioWrite: none, trace: none };
const cpu = createEngine(engine, module, memory, vcpuZone(vcpu), host, { translation });
parentPort!.postMessage({ exit: cpu.run(), detail: cpu.errorDetail });
