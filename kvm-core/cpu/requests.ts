/**
 * What one thread asks of a vCPU's thread, and how it learns that it was done: the bits of CPU.pending, the mode word.
 * Document: Linux Documentation/virt/kvm/vcpu-requests.rst, whose vcpu->requests and vcpu->mode these are.
 * Left out: who serves which bit: PENDING_STOP and PENDING_EXIT are the vCPU thread's, the others the engine's.
 *
 * The asking side sets the bit and then reads the mode; the vCPU sets the mode and then reads the bits. Both are
 * sequentially consistent, so either the vCPU is seen outside and will serve the bit before it goes on, or it is inside
 * and sees the bit at its next taken branch. Nothing has to wake a vCPU that sleeps: it is outside.
 */

import { CPU } from "./state.ts";

/** Bits of CPU.pending. Bit 31 is the engine's own. */
export const PENDING_STOP = 1;
/** SPLITVM_KICK, or the exit after which immediate_exit ends KVM_RUN. */
export const PENDING_EXIT = 2;
/** The guest-physical page table lost entries: forget all translations. */
export const PENDING_TLB = 4;
/** Pages became slow to write (GPA_SLOW_WRITE): forget the translations of writes. */
export const PENDING_PROTECT = 8;
/** Decoded code was overwritten: the zone's queue says where (mmu/code-pages.ts). */
export const PENDING_CODE = 16;
/** The bits for which the vCPU's thread stays awake. The others wait until the vCPU enters the guest again. */
export const PENDING_OURS = PENDING_STOP | PENDING_EXIT | PENDING_TLB;

/** CPU.guestMode. Serving: the bits are taken, what they ask for is not done yet. */
export const GUEST_MODE = { outside: 0, inside: 1, serving: 2 } as const;

/** Asks the vCPU whose zone is at `zone`. Its thread leaves generated code at the next taken branch. */
export function request(words: Int32Array, zone: number, bit: number): void {
  Atomics.or(words, (zone + CPU.pending) >>> 2, bit);
}

/** After request(): done, or the vCPU is outside the guest and does it before it enters again. */
export function answered(words: Int32Array, zone: number, bit: number): boolean {
  const waiting = Atomics.load(words, (zone + CPU.pending) >>> 2) & bit; // before the mode: the vCPU clears it while serving
  const mode = Atomics.load(words, (zone + CPU.guestMode) >>> 2);
  return mode === GUEST_MODE.outside || (waiting === 0 && mode === GUEST_MODE.inside);
}
