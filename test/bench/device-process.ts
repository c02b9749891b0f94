/**
 * The device process of a benchmark: makes a VM on a kvm-core, serves it by qemu-user's own device thread, boots
 * bench64.elf and measures when its parent says so. Bound to its CPU by whoever starts it.
 *   device-process.ts CORE '{"mode":"page","ram":33554432,"append":"run=timed","devices":[]}'
 * Speaks with its parent by process.send: see ToBench and FromBench. Leaves out: floors, rows and rounds (bench.ts).
 */
import { fileURLToPath } from "node:url";
import type { EngineName } from "../../kvm-core/engine/engine.ts";
import { channelRings, createCharChannel } from "../../qemu-user/backend/char-channel.ts";
import { DeviceHost } from "../../qemu-user/device/device-host.ts";
import { createOwnedVm, VCPUS } from "../../qemu-user/device/owned-vm.ts";
import { Claims } from "../../qemu-user/kvm/claims.ts";
import { Kvm } from "../../qemu-user/kvm/kvm.ts";
import { MsiRoutes } from "../../qemu-user/kvm/msi-routes.ts";
import { loadKernel } from "../../qemu-user/loader/loader.ts";
import { type DeviceOption, defaultProperties } from "../../qemu-user/machine/device-catalog.ts";
import { NO_FW_CFG } from "../../qemu-user/machine/fw-cfg-items.ts";
import { memoryMap } from "../../qemu-user/machine/memory-map.ts";
import type { KvmError } from "../../shared/errno.ts";
import { EXIT, IO_IN } from "../../shared/exits.ts";
import { GuestMemory } from "../../shared/guest-memory.ts";
import { SPACE_MMIO, SPACE_PIO } from "../../shared/ioctls.ts";
import { Mailbox } from "../../shared/mailbox.ts";
import { clockMonotonic, parentDeathSignal, SIGKILL } from "../../shared/native.ts";
import { distribution, type Measured } from "./distribution.ts";

export type BenchOptions = {
  readonly mode: "page" | "message";
  readonly ram: number;
  readonly append: string;
  /** `-device` names, with the properties that are not at their defaults. */
  readonly devices: readonly { readonly name: string; readonly properties: DeviceOption["properties"] }[];
  readonly engine: EngineName;
};

/** `round`: one round of run=timed. `irq`: signals of an event one after the other to run=irq. `compute`: one round of a
 *  compute program with at=. */
export type ToBench =
  | { readonly kind: "round" }
  | { readonly kind: "irq"; readonly count: number }
  | { readonly kind: "compute" };
/** A round of a compute program; the checksum in hexadecimal. */
export type Computed = { readonly ns: number; readonly instructions: number; readonly checksum: string };
export type FromBench =
  | { readonly kind: "ready" }
  | ({ readonly kind: "measured" } & Measured)
  | ({ readonly kind: "computed" } & Computed);

const KERNEL = fileURLToPath(new URL("../../build/guest/bench64.elf", import.meta.url));

/** struct timed of test/guest/bench.c, in u32 words; TSC ticks are nanoseconds. */
const TIMED = { at: 0x100_0000 / 4, go: 0, count: 1, total: 2, clock: 4, clocks: 1000, access: 1004 };
/** struct computed of test/guest/bench.c, in u64 words, where at= says. */
const COMPUTED = { total: 1, instructions: 2, checksum: 3 };
/** The guest counts its interrupts here (test/guest/bench.c). */
const IRQ_COUNT = 0x7000 / 4;
const IRQ_EVENT = 1;
const IRQ_GSI = 5;

if (parentDeathSignal(SIGKILL) !== process.ppid) process.exit(1);
const [path, json] = process.argv.slice(2) as [string, string];
const options = JSON.parse(json) as BenchOptions;
const send = (message: FromBench) => process.send!(message);
/** The guest waits for rounds: of run=timed, or of a compute program. */
const computes = /\bat=(\d+)/.exec(options.append);
const hasRounds = options.append.includes("run=timed") || computes !== null;

const kvm = Kvm.connect(path);
const { vm, vcpu, memory } = await createOwnedVm(kvm, "bench", options.ram, options.mode);
await vcpu.request("SPLITVM_SET_ENGINE", { engine: options.engine });
const ram = new Int32Array(memory.buffer);

const debugcon = createCharChannel();
const { output } = channelRings(debugcon, () => host.notify());
let onByte: () => void = () => {};

function takeBytes(): void {
  do {
    while (output.pop() >= 0) onByte();
  } while (!output.waitForBytes());
}

const host: DeviceHost = new DeviceHost(
  {
    mode: options.mode,
    vcpus: VCPUS,
    devices: options.devices.map(({ name, properties }) => ({
      name,
      id: undefined,
      properties: { ...defaultProperties(name), ...properties },
    })),
    serial: null,
    chardevs: [],
    debugcon,
    drives: [],
    fwCfg: NO_FW_CFG,
    exitLogFd: -1,
    unimp: false,
    rtc: { base: "utc", clock: "host" },
    takeOver: false,
  },
  memory,
  {
    onChars: takeBytes,
    onExit: (status) => fail(`the guest ended with status ${status}`),
    onPower: () => {},
    onIrq: (irq, level) => void vm.request("KVM_IRQ_LINE", { irq, level: level ? 1 : 0 }).catch(() => {}),
    onMsi: (message) => msi.send(message),
    onMsiRoute: (route) => msi.set(route),
    onRegion: (kind, region) => claims.change(kind, region),
    onBlock: () => {},
    onStop: () => {},
    onLog: (line) => process.stderr.write(`${line}\n`),
    onUnimp: () => {},
    onFailure: (error) => fail(error.stack ?? error.message),
  },
);
const msi = new MsiRoutes(vm, (event, version, done) => host.msiRouted(event, version, done));
const claims = new Claims(vm, options.mode === "page");

