/**
 * SIGTERM, SIGINT and SIGHUP: the first presses the guest's power button, the second ends the machine at once.
 * Follows: ACPI's power button, as libvirt's `shutdown` uses it; a guest that does not listen to the button is ended by the first.
 * Left out: a time after which a guest that listened and does nothing is ended: that is for whoever sent the signal to say.
 */

export type SignalEvents = {
  /** Presses the button; false if nobody in the guest would hear it. */
  readonly pressPowerButton: () => Promise<boolean>;
  readonly end: (status: number) => void;
  readonly report: (line: string) => void;
};

/** The statuses that a shell would give. */
const STATUS = { SIGTERM: 143, SIGINT: 130, SIGHUP: 129 } as const;
type Name = keyof typeof STATUS;

/** A device thread that has not answered by then is not going to, in ms. */
const ANSWER_MS = 2_000;

export class PowerSignals {
  readonly #events: SignalEvents;
  #pressed = false;

  constructor(events: SignalEvents) {
    this.#events = events;
  }

  /** From here on signals come here. */
  listen(): void {
    for (const name of Object.keys(STATUS) as Name[]) process.on(name, () => void this.take(name));
  }

  async take(name: Name): Promise<void> {
    const first = !this.#pressed;
    this.#pressed = true;
    if (first && (await this.#heard())) {
      this.#events.report(`${name}: the power button is pressed; a second signal ends the machine at once`);
    } else {
      this.#events.report(`terminating on ${name}`);
      this.#events.end(STATUS[name]);
    }
  }

  async #heard(): Promise<boolean> {
    let timeout: NodeJS.Timeout | undefined;
    const silence = new Promise<boolean>((resolve) => {
      timeout = setTimeout(() => resolve(false), ANSWER_MS);
    });
    try {
      return await Promise.race([this.#events.pressPowerButton(), silence]);
    } finally {
      clearTimeout(timeout);
    }
  }
}
