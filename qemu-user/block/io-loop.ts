/**
 * An I/O thread: serves the rings of its disks, one request after the other, and sleeps on a bell when there are none.
 * Follows: QEMU's `-object iothread`; protocol.md, "Stopping": the stop word is looked at before and after each wait.
 * Left out: polling before the sleep (poll-max-ns), and the thread itself (device/io-thread.ts).
 *
 * The bell is two words of a SharedArrayBuffer: STOP, and BELL, whose bit 0 says that the thread sleeps, as the device
 * server's doorbell does.
 */
import { bindWord, type FutexWord } from "../../shared/native.ts";
import type { BlockImage } from "./block.ts";
import { RequestReceiver } from "./request-ring.ts";

const STOP = 0;
const BELL = 1;
const ASLEEP = 1;
const RECHECK_NS = 200_000_000;

/** Any thread's hold of an I/O thread. */
export class IoBell {
  readonly #words: Int32Array;
  readonly #word: FutexWord;

  static create(): SharedArrayBuffer {
    return new SharedArrayBuffer(8);
  }

  constructor(bell: SharedArrayBuffer) {
    this.#words = new Int32Array(bell);
    this.#word = bindWord(this.#words, BELL);
  }

  /** There is a new request. */
  ring(): void {
    if (Atomics.add(this.#words, BELL, 2) & ASLEEP) this.#word.wake(1);
  }

  /** The thread is to end. */
  stop(): void {
    Atomics.store(this.#words, STOP, 1);
    this.ring();
  }

  get stopped(): boolean {
    return Atomics.load(this.#words, STOP) !== 0;
  }

  /** To be read before the rings are looked at: what comes after shows as a change. */
  get seen(): number {
    return Atomics.load(this.#words, BELL);
  }

  /** Sleeps unless the bell rang after `seen`. */
  sleep(seen: number): void {
    if (Atomics.compareExchange(this.#words, BELL, seen, seen | ASLEEP) !== seen) return;
    if (!this.stopped) this.#word.wait(seen | ASLEEP, RECHECK_NS);
    Atomics.and(this.#words, BELL, ~ASLEEP);
  }
}

export interface ServedDisk {
  readonly ring: SharedArrayBuffer;
  readonly image: BlockImage;
}

/** Serves until the bell says stop; what is in the rings then is not served. `notify` tells the devices' thread. */
export function serveDisks(
  bell: IoBell,
  disks: readonly ServedDisk[],
  memory: ArrayBufferLike,
  notify: () => void,
): void {
  const rings = disks.map(({ ring, image }) => ({ receiver: new RequestReceiver(ring, memory), image }));
  while (!bell.stopped) {
    const { seen } = bell;
    let worked = false;
    // One request of each disk in turn: no disk waits for all of another's.
    for (const { receiver, image } of rings) {
      const slot = receiver.take();
      if (slot < 0) continue;
      worked = true;
      receiver.complete(slot, image.run(receiver.requestOf(slot)));
      notify();
    }
    if (!worked) bell.sleep(seen);
  }
}
