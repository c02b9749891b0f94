/**
 * Drives for tests, as the command line would ask for them.
 * Follows: qemu-user/block/drive.ts.
 * Left out: making the images.
 */
import type { DriveOption } from "../../../qemu-user/block/drive.ts";

export function drive(path: string, changes: Partial<DriveOption> = {}): DriveOption {
  return {
    id: "d0",
    path,
    readOnly: false,
    snapshot: false,
    discard: false,
    cache: "writeback",
    aio: "threads",
    writeErrors: "enospc",
    readErrors: "report",
    ioThread: undefined,
    locking: true,
    ...changes,
  };
}
