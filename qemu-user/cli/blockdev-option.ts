/**
 * `-blockdev driver=raw|file,node-name=NAME,...`: an image by its layers, in words or as JSON.
 * Follows: QEMU's BlockdevOptions: `raw` over `file`, the latter written inside it (`file.filename=`) or by its name.
 * Left out: every other driver, offset= and size= of raw, O_DIRECT.
 */
import type { DriveOption } from "../block/drive.ts";
import { AIO_ABSENT, AIO_MODES, DRIVE_DEFAULTS, FORMATS_ABSENT, parseDiscard, parseLocking } from "./drive-option.ts";
import { applySettings, choice, onOff, parseId, parseSettings, type SettingTable } from "./key-values.ts";
import { UsageError } from "./usage-error.ts";

/** One node: a drive with a path, or a `raw` over the node `below`. */
export interface BlockNode extends Omit<DriveOption, "id"> {
  readonly name: string;
  readonly below: string | undefined;
}

interface Draft {
  driver: "raw" | "file" | undefined;
  innerDriver: "file" | undefined;
  node: { -readonly [K in keyof BlockNode]: BlockNode[K] };
}

const OPTION = "-blockdev";

/** Keys of every node. */
const COMMON: SettingTable<Draft> = {
  "read-only": (d, v, key) => {
    d.node.readOnly = onOff(OPTION, key, v);
  },
  "auto-read-only": (_d, v, key) => void onOff(OPTION, key, v), // may be left undone
  discard: (d, v, key) => {
    d.node.discard = parseDiscard(OPTION, key, v);
  },
  "detect-zeroes": (_d, v, key) => void choice(OPTION, key, v, ["off"], ["on", "unmap"]),
  "cache.direct": (_d, v, key) => {
    if (onOff(OPTION, key, v)) throw new UsageError(`${OPTION}: ${key}=on (O_DIRECT) is not built yet; off is`);
  },
  "cache.no-flush": (d, v, key) => {
    d.node.cache = onOff(OPTION, key, v) ? "unsafe" : "writeback";
  },
};

/** Keys of a `file`. */
const FILE: SettingTable<Draft> = {
  filename: (d, v) => {
    d.node.path = v;
  },
  aio: (d, v, key) => {
    d.node.aio = choice(OPTION, key, v, AIO_MODES, AIO_ABSENT);
  },
  locking: (d, v, key) => {
    d.node.locking = parseLocking(OPTION, key, v);
  },
};

const SETTINGS: SettingTable<Draft> = {
  driver: (d, v, key) => {
    d.driver = choice(OPTION, key, v, ["raw", "file"] as const, ["host_device", ...FORMATS_ABSENT]);
  },
  "node-name": (d, v) => {
    d.node.name = parseId(OPTION, v);
  },
  ...COMMON,
  ...FILE,
  file: (d, v) => {
    d.node.below = v;
  },
  "file.driver": (d, v, key) => {
    d.innerDriver = choice(OPTION, key, v, ["file"] as const, ["host_device", "nbd", "https"]);
  },
  ...prefixed({ ...COMMON, ...FILE }),
};

/** Throws a UsageError. */
export function parseBlockdev(text: string): BlockNode {
  const draft: Draft = {
    driver: undefined,
    innerDriver: undefined,
    node: { ...DRIVE_DEFAULTS, name: "", path: "", below: undefined },
  };
  const settings = parseSettings(OPTION, text);
  applySettings(OPTION, settings, SETTINGS, draft);
  const { driver, node } = draft;
  if (driver === undefined) throw new UsageError(`${OPTION}: driver=raw or driver=file is needed`);
  if (node.name === "") throw new UsageError(`${OPTION}: node-name=NAME is needed`);
  const misplaced = settings.map(([key]) => key).find((key) => !belongs(driver, key));
  if (misplaced !== undefined) throw new UsageError(`${OPTION}: driver=${driver} has no ${misplaced}`);
  const inner = node.path !== "" || draft.innerDriver !== undefined;
  if (driver === "file" && node.path === "") throw new UsageError(`${OPTION}: driver=file needs filename=PATH`);
  if (driver === "raw" && (node.below === undefined) !== inner) {
    throw new UsageError(`${OPTION}: driver=raw needs file=NODE, or file.driver=file with file.filename=PATH`);
  }
  if (driver === "raw" && inner && (node.path === "" || draft.innerDriver === undefined)) {
    throw new UsageError(`${OPTION}: driver=raw needs both file.driver=file and file.filename=PATH`);
  }
  return node;
}

/** The drive that a node is, with what the nodes below it say. Throws a UsageError. */
export function driveOfNode(nodes: ReadonlyMap<string, BlockNode>, { name, below, ...top }: BlockNode): DriveOption {
  if (below === undefined) return { id: name, ...top };
  const base = nodes.get(below);
  if (base === undefined) throw new UsageError(`${OPTION}: ${name} is over ${below}, which no -blockdev makes`);
  if (base.below !== undefined) throw new UsageError(`${OPTION}: ${name} is over ${below}, which is not driver=file`);
  const { name: _, below: __, ...file } = base;
  return {
    ...file,
    id: name,
    readOnly: top.readOnly || file.readOnly,
    discard: top.discard && file.discard,
    cache: top.cache === "unsafe" ? top.cache : file.cache,
  };
}

function prefixed(table: SettingTable<Draft>): SettingTable<Draft> {
  return Object.fromEntries(Object.entries(table).map(([key, set]) => [`file.${key}`, set]));
}

function belongs(driver: "raw" | "file", key: string): boolean {
  const ofFile = Object.hasOwn(FILE, key);
  return driver === "file" ? key !== "file" && !key.startsWith("file.") : !ofFile;
}
