/**
 * One exit in page mode: the ring page of a (vCPU, device server) pair.
 * `state` is seq << 3 | WAITER | phase. The fields of an ordinary access share its cache line, so that one line goes
 * there and back, and are ordered by it: the vCPU writes the request and then stores seq|EXIT, the server writes the answer and then
 * exchanges seq|EXIT for seq|DONE. An exchange that finds another seq is a stale answer and changes nothing.
 * Leaves out: how either side waits (wait.ts).
 */
import { layout } from "./layout.ts";

export const PHASE_RUNNING = 0;
export const PHASE_EXIT = 1;
export const PHASE_DONE = 2;
export const PHASE_ABORT = 3;
export const PHASE_MASK = 3;
/** The vCPU sleeps on `state`; whoever changes the phase must wake it. */
export const WAITER = 4;
export const SEQ_SHIFT = 3;

/** Bytes of one access's data area; string I/O uses more of it than the first eight. */
export const RING_DATA_BYTES = 1024;

/** KVM_EXIT_IO or KVM_EXIT_MMIO, IO_IN or IO_OUT, and the width in bytes, in one word. */
export function kindOf(reason: number, direction: number, size: number): number {
  return reason | (direction << 8) | (size << 16);
}
export const kindReason = (kind: number) => kind & 0xff;
export const kindDirection = (kind: number) => (kind >> 8) & 0xff;
export const kindSize = (kind: number) => kind >>> 16;

export const RING = layout({
  state: { at: 0, of: "u32" },
  /** kindOf(): exit reason, direction and size. */
  kind: "u32",
  /** Port or guest-physical address; exact in a double. */
  address: "f64",
  /** Written data (the vCPU's) or read data (the server's), little endian. */
  data: ["u8", RING_DATA_BYTES],
  /** Elements of a string access. */
  count: "u32",
  /** Placement word (wait.ts) of the vCPU's thread, on a line of its own. */
  vcpuCpu: { at: 1088, of: "u32" },
});
