/**
 * Options of `qemu-user run`, as one table.
 * Follows: QEMU's spellings and defaults (qemu-options.hx). Options of our own are written with two dashes.
 * Left out: everything in ABSENT, which is refused by name; what options say of each other (run-options.ts).
 */
import { type CpuOption, DEFAULT_MODEL } from "../machine/cpu-models.ts";
import type { DeviceOption } from "../machine/device-catalog.ts";
import { DEFAULT_RTC, type RtcOption } from "../machine/rtc-clock.ts";
import { type BlockNode, parseBlockdev } from "./blockdev-option.ts";
import { CHAR_SPECS, type Chardev, type CharSpec, parseChardev, parseCharSpec } from "./char-spec.ts";
import { parseCpu } from "./cpu-option.ts";
import { parseDevice } from "./device-option.ts";
import { type ParsedDrive, parseDrive } from "./drive-option.ts";
import { type FwCfgOption, parseFwCfg } from "./fw-cfg-option.ts";
import { parseMachine } from "./machine-option.ts";
import { parseIoThread } from "./object-option.ts";
import type { OptionSection, ParseRules } from "./option-table.ts";
import { parseRtc } from "./rtc-option.ts";
import {
  ACCELS,
  type Accel,
  DEFAULT_MEMORY,
  type ExitMode,
  list,
  MODES,
  parseAccel,
  parseMemory,
  parseMode,
  parseName,
  parseTraceItem,
  TRACE_ITEMS,
  type TraceItem,
} from "./run-words.ts";
import { UsageError } from "./usage-error.ts";

/** What the rows fill in. `text`: help was asked for, and nothing is to be run. */
export interface Draft {
  kernel: string | undefined;
  initrd: string | undefined;
  append: string | undefined;
  memory: number;
  cpu: CpuOption;
  cpuHelp: boolean;
  accel: Accel;
  serial: CharSpec | undefined;
  debugcon: CharSpec;
  readonly chardevs: Chardev[];
  nographic: boolean;
  noReboot: boolean;
  stopped: boolean;
  readonly devices: DeviceOption[];
  readonly parsedDrives: ParsedDrive[];
  readonly nodes: BlockNode[];
  readonly ioThreads: string[];
  readonly fwCfg: FwCfgOption[];
  rtc: RtcOption;
  readonly trace: Set<TraceItem>;
  logFile: string | undefined;
  core: string | undefined;
  mode: ExitMode;
  name: string | undefined;
  takeOver: boolean;
  bootTimer: { readonly text: string | undefined } | undefined;
  text: string | undefined;
}

/** A draft as it is without any option. */
export function emptyDraft(): Draft {
  return {
    kernel: undefined,
    initrd: undefined,
    append: undefined,
    memory: parseMemory(DEFAULT_MEMORY),
    cpu: parseCpu(DEFAULT_MODEL),
    cpuHelp: false,
    accel: "patch",
    serial: undefined,
    debugcon: { kind: "none" },
    chardevs: [],
    nographic: false,
    noReboot: false,
    stopped: false,
    devices: [],
    parsedDrives: [],
    nodes: [],
    ioThreads: [],
    fwCfg: [],
    rtc: DEFAULT_RTC,
    trace: new Set(),
    logFile: undefined,
    core: undefined,
    mode: "page",
    name: undefined,
    takeOver: false,
    bootTimer: undefined,
    text: undefined,
  };
}

const SECTIONS: readonly OptionSection<Draft>[] = [
  {
    title: "What to boot",
    rows: [
      {
        name: "kernel",
        dashes: "-",
        argument: "FILE",
        help: ["kernel: Linux bzImage or vmlinux, multiboot 1, or ELF with a PVH note"],
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
        name: "machine",
        alias: "M",
        dashes: "-",
        argument: "pc[,prop=value...]",
        help: ["the board, of which there is one; -machine pc,help lists properties"],
        again: "all",
        set: (d, v) => {
          d.text = parseMachine(v) ?? d.text;
        },
      },
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
        name: "fw_cfg",
        dashes: "-",
        argument: "[name=]NAME,file=PATH|string=TEXT",
        help: ["an item for the guest, in its /sys/firmware/qemu_fw_cfg"],
        again: "all",
        set: (d, v) => {
          d.fwCfg.push(parseFwCfg(v));
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
        argument: CHAR_SPECS,
        help: [
          "serial port COM1 (stdio unless said); a socket listens",
          "with server=on, and wait=off does not wait for somebody",
        ],
        again: "refused",
        set: (d, v) => {
          d.serial = parseCharSpec("-serial", v);
        },
      },
      {
        name: "debugcon",
        dashes: "-",
        argument: CHAR_SPECS,
        help: ["debug console, port 0xe9 (none unless said)"],
        again: "refused",
        set: (d, v) => {
          d.debugcon = parseCharSpec("-debugcon", v);
        },
      },
      {
        name: "chardev",
        dashes: "-",
        argument: "stdio|file|socket|pty|null,id=ID[,prop=value...]",
        help: [
          "a back end for a device that has chardev=ID; socket:",
          "path=PATH or host=HOST,port=PORT, server=on, wait=off",
        ],
        again: "all",
        set: (d, v) => {
          d.chardevs.push(parseChardev(v));
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
        help: ["log exits, in_asm, unimp; -d help explains them"],
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
        name: "boot-timer",
        dashes: "--",
        help: ["say when the guest was entered, first wrote, and ended"],
        again: "last",
        set: (d) => {
          d.bootTimer ??= { text: undefined };
        },
      },
      {
        name: "boot-text",
        dashes: "--",
        argument: "TEXT",
        help: ["the same, and when it first wrote TEXT"],
        again: "last",
        set: (d, v) => {
          if (v === "") throw new UsageError("--boot-text needs a text that is not empty");
          d.bootTimer = { text: v };
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
  ..."bios boot cdrom daemonize display enable-kvm gdb global hda hdb incoming".split(" "),
  ..."loadvm monitor netdev nic nodefaults parallel pflash pidfile qmp s sandbox smbios smp".split(" "),
  ..."snapshot spice usb vga virtfs vnc watchdog".split(" "),
];

export const RUN_SECTIONS: readonly OptionSection<never>[] = SECTIONS;

export const RUN_RULES: ParseRules<Draft> = {
  command: "qemu-user run",
  sections: SECTIONS,
  absent: ABSENT,
  word: (_draft, word) => {
    throw new UsageError(`${word}: an image is given by -drive file=${word}, a kernel by -kernel ${word}`);
  },
};
