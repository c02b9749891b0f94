/**
 * The device thread: owns the board and every device's state, and serves the guest's accesses. In page mode it sleeps
 * on its doorbell and never awaits; in message mode the main thread hands it one access at a time.
 * Leaves out: back ends' files and sockets, and every ioctl: the main thread's.
 */
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { hex } from "../../shared/bits.ts";
import { IO_IN } from "../../shared/exits.ts";
import { GuestMemory } from "../../shared/guest-memory.ts";
import { SPACE_MMIO, SPACE_PIO } from "../../shared/ioctls.ts";
import { Journal } from "../../shared/journal.ts";
import { Mailbox } from "../../shared/mailbox.ts";
import { clockMonotonic, setThreadName } from "../../shared/native.ts";
import { ChannelBackend } from "../backend/char-channel.ts";
import { LineLog } from "../backend/line-log.ts";
import type { Bus, Region } from "../bus/bus.ts";
import type { IrqLine } from "../bus/interfaces.ts";
import { memoryMap } from "../machine/memory-map.ts";
import { createPc, LEVEL_GSIS, type Pc } from "../machine/pc.ts";
import { rtcClock } from "../machine/rtc-clock.ts";
import { codeMapOf, LOCAL_MAIL, LOCAL_REGIONS, LOCAL_STOP } from "./device-memory.ts";
import { type AccessLog, Dispatcher } from "./dispatch.ts";
import { connectDrives } from "./drives.ts";
import type { DeviceThreadStart, FromDevice, RegionReport, ToDevice } from "./messages.ts";
import { PostedMsi, RoutedMsi } from "./msi.ts";
import { RegionFlow } from "./region-flow.ts";
import { RingServer, restoreJournal } from "./ring-server.ts";
import { TimerQueue } from "./timer-queue.ts";

const start = workerData as DeviceThreadStart;
const { plan } = start;
const buffer = start.memory.buffer;
const words = new Int32Array(buffer);
const port = parentPort!;
const post = (message: FromDevice) => port.postMessage(message);

/** setTimeout() takes no longer ones; the queue is looked at again then. */
const MAX_TIMEOUT_MS = 0x7fff_ffff;

/** Status that the guest asked to end with, or -1. */
let endStatus = -1;

function channel(which: string, memory: SharedArrayBuffer | null): ChannelBackend | null {
  return memory === null ? null : new ChannelBackend(memory, () => post({ kind: "chars", channel: which }));
}

const timers = new TimerQueue();

const mailbox = start.mode === "page" ? new Mailbox(buffer, plan.area, buffer, plan.kick) : undefined;
const routedMsi = mailbox && new RoutedMsi(mailbox, post);

/** Page mode raises lines through the mailbox, message mode by ioctl. */
function irqLines(): (gsi: number) => IrqLine {
  if (mailbox !== undefined) {
    return (gsi) => ({ set: (level) => mailbox.setLevel(gsi, level) });
  }
  return (gsi) => {
    let now = false;
    return {
      set(level) {
        if (level !== now) post({ kind: "irq", gsi, level });
        now = level;
      },
    };
  };
}

function report(space: number, { base, size, device, posted }: Region): RegionReport {
  return { space, base, size, name: device.name, posted };
}

function exitLog(fd: number): AccessLog | undefined {
  if (fd < 0) return undefined;
  const log = new LineLog(fd, (line) => post({ kind: "log", line }));
  return (space, direction, address, size, low, high) => {
    const value = size === 8 ? (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0) : low >>> 0;
    const kind = `${space === SPACE_PIO ? "KVM_EXIT_IO  " : "KVM_EXIT_MMIO"} ${direction === IO_IN ? "in " : "out"}`;
    log.line(`${kind} ${hex(address)} size ${size} = 0x${value.toString(16)}`);
  };
}

const serial = channel("serial", start.serial);
const debugcon = channel("debugcon", start.debugcon);
const chardevs = new Map(start.chardevs.map(({ id, memory }) => [id, channel(`chardev ${id}`, memory)]));
const backends = [serial, debugcon, ...chardevs.values()].filter((backend) => backend !== null);

const drives = connectDrives(start.drives, {
  memory: buffer,
  tellMain: (drive) => post({ kind: "block", drive }),
  stopping: () => Atomics.load(words, (plan.local >>> 2) + LOCAL_STOP) !== 0,
});
const disks = [...drives.values()];
/** Called when the guest goes on. */
const continuing: (() => void)[] = [];

