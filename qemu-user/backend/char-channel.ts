/**
 * A character back end split over two threads: the device thread's half, and the shared memory between the halves.
 * Follows: the rule that the device thread never awaits; what goes between threads is shared memory with a layout.
 * Left out: the main thread's half (char-pump.ts), line break and modem lines.
 *
 * Layout: the ring of output (device to main), the ring of input (main to device), and a word: the screen's columns and, in
 * its high half, rows; 0: not known.
 */
import type { CharBackend, CharFrontend } from "../bus/interfaces.ts";
import { ByteRing, type Notify } from "./byte-ring.ts";

/** Room for a burst of output while the main thread is elsewhere. */
const OUTPUT_BYTES = 64 * 1024;
/** More than one paste from a terminal; beyond it the main thread stops reading its input. */
const INPUT_BYTES = 4 * 1024;
const SIZE_AT = ByteRing.bytesFor(OUTPUT_BYTES) + ByteRing.bytesFor(INPUT_BYTES);

/** The shared memory of one channel: make it on either thread, pass it to the other. */
export function createCharChannel(): SharedArrayBuffer {
  return new SharedArrayBuffer(SIZE_AT + 4);
}

/** Main thread: the screen at the far end has this size; notify the device thread afterwards. */
export function setScreenSize(channel: SharedArrayBuffer, cols: number, rows: number): void {
  Atomics.store(sizeWord(channel), 0, (rows << 16) | (cols & 0xffff));
}

function sizeWord(channel: SharedArrayBuffer): Int32Array {
  return new Int32Array(channel, SIZE_AT, 1);
}

/** Both rings of a channel, as one thread sees them; `notify` tells the other thread. */
export function channelRings(channel: SharedArrayBuffer, notify: Notify): { output: ByteRing; input: ByteRing } {
  return {
    output: new ByteRing(channel, 0, OUTPUT_BYTES, notify),
    input: new ByteRing(channel, ByteRing.bytesFor(OUTPUT_BYTES), INPUT_BYTES, notify),
  };
}

/** The device thread's half. Call `poll` whenever the main thread notified, and before the device thread sleeps. */
export class ChannelBackend implements CharBackend {
  readonly #output: ByteRing;
  readonly #input: ByteRing;
  #frontend: CharFrontend | undefined;
  #full = false;
  readonly #sizeWord: Int32Array;
  #size = 0;

  /** `notify` wakes the main thread; it is called only when that waits for this channel. */
  constructor(channel: SharedArrayBuffer, notify: Notify) {
    const rings = channelRings(channel, notify);
    this.#output = rings.output;
    this.#input = rings.input;
    this.#sizeWord = sizeWord(channel);
  }

  attach(frontend: CharFrontend): void {
    this.#frontend = frontend;
    this.#size = 0;
    this.#look();
  }

  write(byte: number): boolean {
    const taken = this.#output.push(byte);
    this.#full = !taken;
    return taken;
  }

  writeAll(byte: number): void {
    this.#output.pushWait(byte);
  }

  read(): number {
    return this.#input.pop();
  }

  /**
   * Tells the device of input, of room and of a new size. Returns with the main thread under obligation to notify of the next input;
   * so a device thread that polled and found nothing may sleep. Input that the device has no room for stays in the ring.
   */
  poll(): void {
    if (this.#full && (this.#output.length < this.#output.capacity || this.#output.closed)) {
      this.#full = false;
      this.#frontend?.outputReady();
    }
    if (!this.#input.waitForBytes()) this.#frontend?.inputReady();
    this.#look();
  }

  #look(): void {
    const size = Atomics.load(this.#sizeWord, 0);
    if (size === this.#size) return;
    this.#size = size;
    this.#frontend?.resize?.(size & 0xffff, size >>> 16);
  }
}
