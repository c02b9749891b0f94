/**
 * The command line of qemu-user: its subcommands as one table, and what each asks for.
 * Follows: QEMU, whose options are understood without a subcommand, too: `qemu-user -kernel FILE` runs.
 * Left out: doing it; main.ts does.
 */
import { readFileSync } from "node:fs";
import { describeOptions, type OptionSection, wantsHelp } from "./option-table.ts";
import { parseRun, type RunOptions } from "./run-options.ts";
import { RUN_SECTIONS } from "./run-table.ts";
import {
  ATTACH_SECTIONS,
  type AttachOptions,
  parseAttach,
  parseStat,
  STAT_SECTIONS,
  type StatOptions,
} from "./stat-options.ts";
import { UsageError, unknownWord } from "./usage-error.ts";

/** What the command line asks for. `print`: help or version; write the text to stdout and end with status 0. */
export type Command =
  | { readonly command: "run"; readonly options: RunOptions }
  | { readonly command: "stat"; readonly options: StatOptions }
  | { readonly command: "attach"; readonly options: AttachOptions }
  /** -cpu help: what the kvm-core at this socket, or one of our own, has. */
  | { readonly command: "cpu-help"; readonly core: string | undefined }
  | { readonly command: "print"; readonly text: string };

interface Subcommand {
  readonly usage: string;
  readonly summary: string;
  /** A line or two that can be copied. */
  readonly examples: readonly string[];
  readonly sections: readonly OptionSection<never>[];
  /** What is no option and should be known all the same. */
  readonly notes?: string;
  parse(argv: readonly string[]): Command;
}

const SUBCOMMANDS: Readonly<Record<string, Subcommand>> = {
  run: {
    usage: "qemu-user run -kernel FILE [options]",
    summary: "boot a guest",
    examples: [
      "qemu-user run -nographic -kernel build/guest/demo64.elf",
      'qemu-user run -m 512M -kernel KERNEL -append "a=1" -device splitvm-test -serial file:out.txt',
    ],
    sections: RUN_SECTIONS,
    notes: `SIGTERM, SIGINT and SIGHUP press the guest's power button, a second one ends it at once; so does the first
if the guest does not listen to the button.
`,
    parse: (argv) => {
      const options = parseRun(argv);
      if ("cpuHelp" in options) return { command: "cpu-help", core: options.core };
      return "text" in options ? { command: "print", text: options.text } : { command: "run", options };
    },
  },
  stat: {
    usage: "qemu-user stat [options] [NAME|PID]",
    summary: "count and time the exits of a guest that runs",
    examples: ["qemu-user stat", "qemu-user stat --interval 1 --json myvm"],
    sections: STAT_SECTIONS,
    parse: (argv) => ({ command: "stat", options: parseStat(argv) }),
  },
  attach: {
    usage: "qemu-user attach -device NAME[,prop=value...] [options] [NAME|PID]",
    summary: "serve a device of a guest that runs, from a process of its own",
    examples: ["qemu-user attach -device splitvm-test myvm"],
    sections: ATTACH_SECTIONS,
    parse: (argv) => {
      const options = parseAttach(argv);
      return "text" in options ? { command: "print", text: options.text } : { command: "attach", options };
    },
  },
  help: {
    usage: "qemu-user help [COMMAND]",
    summary: "explain a command",
    examples: ["qemu-user help run"],
    sections: [],
    parse: (argv) => ({ command: "print", text: describe(argv[0]) }),
  },
};

const HELP_OPTIONS = ["-h", "-help", "--help"];
const VERSION_OPTIONS = ["-version", "--version"];

/** Parses the arguments after the program's name. Throws a UsageError, fit for the user. */
export function parseCommandLine(argv: readonly string[]): Command {
  const [first, ...rest] = argv;
  if (first === undefined)
    throw new UsageError("what to do? qemu-user run -kernel FILE boots a guest; --help explains");
  if (HELP_OPTIONS.includes(first)) return { command: "print", text: describe(undefined) };
  if (VERSION_OPTIONS.includes(first)) return { command: "print", text: `qemu-user (splitvm) ${version()}\n` };
  if (first.startsWith("-")) return dispatch("run", argv);
  if (Object.hasOwn(SUBCOMMANDS, first)) return dispatch(first, rest);
  if (first.includes("/") || first.includes(".")) return dispatch("run", argv); // a file: run says what it thinks of it
  throw unknownWord("command", first, Object.keys(SUBCOMMANDS));
}

/** Help wins over everything else on the line. */
function dispatch(name: string, argv: readonly string[]): Command {
  const subcommand = SUBCOMMANDS[name]!;
  return wantsHelp(subcommand.sections, argv) ? { command: "print", text: describe(name) } : subcommand.parse(argv);
}

function describe(name: string | undefined): string {
  if (name === undefined) return overview();
  const found = Object.hasOwn(SUBCOMMANDS, name) ? SUBCOMMANDS[name] : undefined;
  if (found === undefined) throw unknownWord("command", name, Object.keys(SUBCOMMANDS));
  const { usage, summary, examples, sections, notes } = found;
  const options = sections.length === 0 ? "" : `\n${describeOptions(sections)}`;
  return `${usage}\n    ${summary}\n\n${examples.map((line) => `  ${line}`).join("\n")}\n${options}${notes === undefined ? "" : `\n${notes}`}`;
}

function overview(): string {
  const commands = Object.entries(SUBCOMMANDS).map(([name, { summary }]) => `  ${name.padEnd(8)}${summary}`);
  return [
    "qemu-user: boot x86-64 guests, as QEMU does, with kvm-core as the CPU",
    "",
    ...SUBCOMMANDS["run"]!.examples.slice(0, 1).map((line) => `  ${line}`),
    "",
    "Commands",
    ...commands,
    "",
    "qemu-user help COMMAND explains one; options are written as in QEMU, and without a command they mean run.",
    "--version says which this is.",
    "",
  ].join("\n");
}

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { readonly version: string }).version;
}
