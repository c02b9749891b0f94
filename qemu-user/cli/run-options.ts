/**
 * Options of `qemu-user run`, as one table.
 * Follows: QEMU's spellings and defaults (qemu-options.hx). Options of our own are written with two dashes.
 * Left out: everything in ABSENT, which is refused by name.
 */

import type { DriveOption } from "../block/drive.ts";
import { type CpuOption, DEFAULT_MODEL } from "../machine/cpu-models.ts";
import type { DeviceOption } from "../machine/device-catalog.ts";
import { memoryMap } from "../machine/memory-map.ts";
import { DEFAULT_RTC, type RtcOption } from "../machine/rtc-clock.ts";
import { type BlockNode, parseBlockdev } from "./blockdev-option.ts";
import { type CharSpec, parseCharSpec } from "./char-spec.ts";
import { parseCpu } from "./cpu-option.ts";
import { parseDevice } from "./device-option.ts";
import { resolveDisks } from "./disks.ts";
import { type ParsedDrive, parseDrive } from "./drive-option.ts";
import { parseIoThread } from "./object-option.ts";
import { type OptionSection, type ParseRules, parseOptions } from "./option-table.ts";
import { parseRtc } from "./rtc-option.ts";
import { parseSize } from "./size.ts";
import { UsageError, unknownWord } from "./usage-error.ts";

export type Accel = "interp" | "patch" | "wasm";
export type TraceItem = "exits" | "in_asm";
export type ExitMode = "page" | "message";

export interface RunOptions {
  readonly kernel: string;
  readonly initrd: string | undefined;
  readonly append: string;
  /** Bytes of RAM: a size that this machine can have. */
  readonly memory: number;
  readonly cpu: CpuOption;
  readonly accel: Accel;
  readonly serial: CharSpec;
  readonly debugcon: CharSpec;
  readonly nographic: boolean;
  /** -no-reboot: a reset ends the run with status 0, a triple fault with a register dump. */
  readonly noReboot: boolean;
  /** -S: do not start the CPU. */
  readonly stopped: boolean;
  readonly devices: readonly DeviceOption[];
  /** Each is that of a disk among the devices, or of none. */
  readonly drives: readonly DriveOption[];
  readonly rtc: RtcOption;
  readonly trace: ReadonlySet<TraceItem>;
  /** -D: where -d writes; undefined: stderr. */
  readonly logFile: string | undefined;
  /** --core: socket of a running kvm-core; undefined: a private one. */
  readonly core: string | undefined;
  readonly mode: ExitMode;
  readonly name: string | undefined;
  /** --take-over: go on with the VM of that name, whose qemu-user died. */
  readonly takeOver: boolean;
}

/** What the rows fill in. `text`: help was asked for, and nothing is to be run. */
interface Draft {
  kernel: string | undefined;
  initrd: string | undefined;
  append: string | undefined;
  memory: number;
  cpu: CpuOption;
  cpuHelp: boolean;
  accel: Accel;
  serial: CharSpec | undefined;
  debugcon: CharSpec;
  nographic: boolean;
  noReboot: boolean;
  stopped: boolean;
  readonly devices: DeviceOption[];
  readonly parsedDrives: ParsedDrive[];
  readonly nodes: BlockNode[];
  readonly ioThreads: string[];
  rtc: RtcOption;
  readonly trace: Set<TraceItem>;
  logFile: string | undefined;
  core: string | undefined;
  mode: ExitMode;
  name: string | undefined;
  takeOver: boolean;
  text: string | undefined;
}

const ACCELS: Readonly<Record<Accel, string>> = {
  patch: "scan each block once into records, then run those",
  wasm: "as patch, with hot code translated to WebAssembly; also named tcg",
  interp: "fetch, decode and execute every time; the reference, slow",
};
/** Names that QEMU's users and scripts know. */
const ACCEL_NAMES: ReadonlyMap<string, Accel> = new Map([["tcg", "wasm"]]);
const ACCELS_TO_COME = ["kvm"];

