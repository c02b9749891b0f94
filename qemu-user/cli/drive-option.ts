/**
 * `-drive file=PATH,...`: an image, and unless `if=none` the disk in front of it.
 * Follows: QEMU's -drive, its words and defaults, but for `format`, which is raw unless said (QEMU looks at the image),
 * and `if`, which is virtio unless said (QEMU's pc has IDE).
 * Left out: every format but raw, every bus but virtio, throttling, cache=none (O_DIRECT).
 */
import type { ErrorPolicy } from "../block/block.ts";
import type { AioMode, CacheMode, DriveOption } from "../block/drive.ts";
import { applySettings, choice, onOff, parseId, parseSettings, type SettingTable } from "./key-values.ts";
import { UsageError } from "./usage-error.ts";

/** What -drive, -blockdev and a disk's device properties have in common. */
export const AIO_MODES: readonly AioMode[] = ["threads", "sync", "async"];
export const AIO_ABSENT = ["native", "io_uring"];
export const WRITE_POLICIES: readonly ErrorPolicy[] = ["report", "ignore", "stop", "enospc"];
export const READ_POLICIES: readonly ErrorPolicy[] = ["report", "ignore", "stop"];
const CACHE_MODES: readonly CacheMode[] = ["writeback", "writethrough", "unsafe"];
export const FORMATS_ABSENT =
  "blkdebug bochs cloop dmg https luks nbd parallels qcow qcow2 qed vdi vhdx vmdk vpc".split(" ");

/** `-drive`, parsed: an id for it is found when all are known. */
export interface ParsedDrive extends Omit<DriveOption, "id"> {
  readonly id: string | undefined;
  readonly iface: "virtio" | "none";
}

type Draft = { -readonly [K in keyof ParsedDrive]: ParsedDrive[K] };

const SETTINGS: SettingTable<Draft> = {
  file: (d, v) => {
    d.path = v;
  },
  format: (_d, v, key) => void choice("-drive", key, v, ["raw"], FORMATS_ABSENT),
  if: (d, v, key) => {
    d.iface = choice("-drive", key, v, ["virtio", "none"], ["ide", "scsi", "sd", "mtd", "floppy", "pflash", "xen"]);
  },
  id: (d, v) => {
    d.id = parseId("-drive", v);
  },
  media: (_d, v, key) => void choice("-drive", key, v, ["disk"], ["cdrom"]),
  snapshot: (d, v, key) => {
    d.snapshot = onOff("-drive", key, v);
  },
  readonly: readOnly,
  "read-only": readOnly,
  cache: (d, v, key) => {
    d.cache = choice("-drive", key, v, CACHE_MODES, ["none", "directsync"]);
  },
  aio: (d, v, key) => {
    d.aio = choice("-drive", key, v, AIO_MODES, AIO_ABSENT);
  },
  werror: (d, v, key) => {
    d.writeErrors = choice("-drive", key, v, WRITE_POLICIES);
  },
  rerror: (d, v, key) => {
    d.readErrors = choice("-drive", key, v, READ_POLICIES);
  },
  discard: (d, v, key) => {
    d.discard = parseDiscard("-drive", key, v);
  },
  "detect-zeroes": (_d, v, key) => void choice("-drive", key, v, ["off"], ["on", "unmap"]),
  "file.locking": (d, v, key) => {
    d.locking = parseLocking("-drive", key, v);
  },
};

/** What QEMU has and scripts may well contain, whole families among it. */
const ABSENT =
  /^(bus|unit|index|driver|node-name|copy-on-read|auto-read-only|force-share|(throttling|cache|file|stats)[.-].*|(bps|iops)(_.*)?)$/;

/** Throws a UsageError. */
export function parseDrive(text: string): ParsedDrive {
  const draft: Draft = { ...DRIVE_DEFAULTS, id: undefined, path: "", iface: "virtio" };
  const settings = parseSettings("-drive", text);
  const absent = settings.find(([key]) => !Object.hasOwn(SETTINGS, key) && ABSENT.test(key));
  if (absent !== undefined) throw new UsageError(`-drive: ${absent[0]} is not built yet; leave it out`);
  applySettings("-drive", settings, SETTINGS, draft);
  if (draft.path === "") throw new UsageError("-drive: file=PATH is needed; a drive without a medium is not built yet");
  if (draft.iface === "none" && draft.id === undefined) {
    throw new UsageError("-drive: if=none needs id=NAME, by which a -device names it");
  }
  checkDrive("-drive", draft);
  return draft;
}

export const DRIVE_DEFAULTS = {
  readOnly: false,
  snapshot: false,
  discard: false,
  cache: "writeback",
  aio: "threads",
  writeErrors: "enospc",
  readErrors: "report",
  ioThread: undefined,
  locking: true,
} as const satisfies Partial<DriveOption>;

/** What does not go together. */
export function checkDrive(option: string, { snapshot, aio, ioThread }: Omit<DriveOption, "id">): void {
  if (snapshot && aio === "async") {
    throw new UsageError(`${option}: snapshot=on with aio=async is not built yet; aio=threads and aio=sync are`);
  }
  if (ioThread !== undefined && aio !== "threads") {
    throw new UsageError(`${option}: iothread=${ioThread} is for a drive with aio=threads, not aio=${aio}`);
  }
}

/** BLOCKDEV_DISCARD: `off` is `ignore`, `on` is `unmap`. */
export function parseDiscard(option: string, key: string, text: string): boolean {
  const value = choice(option, key, text, ["ignore", "unmap", "off", "on"]);
  return value === "unmap" || value === "on";
}

export function parseLocking(option: string, key: string, text: string): boolean {
  return choice(option, key, text, ["auto", "on", "off"]) !== "off";
}

function readOnly(draft: Draft, text: string, key: string): void {
  draft.readOnly = onOff("-drive", key, text);
}
