/**
 * Options of the commands that work on a VM that runs: `qemu-user stat` and `qemu-user attach`.
 * Follows: `perf kvm stat` and vmstat for stat; run's -device for attach.
 * Left out: choosing columns; statistics by guest symbol.
 */
import type { DeviceOption } from "../machine/device-catalog.ts";
import { parseDevice } from "./device-option.ts";
import { type OptionRow, type OptionSection, type ParseRules, parseOptions } from "./option-table.ts";
import { UsageError } from "./usage-error.ts";

export interface StatOptions {
  /** Name or process id of a running VM; undefined: the only one there is. */
  readonly target: string | undefined;
  /** Seconds between reports; undefined: one report. */
  readonly interval: number | undefined;
  readonly json: boolean;
  readonly core: string | undefined;
}

export interface AttachOptions {
  readonly target: string | undefined;
  readonly core: string | undefined;
  readonly devices: readonly DeviceOption[];
}

interface Target {
  target: string | undefined;
  core: string | undefined;
}

interface StatDraft extends Target {
  interval: number | undefined;
  json: boolean;
}

interface AttachDraft extends Target {
  readonly devices: DeviceOption[];
  text: string | undefined;
}

const CORE: OptionRow<Target> = {
  name: "core",
  dashes: "--",
  argument: "PATH",
  help: ["look at the kvm-core at this socket"],
  again: "last",
  set: (d, v) => {
    d.core = v;
  },
};

/** Shorter would measure the measuring. */
const INTERVAL_MIN = 0.1;

const STAT_OPTIONS: readonly OptionSection<StatDraft>[] = [
  {
    title: "Options",
    rows: [
      {
        name: "interval",
        dashes: "--",
        argument: "SECONDS",
        help: ["report again and again, each time what came since"],
        again: "last",
        set: (d, v) => {
          d.interval = parseInterval(v);
        },
      },
      {
        name: "json",
        dashes: "--",
        help: ["as JSON, one report a line"],
        again: "last",
        set: (d) => {
          d.json = true;
        },
      },
      CORE,
    ],
  },
];

const ATTACH_OPTIONS: readonly OptionSection<AttachDraft>[] = [
  {
    title: "Options",
    rows: [
      {
        name: "device",
        dashes: "-",
        argument: "NAME[,prop=value...]",
        help: ["the device to serve; -device help lists them"],
        again: "all",
        set: (d, v) => {
          const device = parseDevice(v);
          if ("help" in device) d.text = device.help;
          else d.devices.push(device);
        },
      },
      CORE,
    ],
  },
];

export const STAT_SECTIONS: readonly OptionSection<never>[] = STAT_OPTIONS;
export const ATTACH_SECTIONS: readonly OptionSection<never>[] = ATTACH_OPTIONS;

export function parseStat(argv: readonly string[]): StatOptions {
  const draft: StatDraft = { target: undefined, interval: undefined, json: false, core: undefined };
  parseOptions(rules("qemu-user stat", STAT_OPTIONS), argv, draft);
  return draft;
}

/** Options, or a help text that was asked for. Throws a UsageError, as do all of these. */
export function parseAttach(argv: readonly string[]): AttachOptions | { readonly text: string } {
  const draft: AttachDraft = { target: undefined, core: undefined, devices: [], text: undefined };
  parseOptions(rules("qemu-user attach", ATTACH_OPTIONS), argv, draft);
  const { text, ...options } = draft;
  if (text !== undefined) return { text };
  if (options.devices.length === 0) throw new UsageError("attach: -device NAME is needed; -device help lists them");
  return options;
}

function rules<T extends Target>(command: string, sections: readonly OptionSection<T>[]): ParseRules<T> {
  return {
    command,
    sections,
    word: (draft, word) => {
      if (draft.target !== undefined) throw new UsageError(`${word}: only one VM at a time (${draft.target} is given)`);
      draft.target = word;
    },
  };
}

function parseInterval(text: string): number {
  const seconds = /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : Number.NaN;
  if (seconds >= INTERVAL_MIN && seconds <= 86_400) return seconds;
  throw new UsageError(`--interval ${text} is not a number of seconds from ${INTERVAL_MIN} to 86400`);
}
