/**
 * A device server for tests of the exit path: a thread that serves the area of one server in the memory of a test's
 * vCPU, with a device whose registers do what can happen to an exit.
 * Leaves out: kvm-core's main thread, whose part (table of regions, areas) the test plays.
 */
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { PageExchange } from "../../../kvm-core/vcpu/page-exchange.ts";
import { controlAt, PENDING_EXIT, serverAreaAt } from "../../../kvm-core/vm/vm-state.ts";
import { Bus } from "../../../qemu-user/bus/bus.ts";
import type { BusDevice } from "../../../qemu-user/bus/interfaces.ts";
import { Dispatcher } from "../../../qemu-user/device/dispatch.ts";
import { RingServer } from "../../../qemu-user/device/ring-server.ts";
import { IO_IN, IO_OUT } from "../../../shared/exits.ts";
import { PHASE_ABORT, PHASE_MASK } from "../../../shared/ring-page.ts";
import { ringOffset } from "../../../shared/server-area.ts";

/** What a read at these offsets of a region does before it gives the next value. */
export const AT = {
  plain: 0,
  /** Lasts longer than anyone spins. */
  slow: 0x10,
  /** kvm-core asks vCPU 0 to leave the guest. */
  kick: 0x20,
  /** kvm-core stops vCPU 0. */
  stop: 0x30,
  /** The server spoils vCPU 0's ring page: a state that is no answer. */
  spoil: 0x40,
} as const;

/** Words of the log: how many accesses, then five words for each. */
const ENTRY = 5;
const LOG_ENTRIES = 4096;

export type Access = readonly [direction: number, address: number, width: number, value: number];
/** The value that the n-th read (from 0) of a server gives, before its width is applied. */
export const valueRead = (server: number, n: number) => (0x8a91_a2b3 + server * 0x0101_0101 + n) >>> 0;

type Start = {
  readonly memory: WebAssembly.Memory;
  readonly server: number;
  readonly pending: number;
  readonly log: SharedArrayBuffer;
  readonly stop: number;
};

/** The test's end of a server. */
export class PageServer {
  readonly server: number;
  readonly #words: Int32Array;
  readonly #log: Int32Array;
  readonly #stop: number;
  readonly #worker: Worker;

  /** `pending`: address of vCPU 0's word. `stop`: address of a word of the test's, which ends the thread. */
  constructor(memory: WebAssembly.Memory, server: number, pending: number, stop: number) {
    this.server = server;
    this.#words = new Int32Array(memory.buffer);
    this.#stop = stop;
    const log = new SharedArrayBuffer((1 + LOG_ENTRIES * ENTRY) * 4);
    this.#log = new Int32Array(log);
    const start: Start = { memory, server, pending, log, stop };
    this.#worker = new Worker(new URL(import.meta.url), { workerData: start });
  }

  /** Resolves when it serves. */
  async ready(): Promise<this> {
    await new Promise((resolve, reject) => this.#worker.once("message", resolve).once("error", reject));
    return this;
  }

  /** What was asked of it so far. */
  get accesses(): Access[] {
    const log = this.#log;
    return Array.from({ length: Atomics.load(log, 0) }, (_, i) => {
      const at = 1 + i * ENTRY;
      return [log[at]!, log[at + 1]!, log[at + 2]!, log[at + 3]! >>> 0] as const;
    });
  }

  async end(): Promise<void> {
    Atomics.store(this.#words, this.#stop >> 2, 1);
    RingServer.ring(this.#words, serverAreaAt(this.server));
    await new Promise((resolve) => this.#worker.once("exit", resolve));
  }
}

function device({ memory, server, pending, log: shared }: Start): BusDevice {
  const words = new Int32Array(memory.buffer);
  const log = new Int32Array(shared);
  let reads = 0;
  let spoilt = false;
  const note = (access: Access) => {
    log.set(access, 1 + log[0]! * ENTRY);
    Atomics.add(log, 0, 1);
  };
  const happen = (what: number) => {
    if (what === AT.slow) Atomics.wait(log, LOG_ENTRIES, 0, 20);
    if (what === AT.kick) Atomics.or(words, pending >> 2, PENDING_EXIT);
    if (what === AT.stop) {
      Atomics.store(words, controlAt(0, "stop") >> 2, 1);
      PageExchange.abort(words, 0, server);
    }
    if (what === AT.spoil && !spoilt) {
      spoilt = true;
      const state = (serverAreaAt(server) + ringOffset(0)) >> 2;
      Atomics.store(words, state, (Atomics.load(words, state) & ~PHASE_MASK) | PHASE_ABORT);
    }
  };
  return {
    name: `device ${server}`,
    read(address, width) {
      const value = valueRead(server, reads++);
      note([IO_IN, address, width, value]);
      happen(address & 0xf0);
      return value;
    },
    write: (address, width, value) => note([IO_OUT, address, width, value]),
  };
}

function serve(start: Start): void {
  const buses = { ports: new Bus("port", 0x1_0000), mmio: new Bus("memory", 2 ** 32) };
  const one = device(start);
  for (const bus of [buses.ports, buses.mmio]) bus.map(0, bus.size, one);
  const server = new RingServer({
    memory: start.memory,
    area: serverAreaAt(start.server),
    vcpus: 2,
    dispatcher: new Dispatcher(buses, undefined),
    stopIndex: start.stop >> 2,
    poll: () => false,
    finished: () => false,
  });
  parentPort!.postMessage("ready");
  server.run();
}

if (!isMainThread && (workerData as Partial<Start> | null)?.log !== undefined) serve(workerData as Start);