const TRACE_ITEMS: Readonly<Record<TraceItem, string>> = {
  exits: "every exit, by reason and device",
  in_asm: "guest instructions, as they are decoded",
};

const MODES: Readonly<Record<ExitMode, string>> = {
  page: "shared pages",
  message: "requests and replies",
};

const DEFAULT_MEMORY = "128M";

const SECTIONS: readonly OptionSection<Draft>[] = [
  {
    title: "What to boot",
    rows: [
      {
        name: "kernel",
        dashes: "-",
        argument: "FILE",
        help: ["kernel: Linux bzImage, multiboot 1, or ELF with a PVH note"],
        again: "last",
        set: (d, v) => {
          d.kernel = v;
        },
      },
      {
        name: "initrd",
        dashes: "-",
        argument: "FILE[ ARGS],...",
        help: ["modules for the kernel, each with its arguments"],
        again: "last",
        set: (d, v) => {
          d.initrd = v;
        },
      },
      {
        name: "append",
        dashes: "-",
        argument: "TEXT",
        help: ["the kernel's command line"],
        again: "last",
        set: (d, v) => {
          d.append = v;
        },
      },
    ],
  },
  {
    title: "The machine",
    rows: [
      {
        name: "m",
        dashes: "-",
        argument: "SIZE",
        help: [`RAM: 512M, 1.5G, ... (${DEFAULT_MEMORY} unless said; a number alone is in MiB)`],
        again: "last",
        set: (d, v) => {
          d.memory = parseMemory(v);
        },
      },
      {
        name: "cpu",
        dashes: "-",
        argument: "MODEL[,+FEATURE][,-FEATURE]",
        help: [`CPU model (${DEFAULT_MODEL} unless said); -cpu help lists models and features`],
        again: "last",
        set: (d, v) => {
          if (v === "help" || v === "?") d.cpuHelp = true;
          else d.cpu = parseCpu(v);
        },
      },
      {
        name: "accel",
        dashes: "-",
        argument: Object.keys(ACCELS).join("|"),
        help: Object.entries(ACCELS).map(([name, help]) => `${name}: ${help}`),
        again: "last",
        set: (d, v) => {
          if (v === "help") d.text = list("Accelerators", ACCELS);
          else d.accel = parseAccel(v);
        },
      },
      {
        name: "device",
        dashes: "-",
        argument: "NAME[,prop=value...]",
        help: ["add a device; -device help lists them"],
        again: "all",
        set: (d, v) => {
          const device = parseDevice(v);
          if ("help" in device) d.text = device.help;
          else d.devices.push(device);
        },
      },
      {
        name: "drive",
        dashes: "-",
        argument: "file=PATH[,snapshot=on][,...]",
        help: [
          "add a disk with this raw image; with if=none,id=NAME",
          "a -device virtio-blk-pci,drive=NAME is its disk",
        ],
        again: "all",
        set: (d, v) => {
          d.parsedDrives.push(parseDrive(v));
        },
      },
      {
        name: "blockdev",
        dashes: "-",
        argument: "driver=raw|file,node-name=NAME,...",
        help: ["an image by its layers, for a -device; also as JSON"],
        again: "all",
        set: (d, v) => {
          d.nodes.push(parseBlockdev(v));
        },
      },
      {
        name: "object",
        dashes: "-",
        argument: "iothread,id=NAME",
        help: ["a thread that disks with iothread=NAME share"],
        again: "all",
        set: (d, v) => {
          d.ioThreads.push(parseIoThread(v));
        },
      },
      {
        name: "rtc",
        dashes: "-",
        argument: "[base=utc|localtime|DATETIME][,clock=host|vm]",
        help: ["the real-time clock: what it shows at first, and whether it", "follows the host's clock or the VM's"],
        again: "last",
        set: (d, v) => {
          d.rtc = parseRtc(v);
        },
      },
      {
        name: "name",
        dashes: "-",
        argument: "NAME",
        help: ["what this VM is called in `qemu-user stat`"],
        again: "last",
        set: (d, v) => {
          d.name = parseName(v);
        },
      },
    ],
  },
  {
    title: "Input and output",
    rows: [
      {
        name: "nographic",
        dashes: "-",
        help: ["serial port on this terminal, raw: Ctrl-A x ends, Ctrl-A h helps"],
        again: "last",
        set: (d) => {
          d.nographic = true;
        },
      },
      {
        name: "serial",
        dashes: "-",
        argument: "stdio|file:PATH|none",
        help: ["serial port COM1 (stdio unless said)"],
        again: "refused",
        set: (d, v) => {
          d.serial = parseCharSpec("-serial", v);
        },
      },
      {
        name: "debugcon",
        dashes: "-",
        argument: "stdio|file:PATH|none",
        help: ["debug console, port 0xe9 (none unless said)"],
        again: "refused",
        set: (d, v) => {
          d.debugcon = parseCharSpec("-debugcon", v);
        },
      },
    ],
  },
  {
    title: "Running and watching",
    rows: [
      {
        name: "no-reboot",
        dashes: "-",
        help: ["end where the PC would reset; at a triple fault with a register dump"],
        again: "last",
        set: (d) => {
          d.noReboot = true;
        },
      },
      {
        name: "S",
        dashes: "-",
        help: ["build the machine, but do not start its CPU; Ctrl-A c, then cont, does"],
        again: "last",
        set: (d) => {
          d.stopped = true;
        },
      },
      {
        name: "d",
        dashes: "-",
        argument: "ITEM,...",
        help: ["log exits, in_asm; -d help explains them"],
        again: "all",
        set: (d, v) => {
          if (v === "help" || v === "?") d.text = list("Log items", TRACE_ITEMS);
          else for (const item of v.split(",")) d.trace.add(parseTraceItem(item));
        },
      },
      {
        name: "D",
        dashes: "-",
        argument: "FILE",
        help: ["write that log to a file (stderr unless said)"],
        again: "last",
        set: (d, v) => {
          d.logFile = v;
        },
      },
      {
        name: "core",
        dashes: "--",
        argument: "PATH",
        help: ["use the kvm-core at this socket, not a private one"],
        again: "last",
        set: (d, v) => {
          d.core = v;
        },
      },
      {
        name: "mode",
        dashes: "--",
        argument: Object.keys(MODES).join("|"),
        help: ["how exits travel: shared pages (the default) or messages"],
        again: "last",
        set: (d, v) => {
          d.mode = parseMode(v);
        },
      },
      {
        name: "take-over",
        dashes: "--",
        help: [
          "go on with the VM -name at --core whose qemu-user",
          "died; repeat the options that it was started with",
        ],
        again: "last",
        set: (d) => {
          d.takeOver = true;
        },
      },
    ],
  },
];

