/**
 * A device server of the soak test, a process of its own. The main thread speaks with kvm-core and with the parent, a
 * worker serves exits and counts them.
 *   server.ts owner CORE RAM COMMAND-LINE     makes the VM and runs the guest on the board, with a splitvm-test device
 *   server.ts attached CORE PORT              attaches to it, with the ports of a splitvm-test device at PORT
 * Leaves out: what the figures must be (soak.ts).
 */
import { closeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { Bus } from "../../qemu-user/bus/bus.ts";
import { DeviceMemory, LOCAL_STOP, type MemoryPlan, sealedMemfd } from "../../qemu-user/device/device-memory.ts";
import { type Buses, Dispatcher } from "../../qemu-user/device/dispatch.ts";
import { createOwnedVm, VCPUS } from "../../qemu-user/device/owned-vm.ts";
import { RingServer } from "../../qemu-user/device/ring-server.ts";
import { TimerQueue } from "../../qemu-user/device/timer-queue.ts";
import { SplitvmTest } from "../../qemu-user/hw/splitvm-test.ts";
import { Kvm } from "../../qemu-user/kvm/kvm.ts";
import { loadKernel } from "../../qemu-user/loader/loader.ts";
import { memoryMap } from "../../qemu-user/machine/memory-map.ts";
import { createPc } from "../../qemu-user/machine/pc.ts";
import type { EXIT } from "../../shared/exits.ts";
import { GuestMemory } from "../../shared/guest-memory.ts";
import { SPACE_PIO } from "../../shared/ioctls.ts";
import { clockMonotonic, mapReadOnly, parentDeathSignal, SIGKILL } from "../../shared/native.ts";
import { AREA_BYTES } from "../../shared/server-area.ts";
import { readStats, STATS_BYTES } from "../../shared/stats-page.ts";
import { terminal } from "../support/terminal.ts";

export const VM_NAME = "soak";
const PORTS = 64;
const ATTACHED_RAM = 65536; // none of the guest's: only the plan of the memory wants some
const KERNEL = fileURLToPath(new URL("../../build/guest/bench64.elf", import.meta.url));

/** What the parent asks for. */
export type ToServer = "run" | "report";
/**
 * `exits`: accesses served. The owner's report comes when the guest has ended, with its status (isa-debug-exit), with
 * the exits that kvm-core counted in all, and per region by name.
 */
export type FromServer =
  | { readonly kind: "ready" }
  | {
      readonly kind: "report";
      readonly exits: number;
      readonly status: number;
      readonly counted: number;
      readonly regions: Readonly<Record<string, number>>;
    };

type WorkerStart = { readonly memory: WebAssembly.Memory; readonly plan: MemoryPlan; readonly port: number };
type WorkerEnd = { readonly exits: number; readonly status: number };

/** Worker: the board (`port` 0), or the ports of one test device. */
function serve({ memory, plan, port }: WorkerStart): WorkerEnd {
  let status = -1;
  const log = (line: string) => process.stderr.write(`${line}\n`);
  const guest = new GuestMemory(
    memory.buffer as unknown as SharedArrayBuffer,
    port === 0 ? memoryMap(plan.ramSize).slots : [],
  );
  let buses: Buses;
  if (port === 0) {
    const pc = createPc({
      memory: guest,
      irq: () => ({ set() {} }),
      serial: terminal,
      debugcon: null,
      exit: (value) => {
        status = value;
      },
      power: () => {},

      msi: null,
      wallClock: Date.now,
      clock: { now: clockMonotonic },
      timers: new TimerQueue(),
      runState: { stop() {}, onContinue() {} },
      drives: new Map(),
      devices: [{ name: "splitvm-test", id: undefined, properties: { addr: 0, journal: false } }],
      log,
      unclaimed: log,
    });
    pc.reset();
    buses = pc;
  } else {
    buses = { ports: new Bus("port", 0x1_0000, log), mmio: new Bus("memory", 2 ** 32, log) };
    const slot = { intx: { set() {} }, busMaster: () => false, msix: { enabled: false, notify() {} } };
    const device = new SplitvmTest({ name: "soak", slot, memory: guest, exits: () => 0, journal: false });
    buses.ports.map(port, PORTS, device.bars[0]!.region);
  }
  new RingServer({
    memory,
    area: plan.area,
    vcpus: VCPUS,
    dispatcher: new Dispatcher(buses, undefined),
    stopIndex: (plan.local >> 2) + LOCAL_STOP,
    poll: () => false,
    finished: () => status >= 0,
  }).run();
  return { exits: buses.ports.accesses + buses.mmio.accesses, status };
}

function fail(error: Error): never {
  process.stderr.write(`soak: ${error.message}\n`);
  process.exit(1);
}

/** Starts the worker; resolves when it has served its last exit. */
function startWorker(memory: DeviceMemory, port: number): Promise<WorkerEnd> {
  const start: WorkerStart = { memory: memory.memory, plan: memory.plan, port };
  const worker = new Worker(new URL(import.meta.url), { workerData: start });
  return new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
}

function send(message: FromServer): void {
  process.send!(message);
}

async function owner(core: string, ram: number, append: string): Promise<void> {
  const kvm = Kvm.connect(core);
  const { vm, vcpu, memory } = await createOwnedVm(kvm, VM_NAME, ram, "page");
  const map = memoryMap(ram);
  const files = { kernel: KERNEL, initrd: undefined, append };
  const loaded = loadKernel(files, new GuestMemory(memory.buffer, map.slots), map.entries);
  await vcpu.setSregs({ ...(await vcpu.getSregs()), ...loaded.sregs });
  await vcpu.setRegs({ ...(await vcpu.getRegs()), ...loaded.regs });
  const { memfd } = await vm.request("KVM_GET_STATS_FD", { id: 0 });
  const page = vm.withDescriptor(memfd, (fd) => mapReadOnly(fd, STATS_BYTES));
  const served = startWorker(memory, 0);
  const ran = new Promise<void>((resolve) => process.once("message", () => resolve()));
  send({ kind: "ready" });
  await ran;
  const run = vcpu.run().then((exit) => fail(new Error(`KVM_RUN returned ${exit.reason}: ${exit.detail}`)));
  run.catch(() => {}); // the VM is destroyed under it
  const { exits, status } = await served;
  const rows = readStats(page)!.rows;
  const counted = rows.filter((row) => row.kind === "reason" && IO_NAMES.includes(row.name));
  send({
    kind: "report",
    exits,
    status,
    counted: counted.reduce((sum, row) => sum + row.count, 0),
    regions: Object.fromEntries(rows.filter((row) => row.kind === "region").map((row) => [row.name, row.count])),
  });
}
const IO_NAMES: readonly string[] = ["KVM_EXIT_IO", "KVM_EXIT_MMIO"] satisfies (keyof typeof EXIT)[];

async function attached(core: string, port: number): Promise<void> {
  const vm = await Kvm.connect(core).openVm(VM_NAME, "server");
  const memory = new DeviceMemory(ATTACHED_RAM);
  const area = sealedMemfd("splitvm-area", AREA_BYTES);
  memory.mapArea(area);
  const [memfd] = vm.session.pass([area]);
  closeSync(area);
  await vm.request("SPLITVM_SET_SERVER_AREA", { memfd: memfd! });
  const region = { space: SPACE_PIO, address: BigInt(port), length: BigInt(PORTS), name: `port-${port}` };
  await vm.request("SPLITVM_REGISTER_REGION", region);
  const served = startWorker(memory, port);
  process.once("message", () => {
    const words = new Int32Array(memory.buffer);
    Atomics.store(words, (memory.plan.local >> 2) + LOCAL_STOP, 1);
    RingServer.ring(words, memory.plan.area);
    void served.then((end) => send({ kind: "report", ...end, counted: 0, regions: {} }));
  });
  send({ kind: "ready" });
}

if (isMainThread) {
  if (parentDeathSignal(SIGKILL) !== process.ppid) process.exit(1);
  process.on("disconnect", () => process.exit(0));
  const [role, core, ...rest] = process.argv.slice(2) as [string, string, ...string[]];
  (role === "owner" ? owner(core, Number(rest[0]), rest[1]!) : attached(core, Number(rest[0]))).catch(fail);
} else {
  parentPort!.postMessage(serve(workerData as WorkerStart));
}
