/**
 * What a virtio device is to its transport, and what it gets from it: types, and the words of the specification.
 * Follows: Virtual I/O Device (VIRTIO) 1.2, sections 2 "Basic facilities" and 6 "Reserved feature bits".
 * Left out: any behaviour; the transport is pci.ts, the queues are split-queue.ts and packed-queue.ts.
 */
import type { GuestMemory } from "../../shared/guest-memory.ts";
import type { StateValue, Width } from "../bus/interfaces.ts";

/** A device behind a transport: the part that blk, console and rng have of their own. */
export interface VirtioDevice {
  readonly name: string;
  /** Section 5: 2 blk, 3 console, 4 rng. */
  readonly deviceId: number;
  /** PCI class code, 24 bits. */
  readonly classCode: number;
  /** Device features besides the transport's (VERSION_1, INDIRECT_DESC, EVENT_IDX, RING_PACKED are the transport's). */
  readonly features: bigint;
  /** Largest size of each queue. */
  readonly queueSizes: readonly number[];
  /** Bytes of the device-specific configuration. */
  readonly configSize: number;
  readConfig(offset: number, width: Width): number;
  writeConfig(offset: number, width: Width, value: number): void;
  /** DRIVER_OK: features as negotiated. */
  start(features: bigint, queues: readonly Virtqueue[]): void;
  /** The driver notified queue n, or it just started. */
  notify(queue: number): void;
  reset(): void;
  save(): StateValue;
  load(state: StateValue): void;
}

export interface Virtqueue {
  /** Takes the next chain the driver made available, or undefined. A driver's mistake stops the device (NEEDS_RESET), and gives undefined. */
  pop(): Chain | undefined;
  /** Returns a chain with the bytes written to its device-writable part. */
  push(chain: Chain, written: number): void;
  /** Interrupts the driver if it wants it: once after a batch of push(). */
  notifyDriver(): void;
}

/** One request: views of guest RAM (GuestMemory.slice), in the driver's order. */
export interface Chain {
  readonly head: number;
  readonly readable: readonly Uint8Array[];
  readonly writable: readonly Uint8Array[];
}

/** What a device gets from its transport. */
export interface VirtioHost {
  /** The driver made a mistake that the device cannot go on from: it stops until it is reset. */
  needsReset(reason: string): void;
  /** The device-specific configuration changed by itself. */
  configChanged(): void;
  readonly memory: GuestMemory;
}
