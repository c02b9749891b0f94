/**
 * What `qemu-user run` was asked for: the options that run-table.ts read, and what they say of each other.
 * Left out: single options (run-table.ts) and their values (run-words.ts).
 */
import type { DriveOption } from "../block/drive.ts";
import type { CpuOption } from "../machine/cpu-models.ts";
import type { DeviceOption } from "../machine/device-catalog.ts";
import type { RtcOption } from "../machine/rtc-clock.ts";
import type { Chardev, CharSpec } from "./char-spec.ts";
import { resolveDisks } from "./disks.ts";
import type { FwCfgOption } from "./fw-cfg-option.ts";
import { parseOptions } from "./option-table.ts";
import { emptyDraft, RUN_RULES } from "./run-table.ts";
import type { Accel, ExitMode, TraceItem } from "./run-words.ts";
import { UsageError } from "./usage-error.ts";

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
  readonly chardevs: readonly Chardev[];
  readonly nographic: boolean;
  /** -no-reboot: a reset ends the run with status 0, a triple fault with a register dump. */
  readonly noReboot: boolean;
  /** -S: do not start the CPU. */
  readonly stopped: boolean;
  readonly devices: readonly DeviceOption[];
  /** Each is that of a disk among the devices, or of none. */
  readonly drives: readonly DriveOption[];
  readonly fwCfg: readonly FwCfgOption[];
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
  /** --boot-timer, and the text of --boot-text. */
  readonly bootTimer: { readonly text: string | undefined } | undefined;
}

/** Options, or a help text that was asked for: that of -cpu is kvm-core's to know. Throws a UsageError. */
export function parseRun(
  argv: readonly string[],
): RunOptions | { readonly text: string } | { readonly cpuHelp: true; readonly core: string | undefined } {
  const draft = emptyDraft();
  parseOptions(RUN_RULES, argv, draft);
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
  const names = draft.fwCfg.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new UsageError(`-fw_cfg: ${twice} is there twice`);
  checkChardevs(draft.chardevs, draft.debugcon);
  const taken = draft.chardevs.some(({ spec }) => spec.kind === "stdio");
  if (taken && (draft.serial?.kind === "stdio" || (draft.nographic && draft.serial === undefined))) {
    throw new UsageError(
      "-serial (or -nographic) and -chardev cannot both have stdio; -serial none leaves it to the other",
    );
  }
  const asked: CharSpec = draft.serial ?? (taken ? { kind: "none" } : { kind: "stdio", mux: false });
  const serial: CharSpec = asked.kind === "stdio" && draft.nographic ? { kind: "stdio", mux: true } : asked;
  if (serial.kind === "stdio" && draft.debugcon.kind === "stdio") {
    throw new UsageError("-serial and -debugcon cannot both have stdio; give one of them file:PATH or none");
  }
  return { ...rest, ...disks, kernel, append: append ?? "", serial };
}

/** One id, one back end; and there is one stdio. */
function checkChardevs(chardevs: readonly Chardev[], debugcon: CharSpec): void {
  const ids = new Set<string>();
  for (const { id } of chardevs) {
    if (ids.has(id)) throw new UsageError(`-chardev: there is already a back end with id=${id}`);
    ids.add(id);
  }
  const stdio = [debugcon, ...chardevs.map(({ spec }) => spec)].filter(({ kind }) => kind === "stdio");
  if (stdio.length > 1) throw new UsageError("-chardev: only one back end can have stdio");
}
