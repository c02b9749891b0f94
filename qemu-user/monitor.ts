/**
 * The human monitor (Ctrl-A c): QEMU's commands for what this machine can do.
 * Leaves out: everything else of HMP; unknown commands say so.
 */

/** What the monitor acts on. */
export type Monitored = {
  readonly running: boolean;
  stop(): void;
  cont(): void;
  quit(): void;
  /** False: nobody in the guest listens to the button. */
  powerDown(): Promise<boolean>;
  registers(): Promise<string>;
};

type Command = { readonly help: string; readonly act: (machine: Monitored) => string | Promise<string> };

const COMMANDS: Readonly<Record<string, Command>> = {
  "info status": {
    help: "is the guest running?",
    act: ({ running }) => `VM status: ${running ? "running" : "paused"}\n`,
  },
  "info registers": {
    help: "the CPU's registers; the guest must be stopped",
    act: (machine) => (machine.running ? "the guest is running: stop it first\n" : machine.registers()),
  },
  stop: {
    help: "stop the guest",
    act: (machine) => {
      machine.stop();
      return "";
    },
  },
  cont: {
    help: "let the guest go on; c for short",
    act: (machine) => {
      machine.cont();
      return "";
    },
  },
  system_powerdown: {
    help: "press the power button",
    act: async (machine) =>
      (await machine.powerDown()) ? "" : "the power button is pressed, but the guest does not listen to it\n",
  },
  quit: {
    help: "end qemu-user; q for short",
    act: (machine) => {
      machine.quit();
      return "";
    },
  },
  help: {
    help: "this list",
    act: () =>
      Object.entries(COMMANDS)
        .map(([name, { help }]) => `${name.padEnd(18)}${help}\n`)
        .join(""),
  },
};
const SHORT: Readonly<Record<string, string>> = { c: "cont", q: "quit", "?": "help", s: "stop" };

export class Monitor {
  readonly #machine: Monitored;

  constructor(machine: Monitored) {
    this.#machine = machine;
  }

  /** Carries out one line and returns what to print. */
  async command(line: string): Promise<string> {
    if (line === "") return "";
    const command = COMMANDS[SHORT[line] ?? line.replace(/\s+/g, " ")];
    if (!command) return `unknown command: '${line}'\n`;
    return command.act(this.#machine);
  }
}