function build(): Pc | undefined {
  try {
    const pc = createPc({
      memory: new GuestMemory(buffer, memoryMap(plan.ramSize).slots, codeMapOf(buffer, plan, start.vcpus)),
      irq: irqLines(),
      serial,
      debugcon,
      chars: (id) => chardevs.get(id),
      fwCfg: { ...start.fwCfg, cpus: start.vcpus },
      exit: (status) => {
        if (endStatus < 0) post({ kind: "exit", status });
        endStatus = status;
      },
      power: (what) => post({ kind: "power", what }),
      wallClock: rtcClock(start.rtc),
      clock: { now: clockMonotonic },
      msi: routedMsi ?? new PostedMsi(post),
      timers,
      runState: {
        stop: (reason) => post({ kind: "stop", reason }),
        onContinue: (callback) => continuing.push(callback),
      },
      drives,
      devices: start.devices,
      log: (line) => post({ kind: "log", line }),
      unclaimed: start.unimp ? (line) => post({ kind: "unimp", line }) : undefined,
    });
    pc.reset();
    return pc;
  } catch (error) {
    post({ kind: "refused", message: (error as Error).message });
    return undefined;
  }
}

function announce(pc: Pc): void {
  const buses: readonly (readonly [number, Bus])[] = [
    [SPACE_PIO, pc.ports],
    [SPACE_MMIO, pc.mmio],
  ];
  const regions = buses.flatMap(([space, bus]) => bus.regions().map((region) => report(space, region)));
  const local = plan.local >>> 2;
  const flow = new RegionFlow(words, local + LOCAL_REGIONS, local + LOCAL_STOP);
  for (const [space, bus] of buses) {
    bus.onChange = ({ kind, region }) => {
      post({ kind, region: report(space, region) });
      flow.posted();
    };
  }
  post({ kind: "ready", regions, levelGsis: LEVEL_GSIS });
}

/** Back ends and timers; true if a disk or a timer had something. */
function pollBackends(): boolean {
  for (let i = 0; i < backends.length; i++) backends[i]!.poll();
  let worked = false;
  for (let i = 0; i < disks.length; i++) if (disks[i]!.poll()) worked = true;
  return (timers.next !== Number.POSITIVE_INFINITY && timers.run(clockMonotonic())) || worked;
}

/** Message mode: the event loop wakes the thread when the next timer is due. */
function awaitTimers(): void {
  let waiting: NodeJS.Timeout | undefined;
  timers.onChange = () => {
    clearTimeout(waiting);
    if (timers.next === Number.POSITIVE_INFINITY) return;
    const ms = Math.max(timers.next - clockMonotonic(), 0) / 1e6;
    waiting = setTimeout(pollBackends, Math.min(Math.ceil(ms), MAX_TIMEOUT_MS));
    waiting.unref();
  };
  timers.onChange();
}

function handle(pc: Pc, dispatcher: Dispatcher, message: ToDevice): void {
  if (message.kind === "reset") {
    pc.reset();
    post({ kind: "reset-done" });
    return;
  }
  if (message.kind === "continue") {
    for (const again of continuing) again();
    return;
  }
  if (message.kind === "power-button") {
    post({ kind: "button-pressed", heard: pc.powerButton() });
    return;
  }
  if (message.kind === "msi-routed") {
    routedMsi?.routed(message.event, message.version, message.done);
    return;
  }
  const { space, direction, address, size, low, high } = message;
  dispatcher.access(space, direction, address, size, low, high);
  pollBackends();
  if (endStatus < 0) post({ kind: "answer", low: dispatcher.low, high: dispatcher.high });
}

function servePages(pc: Pc, dispatcher: Dispatcher): void {
  const mail = (plan.local >>> 2) + LOCAL_MAIL;
  const poll = () => {
    const due = pollBackends();
    if (Atomics.exchange(words, mail, 0) === 0) return due;
    for (let next = receiveMessageOnPort(port); next; next = receiveMessageOnPort(port))
      handle(pc, dispatcher, next.message as ToDevice);
    return true;
  };
  const devices = pc.journalled;
  const journal = new Journal(buffer, plan.journal);
  if (start.takeOver) restoreJournal(journal, devices);
  new RingServer({
    memory: start.memory,
    area: plan.area,
    vcpus: start.vcpus,
    dispatcher,
    stopIndex: (plan.local >>> 2) + LOCAL_STOP,
    poll,
    nextDeadline: () => timers.next,
    finished: () => endStatus >= 0,
    ...(devices.length > 0 ? { journal: { journal, devices } } : {}),
  }).run();
}

setThreadName("devices");
const pc = build();
if (pc) {
  const dispatcher = new Dispatcher(pc, exitLog(start.exitLogFd));
  announce(pc);
  if (start.mode === "page") servePages(pc, dispatcher);
  else {
    awaitTimers();
    port.on("message", (message: ToDevice | "stop" | "poll") => {
      if (message === "stop") port.close();
      else if (message === "poll") pollBackends();
      else handle(pc, dispatcher, message);
    });
  }
}
