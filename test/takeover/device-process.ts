/**
 * A device process for the test of take-over: makes a VM on a shared kvm-core, or takes a dead one's over, and serves
 * its exits on the main thread; it kills itself at a named point of a named exit.
 *   device-process.ts CORE NAME first|successor JOURNAL CHECKPOINT EXIT COMMAND-LINE
 * Prints what the guest prints. Leaves out: everything that `qemu-user run` adds.
 */
import { codeMapOf, LOCAL_STOP } from "../../qemu-user/device/device-memory.ts";
import { Dispatcher } from "../../qemu-user/device/dispatch.ts";
import { createOwnedVm, takeOverVm, VCPUS } from "../../qemu-user/device/owned-vm.ts";
import { type Checkpoint, RingServer, restoreJournal } from "../../qemu-user/device/ring-server.ts";
import { TimerQueue } from "../../qemu-user/device/timer-queue.ts";
import { Kvm } from "../../qemu-user/kvm/kvm.ts";
import { loadKernel } from "../../qemu-user/loader/loader.ts";
import { memoryMap } from "../../qemu-user/machine/memory-map.ts";
import { createPc } from "../../qemu-user/machine/pc.ts";
import { GuestMemory } from "../../shared/guest-memory.ts";
import { Journal } from "../../shared/journal.ts";
import { clockMonotonic } from "../../shared/native.ts";
import { terminal } from "../support/terminal.ts";

const RAM = 16 << 20;
const KERNEL = new URL("../../build/guest/bench64.elf", import.meta.url).pathname;

const [core, name, role, journalled, crashAt, crashExit, append] = process.argv.slice(2) as string[];

let exits = 0;
function checkpoint(at: Checkpoint): void {
  if (at === "claimed") exits++;
  if (at === crashAt && exits === Number(crashExit)) process.kill(process.pid, "SIGKILL");
}

const kvm = Kvm.connect(core!);
const isFirst = role === "first";
const { vm, vcpu, memory } = isFirst ? await createOwnedVm(kvm, name!, RAM, "page") : await takeOverVm(kvm, name!);
await vm.request("SPLITVM_KEEP_VM", { linger: 60 });

const map = memoryMap(RAM);
const guest = new GuestMemory(memory.buffer, map.slots, codeMapOf(memory.buffer, memory.plan, VCPUS));
let status = -1;
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
  devices: [{ name: "splitvm-test", id: undefined, properties: { addr: 0, journal: journalled === "on" } }],
  log: (line) => process.stderr.write(`${line}\n`),
});
pc.reset();
const journal = new Journal(memory.buffer, memory.plan.journal);
const devices = pc.journalled;
if (isFirst) {
  const loaded = loadKernel({ kernel: KERNEL, initrd: undefined, append: append! }, guest, map.entries);
  await vcpu.setSregs({ ...(await vcpu.getSregs()), ...loaded.sregs });
  await vcpu.setRegs({ ...(await vcpu.getRegs()), ...loaded.regs });
} else {
  restoreJournal(journal, devices);
}
vcpu.run().catch(() => {});
await kvm.request("KVM_GET_API_VERSION", {}); // its answer means that KVM_RUN has arrived
new RingServer({
  memory: memory.memory,
  area: memory.plan.area,
  vcpus: VCPUS,
  dispatcher: new Dispatcher(pc, undefined),
  stopIndex: (memory.plan.local >> 2) + LOCAL_STOP,
  poll: () => false,
  finished: () => status >= 0,
  ...(devices.length > 0 ? { journal: { journal, devices } } : {}),
  checkpoint,
}).run();
await vm.request("SPLITVM_DESTROY_VM", {});
process.exit(status);
