/**
 * memtest86+ in a machine of 128 MiB, worked over its serial console.
 * Document: memtest86+ 6's README.md, "Boot Options" and "Operation".
 * Leaves out: which tests are run, and how long they may take: who uses this.
 */
import { debianFile } from "./debian.ts";
import { type Finished, type Running, start, until } from "./qemu-user.ts";
import { Screen } from "./screen.ts";

/** From power on to its screen. */
const START = 60_000;
/** A menu's answer: it asks for a key every millisecond. */
const MENU = 30_000;

/** What the screen says. */
export interface MemTestFacts {
  readonly memory: string;
  readonly test: number;
  readonly time: string;
  readonly pass: number;
  readonly errors: number;
}

export class MemTest {
  readonly #running: Running;
  readonly #screen = new Screen();

  constructor(bits: "x64" | "ia32", accel: string) {
    const kernel = debianFile("memtest86+", `${bits}.bin`);
    const machine = ["-accel", accel, "-m", "128M", "-nographic", "-no-reboot"];
    this.#running = start("run", ...machine, "-kernel", kernel, "-append", "console=ttyS0,115200 nopause");
    this.#running.child.stdout!.on("data", (bytes: Buffer) => void this.#screen.write(bytes));
  }

  get finished(): Promise<Finished> {
    return this.#running.finished;
  }

  kill(): void {
    this.#running.child.kill("SIGKILL");
  }

  press(keys: string): void {
    this.#running.child.stdin!.write(keys);
  }

  lines(): readonly string[] {
    return this.#screen.lines();
  }

  shows(text: string | RegExp): boolean {
    return this.lines().some((line) => (typeof text === "string" ? line.includes(text) : text.test(line)));
  }

  async #sees(text: string, patience: number): Promise<void> {
    await until(() => this.shows(text), `memtest86+ to show "${text}":\n${this.lines().join("\n")}`, patience);
  }

  /** In the menus, which it shows as soon as it tests; it then begins anew. */
  async selectTests(first: number, last: number): Promise<void> {
    await this.#sees("Status: Testing", START);
    this.press("1");
    await this.#sees("Settings:", MENU);
    this.press("1");
    await this.#sees("Clear selection", MENU);
    this.press("1");
    this.press("4");
    await this.#sees("Enter first test #", MENU);
    this.press(`${first}\n`);
    await this.#sees("Enter last test #", MENU);
    this.press(`${last}\n`);
    this.press("0");
    await this.#sees("Settings:", MENU);
    this.press("0");
  }

  /** Until a pass is complete or an error shows. */
  async passed(patience: number): Promise<void> {
    const done = () => {
      const { pass, errors } = this.facts();
      return pass > 0 || errors > 0;
    };
    await until(done, "memtest86+ to complete a pass", patience);
  }

  /** Zeros and blanks before it says so. */
  facts(): MemTestFacts {
    const text = this.lines().join("\n");
    const word = (pattern: RegExp): string => pattern.exec(text)?.[1] ?? "";
    return {
      memory: word(/Memory +: +(\w+)/),
      test: Number(word(/Test #(\d+)/)),
      time: word(/Time: +([\d:]+)/),
      pass: Number(word(/Pass: +(\d+)/)),
      errors: Number(word(/Errors: +(\d+)/)),
    };
  }
}