/** Options of QEMU that a script may well contain. They are refused by name, not as typing errors. */
const ABSENT = [
  ..."bios boot cdrom chardev daemonize display enable-kvm fw_cfg gdb global hda hdb incoming".split(" "),
  ..."loadvm M machine monitor netdev nic nodefaults parallel pflash pidfile qmp s sandbox smbios smp".split(" "),
  ..."snapshot spice usb vga virtfs vnc watchdog".split(" "),
];

export const RUN_SECTIONS: readonly OptionSection<never>[] = SECTIONS;

const RULES: ParseRules<Draft> = {
  command: "qemu-user run",
  sections: SECTIONS,
  absent: ABSENT,
  word: (_draft, word) => {
    throw new UsageError(`${word}: an image is given by -drive file=${word}, a kernel by -kernel ${word}`);
  },
};

/** Options, or a help text that was asked for: that of -cpu is kvm-core's to know. Throws a UsageError. */
export function parseRun(
  argv: readonly string[],
): RunOptions | { readonly text: string } | { readonly cpuHelp: true; readonly core: string | undefined } {
  const draft: Draft = {
    kernel: undefined,
    initrd: undefined,
    append: undefined,
    memory: parseMemory(DEFAULT_MEMORY),
    cpu: parseCpu(DEFAULT_MODEL),
    cpuHelp: false,
    accel: "patch",
    serial: undefined,
    debugcon: { kind: "none" },
    nographic: false,
    noReboot: false,
    stopped: false,
    devices: [],
    parsedDrives: [],
    nodes: [],
    ioThreads: [],
    rtc: DEFAULT_RTC,
    trace: new Set(),
    logFile: undefined,
    core: undefined,
    mode: "page",
    name: undefined,
    takeOver: false,
    text: undefined,
  };
  parseOptions(RULES, argv, draft);
  const { text, cpuHelp, kernel, append, parsedDrives, nodes, ioThreads, devices, ...rest } = draft;
  if (text !== undefined) return { text };
  if (cpuHelp) return { cpuHelp, core: draft.core };
  if (kernel === undefined) {
    const needy = append !== undefined ? "-append" : draft.initrd !== undefined ? "-initrd" : undefined;
    if (needy !== undefined) throw new UsageError(`${needy} is only allowed with -kernel`);
    throw new UsageError("-kernel FILE is needed: firmware that could boot without one is not built yet");
  }
  const disks = resolveDisks(parsedDrives, nodes, ioThreads, devices);
  if (draft.takeOver && (draft.core === undefined || draft.name === undefined)) {
    throw new UsageError("--take-over needs --core PATH and -name NAME: which VM is to go on");
  }
  if (draft.takeOver && draft.mode !== "page") throw new UsageError("--take-over works in page mode only");
  if (draft.takeOver && disks.drives.length > 0) {
    throw new UsageError(
      "--take-over of a VM with disks is not built yet: what its guest had asked of them would be lost",
    );
  }
  const asked = draft.serial ?? { kind: "stdio", mux: false };
  const serial: CharSpec = asked.kind === "stdio" && draft.nographic ? { kind: "stdio", mux: true } : asked;
  if (serial.kind === "stdio" && draft.debugcon.kind === "stdio") {
    throw new UsageError("-serial and -debugcon cannot both have stdio; give one of them file:PATH or none");
  }
  return { ...rest, ...disks, kernel, append: append ?? "", serial };
}

