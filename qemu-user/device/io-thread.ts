/**
 * An I/O thread, the program: serves the disks it is given until its bell says stop. It never returns to its event loop.
 * Follows: block/io-loop.ts.
 * Leaves out: opening and closing images (block-host.ts).
 */
import { parentPort, workerData } from "node:worker_threads";
import { setThreadName } from "../../shared/native.ts";
import { imageOf, type OpenDrive } from "../block/drive.ts";
import { IoBell, serveDisks } from "../block/io-loop.ts";
import { RingServer } from "./ring-server.ts";

export type IoThreadStart = {
  readonly name: string;
  readonly memory: WebAssembly.Memory;
  /** Byte offset of the server area whose doorbell tells the device thread; -1: it is told by messages. */
  readonly area: number;
  readonly bell: SharedArrayBuffer;
  readonly disks: readonly { readonly drive: OpenDrive; readonly ring: SharedArrayBuffer }[];
};

/** What it posts in message mode: something has completed. */
export const IO_DONE = "done";

const { name, memory, area, bell, disks } = workerData as IoThreadStart;
const words = new Int32Array(memory.buffer);

setThreadName(`io ${name}`);
serveDisks(
  new IoBell(bell),
  disks.map(({ drive, ring }) => ({ ring, image: imageOf(drive) })),
  memory.buffer,
  area >= 0 ? () => RingServer.ring(words, area) : () => parentPort!.postMessage(IO_DONE),
);
