/**
 * Errors that cross the wire: errno names with Linux's numbers, as the KVM API document uses them.
 * Leaves out: errno values that no request of ours returns.
 */

export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EINVAL: 22,
  ENFILE: 23,
  ENOTTY: 25,
  ENOSPC: 28,
  ENODEV: 19,
  ENXIO: 6,
  EPIPE: 32,
  ECONNRESET: 104,
  ETIMEDOUT: 110,
} as const;

export type Errno = keyof typeof ERRNO;

/** True for a name of the table above. */
export function isErrno(name: unknown): name is Errno {
  return typeof name === "string" && Object.hasOwn(ERRNO, name);
}

/** A request that failed: `code` is the errno's name, `reason` says which argument and why; the message has both. */
export class KvmError extends Error {
  readonly code: Errno;
  readonly errno: number;
  readonly reason: string;
  constructor(code: Errno, reason: string) {
    super(`${code}: ${reason}`);
    this.name = "KvmError";
    this.code = code;
    this.reason = reason;
    this.errno = ERRNO[code];
  }
}