function parseMemory(text: string): number {
  const size = text.replace(/^size=/, "");
  if (size.includes(",")) throw new UsageError(`-m ${text}: memory hotplug (slots, maxmem) is not built yet`);
  const bytes = parseSize(size, "m");
  if (bytes === undefined) throw new UsageError(`-m ${text} is not a size: 128M, 1.5G, ...`);
  const pages = Math.ceil(bytes / 4096) * 4096;
  try {
    return memoryMap(pages).ramSize;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function parseAccel(text: string): Accel {
  if (ACCELS_TO_COME.includes(text)) {
    throw new UsageError(`-accel ${text} is not built yet; ${Object.keys(ACCELS).join(", ")} are`);
  }
  return ACCEL_NAMES.get(text) ?? oneOf("-accel", text, ACCELS);
}

function parseTraceItem(text: string): TraceItem {
  return oneOf("-d", text, TRACE_ITEMS);
}

function parseMode(text: string): ExitMode {
  return oneOf("--mode", text, MODES);
}

/** A name becomes part of file names and tables. */
function parseName(text: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text)) return text;
  throw new UsageError(`-name ${JSON.stringify(text)}: up to 64 letters, digits, '-', '.' or '_' are allowed`);
}

function oneOf<K extends string>(option: string, text: string, table: Readonly<Record<K, string>>): K {
  if (Object.hasOwn(table, text)) return text as K;
  throw unknownWord(option, text, Object.keys(table));
}

function list(title: string, table: Readonly<Record<string, string>>): string {
  const rows = Object.entries(table).map(([name, help]) => `  ${name.padEnd(12)}${help}`);
  return `${title}:\n${rows.join("\n")}\n`;
}
