/**
 * One exit in page mode: the ring page of a (vCPU, device server) pair.
 * `state` is seq << 3 | WAITER | phase and has a cache line of its own; the fields follow on the next lines and are
 * ordered by it: the vCPU writes the request and then stores seq|EXIT, the server writes the answer and then
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

export const RING = layout({
  state: { at: 0, of: "u32" },
  /** Placement word (wait.ts) of the vCPU's thread. */
  vcpuCpu: { at: 64, of: "u32" },
  /** KVM_EXIT_IO or KVM_EXIT_MMIO. */
  reason: { at: 128, of: "u32" },
  direction: "u32",
  size: "u32",
  count: "u32",
  /** Port or guest-physical address; exact in a double. */
  address: "f64",
  /**
   * Written data (the vCPU's) or read data (the server's), little endian. Its first bytes share the request's cache
   * line: one line less to fetch for either side.
   */
  data: { at: 152, of: ["u8", RING_DATA_BYTES] },
});
