/**
 * Drives and the disks in front of them: -drive, -blockdev, -object and -device, put together once all are known.
 * Follows: QEMU: `if=virtio` adds a virtio-blk-pci; a device's drive= names a drive's id or a node's name.
 * Left out: opening the images.
 */
import type { ErrorPolicy } from "../block/block.ts";
import type { DriveOption } from "../block/drive.ts";
import type { PropertyValues } from "../bus/property.ts";
import { type DeviceOption, defaultProperties } from "../machine/device-catalog.ts";
import { type BlockNode, driveOfNode } from "./blockdev-option.ts";
import { checkDrive, type ParsedDrive, READ_POLICIES, WRITE_POLICIES } from "./drive-option.ts";
import { choice } from "./key-values.ts";
import { UsageError, unknownWord } from "./usage-error.ts";

const DISK = "virtio-blk-pci";

export interface Disks {
  readonly drives: readonly DriveOption[];
  readonly devices: readonly DeviceOption[];
}

/** Throws a UsageError on a name that two have, or none. */
export function resolveDisks(
  parsed: readonly ParsedDrive[],
  nodes: readonly BlockNode[],
  ioThreads: readonly string[],
  asked: readonly DeviceOption[],
): Disks {
  const named = nameDrives(parsed);
  const byName = new Map(nodes.map((node) => [node.name, node]));
  refuseTwice("-drive, -blockdev: id", [...named.map(({ id }) => id), ...nodes.map(({ name }) => name)]);
  refuseTwice("-object: id", ioThreads);
  const devices = [...asked, ...named.filter(({ iface }) => iface === "virtio").map(({ id }) => diskOf(id))];

  const drives = new Map(named.map(({ iface: _, ...option }): [string, DriveOption] => [option.id, option]));
  const taken = new Set<string>();
  for (const { name, properties } of devices) {
    if (name !== DISK) continue;
    const id = String(properties["drive"]);
    if (id === "")
      throw new UsageError(`-device ${DISK}: drive=ID is needed: its -drive's id, or its -blockdev's node-name`);
    const node = byName.get(id);
    const option = drives.get(id) ?? (node && driveOfNode(byName, node));
    const known = [...drives.keys(), ...byName.keys()];
    if (option === undefined) throw unknownWord(`-device ${DISK}: drive`, id, known, noneOf(known, "-drive"));
    for (const used of [id, ...(node?.below === undefined ? [] : [node.below])]) {
      if (taken.has(used)) throw new UsageError(`-device ${DISK}: drive=${id} has a disk already`);
      taken.add(used);
    }
    drives.set(id, withDevice(option, properties, ioThreads));
  }
  return { drives: [...drives.values()], devices };
}

/** What the device says of its drive. */
function withDevice(option: DriveOption, properties: PropertyValues, ioThreads: readonly string[]): DriveOption {
  const where = `-device ${DISK}`;
  const thread = String(properties["iothread"]);
  if (thread !== "" && !ioThreads.includes(thread)) {
    throw unknownWord(`${where}: iothread`, thread, ioThreads, noneOf(ioThreads, "-object iothread"));
  }
  const policy = (key: string, own: ErrorPolicy, built: readonly ErrorPolicy[]): ErrorPolicy => {
    const value = choice(where, key, String(properties[key]), ["auto", ...built]);
    return value === "auto" ? own : value;
  };
  const result: DriveOption = {
    ...option,
    ioThread: thread === "" ? undefined : thread,
    writeErrors: policy("werror", option.writeErrors, WRITE_POLICIES),
    readErrors: policy("rerror", option.readErrors, READ_POLICIES),
  };
  checkDrive(where, result);
  return result;
}

/** Those without an id are called virtio0, virtio1, ..., as in QEMU. */
function nameDrives(parsed: readonly ParsedDrive[]): readonly (ParsedDrive & { readonly id: string })[] {
  let next = 0;
  return parsed.map((drive) => {
    const own = drive.iface === "virtio" ? `virtio${next++}` : "";
    return { ...drive, id: drive.id ?? own };
  });
}

function diskOf(drive: string): DeviceOption {
  return { name: DISK, id: undefined, properties: { ...defaultProperties(DISK), drive } };
}

function refuseTwice(what: string, names: readonly string[]): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new UsageError(`${what}=${twice} is given twice`);
}

function noneOf(known: readonly string[], option: string): string | undefined {
  return known.length === 0 ? `there is no ${option}` : undefined;
}
