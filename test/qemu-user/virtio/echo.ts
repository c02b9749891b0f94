/**
 * A virtio device for tests: it copies what it reads into what it may write, at once or when the test says so.
 * Follows: qemu-user/virtio/virtio.ts.
 * Left out: any use.
 */
import type { StateValue, Width } from "../../../qemu-user/bus/interfaces.ts";
import { VirtioPci } from "../../../qemu-user/virtio/pci.ts";
import type { Chain, VirtioDevice, VirtioHost, Virtqueue } from "../../../qemu-user/virtio/virtio.ts";
import { FakeSlot, TestDriver, testMemory } from "./driver.ts";

export class Echo implements VirtioDevice {
  readonly name = "echo.0";
  readonly deviceId = 42;
  readonly classCode = 0xff_0000;
  readonly features = 1n << 5n;
  readonly queueSizes = [8, 64];
  readonly configSize = 6;
  readonly host: VirtioHost;
  readonly config = new Uint8Array(6);
  queues: readonly Virtqueue[] = [];
  started = 0n;
  resets = 0;
  /** True: chains wait for finish(). */
  hold = false;
  readonly held: { queue: number; chain: Chain }[] = [];
  saved: StateValue = 7;
  /** A device may have to finish something before it can be saved. */
  onSave = () => {};

  constructor(host: VirtioHost) {
    this.host = host;
  }

  readConfig(offset: number, width: Width): number {
    let value = 0;
    for (let i = 0; i < width; i++) value |= this.config[offset + i]! << (8 * i);
    return value >>> 0;
  }

  writeConfig(offset: number, width: Width, value: number): void {
    for (let i = 0; i < width; i++) this.config[offset + i] = value >>> (8 * i);
  }

  start(features: bigint, queues: readonly Virtqueue[]): void {
    this.started = features;
    this.queues = queues;
  }

  notify(queue: number): void {
    for (let chain = this.queues[queue]?.pop(); chain !== undefined; chain = this.queues[queue]?.pop()) {
      this.held.push({ queue, chain });
      if (!this.hold) this.#return(this.held.length - 1);
    }
    this.queues[queue]?.notifyDriver();
  }

  /** Returns the held chain of this index. */
  finish(index = 0): void {
    const { queue } = this.held[index]!;
    this.#return(index);
    this.queues[queue]?.notifyDriver();
  }

  reset(): void {
    this.resets++;
    this.queues = [];
    this.held.length = 0;
  }

  save(): StateValue {
    this.onSave();
    return this.saved;
  }

  load(state: StateValue): void {
    this.saved = state;
  }

  #return(index: number): void {
    const { queue, chain } = this.held.splice(index, 1)[0]!;
    const bytes = chain.readable.flatMap((view) => [...view.subarray(0, 4096)]);
    let written = 0;
    for (const view of chain.writable) {
      const piece = bytes.slice(written, written + view.length);
      view.set(piece);
      written += piece.length;
    }
    this.queues[queue]?.push(chain, written);
  }
}

/** The echo device behind its transport, with a driver for it. */
export function echoBoard(properties: Readonly<Record<string, boolean>> = {}) {
  const slot = new FakeSlot();
  const memory = testMemory();
  const log: string[] = [];
  let echo: Echo | undefined;
  const pci = new VirtioPci({ slot, memory, log: (line) => log.push(line), properties }, (host) => {
    echo = new Echo(host);
    return echo;
  });
  return { slot, memory, log, pci, echo: echo!, driver: new TestDriver(pci, memory) };
}
