/**
 * The fuzzer: frames against a kvm-core process over several connections, then VMs made and destroyed; at the end the
 * server answers, and holds what it held at the start (issue: "100,000 frames, then 500 VMs").
 * "The start" is after a short run of the same work, when V8 has compiled and the heaps have their size.
 */
import { closeSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { sealedMemfd } from "../../qemu-user/device/device-memory.ts";
import { Kvm } from "../../qemu-user/kvm/kvm.ts";
import { JOURNAL_BYTES } from "../../shared/journal.ts";
import { memfdCreate } from "../../shared/native.ts";
import { AREA_BYTES } from "../../shared/server-area.ts";
import { type Core, startCore } from "../support/core.ts";
import { difference, type ProcessState, processState } from "../support/process-state.ts";
import { Connection, Finding } from "./connection.ts";
import { type Generated, Generator, type Random, random } from "./generator.ts";

export type FuzzOptions = {
  readonly count: number;
  readonly seed: number;
  readonly vms: number;
  readonly log: (line: string) => void;
};

const CONNECTIONS = 4;
/** Frames that one connection sends before it waits for the answers. */
const BATCH = 16;
/** VMs of the short run before the start. */
const WARM_VMS = 20;
const COLLECT_MS = 20_000;
/** V8 keeps the pages of threads that ended for eight seconds, and gives them back at the next collection. */
const POOLED_MS = 9_000;
/** How much more memory it may hold at the end than at the start. */
const GROWTH = 1.1;
/**
 * Of the process as a whole some more, in KiB: half-filled pages of V8's and malloc's come and go by that much, however
 * long the run. 500 VMs that leave 25 KiB each behind would still be found.
 */
const SLACK = 12 * 1024;
/** Lines that kvm-core may write: everything else is a finding. */
const EXPECTED =
  /listens at|is parked|was parked|is gone: its exits wait|a client left during its hello|^collected: |^$/;

/** Throws a Finding, whose message says what went wrong. */
export async function fuzz(options: FuzzOptions): Promise<void> {
  const { count, seed, vms, log } = options;
  const preload = fileURLToPath(new URL("../support/collect-on-signal.ts", import.meta.url));
  // One arena: what malloc keeps in an arena of its own for each thread that ever was is no memory held by kvm-core.
  const core = await startCore(["--expose-gc", "--import", preload], undefined, { MALLOC_ARENA_MAX: "1" });
  const memfds = [
    sealedMemfd("fuzz-ram", 1 << 20),
    sealedMemfd("fuzz-ram", 4 << 20),
    sealedMemfd("fuzz-area", AREA_BYTES),
    sealedMemfd("fuzz-journal", JOURNAL_BYTES),
    memfdCreate("fuzz-unsealed", 1 << 20),
  ];
  try {
    const warm = new Run(core, memfds, random(seed + 1), log);
    await warm.frames(Math.min(2000, Math.ceil(count / 5)));
    await warm.vms(WARM_VMS);
    const before = await atRest(core);
    log(`at the start: ${summary(before)}`);

    const run = new Run(core, memfds, random(seed), log);
    await run.frames(count);
    log("the frames are through");
    await run.vms(vms);
    const after = await atRest(core);
    log(`at the end: ${summary(after)}`);

    compare(before, after);
    judgeReports(core);
  } finally {
    for (const fd of memfds) closeSync(fd);
    const status = await core.stop();
    log(`kvm-core ended with ${status}`);
  }
}

/** Memory in KiB: all of it, and what JavaScript holds of it. */
type State = ProcessState & { readonly heap: number };

function compare(before: State, after: State): void {
  const descriptors = difference(before.descriptors, after.descriptors);
  if (descriptors !== "") throw new Finding(`other descriptors than at the start: ${descriptors}`);
  const threads = difference(before.threads, after.threads);
  if (threads !== "") throw new Finding(`other threads than at the start: ${threads}`);
  if (after.memory > before.memory * GROWTH + SLACK || after.heap > before.heap * GROWTH)
    throw new Finding(`more memory than at the start: ${summary(after)}; it was ${summary(before)}`);
}

function judgeReports(core: Core): void {
  const unexpected = core
    .reports()
    .split("\n")
    .find((line) => !EXPECTED.test(line));
  if (unexpected !== undefined) throw new Finding(`kvm-core reported: ${unexpected}\n${core.reports().slice(-4000)}`);
}

function summary({ descriptors, threads, memory, heap }: State): string {
  return `${descriptors.length} descriptors, ${threads.length} threads, ${memory} KiB, of them ${heap} of JavaScript's`;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What kvm-core holds when no VM is left and all garbage is collected. */
async function atRest(core: Core): Promise<State> {
  const kvm = Kvm.connect(core.path);
  for (const end = Date.now() + COLLECT_MS; ; await pause(50)) {
    const { vms } = await kvm.request("SPLITVM_LIST_VMS", {});
    if (vms.length === 0) break;
    if (Date.now() > end) throw new Finding(`VMs that nobody has any more: ${vms.map((vm) => vm.name).join(" ")}`);
  }
  kvm.close();
  await collect(core);
  await pause(POOLED_MS);
  const collected = await collect(core);
  const [, heap, outside] = /collected: (\d+) KiB of heap, (\d+) KiB outside/.exec(collected)!;
  return { ...processState(core.child.pid!), heap: Number(heap) + Number(outside) };
}

/** Has it collect its garbage; what it reports then. */
async function collect(core: Core): Promise<string> {
  const seen = core.reports().length;
  await pause(200); // for connections that just ended
  core.child.kill("SIGUSR2");
  for (const end = Date.now() + COLLECT_MS; !core.reports().slice(seen).includes("outside"); await pause(10))
    if (Date.now() > end) throw new Finding("kvm-core does not collect its garbage");
  await pause(200);
  return core.reports().slice(seen);
}

class Run {
  readonly #core: Core;
  readonly #memfds: readonly number[];
  readonly #random: Random;
  readonly #log: (line: string) => void;
  readonly #lanes: Lane[];

  constructor(core: Core, memfds: readonly number[], chance: Random, log: (line: string) => void) {
    this.#core = core;
    this.#memfds = memfds;
    this.#random = chance;
    this.#log = log;
    const names = ["shared-0", "shared-1"];
    this.#lanes = Array.from(
      { length: CONNECTIONS },
      (_, i) => new Lane(core.path, memfds, chance, [`lane-${i}`, ...names]),
    );
  }

  /** Sends `count` frames over the connections, a batch of each in turn. */
  async frames(count: number): Promise<void> {
    let sent = 0;
    let progress = 0;
    try {
      while (sent < count) {
        for (const lane of this.#lanes) sent += lane.send(Math.min(BATCH, count - sent));
        for (const lane of this.#lanes) await lane.settle();
        if (this.#core.child.exitCode !== null || this.#core.child.signalCode !== null)
          throw new Finding("kvm-core ended");
        judgeReports(this.#core);
        if (sent - progress >= 10_000) {
          progress = sent;
          this.#log(`${sent} frames`);
        }
      }
    } catch (error) {
      if (!(error instanceof Finding)) throw error;
      await pause(300); // for the last that kvm-core has to say
      const open = this.#lanes.flatMap((lane) => lane.unanswered);
      const more = `\n${open.length} frames without an answer:\n${open.join("\n")}\n${this.#core.reports().slice(-4000)}`;
      throw new Finding(`after ${sent} frames: ${error.message}${more}`, { cause: error });
    } finally {
      for (const lane of this.#lanes) lane.close();
    }
  }

  /** Makes VMs with everything that a VM has, and ends them: by request, or with the connection. */
  async vms(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const kvm = Kvm.connect(this.#core.path);
      const vm = await kvm.createVm(`made-${i}`);
      await vm.setMemory(0, 0, 4 << 20, this.#memfds[1]!);
      await vm.request("KVM_CREATE_IRQCHIP", {});
      const vcpu = await vm.createVcpu(0);
      const [area] = kvm.session.pass([this.#memfds[2]!]);
      await vm.request("SPLITVM_SET_SERVER_AREA", { memfd: area! });
      await vm.request("SPLITVM_REGISTER_REGION", { space: 0, address: 0x60n, length: 1n, name: "fuzz" });
      await vcpu.kick();
      await vcpu.run().catch(() => {}); // EINTR: the thread has begun, made its engine, and gone back
      if (this.#random(2) === 0) await vm.request("SPLITVM_DESTROY_VM", {});
      kvm.close();
      if ((i + 1) % 100 === 0) this.#log(`${i + 1} VMs`);
    }
  }
}

/** A connection that is made again when kvm-core closed it, and short-lived ones for bytes that break the framing. */
class Lane {
  readonly #path: string;
  readonly #memfds: readonly number[];
  readonly #random: Random;
  readonly #names: readonly string[];
  #connection: Connection | undefined;
  #broken: Connection[] = [];

  constructor(path: string, memfds: readonly number[], chance: Random, names: readonly string[]) {
    this.#path = path;
    this.#memfds = memfds;
    this.#random = chance;
    this.#names = names;
  }

  /** Sends a batch; the number of frames in it. */
  send(count: number): number {
    if (!this.#connection || this.#connection.closed) this.#connection = new Connection(this.#path, this.#memfds);
    const connection = this.#connection;
    const generator = new Generator(this.#random, { ...this.#known(connection), names: this.#names });
    const batch: Generated[] = [];
    for (let i = 0; i < count; i++) {
      const frame = generator.next(connection.nextId);
      if (frame.name === "bytes" && this.#random(8) !== 0) this.#apart(frame);
      else batch.push(frame);
    }
    // What may end the connection comes last, so that the others are answered.
    batch.sort((a, b) => Number(b.name !== "bytes") - Number(a.name !== "bytes"));
    connection.send(batch);
    if (batch.some(({ name }) => name === "bytes")) this.#broken.push(connection);
    return count;
  }

  async settle(): Promise<void> {
    const broken = this.#broken.splice(0);
    if (!broken.includes(this.#connection!)) await this.#connection!.settle();
    for (const connection of broken) {
      // Its stream may wait for the rest of a frame that never comes: what it does not answer soon, it need not.
      await Promise.race([connection.settle(), pause(100)]);
      connection.close();
      if (connection === this.#connection) this.#connection = undefined;
    }
  }

  close(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }

  get unanswered(): string[] {
    return this.#connection?.unanswered ?? [];
  }

  #known({ vms, vcpus, descriptors }: Connection) {
    return { vms, vcpus, descriptors };
  }

  #apart(frame: Generated): void {
    const connection = new Connection(this.#path, []);
    connection.send([frame]);
    this.#broken.push(connection);
  }
}