function fail(reason: string): never {
  process.stderr.write(`bench: ${reason}\n`);
  process.exit(1);
}

/** KVM_RUN until it is kicked; in message mode with the exits in between. */
async function runUntilKicked(): Promise<void> {
  let data = new Uint8Array(0);
  for (;;) {
    const exit = await vcpu
      .run(data)
      .catch((error: KvmError) => (error.code === "EINTR" ? undefined : fail(error.message)));
    if (exit === undefined) return;
    if (exit.reason !== EXIT.KVM_EXIT_IO && exit.reason !== EXIT.KVM_EXIT_MMIO)
      fail(`KVM_RUN returned ${exit.reason}: ${exit.detail}`);
    const bytes = Buffer.alloc(8);
    bytes.set(exit.data.subarray(0, 8));
    const { low, high } = await host.access({
      kind: "access",
      space: exit.reason === EXIT.KVM_EXIT_IO ? SPACE_PIO : SPACE_MMIO,
      direction: exit.direction,
      address: Number(exit.address),
      size: exit.size,
      low: bytes.readInt32LE(0),
      high: bytes.readInt32LE(4),
    });
    bytes.writeInt32LE(low | 0, 0);
    bytes.writeInt32LE(high | 0, 4);
    data = new Uint8Array(exit.direction === IO_IN ? bytes.subarray(0, exit.size) : []);
  }
}

/** Runs the guest until it has written a byte to the debug console; the vCPU is out of the guest afterwards. */
async function runToNextByte(): Promise<void> {
  const byte = new Promise<void>((resolve) => {
    onByte = resolve;
  });
  const run = runUntilKicked();
  await byte;
  await vcpu.kick();
  await run;
}

async function round(): Promise<Measured> {
  Atomics.add(ram, TIMED.at + TIMED.go, 1);
  await runToNextByte();
  const count = ram[TIMED.at + TIMED.count]!;
  const { clock, clocks, access, total } = TIMED;
  const reading = distribution(Float64Array.from(ram.subarray(TIMED.at + clock, TIMED.at + clock + clocks))).p50;
  const times = Float64Array.from(ram.subarray(TIMED.at + access, TIMED.at + access + count), (t) => t - reading);
  return { ...distribution(times), through: ram[TIMED.at + total]! / count };
}

async function compute(): Promise<Computed> {
  const at = Number(computes![1]);
  Atomics.add(ram, at / 4, 1);
  await runToNextByte();
  const words = new BigUint64Array(memory.buffer, at, 4);
  const { total, instructions, checksum } = COMPUTED;
  return {
    ns: Number(words[total]),
    instructions: Number(words[instructions]),
    checksum: words[checksum]!.toString(16).padStart(16, "0"),
  };
}

/** Signals `count` times, each when the interrupt before was seen; the time until the handler's store is seen. */
function signal(count: number): Measured {
  const mailbox = new Mailbox(memory.buffer, memory.plan.area, memory.buffer, memory.plan.kick);
  const times = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const seen = Atomics.load(ram, IRQ_COUNT);
    const start = clockMonotonic();
    mailbox.signal(IRQ_EVENT);
    while (Atomics.load(ram, IRQ_COUNT) === seen)
      if (clockMonotonic() - start > 1e9) fail("an interrupt did not come within a second");
    times[i] = clockMonotonic() - start;
    for (const until = clockMonotonic() + 20_000; clockMonotonic() < until; ); // the handler's EOI and IRET
  }
  const { p50, p99, mean } = distribution(times);
  return { p50, p99, mean, through: mean };
}

process.on("message", (message: ToBench) => {
  if (message.kind === "compute") void compute().then((result) => send({ kind: "computed", ...result }));
  else {
    const measured = message.kind === "round" ? round() : Promise.resolve(signal(message.count));
    void measured.then((result) => send({ kind: "measured", ...result }));
  }
});
process.on("disconnect", () => process.exit(0));

for (const region of (await host.ready).regions) await claims.change("map", region);
takeBytes();
const map = memoryMap(options.ram);
const files = { kernel: KERNEL, initrd: undefined, append: options.append };
const loaded = loadKernel(files, new GuestMemory(memory.buffer, map.slots), map.entries);
await vcpu.setSregs({ ...(await vcpu.getSregs()), ...loaded.sregs });
await vcpu.setRegs({ ...(await vcpu.getRegs()), ...loaded.regs });
if (hasRounds) {
  await runToNextByte();
} else {
  await vm.request("KVM_IRQFD", { event: IRQ_EVENT, gsi: IRQ_GSI, flags: 0, resample_event: 0 });
  void runUntilKicked();
  if (options.append.includes("run=irq")) await new Promise<void>((resolve) => (onByte = resolve)); // "ready ..."
}
send({ kind: "ready" });
