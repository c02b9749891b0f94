/**
 * Drives as the device thread gets them, and what it makes of them: the back ends of its disks.
 * Follows: block/backends.ts.
 * Leaves out: images and I/O threads, which the main thread opens and starts (block-host.ts).
 */
import { RingBackend, SyncBackend } from "../block/backends.ts";
import type { BlockBackend } from "../block/block.ts";
import { imageOf, infoOf, type OpenDrive } from "../block/drive.ts";
import { IoBell } from "../block/io-loop.ts";

export type DriveStart = {
  readonly drive: OpenDrive;
  /** Requests for another thread; null: the device thread does them itself. */
  readonly ring: SharedArrayBuffer | null;
  /** Its I/O thread's bell; null beside a ring: the main thread serves it. */
  readonly bell: SharedArrayBuffer | null;
};

export type DriveWiring = {
  readonly memory: ArrayBufferLike;
  /** Tells the main thread of requests of this drive. */
  readonly tellMain: (id: string) => void;
  readonly stopping: () => boolean;
};

/** Every drive by its id. */
export function connectDrives(
  starts: readonly DriveStart[],
  { memory, tellMain, stopping }: DriveWiring,
): ReadonlyMap<string, BlockBackend> {
  return new Map(
    starts.map(({ drive, ring, bell }): [string, BlockBackend] => {
      const { id } = drive.option;
      if (ring === null) return [id, new SyncBackend(infoOf(drive), imageOf(drive), stopping)];
      const io = bell === null ? undefined : new IoBell(bell);
      const notify = io === undefined ? () => tellMain(id) : () => io.ring();
      return [id, new RingBackend(infoOf(drive), { ring, memory, notify, stopping })];
    }),
  );
}
