/**
 * What the main thread of a device-model process and its device thread tell each other, apart from shared memory.
 * In page mode the device thread never returns to its event loop: the main thread posts, sets LOCAL_MAIL and rings
 * the doorbell, and the thread takes the messages between two exits.
 */
import type { PostedRange, PowerRequest } from "../bus/interfaces.ts";
import type { DeviceOption } from "../machine/device-catalog.ts";
import type { FwCfgContents } from "../machine/fw-cfg-items.ts";
import type { RtcOption } from "../machine/rtc-clock.ts";
import type { MemoryPlan } from "./device-memory.ts";
import type { DriveStart } from "./drives.ts";

export type DeviceThreadStart = {
  readonly memory: WebAssembly.Memory;
  readonly plan: MemoryPlan;
  readonly mode: "page" | "message";
  readonly vcpus: number;
  readonly devices: readonly DeviceOption[];
  readonly drives: readonly DriveStart[];
  /** Channels (backend/char-channel.ts) of COM1 and the debug console; null: nothing plugged in. */
  readonly serial: SharedArrayBuffer | null;
  readonly debugcon: SharedArrayBuffer | null;
  /** Channels of -chardev, by id; null: output vanishes. */
  readonly chardevs: readonly { readonly id: string; readonly memory: SharedArrayBuffer | null }[];
  readonly fwCfg: Omit<FwCfgContents, "cpus">;
  readonly rtc: RtcOption;
  /** Where `-d exits` writes, or -1. */
  readonly exitLogFd: number;
  /** Whether `-d unimp` wants to hear. */
  readonly unimp: boolean;
  /** True when this process took a dead one's place. */
  readonly takeOver: boolean;
};

/** A region of the board, for kvm-core. */
export type RegionReport = {
  readonly space: number;
  readonly base: number;
  readonly size: number;
  readonly name: string;
  readonly posted: readonly PostedRange[];
};

/** A message-signalled interrupt: a write of `data` to the address. */
export type MsiMessage = { readonly addressLow: number; readonly addressHigh: number; readonly data: number };

/** What an event of the mailbox is to send, by this GSI; `version` counts an event's messages. */
export type MsiRoute = {
  readonly event: number;
  readonly gsi: number;
  readonly version: number;
  readonly message: MsiMessage;
};

export type ToDevice =
  /** The answer to "msi-route". False: kvm-core refused. */
  | { readonly kind: "msi-routed"; readonly event: number; readonly version: number; readonly done: boolean }
  | { readonly kind: "reset" }
  /** The guest goes on after a stop: what the host failed may be tried again. */
  | { readonly kind: "continue" }
  | { readonly kind: "power-button" }
  | {
      readonly kind: "access";
      readonly space: number;
      readonly direction: number;
      readonly address: number;
      readonly size: number;
      readonly low: number;
      readonly high: number;
    };

export type FromDevice =
  | { readonly kind: "ready"; readonly regions: readonly RegionReport[]; readonly levelGsis: readonly number[] }
  | { readonly kind: "map" | "unmap"; readonly region: RegionReport }
  | { readonly kind: "answer"; readonly low: number; readonly high: number }
  | { readonly kind: "irq"; readonly gsi: number; readonly level: boolean }
  | { readonly kind: "msi"; readonly message: MsiMessage }
  | { readonly kind: "msi-route"; readonly route: MsiRoute }
  /** A character channel ("serial", "debugcon", "chardev ID") has output, or room for input. */
  | { readonly kind: "chars"; readonly channel: string }
  | { readonly kind: "log"; readonly line: string }
  /** A line of `-d unimp`. */
  | { readonly kind: "unimp"; readonly line: string }
  /** A drive that the main thread serves has requests. */
  | { readonly kind: "block"; readonly drive: string }
  /** A device wants the guest stopped; the reason is for the operator. */
  | { readonly kind: "stop"; readonly reason: string }
  | { readonly kind: "reset-done" }
  /** The answer to "power-button": whether the guest listens to it. */
  | { readonly kind: "button-pressed"; readonly heard: boolean }
  /** The guest asked for the end of the run. */
  | { readonly kind: "exit"; readonly status: number }
  | { readonly kind: "power"; readonly what: Parameters<PowerRequest>[0] }
  /** The board cannot be built as asked; one line for the user. */
  | { readonly kind: "refused"; readonly message: string };
