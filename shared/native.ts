/**
 * The native addon: the Linux system calls that Node has no function for.
 * Implements: architecture.md, section 4, "The native addon"; each function names its manual page.
 * Leaves out: closing, reading and writing descriptors, which `node:fs` does. No policy.
 *
 * A failed system call throws an Error as Node's own: `code` ("EINVAL"), `errno` (negative), `syscall` ("mmap"), and
 * `path` where there is one. A wrong type is a TypeError; an offset, length or number out of range a RangeError.
 * All descriptors are made with CLOEXEC and are the caller's to close. No wait is without a timeout.
 */
import { createRequire } from "node:module";

/** One word of shared memory, bound to its address: saves the lookup of the typed array in each call. */
export interface FutexWord {
  /** As `futexWait`, on this word. */
  readonly wait: (expected: number, timeoutNs: number) => number;
  /** As `futexWake`, on this word. */
  readonly wake: (count: number) => number;
}

export interface Native {
  // Memory. `memory` is always a Uint8Array over a shared WebAssembly.Memory's buffer, `at` a byte offset in it;
  // `at`, `length` and `fdOffset` are multiples of the page size.

  /** A sealable memory file of `size` bytes. memfd_create(2) */
  memfdCreate(name: string, size: number): number;
  /** Adds F_SEAL_* bits, for good. EPERM if F_SEAL_SEAL is set. fcntl(2) */
  addSeals(fd: number, seals: number): void;
  /** The F_SEAL_* bits; EINVAL if the file cannot have any. fcntl(2) */
  getSeals(fd: number): number;
  /** fallocate(2); `mode` is FALLOC_FL_* bits. */
  fallocate(fd: number, mode: number, offset: number, length: number): void;
  /**
   * A shared lock on a range, held by the open file description, so until its last descriptor is closed. False: somebody
   * has it exclusively. F_OFD_SETLK in fcntl(2)
   */
  lockShared(fd: number, start: number, length: number): boolean;
  /** True if another open file description has a lock, of either kind, in the range. F_OFD_GETLK in fcntl(2) */
  lockedByOthers(fd: number, start: number, length: number): boolean;
  /** Maps a part of a file over the range, shared. RangeError if it reaches beyond the file's end. mmap(2) */
  mapFixed(memory: Uint8Array, at: number, length: number, fd: number, fdOffset: number, prot: number): void;
  /** Maps fresh zero pages over the range. mmap(2) */
  mapAnonymous(memory: Uint8Array, at: number, length: number): void;
  /** Maps nothing over the range and frees what was there: an access from JavaScript is then a SIGSEGV. mmap(2) */
  mapNone(memory: Uint8Array, at: number, length: number): void;
  /**
   * The first `length` bytes of a file as a buffer to read; unmapped when it is collected. A write to it is a SIGSEGV.
   * Where the writer runs at the same time, read it with Atomics.load. mmap(2)
   */
  mapReadOnly(fd: number, length: number): ArrayBuffer;

  // Waiting and waking, between processes.

  /**
   * Sleeps while words[index] is `expected`: 0 after a wake, else EAGAIN (it was not `expected`), ETIMEDOUT or EINTR.
   * Whatever comes back, look at the word again. futex(2)
   */
  futexWait(words: Int32Array, index: number, expected: number, timeoutNs: number): number;
  /** Wakes at most `count` waiters; the number woken. futex(2) */
  futexWake(words: Int32Array, index: number, count: number): number;
  /** Both for one word of a SharedArrayBuffer or shared WebAssembly.Memory, which stays alive as long as they do. */
  bindWord(words: Int32Array, index: number): FutexWord;

  /**
   * A deadline on words[index], bound as by bindWord: `set(ns)`, a clockMonotonic() time, replaces the one before; Infinity
   * is none. Then a thread of the addon's sets `bits` in the word and wakes one who sleeps on it. It lives as long as the
   * thread that made it; while one is set the memory behind the word must stay mapped. futex(2)
   */
  bindDeadline(words: Int32Array, index: number, bits: number): (ns: number) => void;

  // Events and timers as descriptors.

  /** `flags` is EFD_* bits. eventfd(2) */
  eventfd(initial: number, flags: number): number;
  /** A non-blocking timer on CLOCK_MONOTONIC. timerfd_create(2) */
  timerfdCreate(): number;
  /** Arms the timer, in nanoseconds; a value of 0 disarms it. `absolute`: the value is a clockMonotonic() time. */
  timerfdSettime(fd: number, valueNs: number, intervalNs: number, absolute: boolean): void;

  // Pseudo terminals.

  /**
   * A raw pseudo terminal: the master's descriptor, non-blocking, and the path of the other side. While nobody has that open
   * the master hangs up: POLLHUP, and EIO from read(2). pty(7)
   */
  openPty(): { fd: number; path: string };
  /** Another descriptor of the same open file. F_DUPFD_CLOEXEC in fcntl(2) */
  duplicate(fd: number): number;

  // The calling thread.

