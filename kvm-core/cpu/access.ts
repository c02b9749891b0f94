/**
 * Kinds of access to linear memory, and the page-fault error code that tells the guest about them.
 * Document: SDM volume 3, 4.6 (access rights) and 4.7 (page-fault exceptions).
 * Left out: protection keys, shadow stacks, SGX.
 */

/**
 * Bits of an access. With neither `user` nor `ac` it is an implicit supervisor access (to a descriptor table, a TSS) or
 * an explicit one with RFLAGS.AC clear; SMAP treats the two alike.
 */
export const ACCESS = {
  read: 0,
  write: 1,
  /** Made with CPL 3. */
  user: 2,
  fetch: 4,
  /** Explicit, at supervisor level, with RFLAGS.AC set: SMAP lets it pass. */
  ac: 8,
} as const;

/** Bits of a page-fault error code. */
export const PF = { present: 1, write: 2, user: 4, reserved: 8, fetch: 16 } as const;

/** Beside the size in the argument of a TLB miss: the bytes are read, then written. */
export const RMW = 0x100;
/** Includes RMW: they are written later and not read, so that a device must not hear of it yet. */
export const PROBE = 0x300;
