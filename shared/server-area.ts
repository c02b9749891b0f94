/**
 * The area of one device server: a sealed memfd that the server makes and kvm-core maps (SPLITVM_SET_SERVER_AREA).
 *   page 0       header: doorbell and placement, a cache line each
 *   page 1       interrupt mailbox (mailbox.ts)
 *   pages 2..9   posted ring (posted-ring.ts)
 *   pages 10..17 one ring page per vCPU (ring-page.ts)
 * No server sees another's area, so none sees or forges another's accesses.
 * Leaves out: who may touch which word when (the files named above, wait.ts).
 */
import { layout } from "./layout.ts";

export const PAGE = 4096;
/** vCPUs of a VM: a ring page, a KICK page and a zone of kvm-core's memory each. */
export const MAX_VCPUS = 8;

export const AREA_MAILBOX = PAGE;
export const AREA_POSTED = 2 * PAGE;
export const AREA_POSTED_BYTES = 8 * PAGE;
export const AREA_RINGS = 10 * PAGE;
/** What the memfd must measure, exactly. */
export const AREA_BYTES = AREA_RINGS + MAX_VCPUS * PAGE;

/**
 * `doorbell`: bit 0 the server sleeps, the rest counts rings (producers add 2).
 * `serverCpu`: a placement word (wait.ts) that the server writes.
 */
export const AREA = layout({
  doorbell: { at: 0, of: "u32" },
  serverCpu: { at: 64, of: "u32" },
});

/** Offset of vCPU `id`'s ring page in the area. */
export function ringOffset(id: number): number {
  return AREA_RINGS + id * PAGE;
}