  /** The CPU it runs on now. sched_getcpu(3) */
  getCpu(): number;
  /** Binds it to CPUs; EINVAL if none of them is available. sched_setaffinity(2) */
  setAffinity(cpus: readonly number[]): void;
  getAffinity(): number[];
  /** The kernel's thread number. gettid(2) */
  threadId(): number;
  /** The name that ps and top show; the kernel keeps the first 15 bytes. PR_SET_NAME */
  setThreadName(name: string): void;
  /**
   * The signal this process gets when its parent ends, 0 for none. The parent is the *thread* that started this
   * process, so start children from the main thread, and call it there. Returns the parent's pid as of afterwards:
   * another one than expected means that the parent had already ended. PR_SET_PDEATHSIG
   */
  parentDeathSignal(signal: number): number;
  /** CLOCK_MONOTONIC in nanoseconds, the same clock in all processes. clock_gettime(2) */
  clockMonotonic(): number;

  // Unix stream sockets. A `path` that begins with "@" or NUL is an abstract name.

  /** A listening socket, non-blocking. EADDRINUSE if the path exists. unix(7) */
  listenUnix(path: string, backlog: number): number;
  /** A connected socket, blocking. Waits while the listener's backlog is full. connect(2) */
  connectUnix(path: string): number;
  /** A connection, blocking; -1 if none is waiting. accept(2) */
  accept(listenFd: number): number;
  setNonBlocking(fd: number, on: boolean): void;
  socketPair(): [number, number];
  /** Who connected, or listened: as of that time. SO_PEERCRED in unix(7) */
  peerCredentials(fd: number): { pid: number; uid: number; gid: number };
  /** Sends bytes (at least one) and up to 253 descriptors with the first of them; the number of bytes sent. sendmsg(2) */
  sendMessage(fd: number, bytes: Uint8Array, fds: readonly number[]): number;
  /**
   * Receives up to `maxBytes` and `maxFds` descriptors; null when nothing came within `timeoutMs`. No bytes: the
   * stream has ended. More descriptors than `maxFds`: EMSGSIZE; the table of open files is full: EMFILE; in both cases
   * none is kept, the bytes are lost, and the connection is to be closed. recvmsg(2)
   */
  receiveMessage(
    fd: number,
    maxBytes: number,
    maxFds: number,
    timeoutMs: number,
  ): { bytes: Uint8Array<ArrayBuffer>; fds: number[] } | null;
  /** Waits for POLL* events; what is ready for each descriptor, all 0 after `timeoutMs`. poll(2) */
  poll(fds: readonly number[], events: readonly number[], timeoutMs: number): number[];

  /**
   * `lock cmpxchg` of 1, 2, 4 or 8 bytes at any address, or `lock cmpxchg16b` at an aligned one (RangeError if not).
   * operands: expected (16 bytes), desired (16), and old (16), which is written. True if old equalled expected.
   * About 1 us where it crosses a cache line. SDM vol. 2A "CMPXCHG"
   */
  lockedCompareExchange(memory: Uint8Array, at: number, size: number, operands: Uint8Array): boolean;

  /** Values of the kernel's headers, exported by name below. */
  readonly constants: Readonly<Record<ConstantName, number>>;
}

type ConstantName =
  | `PROT_${"NONE" | "READ" | "WRITE"}`
  | `F_SEAL_${"SEAL" | "SHRINK" | "GROW" | "WRITE" | "FUTURE_WRITE"}`
  | `FALLOC_FL_${"KEEP_SIZE" | "PUNCH_HOLE"}`
  | `EFD_${"NONBLOCK" | "SEMAPHORE"}`
  | `POLL${"IN" | "OUT" | "ERR" | "HUP" | "NVAL"}`
  | `SIG${"KILL" | "TERM"}`
  | "EAGAIN"
  | "EINTR"
  | "ETIMEDOUT";

const ADDON = "../build/splitvm.node";

function load(): Native {
  try {
    return createRequire(import.meta.url)(ADDON) as Native;
  } catch (cause) {
    throw new Error("the native addon build/splitvm.node cannot be loaded: run `make build`", { cause });
  }
}

const native: Native = load();

export const {
  memfdCreate,
  addSeals,
  getSeals,
  fallocate,
  lockShared,
  lockedByOthers,
  mapFixed,
  mapAnonymous,
  mapNone,
  mapReadOnly,
  futexWait,
  futexWake,
  bindWord,
  bindDeadline,
  eventfd,
  timerfdCreate,
  timerfdSettime,
  openPty,
  duplicate,
  getCpu,
  setAffinity,
  getAffinity,
  threadId,
  setThreadName,
  parentDeathSignal,
  clockMonotonic,
  listenUnix,
  connectUnix,
  accept,
  setNonBlocking,
  socketPair,
  peerCredentials,
  sendMessage,
  receiveMessage,
  poll,
  lockedCompareExchange,
} = native;

export const {
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_GROW,
  F_SEAL_WRITE,
  F_SEAL_FUTURE_WRITE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  EFD_NONBLOCK,
  EFD_SEMAPHORE,
  POLLIN,
  POLLOUT,
  POLLERR,
  POLLHUP,
  POLLNVAL,
  SIGKILL,
  SIGTERM,
  EAGAIN,
  EINTR,
  ETIMEDOUT,
} = native.constants;

/** The seals that memory passed to another process must carry: its size is fixed, and so are the seals. */
export const SEALS_FIXED = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
