/**
 * Drives for tests, as the command line would ask for them.
 * Follows: qemu-user/block/drive.ts.
 * Left out: making the images.
 */

import type { DriveOption } from "../../../qemu-user/block/drive.ts";
import { DRIVE_DEFAULTS } from "../../../qemu-user/cli/drive-option.ts";

export function drive(path: string, changes: Partial<DriveOption> = {}): DriveOption {
  return {
    ...DRIVE_DEFAULTS,
    id: "d0",
    path,
    ...changes,
  };
}
