/**
 * `-object iothread,id=NAME`: a thread that disks can share.
 * Follows: QEMU's -object, in words or as JSON.
 * Left out: every other type, and how long the thread polls before it sleeps.
 */
import { parseId, parseSettings } from "./key-values.ts";
import { UsageError, unknownWord } from "./usage-error.ts";

const ABSENT_TYPES = [
  "memory-backend-ram",
  "memory-backend-file",
  "memory-backend-memfd",
  "rng-random",
  "rng-builtin",
  "secret",
  "throttle-group",
];
const ABSENT_PROPERTIES = [
  "poll-max-ns",
  "poll-grow",
  "poll-shrink",
  "aio-max-batch",
  "thread-pool-min",
  "thread-pool-max",
];

/** The iothread's id. Throws a UsageError. */
export function parseIoThread(text: string): string {
  const [first, ...rest] = parseSettings("-object", text);
  const given = rest.find(([key]) => key === "qom-type") ?? first;
  const type = given?.[0] === "qom-type" ? (given[1] ?? "") : (given?.[0] ?? "");
  if (ABSENT_TYPES.includes(type)) throw new UsageError(`-object ${type} is not built yet; iothread is`);
  if (type !== "iothread") throw unknownWord("-object", type, ["iothread"]);
  let id: string | undefined;
  for (const [key, value] of [first!, ...rest]) {
    if (key === "id") id = parseId("-object", value ?? "");
    else if (ABSENT_PROPERTIES.includes(key)) throw new UsageError(`-object iothread: ${key} is not built yet; id is`);
    else if (key !== "qom-type" && key !== type) throw unknownWord("-object iothread: property", key, ["id"]);
  }
  if (id === undefined) throw new UsageError("-object iothread: id=NAME is needed, by which a -device names it");
  return id;
}
