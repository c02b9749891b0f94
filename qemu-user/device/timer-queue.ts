/**
 * The device thread's timers: what is due is called between two exits, on the thread that owns the devices.
 * Follows: bus/interfaces.ts, Timers.
 * Left out: sleeping until the next one is due: the ring server's, or in message mode the event loop's.
 */
import type { Timer, Timers } from "../bus/interfaces.ts";

class QueuedTimer implements Timer {
  readonly callback: () => void;
  readonly #changed: () => void;
  at = Number.POSITIVE_INFINITY;

  constructor(callback: () => void, changed: () => void) {
    this.callback = callback;
    this.#changed = changed;
  }

  arm(atNs: number): void {
    this.at = atNs;
    this.#changed();
  }

  disarm(): void {
    this.arm(Number.POSITIVE_INFINITY);
  }
}

export class TimerQueue implements Timers {
  // A board has a handful of them: looking at all costs less than keeping them in order.
  readonly #timers: QueuedTimer[] = [];
  /** When the earliest is due, in the clock's nanoseconds; Infinity: none is armed. */
  next = Number.POSITIVE_INFINITY;
  /** Called when `next` became earlier or later: for whoever waits for it elsewhere. */
  onChange: () => void = () => {};

  create(callback: () => void): Timer {
    const timer = new QueuedTimer(callback, () => this.#changed());
    this.#timers.push(timer);
    return timer;
  }

  /** Calls each timer that is due, once. True if there was one. Allocates nothing. */
  run(now: number): boolean {
    if (now < this.next) return false;
    for (let i = 0; i < this.#timers.length; i++) {
      const timer = this.#timers[i]!;
      if (timer.at > now) continue;
      timer.at = Number.POSITIVE_INFINITY; // before the callback, which may arm it again
      timer.callback();
    }
    this.#changed();
    return true;
  }

  #changed(): void {
    let next = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.#timers.length; i++) if (this.#timers[i]!.at < next) next = this.#timers[i]!.at;
    if (next === this.next) return;
    this.next = next;
    this.onChange();
  }
}
