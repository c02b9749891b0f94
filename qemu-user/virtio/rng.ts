/**
 * virtio entropy device: random bytes of the host.
 * Follows: VIRTIO 1.2 section 5.4 "Entropy Device".
 * Left out: QEMU's limit of bytes in a period (max-bytes, period), and other sources than the host's own.
 */
import { randomFillSync } from "node:crypto";
import type { StateValue } from "../bus/interfaces.ts";
import type { VirtioDevice, Virtqueue } from "./virtio.ts";

const QUEUE_SIZE = 8;
/** Most bytes of one request; a driver asks for a few dozen. A bound on the time that one takes: it may be 4 GiB. */
const REQUEST_BYTES = 64 * 1024;

export class VirtioRng implements VirtioDevice {
  readonly name: string;
  readonly deviceId = 4;
  readonly classCode = 0x00_ff00;
  readonly features = 0n;
  readonly queueSizes = [QUEUE_SIZE];
  readonly configSize = 0;

  readonly #source: (into: Uint8Array) => void;
  readonly #bytes = new Uint8Array(REQUEST_BYTES);
  #queue: Virtqueue | undefined;

  constructor(name: string, source: (into: Uint8Array) => void = randomFillSync) {
    this.name = name;
    this.#source = source;
  }

  readConfig(): number {
    return 0;
  }

  writeConfig(): void {}

  start(_features: bigint, queues: readonly Virtqueue[]): void {
    this.#queue = queues[0];
  }

  notify(): void {
    const queue = this.#queue;
    if (queue === undefined) return;
    for (let chain = queue.pop(); chain !== undefined; chain = queue.pop()) {
      queue.push(chain, this.#fill(chain.writable));
    }
    queue.notifyDriver();
  }

  reset(): void {
    this.#queue = undefined;
  }

  save(): StateValue {
    return false;
  }

  load(): void {}

  #fill(buffers: readonly Uint8Array[]): number {
    let done = 0;
    for (let i = 0; i < buffers.length && done < REQUEST_BYTES; i++) {
      const length = Math.min(buffers[i]!.length, REQUEST_BYTES - done);
      const piece = this.#bytes.subarray(0, length);
      this.#source(piece);
      buffers[i]!.set(piece);
      done += length;
    }
    return done;
  }
}
