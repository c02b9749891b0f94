/**
 * The acceptor: a thread that accepts connections and receives their hellos with descriptors, which libuv would drop.
 * It sleeps in poll(2) and never blocks on one client; a client that does not say hello in time is closed.
 * Leaves out: what a hello asks for (server.ts).
 */
import { closeSync } from "node:fs";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { KvmError } from "../../shared/errno.ts";
import { encodeFrame } from "../../shared/frame.ts";
import { HELLO, HELLO_TIMEOUT_MS, HELLO_VERSION, MAX_DESCRIPTORS, MAX_HELLO, parseHello } from "../../shared/hello.ts";
import {
  accept,
  POLLIN,
  peerCredentials,
  poll,
  receiveMessage,
  sendMessage,
  setNonBlocking,
  setThreadName,
} from "../../shared/native.ts";

/** A connection whose hello arrived; `fd` and `descriptors` belong to the receiver. */
export type Accepted = {
  readonly fd: number;
  readonly pid: number;
  readonly kind: string;
  readonly token: string;
  readonly id: number;
  readonly descriptors: number[];
};

/** Connections that have not said hello; more wait in the listener's backlog. */
const MAX_PENDING = 64;
/** The poll's own timeout: how late a hello's time-out is noticed. */
const POLL_MS = 1_000;
/** How long nothing is accepted after accept failed: the table of open files is full, and may not stay so. */
const ACCEPT_AGAIN_MS = 100;
const KINDS = ["session", "pass", "fetch"];

type Start = { readonly listenFd: number; readonly stopFd: number };

/**
 * Starts the thread on a listening socket. It ends when `stopFd` (an eventfd) becomes readable.
 * Only processes of the same user are let in: whoever may speak to kvm-core may do anything to its VMs.
 */
export function startAcceptor(start: Start, accepted: (connection: Accepted) => void): Worker {
  // Its descriptors are the addon's, which Node's own bookkeeping does not know: it would warn at each that is closed.
  const worker = new Worker(new URL(import.meta.url), { workerData: start, trackUnmanagedFds: false });
  worker.on("message", accepted);
  return worker;
}

function refuse(fd: number, message: string): void {
  try {
    sendMessage(fd, encodeFrame({ error: "EINVAL", message, token: "", ids: [] }), []);
  } catch {
    // it has gone already
  }
  closeSync(fd);
}

/** Reads a hello from a readable connection and hands it on, or closes the connection. */
function greet(fd: number): void {
  let descriptors: number[] = [];
  try {
    const message = receiveMessage(fd, MAX_HELLO, MAX_DESCRIPTORS, 0);
    if (!message || message.bytes.length === 0) {
      closeSync(fd);
      return;
    }
    descriptors = message.fds;
    const hello = parseHello(HELLO, message.bytes);
    if (hello.version !== HELLO_VERSION || !KINDS.includes(hello.kind)) throw new Error(`hello of an unknown kind`);
    const { pid, uid } = peerCredentials(fd);
    if (uid !== process.getuid?.() && uid !== 0) throw new Error("another user's process");
    const connection: Accepted = { fd, pid, kind: hello.kind, token: hello.token, id: hello.id, descriptors };
    parentPort!.postMessage(connection);
  } catch (error) {
    for (const descriptor of descriptors) closeSync(descriptor);
    refuse(fd, error instanceof KvmError ? error.reason : (error as Error).message);
  }
}

function serve({ listenFd, stopFd }: Start): void {
  const pending = new Map<number, number>();
  let acceptFrom = 0;
  for (;;) {
    const waiting = [...pending.keys()];
    const resting = performance.now() < acceptFrom;
    const listening = pending.size < MAX_PENDING && !resting;
    const fds = [stopFd, ...waiting, ...(listening ? [listenFd] : [])];
    const ready = poll(
      fds,
      fds.map(() => POLLIN),
      resting ? ACCEPT_AGAIN_MS : POLL_MS,
    );
    if (ready[0] !== 0) break;
    waiting.forEach((fd, i) => {
      if (ready[i + 1] !== 0) {
        pending.delete(fd);
        greet(fd);
      }
    });
    const now = performance.now();
    for (const [fd, since] of pending) {
      if (now - since < HELLO_TIMEOUT_MS) continue;
      pending.delete(fd);
      refuse(fd, "no hello came");
    }
    if (listening && ready[fds.length - 1] !== 0) {
      try {
        const fd = accept(listenFd);
        if (fd >= 0) {
          setNonBlocking(fd, false);
          pending.set(fd, now);
        }
      } catch {
        acceptFrom = now + ACCEPT_AGAIN_MS; // EMFILE, ENFILE, ENOMEM: the connection waits in the backlog
      }
    }
  }
  for (const fd of pending.keys()) closeSync(fd);
}

if (!isMainThread && (workerData as Start | undefined)?.listenFd !== undefined) {
  setThreadName("acceptor");
  serve(workerData as Start);
}
