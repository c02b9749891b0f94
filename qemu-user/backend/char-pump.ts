/**
 * A character back end's half on the main thread: drains the device's output into a sink, feeds input to the device.
 * Follows: the rule that what a guest wrote is written out, also when it has ended.
 * Left out: what the bytes mean; commands in the input are taken out before they get here (mux.ts).
 */
import type { ByteRing, Notify } from "./byte-ring.ts";
import { channelRings } from "./char-channel.ts";

/** Where output goes. One write is under way at a time; the bytes may be reused when it has resolved. */
export interface ByteSink {
  /** Takes all of the bytes, however many calls that needs. Rejects if the host cannot take them. */
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** Output is handed on in pieces of at most this. */
const PIECE_BYTES = 16 * 1024;

export class CharPump {
  readonly #output: ByteRing;
  readonly #input: ByteRing;
  readonly #sink: ByteSink;
  readonly #onError: (error: Error) => void;
  readonly #piece = new Uint8Array(PIECE_BYTES);
  #pumping: Promise<void> | undefined;
  #failed = false;
  /** Input that the ring had no room for, and what to call when it has. */
  #waiting: Uint8Array[] = [];
  #onRoom: () => void = () => {};

  /**
   * `notify` wakes the device thread. `onError` is called once if the sink fails; later output is then dropped, so that
   * the guest does not stop because a pipe did.
   */
  constructor(channel: SharedArrayBuffer, sink: ByteSink, notify: Notify, onError: (error: Error) => void) {
    const rings = channelRings(channel, notify);
    this.#output = rings.output;
    this.#input = rings.input;
    this.#sink = sink;
    this.#onError = onError;
    this.notified();
  }

  /** Call when the device thread notified: there is output, or room for input. */
  notified(): void {
    this.#feedWaiting();
    void this.#pump();
  }

  /** Bytes of input that wait for room. */
  get backlog(): number {
    return this.#waiting.reduce((sum, bytes) => sum + bytes.length, 0);
  }

  /** Gives input to the device. False: some of it waits for room; give no more until `onRoom`. */
  feed(bytes: Uint8Array): boolean {
    this.#waiting.push(bytes);
    return this.#feedWaiting();
  }

  /** Called when everything fed so far is in the ring again after `feed` returned false. */
  onRoom(callback: () => void): void {
    this.#onRoom = callback;
  }

  /** Resolves when everything that the device has written so far has reached the sink. For when the device has stopped. */
  async drain(): Promise<void> {
    do await this.#pump();
    while (this.#output.length > 0);
  }

  /** A device that waits for room does so no longer: what it writes from now on may be lost. */
  giveUp(): void {
    this.#output.close();
  }

  /** Drains, then closes the sink. A device that still waits for room gives up. */
  async close(): Promise<void> {
    this.giveUp();
    await this.drain();
    await this.#sink.close();
  }

  /** One drain at a time; whoever asks meanwhile gets the one that runs. */
  #pump(): Promise<void> {
    this.#pumping ??= this.#run();
    return this.#pumping;
  }

  async #run(): Promise<void> {
    await undefined; // so that `#pumping` is set before it can be cleared
    for (;;) {
      const count = this.#output.popInto(this.#piece);
      if (count === 0) {
        if (!this.#output.waitForBytes()) continue;
        this.#pumping = undefined; // in the same step as the wait: the next notice must start a new drain
        return;
      }
      if (this.#failed) continue;
      try {
        await this.#sink.write(this.#piece.subarray(0, count));
      } catch (error) {
        this.#failed = true;
        this.#onError(error as Error);
      }
    }
  }

  #feedWaiting(): boolean {
    const blocked = this.#waiting.length > 0;
    while (this.#waiting.length > 0) {
      const bytes = this.#waiting[0]!;
      const taken = this.#input.pushFrom(bytes, 0);
      if (taken < bytes.length) {
        this.#waiting[0] = bytes.subarray(taken);
        return false;
      }
      this.#waiting.shift();
    }
    if (blocked) this.#onRoom();
    return true;
  }
}
