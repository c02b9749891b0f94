/**
 * What the threads of one VM share inside kvm-core: one layout in the low part of the VM's linear memory. No client
 * maps any of it. The main thread writes configuration (regions, irqfd ties, servers), the vCPU threads read it.
 * Leaves out: the vCPUs' zones (cpu/zones.ts) and the areas that clients share (shared/server-area.ts).
 */
import { layout } from "../../shared/layout.ts";
import { MAILBOX_EVENTS, MAILBOX_GSIS } from "../../shared/mailbox.ts";
import { MAX_VCPUS } from "../../shared/server-area.ts";
import { STATS_BYTES } from "../../shared/stats-page.ts";
import { CODE_MAP, SERVER_AREA_COUNT, SERVER_AREA_SIZE, SERVER_AREAS, VM_STATE_END } from "../cpu/zones.ts";

export { PENDING_EXIT, PENDING_OURS, PENDING_STOP, PENDING_TLB } from "../cpu/requests.ts";

/** Device servers of a VM; server 0 is the owner. */
export const MAX_SERVERS = SERVER_AREA_COUNT;
/** Rows of the region table: registered regions, ioeventfds and coalesced zones together. */
export const MAX_REGIONS = 256;
/** GSIs of a VM: the first MAILBOX_GSIS have levels, the others are for messages. */
export const MAX_GSIS = 1024;
/** An irqfd tie that is none. */
export const NO_GSI = 0xffff;
/** Beside the GSI in an irqfd tie: it is resampled (irqchip/resamplers.ts). */
export const RESAMPLED_TIE = 0x8000;
/** Events of a VM that are resampled. */
export const MAX_RESAMPLERS = 256;
export const RESAMPLER_ROW = layout({ gsi: "u16", server: "u16", event: "u16", resample: "u16" });

/** Where a GSI leads (KVM_SET_GSI_ROUTING): pins of the chips, NO_PIN for none, or a message. */
export const ROUTE_ROW = layout({
  pic: "u8",
  ioapic: "u8",
  /** 1: the message below; the pins are then NO_PIN. */
  msi: "u8",
  unused: "u8",
  addressLow: "u32",
  addressHigh: "u32",
  data: "u32",
});
export const NO_PIN = 0xff;

export const REGION_ROW = layout({
  base: "f64",
  length: "f64",
  kind: "u32",
  space: "u32",
  server: "u32",
  /** Row of the statistics; posted rows count on their region's. */
  region: "u32",
  event: "u32",
  width: "u32",
  match: "u32",
  matchLow: "u32",
  matchHigh: "u32",
});
export const REGION_OWNED = 1;
export const REGION_IOEVENTFD = 2;
export const REGION_COALESCED = 3;

/**
 * Control block of a vCPU: how the main thread and the vCPU's thread hand the vCPU back and forth.
 * `command` is the word that the thread sleeps on while the vCPU is not in KVM_RUN.
 */
export const CONTROL = layout({
  command: "u32",
  /** The thread's stop word (shared/stop.ts). */
  stop: "u32",
  immediateExit: "u32",
  requestWindow: "u32",
  /** KVM_INTERRUPT: the vector + 1, or 0. */
  injected: "u32",
  /** Bytes of an input that completes the exit before. */
  completionLength: "u32",
  completionLow: "u32",
  completionHigh: "u32",
  mpState: "u32",
  /** KVM_RUN began with an engine of this number (engine.ts's names, in order). */
  engine: "u32",
  /** Lines of in_asm that the client has not taken yet. */
  traceLines: "u32",
});
/** Which interrupt controllers a VM has, as Linux's kvm_irqchip_mode: all of them, or the local APICs alone. */
export const IRQCHIP_MODE = { none: 0, kernel: 1, split: 2 } as const;

/** In `command`, which is 0 otherwise. */
export const COMMAND_RUN = 1;

export const VM_STATE = layout({
  /** Even: the region table is whole; the main thread makes it odd while it writes (a sequence lock). */
  regionVersion: { at: 0x1_0000, of: "u32" },
  regionCount: "u32",
  /** Taken by a vCPU thread while it is the posted rings' producer. */
  postedLock: { at: 0x1_0040, of: "u32" },
  /** IRQCHIP_MODE, and of a split irqchip how many of the first GSIs are the user's IOAPIC's. */
  irqchip: { at: 0x1_0080, of: "u32" },
  reservedRoutes: "u32",
  /** KVM_IRQ_LINE: levels that the owner set by ioctl, and rises that no vCPU has seen. */
  lineLevels: { at: 0x1_00c0, of: ["u32", MAILBOX_GSIS / 32] },
  lineRises: ["u32", MAILBOX_GSIS / 32],
  /** KVM_IRQFD's level-triggered events: the GSIs that they hold high, and how many there are. */
  resampleLevels: ["u32", MAILBOX_GSIS / 32],
  resamplerCount: "u32",
  /** Per server: 1 when its area is mapped. */
  serverArea: { at: 0x1_0100, of: ["u32", MAX_SERVERS] },
  /** Per server: the GSIs that it may assert. */
  granted: ["u32", (MAX_SERVERS * MAILBOX_GSIS) / 32],
  /** The two 8259s (irqchip/pic.ts). */
  pic: { at: 0x1_0400, of: ["u8", 64] },
  /** Taken by the thread that drives the 8259s, the IOAPIC or the PIT. */
  irqchipLock: { at: 0x1_0440, of: "u32" },
  /** The IOAPIC (irqchip/ioapic.ts). */
  ioapic: { at: 0x1_0480, of: ["u8", 512] },
  /** The 8254 (irqchip/pit.ts). */
  pit: { at: 0x1_0700, of: ["u8", 256] },
  control: { at: 0x1_1000, of: ["u8", MAX_VCPUS * 128] },
  /** Per server and event: the GSI, with RESAMPLED_TIE or without, or NO_GSI. */
  irqfds: { at: 0x1_2000, of: ["u16", MAX_SERVERS * MAILBOX_EVENTS] },
  regions: { at: 0x1_a000, of: ["u8", MAX_REGIONS * REGION_ROW.size] },
  /** GSI routing (irqchip/routing.ts); even and odd as regionVersion. */
  routeVersion: { at: 0x1_f000, of: "u32" },
  routes: { at: 0x2_0000, of: ["u8", MAX_GSIS * ROUTE_ROW.size] },
  resamplers: { at: 0x2_4000, of: ["u8", MAX_RESAMPLERS * RESAMPLER_ROW.size] },
});
if (VM_STATE.size > VM_STATE_END) throw new Error("the VM state overflows its place in linear memory");

/** Bytes from one vCPU's control block to the next: two cache lines. */
const CONTROL_STRIDE = 128;

/** Byte address of a field of vCPU `id`'s control block. */
export function controlAt(id: number, field: Exclude<keyof typeof CONTROL, "size">): number {
  return VM_STATE.control + id * CONTROL_STRIDE + CONTROL[field];
}

/** Statistics pages, one memfd per vCPU. */
const STATS_BASE = VM_STATE_END;
if (STATS_BASE + MAX_VCPUS * STATS_BYTES > CODE_MAP) throw new Error("the statistics overflow their place");
export function statsAt(id: number): number {
  return STATS_BASE + id * STATS_BYTES;
}

/** Where server `server`'s area is mapped. */
export function serverAreaAt(server: number): number {
  return SERVER_AREAS + server * SERVER_AREA_SIZE;
}
