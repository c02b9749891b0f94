/**
 * The jump cache as TypeScript sees it: forgetting all of it, and telling privilege levels apart.
 * Document: architecture.md section 5 (indirect jumps); layout in cpu/zones.ts.
 * Left out: the lookup, which is generated (emit/boundary.ts), and entries, which the engines make.
 */

import type { VcpuState } from "../cpu/vcpu-state.ts";
import { JUMP, ZONE } from "../cpu/zones.ts";

/** Empties it by a new generation; when they have all been used, by a fill. */
export function forgetJumps(state: VcpuState): void {
  const next = (state.get(ZONE.jumpGeneration) + JUMP.generation) >>> 0;
  state.set(ZONE.jumpGeneration, next < JUMP.generation ? next + JUMP.generation : next);
  if (next >= JUMP.generation) return;
  const at = state.zone + ZONE.jumpCache;
  state.u8.fill(0, at, at + JUMP.entries * JUMP.entrySize);
}
