/**
 * `--boot-timer`: when kvm-core answered, the guest was entered, wrote its first byte, wrote a given text, and ended.
 * Times are seconds since the command was started.
 * Left out: what the guest does before it writes; `-d exits` and `qemu-user stat` show that.
 */

/** The part of `--boot-timer` that the command line says. */
export type BootTimerOption = {
  /** --boot-text: to be looked for in what the guest writes. */
  readonly text: string | undefined;
};

type TimerEnv = {
  /** Milliseconds since the command was started. */
  readonly now: () => number;
  readonly report: (line: string) => void;
};

export class BootTimer {
  readonly #env: TimerEnv;
  readonly #marks: string[] = [];
  readonly #seen = new Set<string>();
  /** Undefined: nothing is looked for, or it has been found. */
  #text: Buffer | undefined;
  /** The end of each back end's output so far, in which the text may have begun. */
  readonly #tails = new Map<string, Buffer>();

  constructor({ text }: BootTimerOption, env: TimerEnv) {
    this.#env = env;
    this.#text = text === undefined ? undefined : Buffer.from(text);
  }

  /** The first time that this happens counts. */
  mark(what: string): void {
    if (this.#seen.has(what)) return;
    this.#seen.add(what);
    this.#marks.push(`${what} ${(this.#env.now() / 1000).toFixed(2)} s`);
  }

  /** What the guest wrote to a back end. */
  output(which: string, bytes: Uint8Array): void {
    if (!this.#seen.has("first output")) {
      this.mark("first output");
      this.#print();
    }
    if (this.#text === undefined) return;
    const all = Buffer.concat([this.#tails.get(which) ?? Buffer.alloc(0), bytes]);
    if (all.includes(this.#text)) {
      this.mark(JSON.stringify(this.#text.toString()));
      this.#text = undefined;
      this.#print();
    } else this.#tails.set(which, all.subarray(Math.max(0, all.length - this.#text.length + 1)));
  }

  /** The run has ended: says that, and what has not come. */
  end(): void {
    if (this.#text !== undefined) this.#marks.push(`${JSON.stringify(this.#text.toString())} never`);
    this.mark("end");
    this.#print();
  }

  #print(): void {
    this.#env.report(`boot-timer: ${this.#marks.splice(0).join(", ")}`);
  }
}
